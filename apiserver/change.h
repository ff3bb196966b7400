/*
 * change.h - one object from its present state to the next: read, compute, commit; again when somebody was faster.
 *
 * compute() is a function from the live object to the next one; it may run several times, on different threads, never
 * at the same time. It reports a conflict itself when its caller named a revision, so every lost race is simply run
 * again. Where other apiservers may write too, what it refuses because of the present state is computed again once
 * their writes have been taken in. Ownership: the change and its arena belong to the caller until done() has been
 * called.
 */
#ifndef BERTH_APISERVER_CHANGE_H
#define BERTH_APISERVER_CHANGE_H

#include "apiserver/server.h"
#include "apiserver/writer.h"
#include "lib/json.h"

enum change_action { CHANGE_NONE, CHANGE_PUT, CHANGE_REMOVE };

struct change {
	/* asked */
	struct server *server;
	struct arena *arena;
	const struct kind *kind;
	const char *ns;	  /* "" for cluster-scoped kinds */
	const char *name; /* NULL: compute chooses one; again when it is taken */
	bool dry_run;
	/* live: the present object or NULL, not to be changed. Sets action, and with CHANGE_PUT and CHANGE_REMOVE next.
	 */
	int (*compute)(struct change *ch, const struct json *live, struct error *e);
	/* Once; code 0 or negative with e. For change_start(): on the writer's or a worker's thread; must not block. */
	void (*done)(struct change *ch, int code, const struct error *e);
	void *user;
	/* set by compute */
	enum change_action action;
	struct json *next;
	bool require_namespace; /* next is only stored while its Namespace exists */
	/* the outcome */
	struct object *live;  /* what compute saw last; the change's reference */
	struct object *after; /* what was stored; NULL for CHANGE_NONE and dry runs */
	/* change.c's */
	bool blocking, chosen_name, refreshed;
	unsigned attempts;
	struct waiter *waiter;
	struct commit commit;
	struct buf text;
};

void change_start(struct change *ch);
/* The same, waiting; not for the writer's or HTTP threads. done is not called. */
int change_run(struct change *ch, struct error *e);
/* Drops the references of the outcome. */
void change_clear(struct change *ch);

#endif
