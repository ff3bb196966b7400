/*
 * store_etcd_read.c - ranges and history out of the log in etcd; see store_etcd.c.
 */
#include "apiserver/store_etcd_private.h"
#include <inttypes.h>

#define READ_PAGE 64 /* records */

struct wanted {
	const char *key;
	struct version version;
};

/* Values of some versions, at most READ_PAGE; ret[k].value stays NULL for one that is not there any more. Under
 * read_lock. */
static int read_records(struct etcd_store *s, struct arena *a, const struct wanted *wanted, size_t count,
			struct record *ret, struct error *e)
{
	_buf_ body = BUF_INIT(TXN_MAX);
	struct json *answer;

	if (count == 0)
		return 0;
	txn_begin(&body);
	txn_success(&body);
	for (size_t i = 0; i < count; i++)
		txn_get(&body, log_key(a, s->prefix, wanted[i].key, &wanted[i].version));
	txn_end(&body);
	int code = etcd_call(&s->reader, a, "kv/txn", &body, NULL, &answer, e);
	if (code < 0)
		return code;
	for (size_t i = 0; i < count; i++) {
		const struct json *kv = json_item(etcd_ranged(answer, i), 0);
		size_t len;
		const char *data = etcd_bytes(a, json_get(kv, "value"), &len);
		ret[i] = (struct record){0};
		if (kv && !record_parse(data, len, &ret[i]))
			return record_damaged(wanted[i].key, e);
	}
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct wanted *)a)->key, ((const struct wanted *)b)->key);
}

/* What is live below the prefix at a revision, sorted; keys copied into a. */
static int collect(struct etcd_store *s, struct arena *a, const char *prefix, const char *after, int64_t revision,
		   struct wanted **ret, size_t *ret_count, struct error *e)
{
	size_t position = 0, n = 0, prefix_len = strlen(prefix);
	const char *key;
	void *versions;
	int code = 0;

	pthread_mutex_lock(&s->lock);
	struct wanted *found = arena_alloc(a, (strmap_count(s->index) + 1) * sizeof(*found));
	if (revision && revision < s->compacted)
		code = store_expired(revision, s->compacted, e);
	while (code == 0 && strmap_next(s->index, &position, &key, &versions)) {
		const struct version *v = versions_at(versions, revision ? revision : s->revision);
		if (v && strncmp(key, prefix, prefix_len) == 0 && (!after || strcmp(key, after) > 0))
			found[n++] = (struct wanted){arena_strdup(a, key), *v};
	}
	pthread_mutex_unlock(&s->lock);
	if (code < 0)
		return code;
	qsort(found, n, sizeof(*found), by_key);
	*ret = found;
	*ret_count = n;
	return 0;
}

/* Visits one page of versions. */
static int visit_page(struct etcd_store *s, const struct wanted *wanted, size_t count, store_visit *visit, void *user,
		      struct error *e)
{
	_arena_ a = arena_new();
	struct record records[READ_PAGE];

	pthread_mutex_lock(&s->read_lock);
	int code = read_records(s, a, wanted, count, records, e);
	pthread_mutex_unlock(&s->read_lock);
	for (size_t i = 0; i < count && code == 0; i++) {
		if (!records[i].value)
			return error_set(e, E_EXPIRED, "the state asked for was compacted while it was read");
		code = visit(user, &(struct store_entry){.key = wanted[i].key,
							 .revision = wanted[i].version.revision,
							 .previous = records[i].previous,
							 .value = records[i].value,
							 .len = records[i].len});
	}
	return code;
}

int etcd_range(struct store *base, const char *prefix, const char *after, int64_t revision, size_t limit,
	       store_visit *visit, void *user, struct error *e)
{
	struct etcd_store *s = (struct etcd_store *)base;
	_arena_ a = arena_new();
	struct wanted *wanted = NULL;
	size_t count = 0;
	int code = collect(s, a, prefix, after, revision, &wanted, &count, e);

	if (limit && count > limit)
		count = limit;
	for (size_t i = 0; i < count && code == 0; i += READ_PAGE)
		code = visit_page(s, wanted + i, count - i < READ_PAGE ? count - i : READ_PAGE, visit, user, e);
	return code;
}

/* A page of the log, with the values that were replaced. */
struct log_page {
	struct store_entry entries[READ_PAGE];
	size_t count;
};

/* Under read_lock. The records must follow `after` without a gap. */
static int read_log(struct etcd_store *s, struct arena *a, int64_t after, struct log_page *ret, struct error *e)
{
	_buf_ body = BUF_INIT(TXN_MAX);
	struct wanted old[READ_PAGE];
	struct record records[READ_PAGE];
	size_t old_count = 0;
	struct json *answer;

	range_body(&body, log_after(a, s->prefix, after), log_end(a, s->prefix), READ_PAGE, false);
	int code = etcd_call(&s->reader, a, "kv/range", &body, NULL, &answer, e);
	const struct json *kvs = code == 0 ? json_get(answer, "kvs") : NULL;
	for (size_t i = 0; i < json_count(kvs) && i < READ_PAGE; i++) {
		const char *name = etcd_bytes(a, json_get(json_item(kvs, i), "key"), NULL), *data;
		struct version v;
		struct record r;
		size_t len;
		const char *key = log_key_parse(s->prefix, name, &v);
		data = etcd_bytes(a, json_get(json_item(kvs, i), "value"), &len);
		if (!key || !record_parse(data, len, &r))
			return record_damaged(name, e);
		if (v.revision != after + 1 + (int64_t)i)
			return store_expired(after + (int64_t)i, v.revision, e);
		ret->entries[i] = (struct store_entry){.key = key,
						       .revision = v.revision,
						       .previous = r.previous,
						       .deleted = v.deleted,
						       .value = r.value,
						       .len = r.len};
		if (r.previous)
			old[old_count++] = (struct wanted){key, {r.previous, false}};
		ret->count = i + 1;
	}
	if (code == 0)
		code = read_records(s, a, old, old_count, records, e);
	for (size_t i = 0, k = 0; i < ret->count && code == 0; i++) {
		if (!ret->entries[i].previous)
			continue;
		ret->entries[i].old = records[k].value;
		ret->entries[i].old_len = records[k++].len;
	}
	return code;
}

int etcd_history(struct store *base, int64_t after, int64_t until, store_visit *visit, void *user, struct error *e)
{
	struct etcd_store *s = (struct etcd_store *)base;
	int code = 0;

	pthread_mutex_lock(&s->lock);
	int64_t compacted = s->compacted;
	if (until > s->revision)
		until = s->revision;
	pthread_mutex_unlock(&s->lock);
	if (after < compacted)
		return store_expired(after, compacted, e);
	while (after < until && code == 0) {
		_arena_ a = arena_new();
		struct log_page page = {.count = 0};
		pthread_mutex_lock(&s->read_lock);
		code = read_log(s, a, after, &page, e);
		pthread_mutex_unlock(&s->read_lock);
		if (code == 0 && page.count == 0)
			return store_expired(after, until, e);
		for (size_t i = 0; i < page.count && after < until && code == 0; i++) {
			code = visit(user, &page.entries[i]);
			after = page.entries[i].revision;
		}
	}
	return code;
}
