/*
 * world_book.c - who takes how much of which node; see world.h.
 */
#include "scheduler/world_private.h"

#include <stdio.h>

static void count(const struct instance *i)
{
	if (!i->container || !i->booked_on || !i->is_running)
		return;
	tally_add(&i->container->spread, i->booked_on->id);
	if (i->booked_on->domain != i->booked_on->id)
		tally_add(&i->container->spread, i->booked_on->domain);
}

static void uncount(const struct instance *i)
{
	if (!i->container || !i->booked_on || !i->is_running)
		return;
	tally_subtract(&i->container->spread, i->booked_on->id);
	if (i->booked_on->domain != i->booked_on->id)
		tally_subtract(&i->container->spread, i->booked_on->domain);
}

void world_uncount(_unused_ struct world *w, struct instance *i)
{
	uncount(i);
}

void world_count_again(_unused_ struct world *w, struct instance *i)
{
	count(i);
}

/* ---- suspended VMs of a node ---- */

static void list_suspended(struct instance *i)
{
	struct node *n = i->booked_on;

	i->next_suspended = n->suspended;
	if (i->next_suspended)
		i->next_suspended->prev_suspended = i;
	n->suspended = i;
}

static void unlist_suspended(struct instance *i)
{
	if (i->prev_suspended)
		i->prev_suspended->next_suspended = i->next_suspended;
	else
		i->booked_on->suspended = i->next_suspended;
	if (i->next_suspended)
		i->next_suspended->prev_suspended = i->prev_suspended;
	i->next_suspended = i->prev_suspended = NULL;
}

/* ---- booking ---- */

static void book(struct instance *i, struct node *n, const struct resources *need, bool running)
{
	i->is_booked = true;
	i->is_running = running;
	i->booked_on = n;
	i->booked = need;
	if (n) {
		n->used.milli_vcpu += need->milli_vcpu;
		n->used.memory += need->memory;
		n->used.disk += need->disk;
		n->instances++;
		site_book_node(n, false);
		if (!running)
			list_suspended(i);
	}
	if (i->container && running)
		i->container->running++;
	count(i);
}

void world_unbook(struct instance *i)
{
	struct node *n = i->booked_on;

	if (!i->is_booked)
		return;
	uncount(i);
	if (n) {
		n->used.milli_vcpu -= i->booked->milli_vcpu;
		n->used.memory -= i->booked->memory;
		n->used.disk -= i->booked->disk;
		n->instances--;
		site_book_node(n, true);
		if (!i->is_running)
			unlist_suspended(i);
	}
	if (i->container && i->is_running)
		i->container->running--;
	i->is_booked = i->is_running = false;
	i->booked_on = NULL;
}

static void set_unresolved(struct world *w, struct instance *i, bool unresolved)
{
	w->unresolved -= i->unresolved;
	w->unresolved += unresolved;
	i->unresolved = unresolved;
}

/* One that is resumed to be told to end does not count: it was not let in, and serves nobody. One that makes way for a
 * generation that was let in does. */
static bool counts(const struct instance *i)
{
	bool ends_only = i->suspended && i->phase == PHASE_STOPPING && i->status_generation >= i->vm_generation;

	return phase_is_running(i->phase) && !ends_only;
}

/* What a suspended VM takes: it stands still. */
static const struct resources *without_cpu(struct world *w, const struct resources *need)
{
	return world_resources(w, &(struct resources){.memory = need->memory, .disk = need->disk});
}

void world_rebook(struct world *w, struct instance *i)
{
	bool known = i->container;

	world_unbook(i);
	if (i->assumed_node) {
		struct node *n = (struct node *)world_find(w, WORLD_NODE, NULL, i->assumed_node);

		book(i, n, i->booked, true);
		known = known && n;
	} else if (counts(i) || i->suspended) {
		const struct revision *rev = (struct revision *)world_find(w, WORLD_REVISION, i->r.ns, i->revision);
		struct node *n = (struct node *)world_find(w, WORLD_NODE, NULL, i->node_name);

		const struct resources *need = rev	      ? rev->need
					       : i->container ? i->container->need
							      : world_resources(w, &(struct resources){0});

		book(i, n, counts(i) ? need : without_cpu(w, need), counts(i));
		known = known && n && rev;
	}
	set_unresolved(w, i, !known);
}

void world_assume(struct world *w, struct instance *i, struct node *n, const struct resources *need)
{
	intern_drop(w->names, i->assumed_node);
	i->assumed_node = intern_again(n->shared_name);
	world_unbook(i);
	book(i, n, need, true);
}

void world_settle(struct world *w, struct instance *i)
{
	intern_drop(w->names, i->assumed_node);
	i->assumed_node = NULL;
	world_rebook(w, i);
}

const struct resources *world_resources(struct world *w, const struct resources *r)
{
	char key[80];
	struct resources *kept;

	snprintf(key, sizeof(key), "%lld/%lld/%lld", (long long)r->milli_vcpu, (long long)r->memory,
		 (long long)r->disk);
	kept = strmap_get(w->resources, key);
	if (!kept) {
		kept = xmalloc(sizeof(*kept));
		*kept = *r;
		strmap_put(w->resources, key, kept);
	}
	return kept;
}
