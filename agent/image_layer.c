/*
 * image_layer.c - one layer through libarchive; see image_layer.h.
 *
 * Two archives are chained: `raw` decompresses the blob, `tar` parses what comes out. Names are bytes. In a UTF-8
 * locale libarchive would normalise those of pax headers; in the C locale it finds that they cannot be converted, says
 * so with a warning, and leaves them as they are. So that is the thread's locale while it reads headers.
 */
#include "agent/image_layer.h"

#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>

#include "agent/image.h"

#define BLOCK_SIZE (256U * 1024)

struct image_layer {
	int fd;
	struct archive *raw, *tar;
	struct image_budget *budget;
	struct sha256 *hash;
	struct error error; /* of the reading side, when it is not the tar that is bad */
	bool raw_ended;
};

static locale_t c_locale;

static void locale_make(void)
{
	c_locale = newlocale(LC_CTYPE_MASK, "C", (locale_t)0);
}

/* Enters the locale; the returned one is to be set again. */
static locale_t locale_enter(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, locale_make);
	return c_locale ? uselocale(c_locale) : (locale_t)0;
}

static void locale_leave(locale_t old)
{
	if (old)
		uselocale(old);
}

static int damaged(struct archive *a, struct error *e)
{
	const char *why = archive_error_string(a);

	return error_set(e, E_INVALID, "the archive is damaged: %s", why ? why : "unknown error");
}

static int budget_take(struct image_budget *b, int64_t n, struct error *e)
{
	if (!b)
		return 0;
	if (b->cancel && atomic_load_explicit(b->cancel, memory_order_relaxed))
		return error_set(e, E_UNAVAILABLE, "stopped");
	if (atomic_fetch_add(&b->unpacked, n) + n <= b->unpacked_max)
		return 0;
	return error_set(e, E_TOO_LARGE, "the image unpacks to more than %lld bytes, the most that is taken",
			 (long long)b->unpacked_max);
}

/* The next piece of uncompressed bytes; *ret_size 0 at the end. */
static int raw_read(struct image_layer *l, const void **ret, size_t *ret_size, struct error *e)
{
	la_int64_t offset;
	size_t size = 0;
	const void *data = "";

	while (!l->raw_ended && !size) {
		int r = archive_read_data_block(l->raw, &data, &size, &offset);

		if (r == ARCHIVE_EOF) {
			l->raw_ended = true;
			size = 0;
		} else if (r < ARCHIVE_WARN) {
			return damaged(l->raw, e);
		}
	}
	int err = budget_take(l->budget, (int64_t)size, e);

	if (err)
		return err;
	sha256_update(l->hash, data, size);
	*ret = data;
	*ret_size = size;
	return 0;
}

static la_ssize_t on_tar_read(struct archive *a, void *user, const void **ret)
{
	struct image_layer *l = user;
	size_t size;

	if (raw_read(l, ret, &size, &l->error)) {
		archive_set_error(a, EIO, "%s", l->error.text);
		return ARCHIVE_FATAL;
	}
	return (la_ssize_t)size;
}

static int raw_open(struct image_layer *l, struct error *e)
{
	struct archive_entry *entry;

	archive_read_support_filter_gzip(l->raw);
	archive_read_support_filter_zstd(l->raw);
	archive_read_support_format_raw(l->raw);
	archive_read_support_format_empty(l->raw);
	if (archive_read_open_fd(l->raw, l->fd, BLOCK_SIZE) < ARCHIVE_WARN)
		return damaged(l->raw, e);
	int r = archive_read_next_header(l->raw, &entry);

	if (r == ARCHIVE_EOF)
		l->raw_ended = true;
	else if (r < ARCHIVE_WARN)
		return damaged(l->raw, e);
	return 0;
}

static int tar_open(struct image_layer *l, struct error *e)
{
	archive_read_support_format_tar(l->tar);
	archive_read_support_format_empty(l->tar);
	if (archive_read_open(l->tar, l, NULL, on_tar_read, NULL) >= ARCHIVE_WARN)
		return 0;
	if (l->error.code)
		return error_set(e, l->error.code, "%s", l->error.text);
	return damaged(l->tar, e);
}

int image_layer_open(int fd, struct image_budget *budget, struct image_layer **ret, struct error *e)
{
	struct image_layer *l = xcalloc(1, sizeof(*l));
	locale_t old = locale_enter();

	l->fd = fd;
	l->budget = budget;
	l->hash = sha256_new();
	l->raw = archive_read_new();
	l->tar = archive_read_new();
	int r = l->raw && l->tar ? raw_open(l, e) : error_set(e, E_INTERNAL, "libarchive cannot be set up");

	if (!r)
		r = tar_open(l, e);
	locale_leave(old);
	if (r) {
		image_layer_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

void image_layer_close(struct image_layer *l)
{
	if (!l)
		return;
	archive_read_free(l->tar);
	archive_read_free(l->raw);
	sha256_free(l->hash);
	close(l->fd);
	free(l);
}

static int tar_error(struct image_layer *l, struct error *e)
{
	if (l->error.code)
		return error_set(e, l->error.code, "%s", l->error.text);
	return damaged(l->tar, e);
}

int image_layer_next(struct image_layer *l, struct archive_entry **ret, struct error *e)
{
	struct archive_entry *entry = NULL;
	locale_t old = locale_enter();
	int r = archive_read_next_header(l->tar, &entry);

	locale_leave(old);
	if (r == ARCHIVE_EOF) {
		*ret = NULL;
		return 0;
	}
	if (r < ARCHIVE_WARN || l->error.code)
		return tar_error(l, e);
	*ret = entry;
	return 0;
}

int image_layer_data(struct image_layer *l, const void **ret, size_t *ret_size, int64_t *ret_offset, struct error *e)
{
	la_int64_t offset = 0;
	const void *data = NULL;
	size_t size = 0;
	int r = archive_read_data_block(l->tar, &data, &size, &offset);

	if (r < ARCHIVE_WARN && r != ARCHIVE_EOF)
		return tar_error(l, e);
	*ret = data;
	*ret_size = r == ARCHIVE_EOF ? 0 : size;
	*ret_offset = offset;
	return 0;
}

int image_layer_finish(struct image_layer *l, char ret_diff_id[OCI_DIGEST_LEN + 1], struct error *e)
{
	const void *data;
	size_t size;
	int r;

	do
		r = raw_read(l, &data, &size, e);
	while (!r && size);
	if (r)
		return r;
	memcpy(ret_diff_id, "sha256:", 7);
	sha256_final_hex(l->hash, ret_diff_id + 7);
	return 0;
}

/* ---- the table of contents ---- */

struct index_builder {
	struct image_index x;
	size_t entries_cap, names_len, names_cap;
	struct image_budget *budget;
};

void image_index_free(struct image_index *x)
{
	free(x->entries);
	free(x->names);
	*x = (struct image_index){0};
}

static int names_add(struct index_builder *b, const char *text, const char *what, uint32_t *ret, struct error *e)
{
	size_t n = text ? strlen(text) + 1 : 0;

	if (!text)
		return error_set(e, E_INVALID, "an entry has a %s that cannot be read", what);
	if (n > IMAGE_PATH_MAX)
		return error_set(e, E_INVALID, "an entry has a %s longer than %u bytes (%.64s…)", what,
				 IMAGE_PATH_MAX - 1, text);
	if (b->budget && atomic_fetch_add(&b->budget->names, (long long)n) + (long long)n > IMAGE_NAMES_MAX)
		return error_set(e, E_TOO_LARGE, "the image has more than %lld bytes of file names",
				 (long long)IMAGE_NAMES_MAX);
	if (b->names_len + n > b->names_cap) {
		b->names_cap = 2 * b->names_cap + 65536;
		b->x.names = xrealloc(b->x.names, b->names_cap);
	}
	memcpy(b->x.names + b->names_len, text, n);
	*ret = (uint32_t)b->names_len;
	b->names_len += n;
	return 0;
}

static enum image_entry_kind kind_of(struct archive_entry *entry)
{
	if (archive_entry_hardlink(entry))
		return ENTRY_HARDLINK;
	switch (archive_entry_filetype(entry)) {
	case AE_IFDIR:
		return ENTRY_DIR;
	case AE_IFLNK:
		return ENTRY_SYMLINK;
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
	case AE_IFSOCK:
		return ENTRY_SPECIAL;
	default:
		return ENTRY_FILE;
	}
}

/* The sum of sizes may not pass the budget either: a sparse file is larger than its bytes in the archive. */
static int index_size(struct index_builder *b, struct archive_entry *entry, struct error *e)
{
	int64_t size = archive_entry_size(entry);

	if (size < 0 || (b->budget && (size > b->budget->unpacked_max ||
				       atomic_fetch_add(&b->budget->logical, size) + size > b->budget->unpacked_max)))
		return error_set(e, E_TOO_LARGE, "the image's files are larger than %lld bytes, the most that is taken",
				 b->budget ? (long long)b->budget->unpacked_max : 0);
	b->x.file_bytes += size;
	return 0;
}

int64_t image_clamp_time(int64_t seconds)
{
	return seconds < 0 ? 0 : seconds > UINT32_MAX ? UINT32_MAX : seconds;
}

static void index_metadata(struct image_index *x, const char *path, struct archive_entry *entry)
{
	int64_t time = image_clamp_time(archive_entry_mtime(entry));

	if (time > x->latest)
		x->latest = time;
	if (archive_entry_filetype(entry) == AE_IFDIR && !path[strspn(path, "./")] && !strstr(path, "..")) {
		x->has_root = true;
		x->root_mode = archive_entry_perm(entry);
	}
}

static int index_entry(struct index_builder *b, struct archive_entry *entry, struct error *e)
{
	struct image_entry out = {.kind = kind_of(entry)};
	int r = names_add(b, archive_entry_pathname(entry), "path", &out.path, e);

	if (!r && out.kind == ENTRY_HARDLINK)
		r = names_add(b, archive_entry_hardlink(entry), "link target", &out.link, e);
	if (!r && out.kind == ENTRY_SYMLINK)
		r = names_add(b, archive_entry_symlink(entry), "link target", &out.link, e);
	if (!r && out.kind == ENTRY_FILE)
		r = index_size(b, entry, e);
	if (r)
		return r;
	const char *path = b->x.names + out.path;

	if (out.kind == ENTRY_SYMLINK && !b->x.names[out.link])
		return error_set(e, E_INVALID, "the symbolic link %.256s has no target", path);
	index_metadata(&b->x, path, entry);
	if (b->budget && atomic_fetch_add(&b->budget->entries, 1) >= IMAGE_ENTRIES_MAX)
		return error_set(e, E_TOO_LARGE, "the image has more than %u files", IMAGE_ENTRIES_MAX);
	if (b->x.count == b->entries_cap) {
		b->entries_cap = 2 * b->entries_cap + 256;
		b->x.entries = xrealloc(b->x.entries, b->entries_cap * sizeof(*b->x.entries));
	}
	b->x.entries[b->x.count++] = out;
	return 0;
}

int image_layer_index(struct image_layer *l, struct image_index *ret, char ret_diff_id[OCI_DIGEST_LEN + 1],
		      struct error *e)
{
	struct index_builder b = {.budget = l->budget};
	locale_t old = locale_enter();
	int r;

	for (;;) {
		struct archive_entry *entry;

		r = image_layer_next(l, &entry, e);
		if (r || !entry)
			break;
		r = index_entry(&b, entry, e);
		if (r)
			break;
	}
	locale_leave(old);
	if (!r)
		r = image_layer_finish(l, ret_diff_id, e);
	if (r) {
		image_index_free(&b.x);
		return r;
	}
	*ret = b.x;
	return 0;
}
