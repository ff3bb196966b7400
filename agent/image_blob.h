/*
 * image_blob.h - verified blobs on disk: blobs/sha256/<hex>, and <hex>.part while they come.
 *
 * A blob is used only after its size and digest were verified in this very call, so neither a crash nor a bad disk nor
 * a lying registry gets further. Partial downloads are resumed. Blocking and thread-safe: two threads that want the
 * same blob transfer it once. Used by image_pull.c.
 */
#ifndef BERTH_AGENT_IMAGE_BLOB_H
#define BERTH_AGENT_IMAGE_BLOB_H

#include "lib/registry.h"

#include <stdatomic.h>

struct image_blob_locks; /* the blobs being fetched now */
struct image_blob_locks *image_blob_locks_new(void);
void image_blob_locks_free(struct image_blob_locks *l);

struct image_blob_source {
	struct registry *registry;
	const char *reference;			 /* where from */
	const struct registry_credentials *cred; /* NULL: anonymous */
	const char *folder;			 /* …/blobs/sha256 */
	struct image_blob_locks *locks;
	const atomic_bool *cancel;
	/* Bytes that are there, by transfer or from an earlier time; negative when some turned out to be worthless. */
	void (*progress)(void *user, int64_t delta, bool transferred);
	void *user;
};

/* Errors: E_INVALID (digest mismatch, larger than declared; nothing is kept), E_NO_SPACE (nothing is kept),
 * E_UNAVAILABLE (broken off or cancelled; the part is kept), E_TIMEOUT, E_IO, and the registry's. */
int image_blob_fetch(const struct image_blob_source *s, const struct oci_descriptor *d, struct error *e);
/* <folder>/<hex>, in a. */
char *image_blob_path(struct arena *a, const char *folder, const char *digest);

#endif
