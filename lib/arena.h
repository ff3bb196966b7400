/*
 * arena.h - memory that dies with its request, step or cached object.
 *
 * Ownership: everything allocated from an arena belongs to it and is gone after arena_free(); nothing is freed singly.
 * An arena is used by one thread at a time. Allocation cannot fail (see base.h). Blocks start small (1 KiB) and double.
 *
 * Anyone may include this file.
 */
#ifndef BERTH_LIB_ARENA_H
#define BERTH_LIB_ARENA_H

#include "lib/base.h"

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a); /* NULL-safe */
static inline void arena_freep(struct arena **a)
{
	arena_free(*a);
}
#define _arena_ _cleanup_(arena_freep) struct arena *

void *arena_alloc(struct arena *a, size_t n);  /* aligned to 16, not cleared */
void *arena_calloc(struct arena *a, size_t n); /* cleared */
/* Strings cost their length: they are not aligned. */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) _printf_(2, 3);
/* Bytes held from the system, for limits and tests. */
size_t arena_size(const struct arena *a);

#endif
