/*
 * pending.h - the queue of Instances that want to run and are not bound. Pure.
 *
 * First come, first served, by the order in which their last write reached the store. maxInstances is exact: bindings
 * under way count. An Instance that cannot be placed says why, per node, in its status; it is tried again at every
 * step.
 */
#ifndef BERTH_SCHEDULER_PENDING_H
#define BERTH_SCHEDULER_PENDING_H

#include "scheduler/action.h"

void pending_step(struct world *w, int64_t now, struct action_list *out);

#endif
