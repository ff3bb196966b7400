/*
 * image_internal.h - the store's state, shared by image.c (the loop's side) and image_worker.c (the threads').
 *
 * One lock guards everything in a struct image but `pub`, which the loop's thread alone reads and writes: it is what
 * image_get() shows, brought up to date when the loop is told that something changed.
 */
#ifndef BERTH_AGENT_IMAGE_INTERNAL_H
#define BERTH_AGENT_IMAGE_INTERNAL_H

#include "agent/image.h"
#include "agent/image_pull.h"

#include <pthread.h>

#define IMAGE_PULLS_AT_ONCE 2
#define IMAGE_RETRY_MIN_MS 1000
#define IMAGE_RETRY_MAX_MS 300000
#define IMAGE_RETRY_URGENT_MAX_MS 30000
#define IMAGE_RETRY_REFUSED_MAX_MS 60000 /* somebody may be putting the credentials right */
#define IMAGE_MESSAGE_MAX (ERROR_TEXT_MAX + 64)

/* What is shown of an image. */
struct image_view {
	enum image_phase phase;
	int percent;
	int64_t bytes_done, bytes_total, bytes_per_second, disk_bytes;
	char message[IMAGE_MESSAGE_MAX];
};

struct image {
	struct image_store *store;
	char *digest, *reference, *path; /* path: of the squashfs */
	char *config;			 /* JSON text, once present */
	char *pull_secrets;		 /* JSON text, "null" without any */
	struct image_view now, pub;
	bool wanted, urgent;
	bool hidden;	   /* of the loop's side alone: dropped, but a thread may still be at it */
	bool cancelled;	   /* the running pull was stopped on purpose */
	bool present;	   /* file and record are there */
	bool verified;	   /* the file's checksum was right in this run */
	bool busy;	   /* a thread works on it */
	bool dirty;	   /* `now` differs from `pub` */
	unsigned failures; /* in a row */
	int64_t retry_at;  /* time_mono_ms() */
	atomic_bool stop;
	/* the running transfer's rate */
	int64_t rate_at, rate_bytes;
};

struct image_store {
	uv_loop_t *loop;
	uv_async_t async;
	int (*read_keys)(void *user, const struct json *pull_secrets, struct arena *a, struct registry_keys *ret,
			 struct error *e);
	void (*changed)(void *user, const struct image_status *s);
	void *user;
	int lock_fd; /* only one process works on a state folder */
	struct image_folders folders;
	struct registry *registry;
	struct image_blob_locks *blob_locks;
	int64_t unpacked_max;

	pthread_mutex_t lock;
	pthread_cond_t work; /* something may be to do; by the monotonic clock */
	bool closing;
	struct image **images;
	size_t count, cap;
	pthread_t threads[IMAGE_PULLS_AT_ONCE];
	size_t thread_count;
};

/* image_worker.c: a thread; arg is the store. */
void *image_worker_main(void *arg);
/* When a failed image is tried again: 1 s, 2 s, 4 s … 5 min (urgent: 30 s; refused credentials: 1 min); at once 5 min
 * when the image itself is at fault. retry_after: what the registry asked for, in seconds. Pure. */
int64_t image_retry_delay_ms(unsigned failures, int code, bool urgent, int retry_after);
/* With the lock held: marks it for the loop's side. */
void image_touch(struct image *img);
/* What a finished or interrupted download left behind in an earlier run. */
void image_sweep(const struct image_folders *f);

#endif
