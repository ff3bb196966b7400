/*
 * route.c - from a URL's path to kind, namespace, name and subresource; see call.h.
 *
 *     /api/v1/… or /apis/GROUP/VERSION/… then [namespaces/NS/]PLURAL[/NAME[/SUB]]
 *
 * Namespaces themselves are /api/v1/namespaces[/NAME[/status|finalize]].
 */
#include "apiserver/call.h"
#include "lib/codec.h"

#define SEGMENTS_MAX 9

/* Decoded segments of a path; false when there are too many. A trailing slash is tolerated. */
static bool split(struct arena *a, const char *path, const char **segments, size_t *ret_count)
{
	size_t count = 0;

	for (const char *p = path; *p == '/'; p += strcspn(p, "/")) {
		size_t n = strcspn(++p, "/");
		_buf_ decoded = BUF_INIT(4096);
		if (n == 0 && !*p)
			break;
		if (count == SEGMENTS_MAX || percent_decode(p, n, false, &decoded, NULL) < 0 || decoded.over)
			return false;
		segments[count++] = arena_strdup(a, decoded.data ? decoded.data : "");
	}
	*ret_count = count;
	return true;
}

static bool is_namespace_subresource(const char *segment)
{
	return streq(segment, "status") || streq(segment, "finalize");
}

bool route_parse(struct arena *a, const char *path, struct route *ret)
{
	const char *s[SEGMENTS_MAX] = {0};
	struct route r = {.ns = "", .name = "", .sub = "", .group = ""};
	size_t n, at;

	if (!split(a, path, s, &n))
		return false;
	if (n >= 3 && streq(s[0], "api")) {
		r.version = s[1];
		at = 2;
	} else if (n >= 4 && streq(s[0], "apis")) {
		r.group = s[1];
		r.version = s[2];
		at = 3;
	} else {
		return false;
	}
	bool core = *r.group == '\0';
	bool in_namespace = n - at >= 3 && streq(s[at], "namespaces") && !(core && is_namespace_subresource(s[at + 2]));
	if (in_namespace) {
		r.ns = s[at + 1];
		at += 2;
	}
	if (n - at > 3)
		return false;
	r.plural = s[at];
	r.name = n - at > 1 ? s[at + 1] : "";
	r.sub = n - at > 2 ? s[at + 2] : "";
	if ((in_namespace && !*r.ns) || (n - at > 1 && !*r.name))
		return false;
	r.kind = kind_find(r.group, r.version, r.plural);
	if (r.kind && r.kind->namespaced != in_namespace && (in_namespace || *r.name))
		return false; /* a name without its namespace, or a namespace the kind does not have */
	*ret = r;
	return true;
}
