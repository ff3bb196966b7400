/*
 * pending.c - binding what can be bound and explaining what cannot; see pending.h.
 */
#include "scheduler/pending.h"

#include "scheduler/place.h"
#include "scheduler/rollout.h"
#include "scheduler/suspended.h"

static bool is_pending(const struct instance *i, int64_t now)
{
	if (!i->wants_running || i->r.deleting || i->r.writing || i->assumed_node || now < i->r.retry_at)
		return false;
	return i->phase == PHASE_NONE || i->phase == PHASE_ASLEEP || i->phase == PHASE_STOPPED;
}

static int compare_age(const void *x, const void *y)
{
	const struct instance *const *ix = x, *const *iy = y;

	return (*ix)->r.resource_version < (*iy)->r.resource_version ? -1 : 1;
}

static bool same_text(const struct json *v, const char *s)
{
	return streq(json_str(v), s);
}

/* Writes phase Pending with the reason, unless the status says just that already. */
static void explain(struct instance *i, const char *reason, const char *message, struct json *placement, int64_t now,
		    struct action_list *out)
{
	struct arena *a = out->arena;
	const struct json *old = json_get(i->r.object, "status"), *conditions = json_get(old, "conditions");
	const struct json *ready = NULL;
	struct json *body = json_object(a), *status = json_set(a, body, "status", json_object(a));

	for (size_t n = 0; n < json_count(conditions); n++)
		if (same_text(json_get(json_item(conditions, n), "type"), "Ready"))
			ready = json_item(conditions, n);
	if (same_text(json_get(old, "phase"), "Pending") && same_text(json_get(ready, "reason"), reason) &&
	    same_text(json_get(ready, "message"), message) && json_equal(json_get(old, "placement"), placement))
		return;
	bool news = !same_text(json_get(ready, "reason"), reason);

	json_set_str(a, status, "phase", "Pending");
	json_set(a, status, "placement", placement);
	condition_put(a, json_set(a, status, "conditions", json_array(a)), conditions, "Ready", false, reason, message,
		      now);
	struct action *x = action_add(out, ACTION_PATCH_STATUS, &i->r, body);

	if (news)
		action_event(out, x, "Warning", reason, "%s", message);
}

/* The last Instance of this step that found no node: the next one like it finds none either, for within a step nothing
 * is given back. */
struct futile {
	const struct container *container;
	const struct revision *revision;
	const char *origin;
	struct placement survey;
	struct json *placement;
	const char *message;
	bool can_make_room; /* suspended VMs may be there that can be given up */
};

static void bind_instance(struct world *w, struct instance *i, const struct revision *rev, const struct choice *choice,
			  int64_t now, struct action_list *out)
{
	struct arena *a = out->arena;
	const struct container *c = i->container;
	struct node *n = choice->node;
	struct placement p = place_account(w, c, rev, i->origin, choice, now, a);
	struct action *x = action_add(out, ACTION_BIND, &i->r, binding_make(a, i, n, rev, place_explain(a, &p)));

	action_event(out, x, "Normal", "Scheduled", "Bound to node %s with Revision %s", n->r.name, rev->r.name);
	if (choice->passed)
		action_event(out, x, "Normal", "Redirected", "From Location %s to %s: %s", choice->passed->name,
			     n->location, place_why_passed(w, c, rev, choice->passed, now, a));
	world_assume(w, i, n, rev->need);
}

static void resume_one(struct world *w, struct instance *i, const struct revision *rev, struct action_list *out)
{
	struct node *n = (struct node *)world_find(w, WORLD_NODE, NULL, i->node_name);
	struct action *x = action_add(out, ACTION_BIND, &i->r, binding_make(out->arena, i, n, rev, NULL));

	action_event(out, x, "Normal", "Resumed", "Runs on where it was suspended, on node %s", n->r.name);
	world_assume(w, i, n, rev->need);
}

/* Where it is to run, or why it cannot. */
static void place_anew(struct world *w, struct instance *i, const struct revision *rev, struct futile *futile,
		       int64_t now, struct action_list *out)
{
	struct arena *a = out->arena;
	struct container *c = i->container;
	bool is_futile = futile->container == c && futile->revision == rev && futile->origin == i->origin;
	struct choice choice = {0};

	if (!is_futile)
		choice = place_choose(w, c, rev, i->origin, now);
	if (choice.node) {
		bind_instance(w, i, rev, &choice, now, out);
		return;
	}
	if (!is_futile) {
		struct placement p = place_survey(w, c, rev, i->origin, now, a);

		*futile = (struct futile){c, rev, i->origin, p, place_explain(a, &p), place_summary(a, &p), true};
	}
	/* Each has its own room made: what is given up for one is not there for the next. */
	if (futile->can_make_room)
		futile->can_make_room = suspended_make_room(&futile->survey, rev->need, out);
	explain(i, "Unschedulable", futile->message, futile->placement, now, out);
}

static void place_one(struct world *w, struct instance *i, struct futile *futile, int64_t now, struct action_list *out)
{
	struct arena *a = out->arena;
	struct container *c = i->container;
	struct json *nowhere = place_explain(a, &(struct placement){0});

	if (!c) {
		explain(i, "ContainerNotFound", arena_printf(a, "Container \"%s\" does not exist", i->container_name),
			nowhere, now, out);
		return;
	}
	if (c->running >= c->max_instances) {
		explain(i, "MaxInstancesReached",
			arena_printf(a, "%lld of maxInstances %lld are running; raise spec.maxInstances or wait",
				     (long long)c->running, (long long)c->max_instances),
			nowhere, now, out);
		return;
	}
	const struct revision *rev = rollout_revision_for(c, i);

	if (!rev) {
		explain(i, "NoRevision",
			c->resolve_error ? c->resolve_error : "the Container's image is being resolved", nowhere, now,
			out);
		return;
	}
	switch (suspended_decide(w, i, rev, now, out)) {
	case SUSPENDED_WAIT:
		break;
	case SUSPENDED_RESUME:
		resume_one(w, i, rev, out);
		break;
	case SUSPENDED_NONE:
		place_anew(w, i, rev, futile, now, out);
		break;
	}
}

void pending_step(struct world *w, int64_t now, struct action_list *out)
{
	struct instance **queue = arena_alloc(out->arena, (w->attention_count + 1) * sizeof(struct instance *));
	struct futile futile = {0};
	size_t count = 0;

	for (size_t n = 0; n < w->attention_count; n++)
		if (is_pending(w->attention[n], now))
			queue[count++] = w->attention[n];
	qsort(queue, count, sizeof(*queue), compare_age);
	for (size_t n = 0; n < count; n++)
		place_one(w, queue[n], &futile, now, out);
}
