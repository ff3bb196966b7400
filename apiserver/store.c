/*
 * store.c - what both stores share; see store.h.
 */
#include "apiserver/store.h"
#include <inttypes.h>
#include <stdio.h>

char *store_value(const struct store_write *w, int64_t revision, size_t extra, size_t *ret_len)
{
	char digits[24];
	size_t n = (size_t)snprintf(digits, sizeof(digits), "%" PRId64, revision);
	char *text = xmalloc(extra + w->len + n), *value = text + extra;

	memcpy(value, w->value, w->revision_at);
	memcpy(value + w->revision_at, digits, n);
	memcpy(value + w->revision_at + n, w->value + w->revision_at, w->len - w->revision_at);
	*ret_len = extra + w->len + n;
	return text;
}

int store_judge(const struct store_write *w, int64_t head, bool has_required)
{
	if (w->require && !has_required)
		return -E_NOT_FOUND;
	if (head == w->expect)
		return 0;
	return w->expect == STORE_ABSENT ? -E_ALREADY_EXISTS : head ? -E_CONFLICT : -E_NOT_FOUND;
}

int store_expired(int64_t asked, int64_t compacted, struct error *e)
{
	return error_set(e, E_EXPIRED, "too old resource version: %" PRId64 " (%" PRId64 ")", asked, compacted);
}
