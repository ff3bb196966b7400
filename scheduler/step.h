/*
 * step.h - one decision of the scheduler: a pure function of (world, now) to a list of writes.
 *
 * A record with a write under way is left alone until step_answered() reports how it ended; a failed write is tried
 * again after a back-off of 0.2 s doubling to 30 s. Running it twice on an unchanged world yields nothing new.
 */
#ifndef BERTH_SCHEDULER_STEP_H
#define BERTH_SCHEDULER_STEP_H

#include "scheduler/action.h"

void scheduler_step(struct world *w, int64_t now, struct action_list *out);
/* How an action ended: err 0 and the object as the server now has it (NULL for a deletion), or an enum error_code. */
void step_answered(struct world *w, const struct action *x, int err, const struct json *object, int64_t now);

#endif
