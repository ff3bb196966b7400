/*
 * resolve.h - asking registries what a tag means, on worker threads beside the scheduler's loop.
 */
#ifndef BERTH_SCHEDULER_RESOLVE_H
#define BERTH_SCHEDULER_RESOLVE_H

#include "lib/registry.h"
#include "lib/registry_secrets.h"
#include "scheduler/revision.h"

#include <uv.h>

/* err 0 with image, or an error; called once, on the loop. */
typedef void resolve_done(void *user, const struct resolved_image *image, int err, const struct error *e);

/* Resolves a Container's image for linux/amd64 with its pull Secrets; registry and secrets outlive the question, the
 * Container need not. */
void resolve_start(uv_loop_t *loop, struct registry *registry, struct registry_secrets *secrets,
		   const struct container *c, resolve_done *done, void *user);

#endif
