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
	if (!i->suspended || !n || !node_is_live(n, now, &why))
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
	const struct node *other = place_choose(w, i->container, rev, i->origin, now).node;

	if (!other)
		return SUSPENDED_NONE; /* it keeps what it has, and its status says why it waits */
	drop(i,
	     arena_printf(out->arena, "it cannot run on node %s (%s), but on node %s", n->r.name, why, other->r.name),
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
	missing->memory -= i->booked->memory;
	missing->disk -= i->booked->disk;
}

/* True when the node has, or is about to have, enough room. */
static bool make_room_on(const struct node *n, const struct resources *need, struct action_list *out)
{
	struct resources missing = {.memory = n->used.memory + need->memory - n->allocatable.memory,
				    .disk = n->used.disk + need->disk - n->allocatable.disk};
	struct instance **resting;
	size_t count = 0, enough = 0;

	if (!n->suspended || n->used.milli_vcpu + need->milli_vcpu > n->allocatable.milli_vcpu)
		return false;
	resting = arena_alloc(out->arena, n->instances * sizeof(struct instance *));
	for (struct instance *i = n->suspended; i; i = i->next_suspended) {
		if (is_dropped(i) || i->r.deleting || i->phase == PHASE_STOPPING)
			cover(&missing, i);
		else if (!i->wants_running && !i->r.writing)
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

bool suspended_make_room(const struct placement *p, const struct resources *need, struct action_list *out)
{
	for (size_t k = 0; k < p->count; k++)
		if (p->candidates[k].is_full && make_room_on(p->candidates[k].node, need, out))
			return true;
	return false;
}
