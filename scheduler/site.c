/*
 * site.c - keeping nodes in order and Locations by distance; see site.h.
 */
#include "scheduler/site.h"

#include "scheduler/place.h"

_Static_assert(sizeof(struct site_slot) == SITE_SLOT_BYTES, "a slot is a cache line");

void sites_init(struct sites *s, struct interns *names)
{
	*s = (struct sites){.names = names, .epoch = 1};
}

static void site_free(struct site *s)
{
	free(s->slots);
	free(s->order);
	free(s->rank);
	free(s->held);
	tally_free(&s->holders);
	free(s->near);
	free(s);
}

void sites_free(struct sites *s)
{
	for (size_t i = 0; i < s->count; i++)
		site_free(s->list[i]);
	free(s->list);
	free(s->nowhere.near);
}

struct site *sites_get(struct sites *s, const char *name)
{
	const char *shared = intern(s->names, name);
	struct site *site = site_named(shared);

	if (site) {
		intern_drop(s->names, shared);
		return site;
	}
	if (s->count == s->room) {
		s->room = s->room ? s->room * 2 : 16;
		s->list = xrealloc(s->list, s->room * sizeof(struct site *));
	}
	site = xcalloc(1, sizeof(*site));
	site->name = shared;
	s->list[s->count++] = site;
	site->id = (uint32_t)s->count;
	*intern_tag(shared) = site;
	s->epoch++;
	return site;
}

void sites_changed(struct sites *s)
{
	s->epoch++;
}

/* ---- Locations by nearness ---- */

static int compare_neighbours(const void *px, const void *py)
{
	const struct neighbour *x = px, *y = py;

	if (x->km < y->km || x->km > y->km)
		return x->km < y->km ? -1 : 1;
	return strcmp(x->site->name, y->site->name);
}

const struct neighbour *sites_near(struct sites *s, struct site *from, size_t *ret_count)
{
	const struct location *here = from ? from->location : NULL;
	struct site *keeper = here ? from : &s->nowhere;

	if (keeper->near_epoch != s->epoch) {
		keeper->near = xrealloc(keeper->near, (s->count + 1) * sizeof(*keeper->near));
		keeper->near_count = 0;
		for (size_t i = 0; i < s->count; i++) {
			const struct location *there = s->list[i]->location;

			if (there)
				keeper->near[keeper->near_count++] = (struct neighbour){
					s->list[i], here ? place_distance_km(here, there) : -1};
		}
		qsort(keeper->near, keeper->near_count, sizeof(*keeper->near), compare_neighbours);
		keeper->near_epoch = s->epoch;
	}
	*ret_count = keeper->near_count;
	return keeper->near;
}

/* ---- nodes in order ---- */

/* The score is of the node with one more of the smallest instance type: the larger of two empty nodes goes first, and
 * the order is the same whatever is to be placed. */
static const struct resources one_more = {.milli_vcpu = 62, .memory = 256 << 20, .disk = 2000000000};

static int64_t free_permille(int64_t allocatable, int64_t used)
{
	return allocatable > used ? (allocatable - used) * 1000 / allocatable : 0;
}

static int32_t score_of(const struct node *n)
{
	const struct resources *all = &n->allocatable, *used = &n->used;

	return (int32_t)((free_permille(all->milli_vcpu, used->milli_vcpu + one_more.milli_vcpu) +
			  free_permille(all->memory, used->memory + one_more.memory) +
			  free_permille(all->disk, used->disk + one_more.disk)) /
			 3);
}

static int64_t open_until(const struct node *n)
{
	if (n->r.deleting || !n->ready || n->unschedulable || n->taint || n->pressure || !n->lease)
		return INT64_MIN;
	return n->lease->renewed_at + n->lease->duration_ms;
}

static bool goes_before(const struct site *s, uint32_t x, uint32_t y)
{
	const struct site_slot *a = &s->slots[x], *b = &s->slots[y];

	if (a->score != b->score)
		return a->score > b->score;
	if (a->instances != b->instances)
		return a->instances < b->instances;
	return strcmp(a->node->r.name, b->node->r.name) < 0;
}

static void put_at(struct site *s, uint32_t place, uint32_t slot)
{
	s->order[place] = slot;
	s->rank[slot] = place;
}

/* Moves a slot to where it belongs in the order, from where it is. */
static void settle(struct site *s, uint32_t slot)
{
	uint32_t i = s->rank[slot];

	for (; i > 0 && goes_before(s, slot, s->order[i - 1]); i--)
		put_at(s, i, s->order[i - 1]);
	for (; i + 1 < s->count && goes_before(s, s->order[i + 1], slot); i++)
		put_at(s, i, s->order[i + 1]);
	put_at(s, i, slot);
}

void site_book_node(struct node *n, bool grew)
{
	struct site *s = n->site;
	struct site_slot *slot;

	n->score = score_of(n);
	if (!s)
		return;
	if (grew)
		s->full_count = 0;
	slot = &s->slots[n->slot];
	slot->left = (struct resources){n->allocatable.milli_vcpu - n->used.milli_vcpu,
					n->allocatable.memory - n->used.memory, n->allocatable.disk - n->used.disk};
	slot->score = n->score;
	slot->instances = n->instances;
	settle(s, n->slot);
}

void site_update_node(struct node *n, bool grew)
{
	struct site_slot *slot;

	if (n->site) {
		slot = &n->site->slots[n->slot];
		slot->node = n;
		slot->open_until = open_until(n);
		slot->held = n->held;
		slot->id = n->id;
		slot->domain = n->domain;
	}
	site_book_node(n, grew);
}

void site_hold(struct site *s, uint32_t digest)
{
	uint64_t words = s->held ? s->held[0] : 0, needed = digest / 64 + 1;

	tally_add(&s->holders, digest + 1);
	if (needed > words) {
		s->held = xrealloc(s->held, (needed + 1) * sizeof(*s->held));
		memset(s->held + 1 + words, 0, (needed - words) * sizeof(*s->held));
		s->held[0] = needed;
	}
	s->held[1 + digest / 64] |= 1ULL << digest % 64;
}

void site_unhold(struct site *s, uint32_t digest)
{
	tally_subtract(&s->holders, digest + 1);
	if (!tally_get(&s->holders, digest + 1))
		s->held[1 + digest / 64] &= ~(1ULL << digest % 64);
}

static struct site_slot *grow_slots(struct site_slot *old, uint32_t count, uint32_t room)
{
	struct site_slot *slots = aligned_alloc(SITE_SLOT_BYTES, room * sizeof(*slots));

	if (!slots)
		abort();
	if (count)
		memcpy(slots, old, count * sizeof(*slots));
	free(old);
	return slots;
}

void site_add_node(struct site *s, struct node *n)
{
	if (s->count == s->room) {
		s->room = s->room ? s->room * 2 : 8;
		s->slots = grow_slots(s->slots, s->count, s->room);
		s->order = xrealloc(s->order, s->room * sizeof(*s->order));
		s->rank = xrealloc(s->rank, s->room * sizeof(*s->rank));
	}
	n->site = s;
	n->slot = s->count++;
	put_at(s, n->slot, n->slot);
	site_update_node(n, true);
}

void site_remove_node(struct node *n)
{
	struct site *s = n->site;
	uint32_t last;

	if (!s)
		return;
	for (uint32_t i = s->rank[n->slot]; i + 1 < s->count; i++)
		put_at(s, i, s->order[i + 1]);
	last = --s->count;
	if (n->slot != last) {
		s->slots[n->slot] = s->slots[last];
		s->slots[n->slot].node->slot = n->slot;
		put_at(s, s->rank[last], n->slot);
	}
	n->site = NULL;
}

/* ---- room ---- */

bool site_is_full_for(const struct site *s, const struct resources *need)
{
	for (unsigned i = 0; i < s->full_count; i++)
		if (resources_cover(need, &s->full[i]))
			return true;
	return false;
}

void site_note_full(struct site *s, const struct resources *need)
{
	if (s->full_count < SITE_FULL_MAX)
		s->full[s->full_count++] = *need;
	else
		s->full[need->memory % SITE_FULL_MAX] = *need;
}
