/*
 * image_record.h - images/<hex>.json: what the finished image beside it is, and how to tell that it is still that.
 *
 * Written after the squashfs and atomically, so its presence is what makes an image exist. Blocking. Used by
 * image_pull.c and image.c.
 */
#ifndef BERTH_AGENT_IMAGE_RECORD_H
#define BERTH_AGENT_IMAGE_RECORD_H

#include "lib/json.h"

#include <stdatomic.h>

struct image_record {
	const char *digest, *reference;
	int64_t transfer_bytes, disk_bytes;
	const char *sha256; /* hex, of the squashfs */
	int64_t mtime_ns, inode;
	const char *config; /* oci_config_to_json(), as text */
};

/* <folder>/<hex>.json and <folder>/<hex>.sqfs. */
char *image_record_path(struct arena *a, const char *folder, const char *digest);
char *image_file_path(struct arena *a, const char *folder, const char *digest);

/* Errors: E_NOT_FOUND; E_INVALID when it cannot be understood or speaks of another digest. */
int image_record_load(struct arena *a, const char *folder, const char *digest, struct image_record *ret,
		      struct error *e);
int image_record_save(const char *folder, const struct image_record *r, struct error *e);
/* Has the squashfs the size, and has nobody written to it since (time, inode)? Errors: E_INVALID, E_NOT_FOUND. */
int image_record_check(const char *folder, const struct image_record *r, bool *ret_untouched, struct error *e);
/* The same by reading all of it. Errors: E_INVALID when it is not what was recorded, E_UNAVAILABLE when *cancel. */
int image_record_verify(const char *folder, const struct image_record *r, const atomic_bool *cancel, struct error *e);
/* Fills disk_bytes, sha256 (in a), mtime_ns and inode from a finished file, and syncs it meanwhile. */
int image_record_measure(struct arena *a, const char *path, struct image_record *r, struct error *e);
/* Removes the record, then the file. */
void image_record_remove(const char *folder, const char *digest);

#endif
