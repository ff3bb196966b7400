/*
 * index.h - the objects of one kind, sorted by key: blocks of pointers, found by two binary searches.
 *
 * Ownership: the index holds one reference of each object. Not thread-safe; the watch cache guards it.
 */
#ifndef BERTH_APISERVER_INDEX_H
#define BERTH_APISERVER_INDEX_H

#include "apiserver/object.h"

struct index;

struct index *index_new(void);
void index_free(struct index *x); /* NULL-safe */
size_t index_count(const struct index *x);
struct object *index_get(const struct index *x, const char *key); /* borrowed, or NULL */
/* Takes the reference of o; gives back the one of the object it replaced, or NULL. */
struct object *index_put(struct index *x, struct object *o);
struct object *index_remove(struct index *x, const char *key);

/* A place between two objects. Valid until the next change. */
struct index_cursor {
	size_t block, slot;
};
/* Before the first object whose key is >= key; with `after`, > key. */
struct index_cursor index_seek(const struct index *x, const char *key, bool after);
/* The object after the cursor, which moves past it; NULL at the end. */
struct object *index_next(const struct index *x, struct index_cursor *c);
/* Objects between two cursors, from <= to. */
size_t index_distance(const struct index *x, struct index_cursor from, struct index_cursor to);

#endif
