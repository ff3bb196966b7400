/*
 * route_private.h - what route.c and route_table.c share; nobody else includes it.
 */
#ifndef BERTH_GATEWAY_ROUTE_PRIVATE_H
#define BERTH_GATEWAY_ROUTE_PRIVATE_H

#include "gateway/route.h"
#include "lib/strmap.h"

/* A path of 1024 bytes has fewer segments, an ID stands in segment 32 at most. */
#define ROUTE_STRIP_MAX 1025

/* One host and path that a Route has been given. */
struct route_claim {
	const char *host; /* "" any, "*.x", or exact */
	const char *path; /* a prefix has no slash at its end, but for "/" */
	bool exact;
	const char *value;
};

struct route_builder {
	struct arena *a;
	struct route_shape *shape;
	route_container_fn *container;
	void *user;
	struct strmap *owners;	   /* "host e|p path" → struct route_verdict */
	struct strmap *extractors; /* tag → struct route_extractor */
	struct route_claim *claims;
	size_t claim_count;
	bool strip_used[ROUTE_STRIP_MAX];
};

/* Makes the four maps of the claims. */
void route_table_fill(struct route_builder *b, struct route_table *t);

#endif
