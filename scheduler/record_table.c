/*
 * record_table.c - open addressing with linear probing and back-shift deletion; see record_table.h.
 *
 * The size grows by a half and need not be a power of two: a slot is the hash, scaled. At most 85 % are taken.
 */
#include "scheduler/record_table.h"

#include "lib/strmap.h"

#define FIRST_SIZE 32
#define FULL_PERCENT 85

/* Keyed, so that names chosen by users cannot be made to collide. */
static uint32_t hash_of(const char *ns, const char *name)
{
	uint64_t h = strmap_hash(name) + (ns && *ns ? strmap_hash(ns) * 0x9e3779b97f4a7c15ULL : 0);

	return (uint32_t)(h ^ h >> 32);
}

static uint32_t home(const struct record_table *t, uint32_t hash)
{
	return (uint32_t)((uint64_t)hash * t->size >> 32);
}

static uint32_t after(const struct record_table *t, uint32_t slot)
{
	return slot + 1 < t->size ? slot + 1 : 0;
}

struct record *record_table_find(const struct record_table *t, const char *ns, const char *name)
{
	uint32_t hash;

	if (!t->size)
		return NULL;
	hash = hash_of(ns, name);
	for (uint32_t i = home(t, hash); t->slots[i]; i = after(t, i)) {
		struct record *r = t->slots[i];

		if (r->hash == hash && streq(r->name, name) && streq(r->ns, ns ? ns : ""))
			return r;
	}
	return NULL;
}

static void put(const struct record_table *t, struct record *r)
{
	uint32_t i = home(t, r->hash);

	while (t->slots[i])
		i = after(t, i);
	t->slots[i] = r;
}

void record_table_add(struct record_table *t, struct record *r)
{
	r->hash = hash_of(r->ns, r->name);
	if ((uint64_t)(t->count + 1) * 100 > (uint64_t)t->size * FULL_PERCENT) {
		struct record_table old = *t;

		t->size = old.size ? old.size + old.size / 2 : FIRST_SIZE;
		t->slots = xcalloc(t->size, sizeof(*t->slots));
		for (uint32_t i = 0; i < old.size; i++)
			if (old.slots[i])
				put(t, old.slots[i]);
		free(old.slots);
	}
	put(t, r);
	t->count++;
}

void record_table_remove(struct record_table *t, struct record *r)
{
	uint32_t hole = home(t, r->hash);

	while (t->slots[hole] != r)
		hole = after(t, hole);
	for (uint32_t i = after(t, hole); t->slots[i]; i = after(t, i)) {
		uint32_t want = home(t, t->slots[i]->hash);

		/* It may fill the hole unless its home lies behind it. */
		if (hole <= i ? want <= hole || want > i : want <= hole && want > i) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole] = NULL;
	t->count--;
}

struct record *record_table_next(const struct record_table *t, size_t *position)
{
	while (*position < t->size) {
		struct record *r = t->slots[(*position)++];

		if (r)
			return r;
	}
	return NULL;
}

void record_table_free(struct record_table *t)
{
	free(t->slots);
	*t = (struct record_table){0};
}
