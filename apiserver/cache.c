/*
 * cache.c - objects by kind, the event ring, waiting; see cache.h. Lists are in cache_list.c.
 *
 * Locking: `lock` (writers first, so that readers cannot starve the writer) guards indexes and ring; `wait_lock` only
 * goes with the condition variable. Nothing is called with `lock` held that can block.
 */
#include "apiserver/cache_private.h"
#include "lib/log.h"
#include "lib/units.h"
#include <stdatomic.h>
#include <time.h>

#define EVENTS_MAX 16384
#define OLD_BYTES_MAX (8U << 20)

void event_clear(struct event *e)
{
	object_unref(e->object);
	object_unref(e->old);
	*e = (struct event){0};
}

/* ---- ring ---- */

/* Text that only the ring keeps alive. */
static size_t event_weight(const struct event *e)
{
	size_t n = e->old ? chunk_len(e->old->json) : 0;

	return e->type == EVENT_DELETED ? n + chunk_len(e->object->json) : n;
}

struct event *ring_at(const struct cache *c, size_t i)
{
	return &c->ring[(c->ring_first + i) % EVENTS_MAX];
}

size_t ring_find(const struct cache *c, int64_t after)
{
	size_t low = 0, high = c->ring_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (ring_at(c, middle)->revision <= after)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void ring_drop_oldest(struct cache *c)
{
	struct event *oldest = ring_at(c, 0);

	c->ring_floor = oldest->revision;
	c->ring_bytes -= event_weight(oldest);
	event_clear(oldest);
	c->ring_first = (c->ring_first + 1) % EVENTS_MAX;
	c->ring_count--;
}

/* Takes the references in e. */
static void ring_add(struct cache *c, struct event e)
{
	while (c->ring_count && (c->ring_count == EVENTS_MAX || c->ring_bytes > OLD_BYTES_MAX))
		ring_drop_oldest(c);
	c->ring_count++;
	*ring_at(c, c->ring_count - 1) = e;
	c->ring_bytes += event_weight(&e);
}

/* ---- writing ---- */

static void apply_one(struct cache *c, const struct cache_write *w)
{
	struct index *index = c->kinds[w->object->kind->index];
	struct object *old = w->remove ? index_remove(index, w->object->key) : index_put(index, object_ref(w->object));

	ring_add(c, (struct event){
			    .type = w->remove ? EVENT_DELETED
				    : old     ? EVENT_MODIFIED
					      : EVENT_ADDED,
			    .revision = w->object->revision,
			    .object = object_ref(w->object),
			    .old = old,
		    });
	c->revision = w->object->revision;
	atomic_store(&c->changed[w->object->kind->index], c->revision);
}

void cache_apply(struct cache *c, const struct cache_write *writes, size_t count)
{
	if (count == 0)
		return;
	pthread_rwlock_wrlock(&c->lock);
	for (size_t i = 0; i < count; i++)
		apply_one(c, &writes[i]);
	pthread_rwlock_unlock(&c->lock);
	cache_wake(c);
}

/* ---- reading ---- */

int64_t cache_revision(struct cache *c)
{
	pthread_rwlock_rdlock(&c->lock);
	int64_t revision = c->revision;
	pthread_rwlock_unlock(&c->lock);
	return revision;
}

int64_t cache_kind_revision(struct cache *c, const struct kind *k)
{
	return atomic_load(&c->changed[k->index]);
}

struct object *cache_get(struct cache *c, const struct kind *k, const char *key)
{
	pthread_rwlock_rdlock(&c->lock);
	struct object *o = index_get(c->kinds[k->index], key);
	if (o)
		object_ref(o);
	pthread_rwlock_unlock(&c->lock);
	return o;
}

size_t cache_count(struct cache *c, const struct kind *k)
{
	pthread_rwlock_rdlock(&c->lock);
	size_t n = index_count(c->kinds[k->index]);
	pthread_rwlock_unlock(&c->lock);
	return n;
}

/* ---- events ---- */

struct replay {
	struct event *out;
	size_t max, count;
};
#define REPLAY_FULL 1

static int replay_visit(void *user, const struct store_entry *entry)
{
	struct replay *r = user;
	const struct kind *k = object_kind_of_key(entry->key);
	if (!k)
		return 0;
	struct event ev = {
		.type = entry->deleted	  ? EVENT_DELETED
			: entry->previous ? EVENT_MODIFIED
					  : EVENT_ADDED,
		.revision = entry->revision,
		.object = object_load(k, entry->revision, entry->value, entry->len),
		.old = entry->old ? object_load(k, entry->previous, entry->old, entry->old_len) : NULL,
	};

	if (!ev.object)
		return 0;
	r->out[r->count++] = ev;
	return r->count == r->max ? REPLAY_FULL : 0;
}

int cache_events(struct cache *c, int64_t after, size_t max, struct event *out, size_t *ret_count, struct error *e)
{
	struct replay r = {.out = out, .max = max};

	pthread_rwlock_rdlock(&c->lock);
	bool in_ring = after >= c->ring_floor;
	int64_t until = c->revision;
	if (in_ring) {
		for (size_t i = ring_find(c, after); i < c->ring_count && r.count < max; i++) {
			struct event *ev = ring_at(c, i);
			out[r.count] = *ev;
			object_ref(ev->object);
			if (ev->old)
				object_ref(ev->old);
			r.count++;
		}
	}
	pthread_rwlock_unlock(&c->lock);
	if (!in_ring) {
		int code = c->store->ops->history(c->store, after, until, replay_visit, &r, e);
		if (code < 0) {
			for (size_t i = 0; i < r.count; i++)
				event_clear(&out[i]);
			return code;
		}
	}
	*ret_count = r.count;
	return 0;
}

bool cache_wait(struct cache *c, int64_t after, int64_t timeout_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&c->wait_lock);
	uint64_t wakes = c->wakes;
	while (cache_revision(c) <= after && c->wakes == wakes)
		if (pthread_cond_timedwait(&c->news, &c->wait_lock, &until) != 0)
			break;
	pthread_mutex_unlock(&c->wait_lock);
	return cache_revision(c) > after;
}

void cache_wake(struct cache *c)
{
	pthread_mutex_lock(&c->wait_lock);
	c->wakes++;
	pthread_cond_broadcast(&c->news);
	pthread_mutex_unlock(&c->wait_lock);
}

/* ---- open and close ---- */

static int load_visit(void *user, const struct store_entry *entry)
{
	struct cache *c = user;
	const struct kind *k = object_kind_of_key(entry->key);
	struct object *o = k ? object_load(k, entry->revision, entry->value, entry->len) : NULL;

	if (!o) {
		log_warn("stored object is of no known kind, left out", "key", entry->key, NULL);
		return 0;
	}
	object_unref(index_put(c->kinds[k->index], o));
	return 0;
}

static struct cache *cache_new(struct store *store)
{
	struct cache *c = xcalloc(1, sizeof(*c));
	pthread_rwlockattr_t writers_first;
	pthread_condattr_t monotonic;

	pthread_rwlockattr_init(&writers_first);
	pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&c->lock, &writers_first);
	pthread_rwlockattr_destroy(&writers_first);
	pthread_mutex_init(&c->wait_lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&c->news, &monotonic);
	pthread_condattr_destroy(&monotonic);
	c->store = store;
	c->ring = xcalloc(EVENTS_MAX, sizeof(*c->ring));
	c->kind_count = kind_count();
	c->kinds = xcalloc(c->kind_count, sizeof(struct index *));
	c->changed = xcalloc(c->kind_count, sizeof(*c->changed));
	for (size_t i = 0; i < c->kind_count; i++)
		c->kinds[i] = index_new();
	return c;
}

int cache_open(struct store *store, struct cache **ret, struct error *e)
{
	struct cache *c = cache_new(store);

	c->revision = store->ops->revision(store);
	c->ring_floor = c->revision;
	for (size_t i = 0; i < c->kind_count; i++)
		c->changed[i] = c->revision;
	int code = store->ops->range(store, "", NULL, 0, 0, load_visit, c, e);
	if (code < 0) {
		cache_close(c);
		return error_prefix(e, "loading objects");
	}
	*ret = c;
	return 0;
}

void cache_close(struct cache *c)
{
	if (!c)
		return;
	while (c->ring_count)
		ring_drop_oldest(c);
	free(c->ring);
	for (size_t i = 0; i < c->kind_count; i++)
		index_free(c->kinds[i]);
	free(c->kinds);
	free(c->changed);
	pthread_cond_destroy(&c->news);
	pthread_mutex_destroy(&c->wait_lock);
	pthread_rwlock_destroy(&c->lock);
	free(c);
}
