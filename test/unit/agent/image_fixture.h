/*
 * image_fixture.h - layers made entry by entry, as tars in memory and in files, for the image tests.
 */
#ifndef BERTH_TEST_IMAGE_FIXTURE_H
#define BERTH_TEST_IMAGE_FIXTURE_H

#include "agent/image_tar.h"

/* A tar being written; names go into it as they are, however hostile. */
struct fixture_tar {
	struct buf bytes;
	struct image_tar tar;
};
void fixture_tar_init(struct fixture_tar *t);
void fixture_tar_free(struct fixture_tar *t);
void fixture_file(struct fixture_tar *t, const char *path, const char *content);
void fixture_entry(struct fixture_tar *t, char type, const char *path, const char *link);
void fixture_end(struct fixture_tar *t);
/* gzip of data (zlib, level 6), to be freed. */
char *fixture_gzip(const void *data, size_t len, size_t *ret_len);

/* A new folder below $TMPDIR, and its removal. */
char *fixture_folder(void);
void fixture_remove(char *folder);
/* Writes a file; returns its path, to be freed. */
char *fixture_write(const char *folder, const char *name, const void *data, size_t len);
/* What a program printed; it must end with 0. To be freed. argv without a shell. */
char *fixture_run(const char *const *argv);

#endif
