/*
 * image.h - the node's images: wanted by digest, pulled in the background, ready as one read-only squashfs each.
 *
 * Layout below the state folder: blobs/sha256/<hex> (verified, compressed layers, shared between images; <hex>.part
 * while they come), images/<hex>.sqfs with images/<hex>.json (what it is; written last, so an image exists or it does
 * not), and tmp/ (emptied at start). No layer is ever unpacked into a folder.
 *
 * Threads: all functions are for the loop's thread; pulls and checks run on threads of the store's own (two images at a
 * time, three layers each). `changed` is called on the loop. Ownership: structs returned are valid until the loop runs
 * again; those filled into an arena live with it.
 *
 * Used by the agent's node, instance and prefetch files, and by `berth-agent image`.
 */
#ifndef BERTH_AGENT_IMAGE_H
#define BERTH_AGENT_IMAGE_H

#include "lib/json.h"
#include "lib/registry.h"
#include <uv.h>

#define IMAGE_UNPACKED_MAX (INT64_C(20) * 1000 * 1000 * 1000) /* default bound of one image's uncompressed layers */
#define IMAGE_ENTRIES_MAX 1000000U			      /* in all layers of one image */

enum image_phase { IMAGE_PENDING, IMAGE_PULLING, IMAGE_READY, IMAGE_FAILED };
const char *image_phase_name(enum image_phase p); /* "Pending", "Pulling", "Ready", "Failed" */

struct image_status {
	const char *digest;    /* "sha256:<hex>" */
	const char *reference; /* "registry/repository@digest" */
	enum image_phase phase;
	int percent;			 /* of the whole way to Ready: 90 % is the transfer, 10 % the conversion */
	int64_t bytes_done, bytes_total; /* compressed; total 0 while unknown */
	int64_t bytes_per_second;	 /* of the running transfer */
	int64_t disk_bytes;		 /* of the squashfs once Ready */
	const char *message;		 /* why it failed and when it is tried again; "" otherwise */
	const char *path;		 /* of the squashfs once Ready, else NULL; absolute when the state folder is */
};

struct image_store_options {
	const char *state_dir;
	struct registry_options registry;
	int64_t unpacked_max; /* 0: IMAGE_UNPACKED_MAX */
	/* The credentials in the Secrets that image_want() was given, in a. On a thread of the store's own, before each
	 * pull that has any; fails when they cannot be had now. NULL: there are none. */
	int (*read_keys)(void *user, const struct json *pull_secrets, struct arena *a, struct registry_keys *ret,
			 struct error *e);
	/* An image's phase or percent changed. It may call any function here but image_store_close(). May be NULL. */
	void (*changed)(void *user, const struct image_status *s);
	void *user;
};

struct image_store;
/* Makes the folders, sweeps leftovers, and takes over the images of an earlier run: those whose size, time and inode
 * are as recorded are Ready at once and their checksum is verified in the background, others after it; corrupt ones are
 * made anew as soon as they are wanted. */
int image_store_open(uv_loop_t *loop, const struct image_store_options *opt, struct image_store **ret, struct error *e);
/* Stops all pulls (their partial downloads stay) and waits for the threads; the loop need not run. NULL-safe. The
 * loop must run once more afterwards, with any mode, to let go of its handle. A registry that does not answer can hold
 * this up for a minute; a process that is about to end need not call it. */
void image_store_close(struct image_store *s);

/* Wants an image: `reference` must hold a digest. pull_secrets (may be NULL) is copied: [{namespace, name}].
 * Idempotent; a failed one is tried again by itself after 1 s, 2 s, 4 s … 5 min (at once 5 min when the image itself is
 * at fault, at most 1 min when credentials are), and at once when it is given other Secrets. urgent: an instance waits;
 * the image goes to the front of the queue, is tried at once when it becomes urgent, and then at least every 30 s.
 * Errors: E_INVALID. */
int image_want(struct image_store *s, const char *reference, const struct json *pull_secrets, bool urgent,
	       struct error *e);
/* Not wanted any more: an unfinished pull stops and the image leaves the list; a finished one stays. */
void image_unwant(struct image_store *s, const char *digest);

/* False when the store does not know the digest. */
bool image_get(struct image_store *s, const char *digest, struct image_status *ret);
/* The image's own configuration, in a. Errors: E_NOT_FOUND when it is not Ready. */
int image_config(struct image_store *s, const char *digest, struct arena *a, struct oci_config *ret, struct error *e);
size_t image_count(const struct image_store *s);
/* The i-th image, i < image_count(); the order is stable between changes. */
void image_nth(struct image_store *s, size_t i, struct image_status *ret);

/* Node.status.prefetch: [{digest, phase, percent, bytesDone, bytesTotal, message}]. */
struct json *image_prefetch_json(struct image_store *s, struct arena *a);
/* Node.status.images: [{names: [reference], sizeBytes}] of those that are Ready. */
struct json *image_list_json(struct image_store *s, struct arena *a);

/* `berth-agent image pull|list|verify …`: a debugging tool that works on a state folder without an apiserver. argv[0]
 * is "image". Returns the exit code. */
int image_cli_main(int argc, char **argv);

#endif
