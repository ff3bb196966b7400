/*
 * image_build.c - the second reading of the layers; see image_build.h.
 */
#include "agent/image_build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "agent/image_squash.h"
#include "agent/image_tar.h"
#include "agent/image_tree.h"

#define XATTR_NAME_MAX_LEN 255
#define XATTR_VALUE_MAX 65536

struct writer {
	const struct image_build *b;
	struct image_tree *tree;
	struct image_squash *squash;
	struct image_tar tar;
	struct buf path, other;
	int64_t done, total; /* bytes of files */
};

static int open_layer(const struct image_build_layer *l, struct image_budget *budget, struct image_layer **ret,
		      struct error *e)
{
	int fd = open(l->path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? error_set_errno(e, errno, "cannot open %s", l->path) : image_layer_open(fd, budget, ret, e);
}

int image_build_index(struct image_build_layer *l, struct image_budget *budget, struct error *e)
{
	_cleanup_(image_layer_closep) struct image_layer *layer = NULL;
	char diff_id[OCI_DIGEST_LEN + 1];
	struct image_index index;
	int r = open_layer(l, budget, &layer, e);

	if (!r)
		r = image_layer_index(layer, &index, diff_id, e);
	if (r)
		return r;
	if (!streq(diff_id, l->diff_id)) {
		image_index_free(&index);
		return error_set(e, E_INVALID, "its content is %s, and the image's configuration says %s", diff_id,
				 l->diff_id);
	}
	l->index = index;
	return 0;
}

/* ---- entries ---- */

static int on_tar(void *user, const void *data, size_t len, struct error *e)
{
	return image_squash_write(user, data, len, e);
}

/* Those a Linux file system has, but for the ones the overlay over this image would take for its own. */
static bool xattr_wanted(const char *name, size_t size)
{
	if (!name || strlen(name) > XATTR_NAME_MAX_LEN || size > XATTR_VALUE_MAX ||
	    str_starts(name, "trusted.overlay."))
		return false;
	return str_starts(name, "user.") || str_starts(name, "security.") || str_starts(name, "trusted.");
}

static void add_xattrs(struct writer *w, struct archive_entry *entry)
{
	const char *name;
	const void *value;
	size_t size;

	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
		if (xattr_wanted(name, size))
			image_tar_xattr(&w->tar, name, value, size);
}

static char type_of(struct archive_entry *entry)
{
	switch (archive_entry_filetype(entry)) {
	case AE_IFDIR:
		return '5';
	case AE_IFLNK:
		return '2';
	case AE_IFCHR:
		return '3';
	case AE_IFBLK:
		return '4';
	case AE_IFIFO:
		return '6';
	case AE_IFSOCK:
		return 0;
	default:
		return '0';
	}
}

static int fill_header(struct archive_entry *entry, const char *path, struct image_tar_header *ret, struct error *e)
{
	struct image_tar_header h = {.path = path,
				     .type = type_of(entry),
				     .mode = archive_entry_perm(entry),
				     .uid = archive_entry_uid(entry),
				     .gid = archive_entry_gid(entry),
				     .mtime = image_clamp_time(archive_entry_mtime(entry))};

	if (h.uid < 0 || h.uid >= UINT32_MAX || h.gid < 0 || h.gid >= UINT32_MAX)
		return error_set(e, E_INVALID, "/%.256s: its owner %lld:%lld is out of range", path, (long long)h.uid,
				 (long long)h.gid);
	if (h.type == '0')
		h.size = archive_entry_size(entry);
	if (h.type == '2')
		h.link = archive_entry_symlink(entry);
	if (h.type == '3' || h.type == '4') {
		h.device_major = (unsigned)archive_entry_rdevmajor(entry);
		h.device_minor = (unsigned)archive_entry_rdevminor(entry);
	}
	*ret = h;
	return 0;
}

static void report(struct writer *w, size_t n)
{
	w->done += (int64_t)n;
	if (w->b->progress)
		w->b->progress(w->b->user, w->done, w->total);
}

static int copy_data(struct writer *w, struct image_layer *layer, int64_t size, struct error *e)
{
	int64_t at = 0;

	for (;;) {
		const void *data;
		int64_t offset;
		size_t n;
		int r = image_layer_data(layer, &data, &n, &offset, e);

		if (r)
			return r;
		if (!n)
			return image_tar_zeros(&w->tar, size - at, e);
		if (offset < at || offset > size || (int64_t)n > size - offset)
			return error_set(e, E_INVALID,
					 "the archive is damaged: a file has more data than its header says");
		if (w->b->cancel && atomic_load_explicit(w->b->cancel, memory_order_relaxed))
			return error_set(e, E_UNAVAILABLE, "stopped");
		r = image_tar_zeros(&w->tar, offset - at, e);
		if (!r)
			r = image_tar_data(&w->tar, data, n, e);
		if (r)
			return r;
		at = offset + (int64_t)n;
		report(w, n);
	}
}

/* The entry's other names: links to the first for a file, the same again for anything else. */
static int write_other_names(struct writer *w, struct archive_entry *entry, uint32_t name, struct image_tar_header h,
			     struct error *e)
{
	int r = 0;

	if (h.type == '0')
		h = (struct image_tar_header){.type = '1',
					      .link = w->path.data,
					      .mode = h.mode,
					      .uid = h.uid,
					      .gid = h.gid,
					      .mtime = h.mtime};
	for (name = image_tree_next(w->tree, name); !r && name != IMAGE_TREE_NONE;
	     name = image_tree_next(w->tree, name)) {
		image_tree_path(w->tree, name, &w->other);
		h.path = w->other.data;
		if (h.type != '1')
			add_xattrs(w, entry);
		r = image_tar_header(&w->tar, &h, e);
	}
	return r;
}

static int write_entry(struct writer *w, struct image_layer *layer, struct archive_entry *entry, uint32_t name,
		       struct error *e)
{
	struct image_tar_header h;

	image_tree_path(w->tree, name, &w->path);
	if (!w->path.len)
		return 0; /* the root: sqfstar got it with its flags */
	int r = fill_header(entry, w->path.data, &h, e);

	if (r || !h.type)
		return r;
	add_xattrs(w, entry);
	r = image_tar_header(&w->tar, &h, e);
	if (!r && h.type == '0')
		r = copy_data(w, layer, h.size, e);
	return r ? r : write_other_names(w, entry, name, h, e);
}

/* ---- layers ---- */

static int write_layer(struct writer *w, size_t number, struct error *e)
{
	_cleanup_(image_layer_closep) struct image_layer *layer = NULL;
	int r = open_layer(&w->b->layers[number], NULL, &layer, e);

	for (size_t position = 0; !r; position++) {
		struct archive_entry *entry;

		r = image_layer_next(layer, &entry, e);
		if (r || !entry)
			break;
		uint32_t name = image_tree_first(w->tree, number, position);

		if (name != IMAGE_TREE_NONE)
			r = write_entry(w, layer, entry, name, e);
	}
	return r ? error_prefix(e, "layer %zu", number + 1) : 0;
}

static int write_implied(struct writer *w, struct error *e)
{
	int r = 0;

	for (size_t i = 0; !r; i++) {
		uint32_t name = image_tree_implied(w->tree, i);

		if (name == IMAGE_TREE_NONE)
			break;
		image_tree_path(w->tree, name, &w->path);
		r = image_tar_header(&w->tar,
				     &(struct image_tar_header){.path = w->path.data, .type = '5', .mode = 0755}, e);
	}
	return r;
}

static int merge(struct writer *w, struct image_squash_options *opt, struct error *e)
{
	*opt = (struct image_squash_options){.root_mode = 0755, .size_max = w->b->output_max};
	for (size_t i = 0; i < w->b->count; i++) {
		struct image_index *x = &w->b->layers[i].index;
		int r = image_tree_apply(w->tree, x, e);

		if (r)
			return error_prefix(e, "layer %zu", i + 1);
		w->total += x->file_bytes;
		if (x->has_root)
			opt->root_mode = x->root_mode;
		if (x->latest > opt->latest)
			opt->latest = x->latest;
		image_index_free(x);
	}
	image_tree_finish(w->tree);
	return 0;
}

static int write_all(struct writer *w, struct error *e)
{
	int r = write_implied(w, e);

	for (size_t i = 0; !r && i < w->b->count; i++)
		r = write_layer(w, i, e);
	return r ? r : image_tar_end(&w->tar, e);
}

int image_build(struct image_build *b, struct error *e)
{
	struct writer w = {.b = b,
			   .tree = image_tree_new(),
			   .path = BUF_INIT(IMAGE_TREE_PATH_MAX),
			   .other = BUF_INIT(IMAGE_TREE_PATH_MAX)};
	struct image_squash_options opt;
	struct error own;

	e = e ? e : &own;
	int r = merge(&w, &opt, e);

	for (size_t i = 0; i < b->count; i++)
		image_index_free(&b->layers[i].index);
	if (!r)
		r = image_squash_start(b->output, &opt, &w.squash, e);
	if (!r) {
		image_tar_init(&w.tar, on_tar, w.squash);
		r = write_all(&w, e);
		image_tar_free(&w.tar);
		if (r)
			image_squash_abort(w.squash);
		else
			r = image_squash_finish(w.squash, e);
		if (r)
			unlink(b->output);
	}
	image_tree_free(w.tree);
	buf_free(&w.path);
	buf_free(&w.other);
	return r;
}
