/*
 * cache.h - the watch cache: every live object in memory, sorted, and the latest events; all reads are answered here.
 *
 * Each object's JSON text exists once; lists, watches and the event ring share it by reference. The writer applies
 * what it has committed before it acknowledges anything, so a read always sees the newest write committed here. The
 * ring holds recent events (EVENTS_MAX, and OLD_BYTES_MAX of text that is only history); what is older comes from the
 * store until it is compacted, then E_EXPIRED.
 *
 * Thread-safe; one read-write lock inside cache.c, held for memory work only. Objects handed out are references.
 */
#ifndef BERTH_APISERVER_CACHE_H
#define BERTH_APISERVER_CACHE_H

#include "apiserver/object.h"
#include "apiserver/store.h"

enum event_type { EVENT_ADDED, EVENT_MODIFIED, EVENT_DELETED };

struct event {
	enum event_type type;
	int64_t revision;
	struct object *object; /* the new version; for EVENT_DELETED the last one, with the deletion's revision */
	struct object *old;    /* the version before; NULL for EVENT_ADDED */
};
void event_clear(struct event *e);

struct cache;
/* Reads all live objects out of the store, which must outlive the cache. */
int cache_open(struct store *store, struct cache **ret, struct error *e);
void cache_close(struct cache *c); /* NULL-safe */

/* One committed write to apply. */
struct cache_write {
	struct object *object; /* published; borrowed */
	bool remove;
};
/* In revision order, by the writer alone. Wakes those who wait. */
void cache_apply(struct cache *c, const struct cache_write *writes, size_t count);

int64_t cache_revision(struct cache *c);
struct object *cache_get(struct cache *c, const struct kind *k, const char *key); /* a reference, or NULL */
/* Of the newest change to an object of the kind. Reading it takes no lock. */
int64_t cache_kind_revision(struct cache *c, const struct kind *k);
size_t cache_count(struct cache *c, const struct kind *k);

struct cache_query {
	struct filter filter;
	const char *after; /* only keys behind this one; NULL: all */
	size_t limit;	   /* 0: all */
	int64_t revision;  /* the state at exactly that revision; 0: now */
};
struct cache_page {
	struct object **items; /* references */
	size_t count, cap;
	int64_t revision;  /* of the state shown */
	bool more;	   /* there are matching objects behind the last one */
	int64_t remaining; /* how many; -1 when that would need a count */
};
/* Errors: E_EXPIRED (that state is no longer known), E_TIMEOUT (revision is not reached yet). */
int cache_list(struct cache *c, const struct cache_query *q, struct cache_page *ret, struct error *e);
void cache_page_clear(struct cache_page *p);

/* At most max events with a revision > after, in order, into out; *ret_count of them. From memory, else the store.
 * Errors: E_EXPIRED. */
int cache_events(struct cache *c, int64_t after, size_t max, struct event *out, size_t *ret_count, struct error *e);
/* Waits until cache_revision() > after or the time is over or cache_wake(); true when there is news. */
bool cache_wait(struct cache *c, int64_t after, int64_t timeout_ms);
void cache_wake(struct cache *c);

#endif
