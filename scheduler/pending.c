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

/* "2 nodes: insufficient memory; 1 node: node is cordoned" */
static const char *summarize(struct arena *a, const struct placement *p)
{
	const char *text = "";

	for (size_t i = 0; i < p->count; i++) {
		size_t same = 0, before = 0;

		for (size_t k = 0; k < p->count; k++) {
			bool equal = streq(p->candidates[k].reason, p->candidates[i].reason);

			same += equal;
			before += equal && k < i;
		}
		if (!before && strlen(text) < 512)
			text = arena_printf(a, "%s%s%zu node%s: %s", text, *text ? "; " : "", same, same > 1 ? "s" : "",
					    p->candidates[i].reason);
	}
	return p->count ? text : "there are no nodes";
}

static void resume_one(struct world *w, struct instance *i, const struct revision *rev, struct action_list *out)
{
	const struct node *n = (struct node *)world_find(w, WORLD_NODE, NULL, i->node_name);
	struct action *x = action_add(out, ACTION_BIND, &i->r, binding_make(out->arena, i, n, rev, NULL));

	action_event(out, x, "Normal", "Resumed", "Runs on where it was suspended, on node %s", n->r.name);
	world_assume(w, i, n, &rev->need);
}

static void place_one(struct world *w, struct instance *i, int64_t now, struct action_list *out)
{
	struct arena *a = out->arena;
	struct container *c = i->container;
	struct json *nowhere = json_object(a);

	json_set(a, nowhere, "candidates", json_array(a));
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
	const struct revision *rev = rollout_revision_for(w, c, i);

	if (!rev) {
		explain(i, "NoRevision",
			c->resolve_error ? c->resolve_error : "the Container's image is being resolved", nowhere, now,
			out);
		return;
	}
	enum suspended_fate fate = suspended_decide(w, i, rev, now, out);

	if (fate == SUSPENDED_WAIT)
		return;
	if (fate == SUSPENDED_RESUME) {
		resume_one(w, i, rev, out);
		return;
	}
	struct placement p = place_instance(w, c, rev, i->origin, now, a);

	if (!p.node) {
		suspended_make_room(w, &p, &rev->need, out);
		explain(i, "Unschedulable", summarize(a, &p), place_explain(a, &p), now, out);
		return;
	}
	struct action *x = action_add(out, ACTION_BIND, &i->r, binding_make(a, i, p.node, rev, place_explain(a, &p)));

	action_event(out, x, "Normal", "Scheduled", "Bound to node %s with Revision %s", p.node->r.name, rev->r.name);
	world_assume(w, i, p.node, &rev->need);
}

void pending_step(struct world *w, int64_t now, struct action_list *out)
{
	struct instance **queue = arena_alloc(out->arena, (strmap_count(w->records[WORLD_INSTANCE]) + 1) *
								  sizeof(struct instance *));
	size_t count = 0;
	struct record *x;

	for (size_t pos = 0; (x = world_next(w, WORLD_INSTANCE, &pos));)
		if (is_pending((struct instance *)x, now))
			queue[count++] = (struct instance *)x;
	qsort(queue, count, sizeof(*queue), compare_age);
	for (size_t n = 0; n < count; n++)
		place_one(w, queue[n], now, out);
}
