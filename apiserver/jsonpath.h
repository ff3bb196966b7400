/*
 * jsonpath.h - the JSONPath of printer columns: `.a.b`, `['k']`, `[0]`, `[-1]`, `[*]`, `[?(@.type=="Ready")]`.
 *
 * Source: k8s.io/client-go/util/jsonpath, as far as CRDs use it. Filters compare one path with a string, number, true
 * or false by == or !=. A compiled path belongs to its arena, is immutable and thread-safe. Used by kind.c and table.c.
 */
#ifndef BERTH_APISERVER_JSONPATH_H
#define BERTH_APISERVER_JSONPATH_H

#include "lib/json.h"

struct jsonpath;

#define JSONPATH_STEPS_MAX 32

/* Errors: E_INVALID. */
int jsonpath_compile(struct arena *a, const char *text, const struct jsonpath **ret, struct error *e);
/* Calls found for every match, in order, until it returns false. */
void jsonpath_each(const struct jsonpath *p, const struct json *v, bool (*found)(void *user, const struct json *match),
		   void *user);
/* The first match, or NULL. */
const struct json *jsonpath_first(const struct jsonpath *p, const struct json *v);

#endif
