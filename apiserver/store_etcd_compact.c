/*
 * store_etcd_compact.c - forgetting old versions in etcd; see store_etcd.c.
 */
#include "apiserver/store_etcd_private.h"
#include "lib/log.h"
#include <inttypes.h>

/* Sets a key that holds a number, if it still holds that one; else *ret_now is what it holds. Under read_lock. */
static int swap_number(struct etcd_store *s, const char *key, int64_t from, int64_t to, int64_t *ret_now,
		       struct error *e)
{
	_arena_ a = arena_new();
	_buf_ body = BUF_INIT(TXN_MAX);
	const char *digits = arena_printf(a, "%" PRId64, to);
	struct json *answer;

	txn_begin(&body);
	txn_compare_value(&body, key, arena_printf(a, "%" PRId64, from));
	txn_success(&body);
	txn_put(&body, key, digits, strlen(digits));
	txn_failure(&body);
	txn_get(&body, key);
	txn_end(&body);
	int code = etcd_call(&s->reader, a, "kv/txn", &body, NULL, &answer, e);
	if (code < 0)
		return code;
	*ret_now = json_bool_or(json_get(answer, "succeeded"), false) ? to : etcd_number_at(a, etcd_ranged(answer, 0));
	return 0;
}

/* Deletes the records in names[]. *ret_etcd: etcd's own revision afterwards. Under read_lock. */
static int delete_records(struct etcd_store *s, char *const *names, size_t count, int64_t *ret_etcd, struct error *e)
{
	int code = 0;

	for (size_t i = 0; i < count && code == 0; i += ETCD_OPS_MAX) {
		_arena_ a = arena_new();
		_buf_ body = BUF_INIT(TXN_MAX);
		struct json *answer;
		txn_begin(&body);
		txn_success(&body);
		for (size_t k = i; k < count && k < i + ETCD_OPS_MAX; k++)
			txn_delete(&body, names[k]);
		txn_end(&body);
		code = etcd_call(&s->reader, a, "kv/txn", &body, NULL, &answer, e);
		if (code == 0)
			*ret_etcd = etcd_number(json_in(answer, "header", "revision"));
	}
	return code;
}

/* Etcd keeps what was deleted until it is told to compact: up to the last time, for others who read there. */
static void compact_etcd(struct etcd_store *s, int64_t etcd_now)
{
	_arena_ a = arena_new();
	_buf_ body = BUF_INIT(256);
	struct json *answer;
	struct error e;
	int code = 0;

	buf_addf(&body, "{\"revision\":\"%" PRId64 "\"}", s->etcd_mark);
	if (s->etcd_mark)
		code = etcd_call(&s->reader, a, "kv/compaction", &body, NULL, &answer, &e);
	if (code < 0 && code != -E_EXPIRED) /* somebody else has compacted already */
		log_warn("etcd could not be compacted, will try again", "error", e.text, NULL);
	if (etcd_now)
		s->etcd_mark = etcd_now;
}

/* Names of the records that compaction at that revision removes, in a. */
static char **old_records(struct etcd_store *s, struct arena *a, int64_t revision, size_t *ret_count)
{
	size_t position = 0, n = 0, cap = 64;
	char **names = arena_alloc(a, cap * sizeof(*names));
	const char *key;
	void *value;

	pthread_mutex_lock(&s->lock);
	while (strmap_next(s->index, &position, &key, &value)) {
		const struct versions *v = value;
		for (size_t i = 0; i < v->count && version_is_old(v, i, revision); i++) {
			if (n == cap) {
				char **more = arena_alloc(a, 2 * cap * sizeof(*names));
				memcpy(more, names, cap * sizeof(*names));
				names = more;
				cap *= 2;
			}
			names[n++] = log_key(a, s->prefix, key, &v->v[i]);
		}
	}
	pthread_mutex_unlock(&s->lock);
	*ret_count = n;
	return names;
}

static void set_compacted(struct etcd_store *s, int64_t revision)
{
	pthread_mutex_lock(&s->lock);
	if (revision > s->compacted)
		s->compacted = revision;
	pthread_mutex_unlock(&s->lock);
}

/* Under read_lock. First the mark moves, then records go: whoever is interrupted leaves only what the next one finds.
 */
static int compact_locked(struct etcd_store *s, int64_t revision, struct error *e)
{
	_arena_ a = arena_new();
	int64_t known = etcd_compacted(&s->base), now = known, etcd_now = 0;
	size_t count;
	int code = 0;

	while (known < revision) {
		if ((code = swap_number(s, s->compacted_key, known, revision, &now, e)) < 0)
			return code;
		known = now;
	}
	set_compacted(s, known);
	char **names = old_records(s, a, revision, &count);
	if ((code = delete_records(s, names, count, &etcd_now, e)) < 0)
		return code;
	pthread_mutex_lock(&s->lock);
	index_forget(s->index, revision);
	pthread_mutex_unlock(&s->lock);
	compact_etcd(s, etcd_now);
	return 0;
}

int etcd_compact(struct store *base, int64_t revision, struct error *e)
{
	struct etcd_store *s = (struct etcd_store *)base;
	int64_t newest = etcd_revision(base);
	int code = 0;

	if (revision > newest)
		revision = newest;
	pthread_mutex_lock(&s->read_lock);
	if (revision > etcd_compacted(base))
		code = compact_locked(s, revision, e);
	pthread_mutex_unlock(&s->read_lock);
	return code;
}

int etcd_advance(struct store *base, int64_t revision, struct error *e)
{
	struct etcd_store *s = (struct etcd_store *)base;
	int64_t known = etcd_revision(base), now = known;

	if (revision <= known)
		return error_set(e, E_CONFLICT, "the store is at revision %" PRId64 " already", known);
	pthread_mutex_lock(&s->read_lock);
	int code = swap_number(s, s->head_key, known, revision, &now, e);
	pthread_mutex_unlock(&s->read_lock);
	if (code < 0)
		return code;
	if (now != revision)
		return error_set(e, E_CONFLICT, "an apiserver is writing to the store in etcd; stop it first");
	pthread_mutex_lock(&s->lock);
	s->revision = revision;
	pthread_mutex_unlock(&s->lock);
	return etcd_compact(base, revision, e);
}
