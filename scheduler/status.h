/*
 * status.h - what the scheduler reports: the status of Containers and Locations. Pure.
 */
#ifndef BERTH_SCHEDULER_STATUS_H
#define BERTH_SCHEDULER_STATUS_H

#include "scheduler/rollout.h"

/* Writes Container.status where it differs from what the rollout and the instances say. */
void status_container(const struct world *w, struct container *c, const struct rollout *r, int64_t now,
		      struct action_list *out);
/* Writes the scheduler's part of Location.status: nodes, readyNodes, capacity. */
void status_locations(struct world *w, int64_t now, struct action_list *out);

#endif
