/*
 * store_etcd_log.c - how versions are named and written in etcd, and the index of them in memory. No I/O.
 */
#include "apiserver/store_etcd_private.h"
#include <inttypes.h>
#include <stdio.h>

#define REVISION_DIGITS 16

/* ---- index ---- */

void index_note(struct strmap *index, const char *key, int64_t revision, bool deleted)
{
	struct versions *v = strmap_get(index, key);

	if (!v) {
		v = xcalloc(1, sizeof(*v));
		strmap_put(index, key, v);
	}
	if (v->count == v->cap) {
		v->cap = v->cap ? v->cap * 2 : 1;
		v->v = xrealloc(v->v, v->cap * sizeof(*v->v));
	}
	v->v[v->count++] = (struct version){revision, deleted};
}

static void versions_free(struct versions *v)
{
	free(v->v);
	free(v);
}

void index_clear(struct strmap *index)
{
	size_t position = 0;
	void *v;

	while (index && strmap_next(index, &position, NULL, &v))
		versions_free(v);
	strmap_free(index);
}

const struct version *versions_at(const struct versions *v, int64_t revision)
{
	for (size_t i = v ? v->count : 0; i-- > 0;)
		if (v->v[i].revision <= revision)
			return v->v[i].deleted ? NULL : &v->v[i];
	return NULL;
}

bool version_is_old(const struct versions *v, size_t i, int64_t revision)
{
	return (i + 1 < v->count && v->v[i + 1].revision <= revision) ||
	       (v->v[i].deleted && v->v[i].revision <= revision);
}

void index_forget(struct strmap *index, int64_t revision)
{
	const char **gone = xmalloc((strmap_count(index) + 1) * sizeof(*gone));
	size_t position = 0, gone_count = 0;
	const char *key;
	void *value;

	while (strmap_next(index, &position, &key, &value)) {
		struct versions *v = value;
		size_t old = 0;
		while (old < v->count && version_is_old(v, old, revision))
			old++;
		memmove(v->v, v->v + old, (v->count - old) * sizeof(*v->v));
		v->count -= old;
		if (v->count == 0)
			gone[gone_count++] = key;
	}
	for (size_t i = 0; i < gone_count; i++)
		versions_free(strmap_remove(index, gone[i]));
	free(gone);
}

/* ---- names ---- */

char *log_key(struct arena *a, const char *prefix, const char *key, const struct version *v)
{
	return arena_printf(a, "%s/log/%016" PRIx64 "/%c%s", prefix, (uint64_t)v->revision, v->deleted ? '-' : '+',
			    key);
}

char *log_after(struct arena *a, const char *prefix, int64_t revision)
{
	return arena_printf(a, "%s/log/%016" PRIx64 "/", prefix, (uint64_t)revision + 1);
}

char *log_end(struct arena *a, const char *prefix)
{
	return arena_printf(a, "%s/log0", prefix); /* '0' is what follows '/' */
}

const char *log_key_parse(const char *prefix, const char *text, struct version *ret)
{
	size_t n = strlen(prefix);
	char *end;

	if (strncmp(text, prefix, n) != 0 || !str_starts(text + n, "/log/"))
		return NULL;
	text += n + strlen("/log/");
	int64_t revision = strtoll(text, &end, 16);
	if (end != text + REVISION_DIGITS || end[0] != '/' || (end[1] != '+' && end[1] != '-') || revision <= 0)
		return NULL;
	*ret = (struct version){revision, end[1] == '-'};
	return end + 2;
}

bool record_parse(const char *data, size_t len, struct record *ret)
{
	const char *line = memchr(data, '\n', len < RECORD_HEAD_MAX ? len : RECORD_HEAD_MAX);
	char *space;

	if (!line)
		return false;
	int64_t previous = strtoll(data, &space, 10);
	if (space == data || *space != ' ' || previous < 0)
		return false;
	*ret = (struct record){
		.previous = previous,
		.transaction = space + 1,
		.transaction_len = (size_t)(line - space - 1),
		.value = line + 1,
		.len = len - (size_t)(line + 1 - data),
	};
	return true;
}

int record_damaged(const char *key, struct error *e)
{
	return error_set(e, E_INTERNAL, "etcd: record %s is damaged; restore etcd from a snapshot", key);
}
