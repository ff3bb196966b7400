/*
 * image_blob.c - resumable, verified downloads; see image_blob.h.
 */
#include "agent/image_blob.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/codec.h"
#include "lib/fsutil.h"
#include "lib/strmap.h"

#define ATTEMPTS_MAX 5 /* in a row; each but the last must have brought bytes */
#define READ_SIZE (256U * 1024)

/* ---- one thread a blob ---- */

struct image_blob_locks {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct strmap *busy; /* digest → anything */
};

struct image_blob_locks *image_blob_locks_new(void)
{
	struct image_blob_locks *l = xcalloc(1, sizeof(*l));

	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->freed, NULL);
	l->busy = strmap_new();
	return l;
}

void image_blob_locks_free(struct image_blob_locks *l)
{
	if (!l)
		return;
	strmap_free(l->busy);
	pthread_cond_destroy(&l->freed);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void blob_lock(struct image_blob_locks *l, const char *digest)
{
	pthread_mutex_lock(&l->lock);
	while (strmap_get(l->busy, digest))
		pthread_cond_wait(&l->freed, &l->lock);
	strmap_put(l->busy, digest, l);
	pthread_mutex_unlock(&l->lock);
}

static void blob_unlock(struct image_blob_locks *l, const char *digest)
{
	pthread_mutex_lock(&l->lock);
	strmap_remove(l->busy, digest);
	pthread_cond_broadcast(&l->freed);
	pthread_mutex_unlock(&l->lock);
}

/* ---- bytes ---- */

struct fetch {
	const struct image_blob_source *s;
	const struct oci_descriptor *d;
	const char *path, *part;
	int fd; /* of the part */
	int64_t have;
	struct sha256 *hash; /* of what the part has */
	bool resumed;	     /* the transfer began behind bytes that came earlier */
};

char *image_blob_path(struct arena *a, const char *folder, const char *digest)
{
	return arena_printf(a, "%s/%s", folder, digest + strlen("sha256:"));
}

static int check_cancel(const struct image_blob_source *s, struct error *e)
{
	bool cancelled = s->cancel && atomic_load_explicit(s->cancel, memory_order_relaxed);

	return cancelled ? error_set(e, E_UNAVAILABLE, "stopped") : 0;
}

static void report(const struct image_blob_source *s, int64_t delta, bool transferred)
{
	if (s->progress && delta)
		s->progress(s->user, delta, transferred);
}

/* Feeds the file to the hash; *ret_size is what was read. */
static int hash_file(const struct fetch *f, int fd, int64_t *ret_size, struct error *e)
{
	_free_ char *piece = xmalloc(READ_SIZE);
	int64_t size = 0;

	for (;;) {
		ssize_t n = pread(fd, piece, READ_SIZE, size);
		int r = check_cancel(f->s, e);

		if (r)
			return r;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(e, errno, "cannot read %s", f->path);
		if (!n)
			break;
		sha256_update(f->hash, piece, (size_t)n);
		size += n;
	}
	*ret_size = size;
	return 0;
}

static bool hash_matches(struct fetch *f, char ret_hex[SHA256_HEX_MAX])
{
	sha256_final_hex(f->hash, ret_hex);
	return streq(ret_hex, f->d->digest + strlen("sha256:"));
}

/* 1: the blob is there and right; 0: it has to be fetched. A wrong one is removed. */
static int take_existing(struct fetch *f, struct error *e)
{
	_close_ int fd = open(f->path, O_RDONLY | O_CLOEXEC);
	char hex[SHA256_HEX_MAX];
	int64_t size;

	if (fd < 0)
		return errno == ENOENT ? 0 : error_set_errno(e, errno, "cannot open %s", f->path);
	int r = hash_file(f, fd, &size, e);
	bool right = !r && hash_matches(f, hex) && size == f->d->size;

	if (r)
		return r;
	if (right) {
		report(f->s, size, false);
		return 1;
	}
	unlink(f->path);
	return 0;
}

static int part_restart(struct fetch *f, struct error *e)
{
	char unused[SHA256_HEX_MAX];

	sha256_final_hex(f->hash, unused);
	report(f->s, -f->have, false);
	f->have = 0;
	f->resumed = false;
	return ftruncate(f->fd, 0) ? error_set_errno(e, errno, "cannot write %s", f->part) : 0;
}

static int part_open(struct fetch *f, struct error *e)
{
	f->fd = open(f->part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (f->fd < 0)
		return error_set_errno(e, errno, "cannot create %s", f->part);
	int64_t size = 0;
	int r = hash_file(f, f->fd, &size, e);

	if (r)
		return r;
	f->have = size;
	report(f->s, size, false);
	return size > f->d->size ? part_restart(f, e) : 0;
}

static int on_bytes(void *user, const void *data, size_t len, struct error *e)
{
	struct fetch *f = user;
	const char *p = data;
	int r = check_cancel(f->s, e);

	if (r)
		return r;
	if ((int64_t)len > f->d->size - f->have)
		return error_set(e, E_TOO_LARGE, "it is larger than the %lld bytes that the manifest declares",
				 (long long)f->d->size);
	sha256_update(f->hash, data, len);
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(f->fd, p + done, len - done, f->have + (int64_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(e, errno, "cannot write %s", f->part);
		done += (size_t)n;
	}
	f->have += (int64_t)len;
	report(f->s, (int64_t)len, true);
	return 0;
}

/* ---- attempts ---- */

/* One transfer of what is missing. Errors: E_UNAVAILABLE when it ended early. */
static int transfer(struct fetch *f, struct error *e)
{
	bool restarted = false;

	f->resumed = f->have > 0;
	int r = registry_read_blob(f->s->registry, f->s->reference, f->s->cred, f->d->digest, f->have, on_bytes, f,
				   &restarted, e);

	if (!r && restarted) {
		r = part_restart(f, e);
		return r ? r : error_set(e, E_UNAVAILABLE, "the registry cannot resume transfers");
	}
	if (!r && f->have < f->d->size)
		return error_set(e, E_UNAVAILABLE, "it ended after %lld of %lld bytes", (long long)f->have,
				 (long long)f->d->size);
	return r;
}

/* Worth another attempt now? Bytes must have come, or a resumed part be thrown away. */
static bool try_again(struct fetch *f, int code, int64_t before, struct error *e)
{
	if (check_cancel(f->s, NULL))
		return false;
	if (f->resumed && (code == -E_TOO_LARGE || code == -E_INVALID))
		return part_restart(f, e) == 0;
	return (code == -E_UNAVAILABLE || code == -E_TIMEOUT) && f->have != before;
}

static int verify_part(struct fetch *f, struct error *e)
{
	char hex[SHA256_HEX_MAX];

	if (hash_matches(f, hex))
		return 0;
	return error_set(e, E_INVALID, "digest mismatch: it should be %s and is sha256:%s", f->d->digest, hex);
}

static int fetch_part(struct fetch *f, struct error *e)
{
	int r = part_open(f, e);

	for (int attempt = 1; !r; attempt++) {
		int64_t before = f->have;

		if (f->have < f->d->size)
			r = transfer(f, e);
		if (!r)
			r = verify_part(f, e);
		if (!r)
			return rename(f->part, f->path) ? error_set_errno(e, errno, "cannot rename %s", f->part) : 0;
		if (attempt < ATTEMPTS_MAX && try_again(f, r, before, e))
			r = 0;
	}
	if (r == -E_TOO_LARGE)
		r = error_set(e, E_INVALID, "%s", e->text);
	return r;
}

static int fetch(struct fetch *f, struct error *e)
{
	int r = take_existing(f, e);

	if (r)
		return r < 0 ? r : 0;
	r = fetch_part(f, e);
	if (r == -E_INVALID || r == -E_NO_SPACE)
		unlink(f->part);
	return r;
}

int image_blob_fetch(const struct image_blob_source *s, const struct oci_descriptor *d, struct error *e)
{
	_arena_ a = arena_new();
	struct fetch f = {.s = s, .d = d, .fd = -1, .path = image_blob_path(a, s->folder, d->digest)};
	struct error own;

	e = e ? e : &own;
	f.part = arena_printf(a, "%s.part", f.path);
	f.hash = sha256_new();
	blob_lock(s->locks, d->digest);
	int r = fetch(&f, e);

	blob_unlock(s->locks, d->digest);
	if (f.fd >= 0)
		close(f.fd);
	sha256_free(f.hash);
	return r;
}
