/*
 * image_pull.c - pulling one image; see image_pull.h.
 *
 * Three threads take layer after layer: fetch, verify, list. Then this thread converts. The first error ends all.
 */
#include "agent/image_pull.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "agent/image_build.h"
#include "lib/codec.h"
#include "lib/units.h"

#define OUTPUT_SLACK (INT64_C(1) << 30) /* what a squashfs may be larger than the files in it */

struct work {
	const struct image_pull *p;
	const struct oci_image *image;
	struct image_blob_source source;
	struct image_budget budget;
	struct image_build_layer *layers;
	atomic_size_t next;
	int64_t total; /* bytes of layers */
	atomic_llong done, transferred;
	pthread_mutex_t lock; /* of error */
	struct error error;
};

static void on_blob_bytes(void *user, int64_t delta, bool transferred)
{
	struct work *w = user;
	int64_t done = atomic_fetch_add(&w->done, delta) + delta;
	int64_t moved = transferred ? atomic_fetch_add(&w->transferred, delta) + delta : atomic_load(&w->transferred);

	w->p->progress(w->p->user, PULL_TRANSFER, done, w->total, moved);
}

static void on_converted(void *user, int64_t done, int64_t total)
{
	struct work *w = user;

	w->p->progress(w->p->user, PULL_CONVERT, done, total, atomic_load(&w->transferred));
}

static int do_layer(struct work *w, size_t i, struct error *e)
{
	int r = image_blob_fetch(&w->source, &w->image->layers[i].blob, e);

	if (!r)
		r = image_build_index(&w->layers[i], &w->budget, e);
	return r ? error_prefix(e, "layer %zu", i + 1) : 0;
}

static void *layers_main(void *arg)
{
	struct work *w = arg;
	size_t i;

	while (!atomic_load(w->p->stop) && (i = atomic_fetch_add(&w->next, 1)) < w->image->layer_count) {
		struct error e;

		if (do_layer(w, i, &e) == 0)
			continue;
		pthread_mutex_lock(&w->lock);
		if (!w->error.code)
			w->error = e;
		pthread_mutex_unlock(&w->lock);
		atomic_store(w->p->stop, true);
	}
	return NULL;
}

static int run_layers(struct work *w, struct error *e)
{
	pthread_t threads[IMAGE_LAYERS_AT_ONCE];
	size_t n = 0;

	while (n < ARRAY_SIZE(threads) && n < w->image->layer_count &&
	       !pthread_create(&threads[n], NULL, layers_main, w))
		n++;
	if (!n)
		return error_set(e, E_UNAVAILABLE, "cannot start a thread");
	while (n)
		pthread_join(threads[--n], NULL);
	if (w->error.code) {
		*e = w->error;
		return -e->code;
	}
	return atomic_load(w->p->stop) ? error_set(e, E_UNAVAILABLE, "stopped") : 0;
}

/* Refuses early what cannot fit, so that a pull does not fill the disk under the running VMs. */
static int check_space(struct work *w, struct error *e)
{
	_arena_ a = arena_new();
	struct statvfs fs;
	struct stat st;
	int64_t missing = 0;
	char needed[32], available[32];

	for (size_t i = 0; i < w->image->layer_count; i++)
		if (stat(image_blob_path(a, w->p->folders->blobs, w->image->layers[i].blob.digest), &st))
			missing += w->image->layers[i].blob.size;
	if (statvfs(w->p->folders->blobs, &fs))
		return error_set_errno(e, errno, "%s", w->p->folders->blobs);
	int64_t available_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);

	if (missing <= available_bytes)
		return 0;
	bytes_human((uint64_t)missing, needed, sizeof(needed));
	bytes_human((uint64_t)available_bytes, available, sizeof(available));
	return error_set(e, E_NO_SPACE, "no space left: %s of layers are missing, %s are free in %s", needed, available,
			 w->p->folders->blobs);
}

static int convert(struct work *w, const char *output, struct error *e)
{
	struct image_build b = {.layers = w->layers,
				.count = w->image->layer_count,
				.output = output,
				.output_max = w->p->unpacked_max + OUTPUT_SLACK,
				.cancel = w->p->stop,
				.progress = on_converted,
				.user = w};

	return image_build(&b, e);
}

/* Moves the squashfs to its place and records it. */
static int commit(struct work *w, struct arena *a, const char *output, struct image_record *ret, struct error *e)
{
	const struct oci_image *image = w->image;
	struct image_record rec = {.digest = w->p->digest,
				   .reference = w->p->reference,
				   .transfer_bytes = image->size,
				   .config = json_to_string(a, oci_config_to_json(a, &image->config))};
	const char *path = image_file_path(a, w->p->folders->images, rec.digest);

	if (chmod(output, 0644))
		return error_set_errno(e, errno, "cannot change %s", output);
	int r = image_record_measure(a, output, &rec, e);

	if (!r && rename(output, path))
		r = error_set_errno(e, errno, "cannot rename %s", output);
	if (!r)
		r = image_record_save(w->p->folders->images, &rec, e);
	if (!r)
		*ret = rec;
	return r;
}

static int pull_layers(struct work *w, struct arena *a, struct image_record *ret, struct error *e)
{
	char unique[9];

	random_name(unique, sizeof(unique) - 1);
	const char *output = arena_printf(a, "%s/%s-%s.sqfs", w->p->folders->tmp, w->p->digest + strlen("sha256:"),
					  unique);
	int r = check_space(w, e);

	if (!r)
		r = run_layers(w, e);
	if (!r)
		r = convert(w, output, e);
	if (!r) {
		r = commit(w, a, output, ret, e);
		if (r)
			unlink(output);
	}
	return r;
}

int image_pull(const struct image_pull *p, struct arena *a, struct image_record *ret, struct error *e)
{
	struct oci_image image;
	struct registry_credentials cred;
	struct work w = {.p = p, .image = &image};
	int r = registry_resolve(p->registry, p->reference, p->keys, 0, a, &image, &cred, e);

	if (r)
		return r;
	w.source = (struct image_blob_source){.registry = p->registry,
					      .reference = image.reference,
					      .cred = &cred,
					      .folder = p->folders->blobs,
					      .locks = p->locks,
					      .cancel = p->stop,
					      .progress = on_blob_bytes,
					      .user = &w};
	w.budget.unpacked_max = p->unpacked_max;
	w.budget.cancel = p->stop;
	w.layers = arena_calloc(a, image.layer_count * sizeof(*w.layers));
	for (size_t i = 0; i < image.layer_count; i++) {
		w.layers[i].path = image_blob_path(a, p->folders->blobs, image.layers[i].blob.digest);
		w.layers[i].diff_id = image.layers[i].diff_id;
		w.total += image.layers[i].blob.size;
	}
	pthread_mutex_init(&w.lock, NULL);
	r = pull_layers(&w, a, ret, e);
	for (size_t i = 0; i < image.layer_count; i++)
		image_index_free(&w.layers[i].index);
	pthread_mutex_destroy(&w.lock);
	return r;
}
