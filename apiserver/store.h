/*
 * store.h - where objects live durably: revisioned keys, compare-and-swap, ranges at a revision, history.
 *
 * One store-wide revision counts committed writes; it only grows, survives restarts, and a write that fails consumes
 * none. Keys are "group/plural/namespace/name" (group and namespace may be empty). A value holds its own revision: the
 * backend inserts the decimal text at `revision_at` when it commits, because only then the number is known.
 *
 * History is kept from compacted() on: range() and history() answer E_EXPIRED below it. A store that can no longer
 * promise durability (I/O error on write or sync, corruption) ends the process; a full disk is E_NO_SPACE and passes.
 *
 * commit() is called by one thread at a time; everything else from any thread. Used by the writer, the watch cache
 * and the garbage collector.
 */
#ifndef BERTH_APISERVER_STORE_H
#define BERTH_APISERVER_STORE_H

#include "lib/error.h"
#include "lib/httpd.h"

#define STORE_ABSENT 0 /* for store_write.expect: the key must not exist */

struct store_write {
	/* asked; borrowed until the commit returns */
	const char *key;
	const char *require; /* another key that must exist, or NULL: a namespaced object's Namespace */
	int64_t expect;	     /* STORE_ABSENT, or the revision the key must have */
	bool remove;	     /* value is then the last state, for those who watch */
	const char *value;
	size_t len, revision_at;
	/* answered: 0, -E_ALREADY_EXISTS, -E_CONFLICT (another revision), -E_NOT_FOUND (key, or required key, is gone),
	 * or what commit() returned */
	int result;
	int64_t revision;
	struct chunk *stored; /* the value with its revision; the caller's reference */
};

struct store_entry {
	const char *key;
	int64_t revision, previous; /* previous: revision it replaced, 0 when it was created */
	bool deleted;
	const char *value, *old; /* old: the replaced value, only from history(); NULL when created */
	size_t len, old_len;
};
/* The entry is borrowed for the call. Non-zero stops the walk and becomes its result. */
typedef int store_visit(void *user, const struct store_entry *entry);

struct store {
	const struct store_ops *ops;
};

struct store_ops {
	void (*close)(struct store *s);
	int64_t (*revision)(struct store *s);
	int64_t (*compacted)(struct store *s);
	/* One transaction for all writes whose condition holds, seen in order; the others get their result and change
	 * nothing. Negative: nothing was committed at all, and every result says so. */
	int (*commit)(struct store *s, struct store_write *const *writes, size_t count, struct error *e);
	/* Live keys that start with prefix and sort after `after` (NULL: all), as of a revision (0: newest), in order,
	 * at most limit (0: all). */
	int (*range)(struct store *s, const char *prefix, const char *after, int64_t revision, size_t limit,
		     store_visit *visit, void *user, struct error *e);
	/* Every write with after < revision <= until, in order. */
	int (*history)(struct store *s, int64_t after, int64_t until, store_visit *visit, void *user, struct error *e);
	/* Forgets versions that were no longer current at that revision. */
	int (*compact)(struct store *s, int64_t revision, struct error *e);
};

static inline void store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
}

struct store_sqlite_options {
	const char *path;  /* the database file, made when missing */
	int64_t max_bytes; /* size at which writes get E_NO_SPACE; 0: the disk's */
};
/* Opens the database alone: a second process gets E_UNAVAILABLE. Errors: E_IO, E_NO_SPACE, E_UNAVAILABLE, E_INTERNAL
 * (damaged, or written by a newer version). */
int store_sqlite_open(const struct store_sqlite_options *opt, struct store **ret, struct error *e);

#endif
