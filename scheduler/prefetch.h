/*
 * prefetch.h - which image is wanted in which Location, and how far its prefetch is. Pure.
 *
 * An image is wanted where the Container's placement and prefetch lists allow, as long as one of its Revisions is in
 * use: the newest, the current, the one before (for rolling back), or one an awake instance runs.
 */
#ifndef BERTH_SCHEDULER_PREFETCH_H
#define BERTH_SCHEDULER_PREFETCH_H

#include "scheduler/action.h"

/* Creates, changes and deletes Image objects, and writes their status from what the nodes report. */
void prefetch_step(struct world *w, int64_t now, struct action_list *out);

struct prefetch_progress {
	int64_t ready, wanted; /* nodes */
	int64_t percent;       /* over all wanted nodes */
	const char *failure;   /* of one node that failed, or NULL */
};
/* How far the image of a Container's newest Revision is. */
struct prefetch_progress prefetch_progress(const struct world *w, const struct container *c);

#endif
