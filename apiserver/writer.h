/*
 * writer.h - the one thread that commits: everything queued goes into one store transaction, then into the cache, then
 * each writer is told. What other apiservers write to a store they share goes into the cache here too, in its place.
 *
 * Ownership: a struct commit is the caller's, from writer_submit() until its done() has been called. done() runs on the
 * writer's thread and must not block. Thread-safe.
 */
#ifndef BERTH_APISERVER_WRITER_H
#define BERTH_APISERVER_WRITER_H

#include "apiserver/cache.h"
#include "apiserver/store.h"

struct commit {
	struct store_write write; /* key NULL: only takes in others' writes; -E_CONFLICT, or -E_UNAVAILABLE */
	struct object *object;	  /* the new version (removal: the last), not yet published; the commit's reference */
	void (*done)(struct commit *c); /* write.result says how it went; object is published when that is 0 */
	void *user;
	struct commit *next; /* the writer's */
};

struct writer;
struct writer *writer_start(struct store *store, struct cache *cache);
void writer_submit(struct writer *w, struct commit *c);
/* Commits what is queued, then ends the thread. NULL-safe. */
void writer_stop(struct writer *w);

#endif
