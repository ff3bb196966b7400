/*
 * resolve.c - one registry_resolve() on libuv's worker threads for each question; see resolve.h.
 */
#include "scheduler/resolve.h"

#include "lib/units.h"

#define RESOLVE_TIMEOUT_MS 30000

struct question {
	uv_work_t work;
	struct arena *arena;
	struct registry *registry;
	struct registry_secrets *secrets;
	const char *reference;
	const struct json *pull_secrets;
	struct oci_image image;
	int err;
	struct error error;
	resolve_done *done;
	void *user;
};

/* On a worker thread. */
static void ask(uv_work_t *work)
{
	struct question *q = work->data;
	struct registry_keys keys;

	q->err = registry_secrets_read(q->secrets, q->pull_secrets, q->arena, &keys, &q->error);
	if (!q->err)
		q->err = registry_resolve(q->registry, q->reference, &keys, time_mono_ms() + RESOLVE_TIMEOUT_MS,
					  q->arena, &q->image, NULL, &q->error);
}

static void answer(uv_work_t *work, int status)
{
	struct question *q = work->data;
	struct resolved_image image = {0};

	if (status && !q->err)
		q->err = error_set(&q->error, E_INTERNAL, "the question was cancelled");
	if (!q->err)
		image = (struct resolved_image){.digest = q->image.digest,
						.reference = q->image.reference,
						.config = oci_config_to_json(q->arena, &q->image.config)};
	q->done(q->user, q->err ? NULL : &image, q->err, &q->error);
	arena_free(q->arena);
	free(q);
}

void resolve_start(uv_loop_t *loop, struct registry *registry, struct registry_secrets *secrets,
		   const struct container *c, resolve_done *done, void *user)
{
	struct question *q = xcalloc(1, sizeof(*q));

	q->arena = arena_new();
	q->registry = registry;
	q->secrets = secrets;
	q->reference = arena_strdup(q->arena, c->image);
	q->pull_secrets = container_pull_secrets(q->arena, c);
	q->done = done;
	q->user = user;
	q->work.data = q;
	uv_queue_work(loop, &q->work, ask, answer);
}
