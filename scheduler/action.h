/*
 * action.h - what the scheduler's core wants written. The core makes a list of actions from (world, now); the shell
 * carries them out against the apiserver and tells the world how each ended.
 *
 * Ownership: actions and their bodies live in the step's arena until they are answered.
 */
#ifndef BERTH_SCHEDULER_ACTION_H
#define BERTH_SCHEDULER_ACTION_H

#include "lib/kube.h"
#include "scheduler/world.h"

enum action_type {
	ACTION_CREATE,	     /* POST body */
	ACTION_BIND,	     /* POST body to …/binding */
	ACTION_PATCH,	     /* merge patch of the object */
	ACTION_PATCH_STATUS, /* merge patch of …/status */
	ACTION_DELETE,
	ACTION_RESOLVE, /* no write: resolve the Container's image at its registry */
};

struct action {
	enum action_type type;
	enum world_kind kind; /* of the object it is written to */
	const char *ns, *name;
	struct json *body;
	/* The record that waits for the answer, by kind and name; it does not get another action before. */
	enum world_kind owner_kind;
	const char *owner_ns, *owner_name;
	struct action_event *events; /* to record once it succeeded, in this order */
	struct action *next;
};

struct action_event {
	const char *type, *reason, *text;
	struct action_event *next;
};

struct action_list {
	struct arena *arena;
	struct action *first, **last;
	size_t count;
};

void action_list_init(struct action_list *l, struct arena *a);
/* Appends an action on the record itself; the record is marked as being written. */
struct action *action_add(struct action_list *l, enum action_type type, struct record *r, struct json *body);
/* Appends the creation of an object of another kind on behalf of owner. */
struct action *action_add_create(struct action_list *l, enum world_kind kind, const char *ns, const char *name,
				 struct record *owner, struct json *body);
/* Adds an Event about the action's owner. */
void action_event(struct action_list *l, struct action *a, const char *type, const char *reason, const char *fmt, ...)
	_printf_(5, 6);

/* Sets the condition of that type in an array of conditions built for a status; keeps lastTransitionTime of `old` when
 * the status did not change. old: the object's present conditions or NULL. */
void condition_put(struct arena *a, struct json *conditions, const struct json *old, const char *type, bool status,
		   const char *reason, const char *message, int64_t now);

#endif
