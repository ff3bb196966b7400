/*
 * image_squash.h - a child process that turns a tar stream into a squashfs: sqfstar of Debian's squashfs-tools.
 *
 * The child is started without a shell, with a pipe as its input, no other file of ours, and limits on its memory and
 * on the size of what it writes; it is killed when the conversion fails, and ends by itself when this process does.
 * Used by image_build.c.
 */
#ifndef BERTH_AGENT_IMAGE_SQUASH_H
#define BERTH_AGENT_IMAGE_SQUASH_H

#include "lib/error.h"

struct image_squash_options {
	unsigned root_mode; /* of the root directory, which no tar entry can describe to sqfstar; its owner is always
			       0:0 */
	int64_t latest;	    /* no time in the file is later; seconds. Makes equal images equal files */
	int64_t size_max;   /* of the file, in bytes */
};

struct image_squash;
/* path must not exist. Errors: E_IO, E_NOT_FOUND (squashfs-tools is not installed). */
int image_squash_start(const char *path, const struct image_squash_options *opt, struct image_squash **ret,
		       struct error *e);
/* Errors: E_NO_SPACE, E_IO, with the child's own last words. */
int image_squash_write(struct image_squash *s, const void *data, size_t len, struct error *e);
/* Ends the input and waits. Frees s, whatever the outcome. The file is not synced yet. */
int image_squash_finish(struct image_squash *s, struct error *e);
void image_squash_abort(struct image_squash *s); /* kills, waits, frees; NULL-safe */

#endif
