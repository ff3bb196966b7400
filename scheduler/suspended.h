/*
 * suspended.h - what becomes of suspended VMs: which run on where they are, and which are given up. Pure.
 *
 * A suspended VM runs on only where it is, and only with the Revision it has. When that cannot be, or its node needs
 * its memory for an Instance that is to run, its agent is told to give it up, by an annotation that names the
 * generation. The agent then ends it as it would end one that runs (SIGTERM, grace period), and the Instance is placed
 * as any other.
 *
 * Used by pending.c; decode.c reads the annotation.
 */
#ifndef BERTH_SCHEDULER_SUSPENDED_H
#define BERTH_SCHEDULER_SUSPENDED_H

#include "scheduler/action.h"
#include "scheduler/place.h"

#define SUSPENDED_DROP_ANNOTATION "berth.dev/drop-suspended"

enum suspended_fate {
	SUSPENDED_NONE,	  /* nothing is in the way of placing it anew */
	SUSPENDED_RESUME, /* bind it to where it is */
	SUSPENDED_WAIT,	  /* it is being given up, or is as soon as the action added is done */
};

/* For an Instance that is to run with that Revision. */
enum suspended_fate suspended_decide(struct world *w, struct instance *i, const struct revision *rev, int64_t now,
				     struct action_list *out);
/* Nowhere is room: gives up suspended VMs that have slept longest, on the first node where that makes enough; false
 * when it does nowhere. p: of place_survey(). */
bool suspended_make_room(const struct placement *p, const struct resources *need, struct action_list *out);

#endif
