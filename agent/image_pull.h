/*
 * image_pull.h - the whole way of one image: registry → verified blobs → one squashfs → its record.
 *
 * Blocking; starts threads of its own for the layers and waits for them. Whatever it leaves behind when it fails or the
 * process dies is either reused (verified blobs, partial downloads) or lies in tmp/. Used by image_worker.c.
 */
#ifndef BERTH_AGENT_IMAGE_PULL_H
#define BERTH_AGENT_IMAGE_PULL_H

#include "agent/image_blob.h"
#include "agent/image_record.h"

#define IMAGE_LAYERS_AT_ONCE 3

struct image_folders { /* below the state folder */
	char *blobs, *images, *tmp;
};

enum image_pull_stage { PULL_TRANSFER, PULL_CONVERT };

struct image_pull {
	struct registry *registry;
	struct image_blob_locks *locks;
	const struct image_folders *folders;
	const char *reference, *digest; /* digest: what the image is filed under */
	const struct registry_keys *keys;
	int64_t unpacked_max;
	atomic_bool *stop; /* set from outside to cancel; also set here when one of its threads fails */
	/* From any of its threads. transferred: bytes that came over the network for this since the start. */
	void (*progress)(void *user, enum image_pull_stage stage, int64_t done, int64_t total, int64_t transferred);
	void *user;
};

/* *ret is in a. Errors: E_INVALID and E_TOO_LARGE when the image itself is at fault, E_NO_SPACE, and the registry's. */
int image_pull(const struct image_pull *p, struct arena *a, struct image_record *ret, struct error *e);

#endif
