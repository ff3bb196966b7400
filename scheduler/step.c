/*
 * step.c - the order in which the cores run, and what an answer does to the world; see step.h.
 */
#include "scheduler/step.h"

#include "scheduler/gc.h"
#include "scheduler/pending.h"
#include "scheduler/prefetch.h"
#include "scheduler/revision.h"
#include "scheduler/rollout.h"
#include "scheduler/status.h"

#define RETRY_FIRST_MS 200
#define RETRY_MAX_MS 30000

void scheduler_step(struct world *w, int64_t now, struct action_list *out)
{
	struct record *x;

	world_link(w);
	revision_link(w);
	gc_step(w, now, out);
	/* Waiting requests come before everything that can wait. */
	pending_step(w, now, out);
	for (size_t pos = 0; (x = world_next(w, WORLD_CONTAINER, &pos));) {
		struct container *c = (struct container *)x;
		struct rollout r = rollout_step(c, now, out);

		status_container(w, c, &r, now, out);
	}
	revision_step(w, now, out);
	prefetch_step(w, now, out);
	status_locations(w, now, out);
}

static int64_t back_off(int failures)
{
	int64_t ms = RETRY_FIRST_MS;

	while (--failures > 0 && ms < RETRY_MAX_MS)
		ms *= 2;
	return ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
}

void step_answered(struct world *w, const struct action *x, int err, const struct json *object, int64_t now)
{
	struct record *owner = world_find(w, x->owner_kind, x->owner_ns, x->owner_name);

	/* A deletion may be answered with a Status instead of the object. */
	if (!err && json_in(object, "metadata", "uid"))
		world_put(w, x->kind, object);
	if (!owner)
		return;
	owner->writing = false;
	/* A conflict or a missing object means that the world is about to change; the informer brings the news. */
	if (!err)
		owner->failures = 0;
	else if (owner->failures < UINT8_MAX)
		owner->failures++;
	owner->retry_at = err ? now + back_off(owner->failures) : 0;
	if (owner->kind == WORLD_INSTANCE)
		world_settle(w, (struct instance *)owner);
}
