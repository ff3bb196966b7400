/*
 * index.c - sorted blocks; see index.h.
 *
 * A block holds up to BLOCK_MAX pointers and splits in half when it is full; an empty block is dropped. A list walks
 * blocks in order, which is as fast as memory allows.
 */
#include "apiserver/index.h"

#define BLOCK_MAX 256

struct block {
	size_t count;
	struct object *slots[BLOCK_MAX];
};

struct index {
	struct block **blocks; /* never empty ones */
	size_t count, cap, objects;
};

struct index *index_new(void)
{
	return xcalloc(1, sizeof(struct index));
}

void index_free(struct index *x)
{
	if (!x)
		return;
	for (size_t b = 0; b < x->count; b++) {
		for (size_t i = 0; i < x->blocks[b]->count; i++)
			object_unref(x->blocks[b]->slots[i]);
		free(x->blocks[b]);
	}
	free(x->blocks);
	free(x);
}

size_t index_count(const struct index *x)
{
	return x->objects;
}

/* The first slot of b whose key is >= key. */
static size_t block_find(const struct block *b, const char *key)
{
	size_t low = 0, high = b->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (strcmp(b->slots[middle]->key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The block that holds key or where it belongs: the last one whose first key is <= key, else the first. */
static size_t index_block(const struct index *x, const char *key)
{
	size_t low = 0, high = x->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (strcmp(x->blocks[middle]->slots[0]->key, key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : 0;
}

struct index_cursor index_seek(const struct index *x, const char *key, bool after)
{
	struct index_cursor c = {.block = index_block(x, key)};

	if (c.block >= x->count)
		return c;
	const struct block *b = x->blocks[c.block];
	c.slot = block_find(b, key);
	if (after && c.slot < b->count && streq(b->slots[c.slot]->key, key))
		c.slot++;
	if (c.slot == b->count)
		c = (struct index_cursor){.block = c.block + 1};
	return c;
}

struct object *index_next(const struct index *x, struct index_cursor *c)
{
	if (c->block >= x->count)
		return NULL;
	const struct block *b = x->blocks[c->block];
	struct object *o = b->slots[c->slot++];
	if (c->slot == b->count)
		*c = (struct index_cursor){.block = c->block + 1};
	return o;
}

size_t index_distance(const struct index *x, struct index_cursor from, struct index_cursor to)
{
	size_t n = 0;

	for (size_t b = from.block; b < to.block && b < x->count; b++)
		n += x->blocks[b]->count;
	return n + to.slot - from.slot;
}

struct object *index_get(const struct index *x, const char *key)
{
	struct index_cursor c = index_seek(x, key, false);
	struct object *o = index_next(x, &c);

	return o && streq(o->key, key) ? o : NULL;
}

static void insert_block(struct index *x, size_t at, struct block *b)
{
	if (x->count == x->cap) {
		x->cap = x->cap ? x->cap * 2 : 8;
		x->blocks = xrealloc(x->blocks, x->cap * sizeof(*x->blocks));
	}
	memmove(x->blocks + at + 1, x->blocks + at, (x->count - at) * sizeof(*x->blocks));
	x->blocks[at] = b;
	x->count++;
}

/* Moves the upper half of block `at` into a new one after it. */
static void split_block(struct index *x, size_t at)
{
	struct block *low = x->blocks[at], *high = xmalloc(sizeof(*high));
	size_t keep = BLOCK_MAX / 2;

	high->count = low->count - keep;
	memcpy(high->slots, low->slots + keep, high->count * sizeof(*high->slots));
	low->count = keep;
	insert_block(x, at + 1, high);
}

struct object *index_put(struct index *x, struct object *o)
{
	if (x->count == 0) {
		struct block *first = xmalloc(sizeof(*first));
		first->count = 0;
		insert_block(x, 0, first);
	}
	size_t at = x->objects ? index_block(x, o->key) : 0;
	size_t slot = block_find(x->blocks[at], o->key);
	struct block *b = x->blocks[at];
	if (slot < b->count && streq(b->slots[slot]->key, o->key)) {
		struct object *old = b->slots[slot];
		b->slots[slot] = o;
		return old;
	}
	if (b->count == BLOCK_MAX) {
		split_block(x, at);
		if (slot > b->count) {
			slot -= b->count;
			b = x->blocks[at + 1];
		}
	}
	memmove(b->slots + slot + 1, b->slots + slot, (b->count - slot) * sizeof(*b->slots));
	b->slots[slot] = o;
	b->count++;
	x->objects++;
	return NULL;
}

struct object *index_remove(struct index *x, const char *key)
{
	if (x->objects == 0)
		return NULL;
	size_t at = index_block(x, key);
	struct block *b = x->blocks[at];
	size_t slot = block_find(b, key);
	if (slot == b->count || !streq(b->slots[slot]->key, key))
		return NULL;
	struct object *o = b->slots[slot];
	b->count--;
	x->objects--;
	memmove(b->slots + slot, b->slots + slot + 1, (b->count - slot) * sizeof(*b->slots));
	if (b->count == 0) {
		free(b);
		x->count--;
		memmove(x->blocks + at, x->blocks + at + 1, (x->count - at) * sizeof(*x->blocks));
	}
	return o;
}
