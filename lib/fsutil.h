/*
 * fsutil.h - files: whole reads, atomic writes, folders.
 *
 * Every descriptor is O_CLOEXEC. Atomic writes go to a temporary name in the same folder, are synced, renamed, and the
 * folder is synced, so a crash leaves the old or the new content.
 *
 * Anyone may include this file.
 */
#ifndef BERTH_LIB_FSUTIL_H
#define BERTH_LIB_FSUTIL_H

#include "lib/buf.h"
#include "lib/error.h"

/* Appends the whole file to out (out->max is the limit; E_TOO_LARGE beyond it). */
int file_read(const char *path, struct buf *out, struct error *e);
int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, struct error *e);
/* mkdir -p */
int dir_make(const char *path, mode_t mode, struct error *e);
/* rm -rf of one folder or file, never following a symbolic link nor leaving its file system; a missing path is no
 * error. At most 256 levels. */
int tree_remove(const char *path, struct error *e);
/* Writes all of it, over short writes and EINTR. */
int fd_write_all(int fd, const void *data, size_t len, struct error *e);

#endif
