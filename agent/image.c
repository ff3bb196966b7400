/*
 * image.c - the loop's side of the image store; see image.h.
 */
#include "agent/image_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/units.h"

#define PART_LIFE_S (24 * 3600) /* a partial download that nobody resumed for so long is removed */

const char *image_phase_name(enum image_phase p)
{
	static const char *const names[] = {"Pending", "Pulling", "Ready", "Failed"};

	return names[p];
}

/* ---- images ---- */

static struct image *find(const struct image_store *s, const char *digest)
{
	for (size_t i = 0; i < s->count; i++)
		if (streq(s->images[i]->digest, digest))
			return s->images[i];
	return NULL;
}

static struct image *add(struct image_store *s, const char *digest, const char *reference)
{
	_arena_ a = arena_new();
	struct image *img = xcalloc(1, sizeof(*img));

	img->store = s;
	img->digest = xstrdup(digest);
	img->reference = xstrdup(reference);
	img->pull_secrets = xstrdup("null");
	img->path = xstrdup(image_file_path(a, s->folders.images, digest));
	if (s->count == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 16;
		s->images = xrealloc(s->images, s->cap * sizeof(struct image *));
	}
	s->images[s->count++] = img;
	return img;
}

static void image_free(struct image *img)
{
	free(img->digest);
	free(img->reference);
	free(img->path);
	free(img->config);
	free(img->pull_secrets);
	free(img);
}

static void show(const struct image *img, struct image_status *ret)
{
	const struct image_view *v = &img->pub;

	*ret = (struct image_status){.digest = img->digest,
				     .reference = img->reference,
				     .phase = v->phase,
				     .percent = v->percent,
				     .bytes_done = v->bytes_done,
				     .bytes_total = v->bytes_total,
				     .bytes_per_second = v->bytes_per_second,
				     .disk_bytes = v->disk_bytes,
				     .message = v->message,
				     .path = v->phase == IMAGE_READY ? img->path : NULL};
}

/* ---- what the threads have to say ---- */

/* Frees what nobody wants, has, or works on. With the lock held. */
static void reap(struct image_store *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		struct image *img = s->images[i];

		if (!img->wanted && !img->present && !img->busy)
			image_free(img);
		else
			s->images[kept++] = img;
	}
	s->count = kept;
}

/* Takes over one image's news; false when there are none. */
static bool take_news(struct image_store *s, struct image *img)
{
	pthread_mutex_lock(&s->lock);
	img->hidden = img->hidden && !img->present; /* it was finished before it could be stopped */
	bool news = img->dirty && !img->hidden;
	bool shown = news && (img->pub.phase != img->now.phase || img->pub.percent != img->now.percent ||
			      !streq(img->pub.message, img->now.message));

	img->dirty = false;
	if (news)
		img->pub = img->now;
	pthread_mutex_unlock(&s->lock);
	return shown;
}

static void on_async(uv_async_t *async)
{
	struct image_store *s = async->data;

	pthread_mutex_lock(&s->lock);
	reap(s);
	pthread_mutex_unlock(&s->lock);
	/* The callback may want more images (the list grows at its end) and drop some (they stay until the next reap).
	 */
	for (size_t i = 0; i < s->count; i++) {
		struct image_status status;

		if (!take_news(s, s->images[i]) || !s->changed)
			continue;
		show(s->images[i], &status);
		s->changed(s->user, &status);
	}
}

/* ---- opening ---- */

static void remove_in(const char *folder, const char *name)
{
	_free_ char *path = xasprintf("%s/%s", folder, name);

	tree_remove(path, NULL);
}

static bool has_record(const char *folder, const char *name)
{
	_free_ char *path = xasprintf("%s/%.64s.json", folder, name);

	return access(path, F_OK) == 0;
}

/* Calls f for each name in a folder. */
static void each_name(const char *folder, void (*f)(const char *folder, const char *name))
{
	DIR *d = opendir(folder);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
			f(folder, entry->d_name);
	if (d)
		closedir(d);
}

static void sweep_part(const char *folder, const char *name)
{
	_free_ char *path = xasprintf("%s/%s", folder, name);
	struct stat st;

	if (str_ends(name, ".part") && stat(path, &st) == 0 && time(NULL) - st.st_mtime > PART_LIFE_S)
		unlink(path);
}

/* A squashfs without a record, a temporary record. */
static void sweep_image(const char *folder, const char *name)
{
	if (strstr(name, ".json.new-") || (str_ends(name, ".sqfs") && !has_record(folder, name)))
		remove_in(folder, name);
}

void image_sweep(const struct image_folders *f)
{
	each_name(f->tmp, remove_in);
	each_name(f->blobs, sweep_part);
	each_name(f->images, sweep_image);
}

static void take_over(struct image_store *s, const char *name)
{
	_arena_ a = arena_new();
	char *digest = arena_printf(a, "sha256:%.64s", name);
	struct image_record rec;
	bool untouched = false;
	struct error e;

	if (!str_ends(name, ".json") || !oci_digest_valid(digest) || strlen(name) != 64 + strlen(".json"))
		return;
	int r = image_record_load(a, s->folders.images, digest, &rec, &e);

	if (!r)
		r = image_record_check(s->folders.images, &rec, &untouched, &e);
	if (r) {
		log_warn("image of an earlier run is dropped", "digest", digest, "error", e.text, NULL);
		image_record_remove(s->folders.images, digest);
		return;
	}
	struct image *img = add(s, digest, rec.reference);

	img->present = true;
	img->config = xstrdup(rec.config);
	img->now = (struct image_view){.phase = untouched ? IMAGE_READY : IMAGE_PENDING,
				       .percent = untouched ? 100 : 99,
				       .bytes_done = rec.transfer_bytes,
				       .bytes_total = rec.transfer_bytes,
				       .disk_bytes = rec.disk_bytes};
	img->pub = img->now;
}

static void take_over_all(struct image_store *s)
{
	DIR *d = opendir(s->folders.images);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		take_over(s, entry->d_name);
	if (d)
		closedir(d);
}

static int make_folders(struct image_store *s, const char *state_dir, struct error *e)
{
	s->folders = (struct image_folders){xasprintf("%s/blobs/sha256", state_dir), xasprintf("%s/images", state_dir),
					    xasprintf("%s/tmp", state_dir)};
	/* QEMU's own user must reach the images, and nobody else needs to see which there are. */
	if (dir_make(state_dir, 0711, e) || dir_make(s->folders.blobs, 0700, e) ||
	    dir_make(s->folders.images, 0711, e) || dir_make(s->folders.tmp, 0700, e))
		return -E_IO;
	_free_ char *path = xasprintf("%s/.lock", s->folders.images);

	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return error_set_errno(e, errno, "cannot create %s", path);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB))
		return error_set(e, E_CONFLICT, "the images in %s are in use by another berth-agent", state_dir);
	return 0;
}

static void store_free(struct image_store *s)
{
	for (size_t i = 0; i < s->count; i++)
		image_free(s->images[i]);
	free(s->images);
	free(s->folders.blobs);
	free(s->folders.images);
	free(s->folders.tmp);
	registry_free(s->registry);
	image_blob_locks_free(s->blob_locks);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s);
}

static void store_init(struct image_store *s, uv_loop_t *loop, const struct image_store_options *opt)
{
	pthread_condattr_t monotonic;

	s->loop = loop;
	s->read_keys = opt->read_keys;
	s->changed = opt->changed;
	s->user = opt->user;
	s->lock_fd = -1;
	s->unpacked_max = opt->unpacked_max > 0 ? opt->unpacked_max : IMAGE_UNPACKED_MAX;
	s->registry = registry_new(&opt->registry);
	s->blob_locks = image_blob_locks_new();
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

int image_store_open(uv_loop_t *loop, const struct image_store_options *opt, struct image_store **ret, struct error *e)
{
	struct image_store *s = xcalloc(1, sizeof(*s));

	store_init(s, loop, opt);
	int r = make_folders(s, opt->state_dir, e);

	if (!r && uv_async_init(loop, &s->async, on_async))
		r = error_set(e, E_INTERNAL, "cannot join the event loop");
	if (r) {
		store_free(s);
		return r;
	}
	s->async.data = s;
	image_sweep(&s->folders);
	take_over_all(s);
	while (s->thread_count < IMAGE_PULLS_AT_ONCE &&
	       !pthread_create(&s->threads[s->thread_count], NULL, image_worker_main, s))
		s->thread_count++;
	if (!s->thread_count) {
		image_store_close(s);
		return error_set(e, E_UNAVAILABLE, "cannot start a thread");
	}
	*ret = s;
	return 0;
}

static void on_closed(uv_handle_t *h)
{
	store_free(h->data);
}

void image_store_close(struct image_store *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	for (size_t i = 0; i < s->count; i++)
		atomic_store(&s->images[i]->stop, true);
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	while (s->thread_count)
		pthread_join(s->threads[--s->thread_count], NULL);
	uv_close((uv_handle_t *)&s->async, on_closed);
}

/* ---- wanting ---- */

/* With the lock held. */
static void want(struct image *img, const char *reference, const char *pull_secrets, bool urgent)
{
	if (img->hidden) {
		img->hidden = false;
		img->failures = 0;
		img->retry_at = 0;
		img->now = img->pub = (struct image_view){.phase = IMAGE_PENDING};
	}
	if (!img->present && !streq(img->reference, reference)) {
		free(img->reference);
		img->reference = xstrdup(reference);
		img->retry_at = 0;
	}
	if (!streq(img->pull_secrets, pull_secrets)) {
		free(img->pull_secrets);
		img->pull_secrets = xstrdup(pull_secrets);
		img->retry_at = 0;
	}
	img->wanted = true;
	/* Once: whoever waits says so again and again. */
	if (urgent && !img->urgent) {
		img->urgent = true;
		img->retry_at = 0;
	}
}

int image_want(struct image_store *s, const char *reference, const struct json *pull_secrets, bool urgent,
	       struct error *e)
{
	_arena_ a = arena_new();
	struct oci_reference ref;
	int r = oci_reference_parse(a, reference, &ref, e);

	if (r)
		return r;
	if (!ref.digest)
		return error_set(e, E_INVALID, "image \"%s\" is not given by its digest", reference);
	char *canonical = oci_reference_format(a, &ref);
	char *secrets = json_to_string(a, pull_secrets ? pull_secrets : json_null(a));

	pthread_mutex_lock(&s->lock);
	struct image *img = find(s, ref.digest);

	if (!img)
		img = add(s, ref.digest, canonical);
	want(img, canonical, secrets, urgent);
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

void image_unwant(struct image_store *s, const char *digest)
{
	pthread_mutex_lock(&s->lock);
	struct image *img = find(s, digest);

	if (img) {
		img->wanted = img->urgent = false;
		img->hidden = !img->present;
		if (img->hidden) {
			img->cancelled = true;
			atomic_store(&img->stop, true);
			image_touch(img);
		}
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- looking ---- */

bool image_get(struct image_store *s, const char *digest, struct image_status *ret)
{
	const struct image *img = find(s, digest);

	if (!img || img->hidden)
		return false;
	show(img, ret);
	return true;
}

int image_config(struct image_store *s, const char *digest, struct arena *a, struct oci_config *ret, struct error *e)
{
	static const struct json_options limits = {.max_bytes = 8U << 20};
	struct image *img = find(s, digest);
	struct json *doc;

	if (!img || img->hidden || img->pub.phase != IMAGE_READY)
		return error_set(e, E_NOT_FOUND, "image %s is not on this node", digest);
	pthread_mutex_lock(&s->lock);
	char *text = arena_strdup(a, img->config);
	pthread_mutex_unlock(&s->lock);
	int r = json_parse(a, text, strlen(text), &limits, &doc, e);

	if (!r)
		oci_config_from_json(a, doc, ret);
	return r;
}

size_t image_count(const struct image_store *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++)
		n += !s->images[i]->hidden;
	return n;
}

void image_nth(struct image_store *s, size_t i, struct image_status *ret)
{
	for (size_t k = 0; k < s->count; k++)
		if (!s->images[k]->hidden && i-- == 0) {
			show(s->images[k], ret);
			return;
		}
	*ret = (struct image_status){.digest = "", .reference = "", .message = ""};
}

struct json *image_prefetch_json(struct image_store *s, struct arena *a)
{
	struct json *list = json_array(a);

	for (size_t i = 0; i < s->count; i++) {
		struct image_status st;

		if (s->images[i]->hidden)
			continue;
		show(s->images[i], &st);
		struct json *o = json_append(a, list, json_object(a));

		json_set_str(a, o, "digest", st.digest);
		json_set_str(a, o, "phase", image_phase_name(st.phase));
		json_set_int(a, o, "percent", st.percent);
		json_set_int(a, o, "bytesDone", st.bytes_done);
		json_set_int(a, o, "bytesTotal", st.bytes_total);
		json_set_str(a, o, "message", *st.message ? st.message : NULL);
	}
	return list;
}

struct json *image_list_json(struct image_store *s, struct arena *a)
{
	struct json *list = json_array(a);

	for (size_t i = 0; i < s->count; i++) {
		struct image_status st;

		show(s->images[i], &st);
		if (s->images[i]->hidden || st.phase != IMAGE_READY)
			continue;
		struct json *o = json_append(a, list, json_object(a));

		json_append(a, json_ensure_array(a, o, "names"), json_string(a, st.reference));
		json_set_int(a, o, "sizeBytes", st.disk_bytes);
	}
	return list;
}
