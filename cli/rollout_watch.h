/*
 * rollout_watch.h - following Containers until their rollouts are done or have failed.
 */
#ifndef BERTH_CLI_ROLLOUT_WATCH_H
#define BERTH_CLI_ROLLOUT_WATCH_H

#include "cli/cli.h"

struct rollout_target {
	const char *ns, *name;
	int64_t generation; /* as it was applied */
};

/* Shows progress on standard error until all are done (0), one has failed (an error that says why), timeout_ms passed
 * (CLI_TIMED_OUT and an error; 0 is for ever), or Ctrl-C came (CLI_INTERRUPTED): the rollout then goes on. */
int rollout_watch(struct cli *c, const struct rollout_target *targets, size_t count, int64_t timeout_ms,
		  struct error *e);

#endif
