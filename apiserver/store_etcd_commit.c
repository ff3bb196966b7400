/*
 * store_etcd_commit.c - writing to the store in etcd, and taking in what others have written; see store_etcd.c.
 */
#include "apiserver/store_etcd_private.h"
#include "lib/log.h"
#include "lib/units.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#define OPS_MAX ETCD_OPS_MAX
#define BYTES_MAX (1400U << 10) /* of keys and values in a transaction; etcd's --max-request-bytes is 1.5 MiB */
#define READ_PAGE 64		/* records */
#define SETTLE_MS 8000		/* to find out whether a transaction went through */
#define SETTLE_PAUSE_US (100 * 1000)
#define TRANSACTION_NAME_MAX 48
#define BEHIND 1 /* the head has moved */

/* What the index says and what etcd says cannot both be: a restart reads everything afresh. */
static void end_lost(const char *why, int64_t known, int64_t found)
{
	log_error("store in etcd went another way than this apiserver, ending to read it afresh", "reason", why,
		  "known", log_num(known), "found", log_num(found), NULL);
	_exit(1);
}

/* ---- what others have written ---- */

/* Adds one record of the log to the index and tells the follower. */
static int take_record(struct etcd_store *s, struct arena *a, const struct json *kv, struct error *e)
{
	const char *name = etcd_bytes(a, json_get(kv, "key"), NULL);
	struct version version;
	const char *key = log_key_parse(s->prefix, name, &version);
	struct record r;
	size_t len;
	const char *data = etcd_bytes(a, json_get(kv, "value"), &len);

	if (!key || !record_parse(data, len, &r))
		return record_damaged(name, e);
	if (version.revision != s->revision + 1)
		end_lost("its log has a gap", s->revision, version.revision);
	if (s->follower) {
		struct store_entry entry = {.key = key,
					    .revision = version.revision,
					    .previous = r.previous,
					    .deleted = version.deleted,
					    .value = r.value,
					    .len = r.len};
		s->follower->visit(s->follower->user, &entry);
	}
	pthread_mutex_lock(&s->lock);
	index_note(s->index, key, version.revision, version.deleted);
	s->revision = version.revision;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/* One page. 1: there may be more. */
static int catch_up_page(struct etcd_store *s, struct error *e)
{
	_arena_ a = arena_new();
	_buf_ body = BUF_INIT(TXN_MAX);
	struct json *answer;

	txn_begin(&body);
	txn_success(&body);
	txn_get(&body, s->head_key);
	txn_get(&body, s->compacted_key);
	txn_range(&body, log_after(a, s->prefix, s->revision), log_end(a, s->prefix), READ_PAGE);
	txn_end(&body);
	int code = etcd_call(&s->writer, a, "kv/txn", &body, NULL, &answer, e);
	if (code < 0)
		return code;
	int64_t head = etcd_number_at(a, etcd_ranged(answer, 0)), compacted = etcd_number_at(a, etcd_ranged(answer, 1));
	const struct json *kvs = etcd_ranged(answer, 2);
	if (compacted > s->revision)
		end_lost("its history does not reach back far enough", s->revision, compacted);
	if (head < s->revision || (head > s->revision && json_count(kvs) == 0))
		end_lost("its log does not lead to its head", s->revision, head);
	for (size_t i = 0; i < json_count(kvs); i++)
		if ((code = take_record(s, a, json_item(kvs, i), e)) < 0)
			return code;
	return s->revision < head;
}

int etcd_catch_up(struct store *base, bool must, struct error *e)
{
	struct etcd_store *s = (struct etcd_store *)base;
	int64_t hint = atomic_exchange(&s->hint, 0);
	int code = 1;

	if (!must && hint <= s->revision)
		return 0;
	while (code == 1)
		code = catch_up_page(s, e);
	if (code < 0)
		s->hint = ETCD_NUMBER_UNKNOWN;
	return code;
}

/* On the watch's thread. */
static void on_head(void *user, int64_t head)
{
	struct etcd_store *s = user;
	int64_t before = s->hint;

	while (before < head && !atomic_compare_exchange_weak(&s->hint, &before, head))
		;
	s->follower->news(s->follower->user);
}

void etcd_follow(struct store *base, const struct store_follower *f)
{
	struct etcd_store *s = (struct etcd_store *)base;

	etcd_watch_stop(s->watch);
	s->follower = f;
	s->watch = f ? etcd_watch_start(&s->target, s->head_key, on_head, s) : NULL;
}

/* ---- commit ---- */

/* One transaction of a batch: writes[from..until). */
struct plan {
	struct store_write *const *writes;
	size_t from, until;
	int64_t revision; /* it goes up to */
	struct store_write *accepted[OPS_MAX];
	size_t count, bytes;
	char name[TRANSACTION_NAME_MAX];
	struct buf body;
};

/* A key's revision as the plan would leave it, 0 when it is not there. Under the lock. */
static int64_t planned_revision(const struct etcd_store *s, const struct plan *p, const char *key)
{
	for (size_t i = p->count; i-- > 0;)
		if (streq(p->accepted[i]->key, key))
			return p->accepted[i]->remove ? 0 : p->accepted[i]->revision;
	const struct version *v = versions_at(strmap_get(s->index, key), s->revision);
	return v ? v->revision : 0;
}

static void plan_put(struct etcd_store *s, struct plan *p, struct store_write *w, int64_t previous)
{
	_arena_ a = arena_new();
	char head[RECORD_HEAD_MAX];
	size_t n = (size_t)snprintf(head, sizeof(head), "%" PRId64 " %s\n", previous, p->name), len;

	w->revision = ++p->revision;
	_free_ char *record = store_value(w, w->revision, n, &len);
	memcpy(record, head, n);
	w->stored = chunk_new(record + n, len - n);
	txn_put(&p->body, log_key(a, s->prefix, w->key, &(struct version){w->revision, w->remove}), record, len);
	p->accepted[p->count++] = w;
	p->bytes += len + strlen(w->key);
}

/* Judges writes until the transaction is full. */
static void plan_make(struct etcd_store *s, struct plan *p, struct store_write *const *writes, size_t from,
		      size_t count)
{
	char digits[24];

	*p = (struct plan){.writes = writes, .from = from, .revision = s->revision, .body = BUF_INIT(TXN_MAX)};
	snprintf(p->name, sizeof(p->name), "%s-%" PRIu64, s->id, ++s->transactions);
	snprintf(digits, sizeof(digits), "%" PRId64, s->revision);
	txn_begin(&p->body);
	txn_compare_value(&p->body, s->head_key, digits);
	txn_success(&p->body);
	pthread_mutex_lock(&s->lock);
	for (p->until = from; p->until < count && p->count < OPS_MAX; p->until++) {
		struct store_write *w = writes[p->until];
		if (p->count && p->bytes + w->len > BYTES_MAX)
			break;
		int64_t head = planned_revision(s, p, w->key);
		w->result = store_judge(w, head, w->require && planned_revision(s, p, w->require));
		if (w->result == 0 && w->len > BYTES_MAX)
			w->result = -E_TOO_LARGE;
		if (w->result == 0)
			plan_put(s, p, w, head);
	}
	pthread_mutex_unlock(&s->lock);
	if (p->count) {
		snprintf(digits, sizeof(digits), "%" PRId64, p->revision);
		txn_put(&p->body, s->head_key, digits, strlen(digits));
	}
	txn_end(&p->body);
}

/* It is in etcd. */
static void plan_keep(struct etcd_store *s, struct plan *p)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < p->count; i++)
		index_note(s->index, p->accepted[i]->key, p->accepted[i]->revision, p->accepted[i]->remove);
	s->revision = p->revision;
	pthread_mutex_unlock(&s->lock);
}

static void plan_drop(struct plan *p)
{
	for (size_t i = 0; i < p->count; i++) {
		chunk_unref(p->accepted[i]->stored);
		p->accepted[i]->stored = NULL;
		p->accepted[i]->revision = 0;
	}
}

/* Is the record in the plan's first place the plan's? 1, 0 or negative. */
static int is_carried_out(struct etcd_store *s, const struct plan *p, struct error *e)
{
	_arena_ a = arena_new();
	_buf_ body = BUF_INIT(TXN_MAX);
	const struct store_write *w = p->accepted[0];
	struct json *answer;
	struct record r;
	size_t len;

	txn_begin(&body);
	txn_success(&body);
	txn_get(&body, log_key(a, s->prefix, w->key, &(struct version){w->revision, w->remove}));
	txn_end(&body);
	int code = etcd_call(&s->writer, a, "kv/txn", &body, NULL, &answer, e);
	if (code < 0)
		return code;
	const char *data = etcd_bytes(a, json_get(json_item(etcd_ranged(answer, 0), 0), "value"), &len);
	return record_parse(data, len, &r) && r.transaction_len == strlen(p->name) &&
	       memcmp(r.transaction, p->name, r.transaction_len) == 0;
}

/* Sends it until it is known what became of it. 0: carried out; BEHIND: it was not, the head had moved. */
static int plan_send(struct etcd_store *s, struct plan *p, struct error *e)
{
	int64_t deadline = time_mono_ms() + SETTLE_MS;
	bool sent = false; /* a request whose fate is not known */
	struct error why;

	for (;;) {
		_arena_ a = arena_new();
		struct json *answer;
		int code = etcd_call(&s->writer, a, "kv/txn", &p->body, &sent, &answer, e);

		if (code == 0 && json_bool_or(json_get(answer, "succeeded"), false))
			return 0;
		if (p->count == 0)
			return code == 0 ? BEHIND : etcd_unavailable(e);
		if (code == 0 || code == -E_NO_SPACE) {
			/* The head has moved, which may be our own doing: libcurl, too, sends a request again when a
			 * connection that it kept breaks. And etcd carries out the write that exceeds its quota, but
			 * says that there is no space. */
			int ours = is_carried_out(s, p, &why);
			if (ours == 1)
				return 0;
			if (ours == 0 && code == 0)
				return BEHIND;
			sent = sent || ours < 0;
		}
		if (!sent)
			return code;
		if (time_mono_ms() >= deadline)
			return error_set(e, E_TIMEOUT,
					 "etcd did not answer in time; whether it stored %zu writes is not known",
					 p->count);
		usleep(SETTLE_PAUSE_US);
	}
}

int etcd_commit(struct store *base, struct store_write *const *writes, size_t count, struct error *e)
{
	struct etcd_store *s = (struct etcd_store *)base;
	size_t from = 0;
	int code = 0;

	for (size_t i = 0; i < count; i++) {
		writes[i]->revision = 0;
		writes[i]->stored = NULL;
	}
	while (from < count && code == 0) {
		struct plan p;
		plan_make(s, &p, writes, from, count);
		code = plan_send(s, &p, e);
		if (code == 0) {
			plan_keep(s, &p);
			from = p.until;
		} else {
			plan_drop(&p);
		}
		buf_free(&p.body);
		if (code == BEHIND && (code = etcd_catch_up(base, true, e)) < 0)
			code = etcd_unavailable(e);
	}
	for (; from < count; from++)
		writes[from]->result = code;
	return code;
}
