/*
 * record.h - what must survive the agent about one Instance: <state_dir>/instances/<uid>/record.json.
 *
 * Written atomically before the act it guards (P3: a generation that is over never starts again, not even after kill
 * -9). Times of the clock that never jumps are only good within one boot of the host; others are dropped when read.
 */
#ifndef BERTH_AGENT_RECORD_H
#define BERTH_AGENT_RECORD_H

#include "agent/reconcile.h"
#include "lib/arena.h"
#include "lib/error.h"

struct record {
	const char *ns, *name, *uid;
	int64_t highest, spent;
	int64_t generation, made_as; /* of the VM now, and when it was made: the one its domain bears */
	enum reconcile_over over;
	int64_t grace_ms;   /* of the revision that runs */
	int64_t term_since; /* SIGTERM was sent then; 0: it was not */
	int64_t restarts, run;
	bool app_started;	      /* the VM got START */
	bool internet;		      /* what its packet rules allow */
	bool ready;		      /* it was ready once */
	bool suspend;		      /* asleep it is suspended, not stopped */
	bool resuming;		      /* it was to run on, and its guest has not answered: its clock may be wrong */
	int64_t started_at, ready_at; /* wall clock, ms; 0: never */
};

/* state_dir/instances/uid, in a. */
char *record_dir(struct arena *a, const char *state_dir, const char *uid);
int record_save(const char *state_dir, const struct record *r, struct error *e);
/* Strings live in a. Errors: E_NOT_FOUND, E_INVALID when it is not of this instance or unreadable. */
int record_load(struct arena *a, const char *state_dir, const char *uid, struct record *ret, struct error *e);
/* The uids that have a folder. */
int record_list(struct arena *a, const char *state_dir, const char ***ret, size_t *ret_count, struct error *e);

/* The agent's own id, made at the first call: marks domains and taps as this agent's. */
int record_owner(struct arena *a, const char *state_dir, const char **ret, struct error *e);
/* This boot of the host. */
const char *record_host_boot_id(void);

#endif
