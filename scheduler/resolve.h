/*
 * resolve.h - asking registries what a tag means, on worker threads beside the scheduler's loop.
 */
#ifndef BERTH_SCHEDULER_RESOLVE_H
#define BERTH_SCHEDULER_RESOLVE_H

#include "lib/registry.h"
#include "scheduler/revision.h"

#include <uv.h>

/* err 0 with image, or an error; called once, on the loop. */
typedef void resolve_done(void *user, const struct resolved_image *image, int err, const struct error *e);

/* Resolves a reference for linux/amd64; the registry client outlives the question. */
void resolve_start(uv_loop_t *loop, struct registry *registry, const char *reference, resolve_done *done, void *user);

#endif
