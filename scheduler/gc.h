/*
 * gc.h - what nobody else would ever remove. Pure.
 *
 * - Instances whose Container is gone are deleted (their agents then take the VM down).
 * - The finalizer berth.dev/vm of a deleted Instance is lifted by the agent of its node; by this where it was never
 * bound or its Node object is gone.
 */
#ifndef BERTH_SCHEDULER_GC_H
#define BERTH_SCHEDULER_GC_H

#include "scheduler/action.h"

void gc_step(struct world *w, int64_t now, struct action_list *out);

#endif
