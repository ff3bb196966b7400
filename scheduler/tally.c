/*
 * tally.c - growing and counting; see tally.h.
 */
#include "scheduler/tally.h"

#define FIRST_SIZE 2 /* a power of two */

/* The key's cell, or the free one where it goes. */
static struct tally_cell *cell_of(const struct tally *t, uint32_t key)
{
	for (uint32_t i = tally_hash(key);; i++) {
		struct tally_cell *c = &t->cells[i & (t->size - 1)];

		if (c->key == key || !c->key)
			return c;
	}
}

/* Room for one key more; cells that count 0 go. */
static void make_room(struct tally *t)
{
	struct tally old = *t;
	uint32_t live = 0;

	for (uint32_t i = 0; i < old.size; i++)
		live += old.cells[i].count > 0;
	t->size = FIRST_SIZE;
	while ((uint64_t)(live + 1) * 8 > (uint64_t)t->size * 7)
		t->size *= 2;
	t->cells = xcalloc(t->size, sizeof(*t->cells));
	t->used = live;
	for (uint32_t i = 0; i < old.size; i++)
		if (old.cells[i].count)
			*cell_of(t, old.cells[i].key) = old.cells[i];
	free(old.cells);
}

void tally_add(struct tally *t, uint32_t key)
{
	struct tally_cell *c = t->size ? cell_of(t, key) : NULL;

	/* At least one cell stays free, or looking for a missing key would not end. */
	if (!c || (!c->key && (uint64_t)(t->used + 1) * 8 > (uint64_t)t->size * 7)) {
		make_room(t);
		c = cell_of(t, key);
	}
	if (!c->key) {
		c->key = key;
		t->used++;
	}
	c->count++;
}

void tally_subtract(struct tally *t, uint32_t key)
{
	cell_of(t, key)->count--;
}

void tally_free(struct tally *t)
{
	free(t->cells);
	*t = (struct tally){0};
}
