/*
 * image_record.c - the record of a finished image; see image_record.h.
 */
#include "agent/image_record.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "lib/codec.h"
#include "lib/fsutil.h"

#define RECORD_MAX (8U << 20) /* a configuration of at most 4 MiB, escaped */
#define READ_SIZE (1U << 20)

static char *path_of(struct arena *a, const char *folder, const char *digest, const char *suffix)
{
	return arena_printf(a, "%s/%s.%s", folder, digest + strlen("sha256:"), suffix);
}

char *image_record_path(struct arena *a, const char *folder, const char *digest)
{
	return path_of(a, folder, digest, "json");
}

char *image_file_path(struct arena *a, const char *folder, const char *digest)
{
	return path_of(a, folder, digest, "sqfs");
}

int image_record_load(struct arena *a, const char *folder, const char *digest, struct image_record *ret,
		      struct error *e)
{
	static const struct json_options limits = {.max_bytes = RECORD_MAX};
	const char *path = image_record_path(a, folder, digest);
	_buf_ text = BUF_INIT(RECORD_MAX);
	struct json *doc;
	int r = file_read(path, &text, e);

	if (r)
		return r;
	if (json_parse(a, text.data ? text.data : "", text.len, &limits, &doc, e)) {
		error_prefix(e, "%s", path);
		return error_set(e, E_INVALID, "%s", e->text);
	}
	struct image_record rec = {.digest = json_str(json_get(doc, "digest")),
				   .reference = json_str(json_get(doc, "reference")),
				   .transfer_bytes = json_int_or(json_get(doc, "transferBytes"), 0),
				   .disk_bytes = json_int_or(json_get(doc, "diskBytes"), -1),
				   .sha256 = json_str(json_get(doc, "sha256")),
				   .mtime_ns = json_int_or(json_get(doc, "mtimeNs"), 0),
				   .inode = json_int_or(json_get(doc, "inode"), 0)};

	if (!streq(rec.digest, digest) || !rec.reference || !rec.sha256 || rec.disk_bytes < 0 ||
	    !json_is(json_get(doc, "config"), JSON_OBJECT))
		return error_set(e, E_INVALID, "%s is not the record of %s", path, digest);
	rec.config = json_to_string(a, json_get(doc, "config"));
	*ret = rec;
	return 0;
}

int image_record_save(const char *folder, const struct image_record *r, struct error *e)
{
	_arena_ a = arena_new();
	_buf_ text = BUF_INIT(RECORD_MAX);
	struct json *doc = json_object(a), *config;
	int err = json_parse(a, r->config, strlen(r->config), &(struct json_options){.max_bytes = RECORD_MAX}, &config,
			     e);

	if (err)
		return err;
	json_set_str(a, doc, "digest", r->digest);
	json_set_str(a, doc, "reference", r->reference);
	json_set_int(a, doc, "transferBytes", r->transfer_bytes);
	json_set_int(a, doc, "diskBytes", r->disk_bytes);
	json_set_str(a, doc, "sha256", r->sha256);
	json_set_int(a, doc, "mtimeNs", r->mtime_ns);
	json_set_int(a, doc, "inode", r->inode);
	json_set(a, doc, "config", config);
	json_write(doc, JSON_PRETTY, &text);
	return file_write_atomic(image_record_path(a, folder, r->digest), text.data, text.len, 0644, e);
}

static int64_t mtime_of(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

int image_record_check(const char *folder, const struct image_record *r, bool *ret_untouched, struct error *e)
{
	_arena_ a = arena_new();
	const char *path = image_file_path(a, folder, r->digest);
	struct stat st;

	if (stat(path, &st))
		return error_set_errno(e, errno, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_size != r->disk_bytes)
		return error_set(e, E_INVALID, "%s has %lld bytes, recorded are %lld", path, (long long)st.st_size,
				 (long long)r->disk_bytes);
	*ret_untouched = mtime_of(&st) == r->mtime_ns && (int64_t)st.st_ino == r->inode;
	return 0;
}

static int hash_fd(int fd, const char *path, const atomic_bool *cancel, char ret_hex[SHA256_HEX_MAX], struct error *e)
{
	_free_ char *piece = xmalloc(READ_SIZE);
	struct sha256 *h = sha256_new();
	int r = 0;

	for (;;) {
		ssize_t n = read(fd, piece, READ_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = error_set_errno(e, errno, "cannot read %s", path);
		else if (cancel && atomic_load(cancel))
			r = error_set(e, E_UNAVAILABLE, "stopped");
		if (r || !n)
			break;
		sha256_update(h, piece, (size_t)n);
	}
	if (!r)
		sha256_final_hex(h, ret_hex);
	sha256_free(h);
	return r;
}

int image_record_verify(const char *folder, const struct image_record *r, const atomic_bool *cancel, struct error *e)
{
	_arena_ a = arena_new();
	const char *path = image_file_path(a, folder, r->digest);
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char hex[SHA256_HEX_MAX];

	if (fd < 0)
		return error_set_errno(e, errno, "cannot open %s", path);
	int err = hash_fd(fd, path, cancel, hex, e);

	if (err)
		return err;
	return streq(hex, r->sha256) ? 0
				     : error_set(e, E_INVALID, "%s is corrupt: it hashes to %s, recorded is %s", path,
						 hex, r->sha256);
}

static void *sync_main(void *fd)
{
	return fsync(*(const int *)fd) ? (void *)(intptr_t)errno : NULL;
}

int image_record_measure(struct arena *a, const char *path, struct image_record *r, struct error *e)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char hex[SHA256_HEX_MAX];
	pthread_t syncer;
	struct stat st;
	void *failed;

	if (fd < 0 || fstat(fd, &st))
		return error_set_errno(e, errno, "cannot open %s", path);
	/* The disk and the processor work at the same time. */
	int err = pthread_create(&syncer, NULL, sync_main, &fd);

	if (err)
		return error_set_errno(e, err, "cannot start a thread");
	err = hash_fd(fd, path, NULL, hex, e);
	pthread_join(syncer, &failed);
	if (err)
		return err;
	if (failed)
		return error_set_errno(e, (int)(intptr_t)failed, "cannot sync %s", path);
	r->disk_bytes = st.st_size;
	r->mtime_ns = mtime_of(&st);
	r->inode = (int64_t)st.st_ino;
	r->sha256 = arena_strdup(a, hex);
	return 0;
}

void image_record_remove(const char *folder, const char *digest)
{
	_arena_ a = arena_new();

	unlink(image_record_path(a, folder, digest));
	unlink(image_file_path(a, folder, digest));
}
