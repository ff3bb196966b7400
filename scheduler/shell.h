/*
 * shell.h - the scheduler's I/O: informers feed the world, steps are run soon after it changes, actions become calls.
 *
 * Everything runs on one libuv loop. A change starts a step within a millisecond; without changes one runs every
 * second, because leases expire by time.
 */
#ifndef BERTH_SCHEDULER_SHELL_H
#define BERTH_SCHEDULER_SHELL_H

#include "lib/kube.h"
#include "lib/registry.h"
#include "lib/registry_secrets.h"

#include <uv.h>

struct shell;

/* The registry client and the reader of pull Secrets are borrowed for the shell's life. */
struct shell *shell_start(uv_loop_t *loop, struct kube *kube, struct registry *registry,
			  struct registry_secrets *secrets);
/* True once every informer has its first list. */
bool shell_is_synced(const struct shell *s);
void shell_stop(struct shell *s);

#endif
