/*
 * tally.h - small counts by small numbers: how many of something are at each node, rack or Location.
 *
 * A hash table of 8 bytes a cell that starts empty and grows as it is used. Keys are never 0.
 */
#ifndef BERTH_SCHEDULER_TALLY_H
#define BERTH_SCHEDULER_TALLY_H

#include "lib/base.h"

struct tally {
	struct tally_cell *cells;
	uint32_t size, used; /* used: cells with a key, those that count 0 again included */
};

struct tally_cell {
	uint32_t key, count;
};

void tally_add(struct tally *t, uint32_t key);
/* The key must have been added more often than subtracted. */
void tally_subtract(struct tally *t, uint32_t key);
void tally_free(struct tally *t); /* the cells only; t is empty then */

static inline uint32_t tally_hash(uint32_t key)
{
	key *= 0x9e3779b1U;
	return key ^ key >> 15;
}

static inline uint32_t tally_get(const struct tally *t, uint32_t key)
{
	if (!t->size)
		return 0;
	for (uint32_t i = tally_hash(key);; i++) {
		const struct tally_cell *c = &t->cells[i & (t->size - 1)];

		if (c->key == key)
			return c->count;
		if (!c->key)
			return 0;
	}
}

#endif
