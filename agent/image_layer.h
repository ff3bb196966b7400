/*
 * image_layer.h - reads one layer blob (a tar: plain, gzip or zstd) without unpacking it anywhere.
 *
 * libarchive decompresses and parses; the uncompressed bytes are hashed on the way (the diff_id). All input is hostile:
 * bytes, entries and names are counted against the image's budget, which its layers share. A reader is used by one
 * thread; several readers may share a budget. Used by image_build.c and the fuzz target.
 */
#ifndef BERTH_AGENT_IMAGE_LAYER_H
#define BERTH_AGENT_IMAGE_LAYER_H

#include "lib/codec.h"
#include "lib/error.h"
#include "lib/oci.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdatomic.h>

#define IMAGE_PATH_MAX 4096U			     /* bytes of a path or link target */
#define IMAGE_NAMES_MAX (INT64_C(128) * 1024 * 1024) /* bytes of all paths of one image, while it is converted */

/* What one image may cost, over all its layers. */
struct image_budget {
	int64_t unpacked_max;
	atomic_llong unpacked; /* uncompressed bytes read */
	atomic_llong logical;  /* sizes of the files in them; sparse ones may be larger than their bytes */
	atomic_llong entries, names;
	const atomic_bool *cancel; /* ends reading; may be NULL */
};

struct image_layer;
/* Takes over fd, positioned at its start. budget may be NULL: nothing is counted (the layer was read before). */
int image_layer_open(int fd, struct image_budget *budget, struct image_layer **ret, struct error *e);
void image_layer_close(struct image_layer *l); /* NULL-safe */
static inline void image_layer_closep(struct image_layer **l)
{
	image_layer_close(*l);
}
/* The next entry, NULL at the end; valid until the next call. Errors: E_INVALID (damaged), E_TOO_LARGE (budget),
 * E_UNAVAILABLE (cancelled), E_IO. */
int image_layer_next(struct image_layer *l, struct archive_entry **ret, struct error *e);
/* The data of the current entry in pieces at rising offsets; gaps are zeros. Size 0: the end. */
int image_layer_data(struct image_layer *l, const void **ret, size_t *ret_size, int64_t *ret_offset, struct error *e);
/* Reads what follows the tar's end and gives the digest of all uncompressed bytes. */
int image_layer_finish(struct image_layer *l, char ret_diff_id[OCI_DIGEST_LEN + 1], struct error *e);

/* ---- the table of contents ---- */
enum image_entry_kind { ENTRY_FILE, ENTRY_DIR, ENTRY_SYMLINK, ENTRY_HARDLINK, ENTRY_SPECIAL };
struct image_entry {
	uint32_t path, link; /* offsets into names; link: target of ENTRY_SYMLINK and ENTRY_HARDLINK, else 0 */
	enum image_entry_kind kind;
};
struct image_index {
	struct image_entry *entries; /* in the tar's order */
	size_t count;
	char *names;
	int64_t file_bytes; /* sum of the files' sizes */
	bool has_root;	    /* the layer describes the root directory itself */
	unsigned root_mode; /* if so */
	int64_t latest;	    /* the last modification, in seconds since 1970 */
};
/* A squashfs holds seconds from 1970 to 2106; other times become the nearest of them. */
int64_t image_clamp_time(int64_t seconds);
void image_index_free(struct image_index *x);
/* Reads the layer to its end, whose digest is *ret_diff_id. */
int image_layer_index(struct image_layer *l, struct image_index *ret, char ret_diff_id[OCI_DIGEST_LEN + 1],
		      struct error *e);

#endif
