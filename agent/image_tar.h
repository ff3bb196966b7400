/*
 * image_tar.h - writes a tar stream (POSIX pax), byte for byte what it is told.
 *
 * Names are bytes and stay so, whatever their encoding. Bytes go to a sink. Used by image_build.c.
 */
#ifndef BERTH_AGENT_IMAGE_TAR_H
#define BERTH_AGENT_IMAGE_TAR_H

#include "lib/buf.h"
#include "lib/error.h"

struct image_tar {
	int (*sink)(void *user, const void *data, size_t len, struct error *e);
	void *user;
	struct buf pax;	       /* records of the next header */
	int64_t left, padding; /* of the current file's data */
};

struct image_tar_header {
	const char *path, *link; /* link: target, or NULL */
	char type;     /* '0' file, '1' hard link, '2' symbolic link, '3' char, '4' block, '5' directory, '6' fifo */
	unsigned mode; /* 07777 at most */
	int64_t uid, gid, mtime, size;
	unsigned device_major, device_minor;
};

void image_tar_init(struct image_tar *t, int (*sink)(void *, const void *, size_t, struct error *), void *user);
void image_tar_free(struct image_tar *t);
/* An extended attribute of the entry whose header comes next. */
void image_tar_xattr(struct image_tar *t, const char *name, const void *value, size_t len);
/* The file before must have got all its data. Errors: E_INVALID (attributes of more than 1 MiB), or the sink's. */
int image_tar_header(struct image_tar *t, const struct image_tar_header *h, struct error *e);
/* size bytes in all, in any pieces. Errors: E_INTERNAL when there are more; or the sink's. */
int image_tar_data(struct image_tar *t, const void *data, size_t len, struct error *e);
int image_tar_zeros(struct image_tar *t, int64_t len, struct error *e);
int image_tar_end(struct image_tar *t, struct error *e);

#endif
