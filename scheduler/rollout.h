/*
 * rollout.h - taking a Container's awake instances from one Revision to the next in steps. Pure.
 *
 * Steps are cumulative shares of the awake instances (default 10 %, then all); a step is at least one instance. A step
 * is complete when that many instances run the new Revision and all of those are Ready with it. An instance is moved by
 * a new binding to its own node, and only when that node holds the new image and the instance has been awake for the
 * active grace period. An instance that fails on the new Revision halts the rollout. While a rollout is under way,
 * instances that wake get the new Revision in the same share as the step.
 */
#ifndef BERTH_SCHEDULER_ROLLOUT_H
#define BERTH_SCHEDULER_ROLLOUT_H

#include "scheduler/action.h"

enum rollout_phase { ROLLOUT_PENDING, ROLLOUT_PREFETCHING, ROLLOUT_PROGRESSING, ROLLOUT_PAUSED, ROLLOUT_COMPLETE };

struct rollout {
	enum rollout_phase phase;
	int step;			/* index into the Container's steps */
	int64_t updated;		/* awake instances Ready on the newest Revision */
	int64_t total;			/* awake instances */
	const struct revision *current; /* after this step: what is fully rolled out */
	const char *message;
	bool halted; /* an instance failed on the new Revision */
};

/* Advances one Container as far as the world allows and appends the bindings that takes. */
struct rollout rollout_step(struct container *c, int64_t now, struct action_list *out);
/* The Revision an instance gets that wakes now; NULL when there is none. */
const struct revision *rollout_revision_for(const struct container *c, const struct instance *i);
const char *rollout_phase_name(enum rollout_phase p);
/* A binding to a node, as docs/architecture.md describes it. placement may be NULL. */
struct json *binding_make(struct arena *a, const struct instance *i, const struct node *n, const struct revision *rev,
			  struct json *placement);

#endif
