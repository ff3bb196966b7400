/*
 * suspended.c - see suspended.h.
 */
#include "scheduler/suspended.h"

static bool is_dropped(const struct instance *i)
{
	return i->dropping && i->dropping >= i->vm_generation;
}

static void drop(struct instance *i, const char *why, struct action_list *out)
{
	struct arena *a = out->arena;
	struct json *body = json_object(a), *meta = json_set(a, body, "metadata", json_object(a));
	struct json *annotations = json_set(a, meta, "annotations", json_object(a));

	json_set(a, annotations, SUSPENDED_DROP_ANNOTATION, json_stringf(a, "%lld", (long long)i->vm_generation));
	/* Whoever woke it in between was quicker. */
	json_set(a, meta, "resourceVersion", json_stringf(a, "%llu", (unsigned long long)i->r.resource_version));
	struct action *x = action_add(out, ACTION_PATCH, &i->r, body);

	action_event(out, x, "Normal", "SuspendedDropped", "Its suspended VM is given up: %s", why);
}

enum suspended_fate suspended_decide(struct world *w, struct instance *i, const struct revision *rev, int64_t now,
				     struct action_list *out)
{
	const struct node *n = (struct node *)world_find(w, WORLD_NODE, NULL, i->node_name);
	const char *why;

	/* A node that is dead ends what it has once it is back and sees that the Instance is bound elsewhere; until
	 * then a VM that stands still is no second one. */
	if (!i->suspended || !n || !node_is_live(w, n, now, &why))
		return SUSPENDED_NONE;
	if (is_dropped(i))
		return SUSPENDED_WAIT;
	if (!streq(rev->r.name, i->revision)) {
		drop(i, "it is of another Revision than the one to run", out);
		return SUSPENDED_WAIT;
	}
	why = place_resume_obstacle(w, i, n, now, out->arena);
	if (!why)
		return SUSPENDED_RESUME;
	struct placement p = place_instance(w, i->container, rev, i->origin, now, out->arena);

	if (!p.node)
		return SUSPENDED_NONE; /* it keeps what it has, and its status says why it waits */
	drop(i,
	     arena_printf(out->arena, "it cannot run on node %s (%s), but on node %s", n->r.name, why, p.node->r.name),
	     out);
	return SUSPENDED_WAIT;
}

/* ---- making room ---- */

static int compare_rest(const void *x, const void *y)
{
	const struct instance *const *ix = x, *const *iy = y;

	return (*ix)->r.resource_version < (*iy)->r.resource_version ? -1 : 1;
}

static bool is_covered(const struct resources *missing)
{
	return missing->memory <= 0 && missing->disk <= 0;
}

static void cover(struct resources *missing, const struct instance *i)
{
	missing->memory -= i->booked.memory;
	missing->disk -= i->booked.disk;
}

/* True when the node has, or is about to have, enough room. */
static bool make_room_on(struct world *w, const struct node *n, const struct resources *need, struct action_list *out)
{
	struct resources missing = {.memory = n->used.memory + need->memory - n->allocatable.memory,
				    .disk = n->used.disk + need->disk - n->allocatable.disk};
	struct instance **resting = arena_alloc(out->arena, (strmap_count(w->records[WORLD_INSTANCE]) + 1) *
								    sizeof(struct instance *));
	size_t count = 0, enough = 0;
	struct record *x;

	if (n->used.milli_vcpu + need->milli_vcpu > n->allocatable.milli_vcpu)
		return false;
	for (size_t pos = 0; (x = world_next(w, WORLD_INSTANCE, &pos));) {
		struct instance *i = (struct instance *)x;

		if (!i->suspended || i->is_running || i->booked_on != n)
			continue;
		if (is_dropped(i) || x->deleting || i->phase == PHASE_STOPPING)
			cover(&missing, i);
		else if (!i->wants_running && !x->writing)
			resting[count++] = i;
	}
	qsort(resting, count, sizeof(*resting), compare_rest);
	while (enough < count && !is_covered(&missing))
		cover(&missing, resting[enough++]);
	if (!is_covered(&missing))
		return false;
	for (size_t k = 0; k < enough; k++)
		drop(resting[k], "its node needs the memory", out);
	return true;
}

void suspended_make_room(struct world *w, const struct placement *p, const struct resources *need,
			 struct action_list *out)
{
	for (size_t k = 0; k < p->count; k++)
		if (p->candidates[k].is_full && make_room_on(w, p->candidates[k].node, need, out))
			return;
}
