/*
 * image_build.h - verified layer blobs in, one squashfs out, with nothing unpacked in between.
 *
 * Each layer is read twice: image_build_index() verifies its diff_id and lists its entries (layers in any order, in
 * parallel), image_build() merges the lists and streams the entries that survive into sqfstar. Blocking; used by
 * image_pull.c.
 */
#ifndef BERTH_AGENT_IMAGE_BUILD_H
#define BERTH_AGENT_IMAGE_BUILD_H

#include "agent/image_layer.h"

struct image_build_layer {
	const char *path;    /* of the blob */
	const char *diff_id; /* what its uncompressed bytes must hash to */
	struct image_index index;
};

struct image_build {
	struct image_build_layer *layers; /* lowest first */
	size_t count;
	const char *output; /* must not exist */
	int64_t output_max; /* bytes */
	const atomic_bool *cancel;
	void (*progress)(void *user, int64_t done, int64_t total); /* bytes of files; may be NULL */
	void *user;
};

/* Fills l->index. Errors: E_INVALID (damaged, or not what diff_id says), E_TOO_LARGE, E_UNAVAILABLE (cancelled), E_IO.
 */
int image_build_index(struct image_build_layer *l, struct image_budget *budget, struct error *e);
/* Writes the output, unsynced; frees the layers' indexes. On failure the output is removed. Errors: those above,
 * E_NO_SPACE. */
int image_build(struct image_build *b, struct error *e);

#endif
