/*
 * image_prefetch.h - wants at this node what the Image objects want at its Location.
 *
 * Watches Images and calls image_want() / image_unwant(); reports nothing itself: Node.status is node.c's, which reads
 * image_prefetch_json(). Runs on the loop's thread. Called by main.c.
 */
#ifndef BERTH_AGENT_IMAGE_PREFETCH_H
#define BERTH_AGENT_IMAGE_PREFETCH_H

#include "agent/image.h"
#include "lib/kube.h"

struct image_prefetch;
/* location is copied; k and s are borrowed and outlive it. */
struct image_prefetch *image_prefetch_start(struct kube *k, struct image_store *s, const char *location);
void image_prefetch_stop(struct image_prefetch *p); /* NULL-safe; before kube_free() and image_store_close() */

/* Where a digest is pulled from: what its Image says, wherever that is wanted. */
struct image_source {
	const char *reference;		 /* NULL: there is no such Image */
	const struct json *pull_secrets; /* NULL: none */
};
/* Valid until the loop runs again. */
struct image_source image_prefetch_source(const struct image_prefetch *p, const char *digest);

/* Does the Image object want to be at the location, and under which reference? NULL when not. Pure, for tests. */
const char *image_prefetch_wanted(const struct json *image, const char *location);

#endif
