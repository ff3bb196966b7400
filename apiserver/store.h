/*
 * store.h - where objects live durably: revisioned keys, compare-and-swap, ranges at a revision, history.
 *
 * Two stores: one SQLite file of one process (store_sqlite.c), and etcd, which several apiservers may share
 * (store_etcd.c). test/unit/apiserver/test_store.c holds both to the same behaviour.
 *
 * One store-wide revision counts committed writes; it only grows, survives restarts, and a write that fails consumes
 * none. Keys are "group/plural/namespace/name" (group and namespace may be empty). A value holds its own revision: the
 * backend inserts the decimal text at `revision_at` when it commits, because only then the number is known.
 *
 * History is kept from compacted() on: range() and history() answer E_EXPIRED below it. A store that can no longer
 * promise durability (I/O error on write or sync, corruption) ends the process; a full disk is E_NO_SPACE and passes.
 *
 * commit(), follow() and catch_up() are called by one thread at a time; everything else from any thread. Used by the
 * writer, the watch cache, the housekeeper and `migrate`.
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
	 * -E_TOO_LARGE, or why its transaction failed: -E_NO_SPACE, -E_UNAVAILABLE, or -E_TIMEOUT when nobody can tell
	 * whether it was stored; if it was, the follower is told as soon as that is known */
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

/* Who wants to know what other processes write. visit() is called inside commit() and catch_up(), in order, before the
 * revision moves on; news() from any thread: catch_up() has something to do. */
struct store_follower {
	store_visit *visit;
	void (*news)(void *user);
	void *user;
};

struct store {
	const struct store_ops *ops;
};

/* A write's value with its revision inserted, and `extra` bytes before it for the store's own use. malloc()ed. */
char *store_value(const struct store_write *w, int64_t revision, size_t extra, size_t *ret_len);
/* The result of a write given its key's present revision (0: there is none) and whether its required key exists. */
int store_judge(const struct store_write *w, int64_t head, bool has_required);
/* error_set(E_EXPIRED) as Kubernetes words it. */
int store_expired(int64_t asked, int64_t compacted, struct error *e);

struct store_ops {
	bool shared; /* other processes may write too */
	void (*close)(struct store *s);
	int64_t (*revision)(struct store *s);
	int64_t (*compacted)(struct store *s);
	/* All writes whose condition holds, seen in order, in as few transactions as the store can; the others get
	 * their result and change nothing. Negative: a transaction failed; its writes and all later ones say so. */
	int (*commit)(struct store *s, struct store_write *const *writes, size_t count, struct error *e);
	/* Live keys that start with prefix and sort after `after` (NULL: all), as of a revision (0: newest), in order,
	 * at most limit (0: all). */
	int (*range)(struct store *s, const char *prefix, const char *after, int64_t revision, size_t limit,
		     store_visit *visit, void *user, struct error *e);
	/* Every write with after < revision <= until, in order. */
	int (*history)(struct store *s, int64_t after, int64_t until, store_visit *visit, void *user, struct error *e);
	/* Forgets versions that were no longer current at that revision. */
	int (*compact)(struct store *s, int64_t revision, struct error *e);
	/* Goes on from a later revision, with no history before it. E_CONFLICT when it is not later. */
	int (*advance)(struct store *s, int64_t revision, struct error *e);
	/* From here on; NULL: nobody any more. f must live that long. Does nothing where no other process can write. */
	void (*follow)(struct store *s, const struct store_follower *f);
	/* must: all that was acknowledged before the call; else only what there has been news of, which is cheap when
	 * that was this process's own. */
	int (*catch_up)(struct store *s, bool must, struct error *e);
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

struct store_etcd_options {
	const char *const *endpoints; /* http(s)://HOST:PORT, of one cluster */
	size_t endpoint_count;
	const char *ca_file, *cert_file, *key_file; /* NULL: the system's CAs; no client certificate */
	const char *prefix;			    /* of all keys; NULL: STORE_ETCD_PREFIX */
};
#define STORE_ETCD_PREFIX "/berth"
/* Copies the options. Errors: E_BAD_REQUEST (an endpoint or the prefix), E_UNAVAILABLE, E_TIMEOUT, E_NO_SPACE,
 * E_INTERNAL (not Berth's, or written by a newer version). */
int store_etcd_open(const struct store_etcd_options *opt, struct store **ret, struct error *e);

#endif
