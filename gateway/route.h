/*
 * route.h - what Routes and Containers amount to: lookup tables for HAProxy, and a verdict on every Route. Pure.
 *
 * A request's rule is found by lookups, however many Routes there are:
 *
 *     host  → the most specific host pattern that knows it (exact before *.suffix, longer suffix before shorter)
 *     host + path → in that pattern's table: an exact path, else the longest prefix of whole segments
 *
 * A pattern's table also holds the rules of less specific patterns wherever its own leave room, so one lookup is
 * enough. The rule is one line of text, fields separated by '|':
 *
 *     <where the ID is>|<port>|<segments to strip>|<namespace>/<container>/|<fixed ID, percent-encoded>
 *
 * Where the ID is: "s<n>" path segment n, "h:<name>" header, "f" fixed. Only the set of distinct extractors and a few
 * booleans (the shape) are part of HAProxy's configuration; everything else is map content, changed while it runs.
 *
 * Two Routes that claim the same host and path: the older one has it, the other is not accepted (its other matches are
 * served all the same). Ownership: everything returned lives in the arena or in the objects passed in.
 */
#ifndef BERTH_GATEWAY_ROUTE_H
#define BERTH_GATEWAY_ROUTE_H

#include "lib/json.h"

#define ROUTE_MATCHES_MAX 10000 /* of all Routes together */

struct route_extractor {
	const char *tag;    /* "s2", "h:x-user" */
	int segment;	    /* from 1; 0 for a header */
	const char *header; /* lower case; NULL for a segment */
};

struct route_shape {
	bool hosts;			    /* some Route names an exact host */
	bool suffixes;			    /* some Route names *.suffix */
	bool exact;			    /* some match is Exact */
	bool fixed;			    /* some ID is fixed */
	struct route_extractor *extractors; /* sorted by tag, distinct */
	size_t extractor_count;
	int *strips; /* ascending, distinct, without 0 */
	size_t strip_count;
};

struct route_line {
	const char *key, *value;
};
struct route_map {
	struct route_line *lines; /* sorted by key; suffixes: longest first */
	size_t count, cap;
};

struct route_verdict {
	const struct json *route;
	bool accepted;
	const char *reason, *message;
};

struct route_table {
	struct route_shape shape;
	struct route_map hosts, suffixes, exact, prefix;
	struct route_verdict *verdicts; /* one per Route, in the order given */
	size_t verdict_count;
};

/* The Container, or NULL when there is none. */
typedef const struct json *route_container_fn(void *user, const char *ns, const char *name);

struct route_table *route_table_build(struct arena *a, const struct json *const *routes, size_t count,
				      route_container_fn *container, void *user);
/* The first port of a Container, 0 when it has none. */
int route_container_port(const struct json *container);
/* "key value\n" lines, as HAProxy reads a map file. */
void route_map_write(const struct route_map *m, struct buf *out);

#endif
