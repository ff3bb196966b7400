/*
 * image_worker.c - the store's threads: each takes the most pressing image, pulls or verifies it, and takes the next.
 */
#include "agent/image_internal.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>

#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"

#define RATE_PERIOD_MS 500
#define TRANSFER_PERCENT 90 /* of the way; the rest is the conversion */

static struct metric pulls = METRIC_COUNTER("berth_agent_image_pulls_total", "Pulls of images that ended", "result");
static struct metric pull_bytes = METRIC_COUNTER("berth_agent_image_pull_bytes_total", "Bytes of images pulled", NULL);
static struct metric pull_seconds = METRIC_HISTOGRAM("berth_agent_image_pull_seconds", "From start of a pull to Ready",
						     NULL);

int64_t image_retry_delay_ms(unsigned failures, int code, bool urgent, int retry_after)
{
	bool refused = code == E_UNAUTHORIZED || code == E_FORBIDDEN;
	int64_t most = urgent ? IMAGE_RETRY_URGENT_MAX_MS : refused ? IMAGE_RETRY_REFUSED_MAX_MS : IMAGE_RETRY_MAX_MS;
	unsigned doublings = failures ? failures - 1 : 0;
	int64_t delay = (int64_t)IMAGE_RETRY_MIN_MS << (doublings < 16 ? doublings : 16);

	if (code == E_INVALID || code == E_TOO_LARGE)
		return IMAGE_RETRY_MAX_MS;
	if (delay < (int64_t)retry_after * 1000)
		delay = (int64_t)retry_after * 1000;
	return delay < most ? delay : most;
}

void image_touch(struct image *img)
{
	img->dirty = true;
	uv_async_send(&img->store->async);
}

/* ---- progress ---- */

static int percent_of(enum image_pull_stage stage, int64_t done, int64_t total)
{
	double part = total > 0 ? (double)done / (double)total : 1;

	part = part < 0 ? 0 : part > 1 ? 1 : part;
	/* 100 is said by Ready alone. */
	return stage == PULL_TRANSFER ? (int)(part * TRANSFER_PERCENT)
				      : TRANSFER_PERCENT + (int)(part * (99 - TRANSFER_PERCENT));
}

static void on_progress(void *user, enum image_pull_stage stage, int64_t done, int64_t total, int64_t transferred)
{
	struct image *img = user;
	int percent = percent_of(stage, done, total);
	int64_t now = time_mono_ms();

	pthread_mutex_lock(&img->store->lock);
	bool tick = now - img->rate_at >= RATE_PERIOD_MS;

	if (stage == PULL_TRANSFER) {
		img->now.bytes_done = done;
		img->now.bytes_total = total;
	}
	if (tick) {
		img->now.bytes_per_second = (transferred - img->rate_bytes) * 1000 / (now - img->rate_at);
		img->rate_at = now;
		img->rate_bytes = transferred;
	}
	if (tick || percent != img->now.percent) {
		img->now.percent = percent;
		image_touch(img);
	}
	pthread_mutex_unlock(&img->store->lock);
}

/* ---- choosing ---- */

/* The lower the more pressing; -1: nothing to do now. *wake becomes the earliest time at which there is. */
static int pressing(const struct image *img, int64_t now, int64_t *wake)
{
	if (img->busy)
		return -1;
	if (img->present && !img->verified)
		return img->now.phase == IMAGE_READY ? 3 : img->urgent ? 0 : 1;
	if (img->present || !img->wanted)
		return -1;
	if (img->retry_at > now) {
		if (!*wake || img->retry_at < *wake)
			*wake = img->retry_at;
		return -1;
	}
	return img->urgent ? 0 : 2;
}

static struct image *choose(struct image_store *s, int64_t *wake)
{
	struct image *best = NULL;
	int best_rank = 0;
	int64_t now = time_mono_ms();

	*wake = 0;
	for (size_t i = 0; i < s->count; i++) {
		int rank = pressing(s->images[i], now, wake);

		if (rank >= 0 && (!best || rank < best_rank)) {
			best = s->images[i];
			best_rank = rank;
		}
	}
	return best;
}

static void wait_for_work(struct image_store *s, int64_t wake)
{
	struct timespec until = {.tv_sec = wake / 1000, .tv_nsec = wake % 1000 * 1000000};

	if (wake)
		pthread_cond_timedwait(&s->work, &s->lock, &until);
	else
		pthread_cond_wait(&s->work, &s->lock);
}

/* ---- working ---- */

/* With the lock held. */
static void note_ready(struct image *img, const struct image_record *rec)
{
	img->present = img->verified = true;
	img->urgent = false;
	img->failures = 0;
	free(img->config);
	img->config = xstrdup(rec->config);
	img->now = (struct image_view){.phase = IMAGE_READY,
				       .percent = 100,
				       .bytes_done = rec->transfer_bytes,
				       .bytes_total = rec->transfer_bytes,
				       .disk_bytes = rec->disk_bytes};
}

/* File names of the image may be in the text, and they may hold anything. */
static void make_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

/* With the lock held. */
static void note_failure(struct image *img, const struct error *e)
{
	int64_t delay;
	char when[32];

	if (img->cancelled) {
		img->now = (struct image_view){.phase = IMAGE_PENDING};
		return;
	}
	img->failures++;
	delay = image_retry_delay_ms(img->failures, e->code, img->urgent, e->retry_after);
	img->retry_at = time_mono_ms() + delay;
	duration_format_ms(delay, when, sizeof(when));
	img->now.phase = IMAGE_FAILED;
	img->now.bytes_per_second = 0;
	snprintf(img->now.message, sizeof(img->now.message), "%s; trying again in %s", e->text, when);
}

static int read_keys(struct image_store *s, const char *pull_secrets, struct arena *a, struct registry_keys *ret,
		     struct error *e)
{
	struct json *names;
	int r = json_parse(a, pull_secrets, strlen(pull_secrets), NULL, &names, e);

	return r || !s->read_keys || !json_count(names) ? r : s->read_keys(s->user, names, a, ret, e);
}

static void pull(struct image_store *s, struct image *img)
{
	_arena_ a = arena_new();
	/* Both may be given anew meanwhile, for the next pull; the digest never changes. */
	const char *reference = arena_strdup(a, img->reference), *pull_secrets = arena_strdup(a, img->pull_secrets);
	struct registry_keys keys = {0};
	struct image_pull p = {.registry = s->registry,
			       .locks = s->blob_locks,
			       .folders = &s->folders,
			       .reference = reference,
			       .keys = &keys,
			       .digest = img->digest,
			       .unpacked_max = s->unpacked_max,
			       .stop = &img->stop,
			       .progress = on_progress,
			       .user = img};
	int64_t begun = time_mono_ms();
	struct image_record rec;
	struct error e;

	img->now = (struct image_view){.phase = IMAGE_PULLING};
	img->rate_at = begun;
	img->rate_bytes = 0;
	image_touch(img);
	pthread_mutex_unlock(&s->lock);
	log_info("image pull started", "image", reference, NULL);
	int r = read_keys(s, pull_secrets, a, &keys, &e);

	if (!r)
		r = image_pull(&p, a, &rec, &e);
	if (r) {
		make_one_line(e.text);
		log_warn("image pull failed", "image", reference, "error", e.text, NULL);
	} else {
		log_info("image ready", "image", reference, "bytes", log_num(rec.disk_bytes), "ms",
			 log_num(time_mono_ms() - begun), NULL);
		metric_add(&pull_bytes, NULL, (double)rec.transfer_bytes);
		metric_observe(&pull_seconds, NULL, (double)(time_mono_ms() - begun) / 1000);
	}
	metric_add(&pulls, r ? "error" : "ok", 1);
	malloc_trim(0); /* the lists of entries are gone; the process lives on for months */
	pthread_mutex_lock(&s->lock);
	if (r)
		note_failure(img, &e);
	else
		note_ready(img, &rec);
}

static void verify(struct image_store *s, struct image *img)
{
	_arena_ a = arena_new();
	struct image_record rec;
	struct error e;

	pthread_mutex_unlock(&s->lock);
	int r = image_record_load(a, s->folders.images, img->digest, &rec, &e);

	if (!r)
		r = image_record_verify(s->folders.images, &rec, &img->stop, &e);
	if (r && r != -E_UNAVAILABLE) {
		log_warn("image is made anew", "image", img->reference, "error", e.text, NULL);
		image_record_remove(s->folders.images, img->digest);
	}
	pthread_mutex_lock(&s->lock);
	if (!r) {
		note_ready(img, &rec);
	} else if (r != -E_UNAVAILABLE) {
		img->present = false;
		img->now = (struct image_view){.phase = IMAGE_PENDING};
	}
}

void *image_worker_main(void *arg)
{
	struct image_store *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->closing) {
		int64_t wake;
		struct image *img = choose(s, &wake);

		if (!img) {
			wait_for_work(s, wake);
			continue;
		}
		img->busy = true;
		img->cancelled = false;
		atomic_store(&img->stop, false);
		if (img->present)
			verify(s, img);
		else
			pull(s, img);
		img->busy = false;
		image_touch(img);
		pthread_cond_broadcast(&s->work);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
