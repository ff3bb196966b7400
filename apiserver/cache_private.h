/*
 * cache_private.h - what cache.c and cache_list.c share; nobody else includes it.
 */
#ifndef BERTH_APISERVER_CACHE_PRIVATE_H
#define BERTH_APISERVER_CACHE_PRIVATE_H

#include "apiserver/cache.h"
#include "apiserver/index.h"
#include <pthread.h>

struct cache {
	struct store *store;
	pthread_rwlock_t lock; /* guards everything down to wait_lock */
	struct index **kinds;  /* by kind->index */
	size_t kind_count;
	_Atomic int64_t *changed; /* by kind->index: the revision of its newest change */
	int64_t revision;
	struct event *ring; /* EVENTS_MAX places */
	size_t ring_first, ring_count, ring_bytes;
	int64_t ring_floor; /* the ring holds every event with a greater revision */
	pthread_mutex_t wait_lock;
	pthread_cond_t news;
	uint64_t wakes;
};

/* The i-th oldest event; the position of the first one behind a revision. Under the lock. */
struct event *ring_at(const struct cache *c, size_t i);
size_t ring_find(const struct cache *c, int64_t after);

#endif
