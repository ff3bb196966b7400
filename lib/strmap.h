/*
 * strmap.h - a hash map from strings to pointers.
 *
 * Ownership: the map copies its keys and borrows its values; strmap_free() frees the map, never a value. The hash is
 * SipHash-like keyed per process, so that names chosen by users cannot be made to collide. One thread at a time.
 * While strmap_next() walks, nothing may be added or removed.
 *
 * Anyone may include this file.
 */
#ifndef BERTH_LIB_STRMAP_H
#define BERTH_LIB_STRMAP_H

#include "lib/base.h"

struct strmap;

struct strmap *strmap_new(void);
void strmap_free(struct strmap *m); /* NULL-safe */
void *strmap_get(const struct strmap *m, const char *key);
/* Sets or replaces; returns the value that was there, or NULL. value must not be NULL. */
void *strmap_put(struct strmap *m, const char *key, void *value);
/* Returns the value that was there, or NULL. */
void *strmap_remove(struct strmap *m, const char *key);
size_t strmap_count(const struct strmap *m);
/* Walks all entries in no order: start with *position 0; false at the end. key may be NULL. */
bool strmap_next(const struct strmap *m, size_t *position, const char **key, void **value);
/* The map's keyed hash, never 0; for other tables keyed by what users choose. */
uint64_t strmap_hash(const char *s);

#endif
