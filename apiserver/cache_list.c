/*
 * cache_list.c - lists out of the watch cache: now, or as of an older revision.
 *
 * An older state is the present one with the events since then undone; when the ring no longer reaches back that far
 * the store is asked. Objects are referenced under the lock and used after it.
 */
#include "apiserver/cache_private.h"
#include "lib/strmap.h"
#include <inttypes.h>

static void page_add(struct cache_page *p, struct object *o)
{
	if (p->count == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 64;
		p->items = xrealloc(p->items, p->cap * sizeof(struct object *));
	}
	p->items[p->count++] = o;
}

void cache_page_clear(struct cache_page *p)
{
	for (size_t i = 0; i < p->count; i++)
		object_unref(p->items[i]);
	free(p->items);
	*p = (struct cache_page){0};
}

/* Key bounds of a query: where to start, and the prefix every key must have. */
struct bounds {
	const char *start, *prefix;
	size_t prefix_len;
};

static struct bounds query_bounds(struct arena *a, const struct cache_query *q)
{
	struct bounds b = {.prefix = q->filter.ns && q->filter.kind->namespaced ? arena_printf(a, "%s/", q->filter.ns)
										: ""};

	b.prefix_len = strlen(b.prefix);
	b.start = q->after && strcmp(q->after, b.prefix) > 0 ? q->after : b.prefix;
	return b;
}

static bool within(const struct bounds *b, const struct object *o)
{
	return strncmp(o->key, b->prefix, b->prefix_len) == 0;
}

/* ---- now ---- */

/* How many objects of the range lie behind the cursor. */
static int64_t count_rest(const struct index *x, struct index_cursor from, const struct bounds *b)
{
	if (b->prefix_len == 0)
		return (int64_t)index_distance(x, from, (struct index_cursor){SIZE_MAX, 0});
	char *end = xstrdup(b->prefix);
	end[b->prefix_len - 1]++; /* '/' becomes '0', behind every key of the namespace */
	int64_t n = (int64_t)index_distance(x, from, index_seek(x, end, false));
	free(end);
	return n;
}

/* One object by its name: no walk. */
static bool list_single(struct cache *c, struct arena *a, const struct cache_query *q, struct cache_page *page)
{
	if (!q->filter.name || (q->filter.kind->namespaced && !q->filter.ns))
		return false;
	struct object *o = index_get(c->kinds[q->filter.kind->index],
				     object_key(a, q->filter.kind, q->filter.ns, q->filter.name));
	if (o && (!q->after || strcmp(o->key, q->after) > 0) && filter_matches(&q->filter, o))
		page_add(page, object_ref(o));
	return true;
}

/* Under the lock. */
static void list_now(struct cache *c, struct arena *a, const struct cache_query *q, struct cache_page *page)
{
	const struct index *x = c->kinds[q->filter.kind->index];
	const struct bounds b = query_bounds(a, q);
	struct index_cursor cursor = index_seek(x, b.start, true), rest = cursor;
	struct object *o;

	if (list_single(c, a, q, page))
		return;
	while ((o = index_next(x, &cursor)) && within(&b, o)) {
		if (!filter_matches(&q->filter, o))
			continue;
		if (q->limit && page->count == q->limit) {
			page->more = true;
			break;
		}
		page_add(page, object_ref(o));
		rest = cursor;
	}
	bool selective = q->filter.labels || q->filter.fields || q->filter.name;
	page->remaining = !page->more ? 0 : selective ? -1 : count_rest(x, rest, &b);
}

/* ---- as of an older revision ---- */

/* The state of changed keys at that revision: key → the first event behind it. Under the lock. */
static struct strmap *changes_since(struct cache *c, const struct kind *k, int64_t revision)
{
	struct strmap *changed = strmap_new();

	for (size_t i = ring_find(c, revision); i < c->ring_count; i++) {
		struct event *ev = ring_at(c, i);
		if (ev->object->kind == k && !strmap_get(changed, ev->object->key))
			strmap_put(changed, ev->object->key, ev);
	}
	return changed;
}

static int by_key(const void *a, const void *b)
{
	const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;

	return strcmp(x->key, y->key);
}

/* Cuts a sorted page to the limit. */
static void page_cut(struct cache_page *page, size_t limit)
{
	if (!limit || page->count <= limit)
		return;
	for (size_t i = limit; i < page->count; i++)
		object_unref(page->items[i]);
	page->remaining = (int64_t)(page->count - limit);
	page->count = limit;
	page->more = true;
}

/* Under the lock; the ring reaches back to q->revision. */
static void list_undone(struct cache *c, struct arena *a, const struct cache_query *q, struct cache_page *page)
{
	const struct index *x = c->kinds[q->filter.kind->index];
	const struct bounds b = query_bounds(a, q);
	struct strmap *changed = changes_since(c, q->filter.kind, q->revision);
	struct index_cursor cursor = index_seek(x, b.start, true);
	size_t enough = q->limit ? q->limit + 1 : SIZE_MAX, position = 0;
	struct object *o;
	void *value;

	while (page->count < enough && (o = index_next(x, &cursor)) && within(&b, o))
		if (!strmap_get(changed, o->key) && filter_matches(&q->filter, o))
			page_add(page, object_ref(o));
	while (strmap_next(changed, &position, NULL, &value)) {
		struct object *old = ((struct event *)value)->old;
		if (old && strcmp(old->key, b.start) > 0 && within(&b, old) && filter_matches(&q->filter, old))
			page_add(page, object_ref(old));
	}
	if (page->count)
		qsort(page->items, page->count, sizeof(struct object *), by_key);
	page_cut(page, q->limit);
	page->remaining = page->more ? -1 : 0;
	strmap_free(changed);
}

struct stored_walk {
	const struct cache_query *q;
	const struct bounds *bounds;
	struct cache_page *page;
};
#define WALK_DONE 1

static int stored_visit(void *user, const struct store_entry *entry)
{
	struct stored_walk *w = user;
	_object_ o = object_load(w->q->filter.kind, entry->revision, entry->value, entry->len);

	if (!o || !within(w->bounds, o) || !filter_matches(&w->q->filter, o))
		return 0;
	page_add(w->page, object_ref(o));
	return w->q->limit && w->page->count > w->q->limit ? WALK_DONE : 0;
}

static int list_stored(struct cache *c, struct arena *a, const struct cache_query *q, struct cache_page *page,
		       struct error *e)
{
	const struct bounds b = query_bounds(a, q);
	const char *kind_prefix = object_store_prefix(a, q->filter.kind);
	const char *slash = q->filter.kind->namespaced ? "" : "/"; /* cluster-scoped keys have an empty namespace */
	struct stored_walk w = {.q = q, .bounds = &b, .page = page};
	int code = c->store->ops->range(c->store, arena_printf(a, "%s%s%s", kind_prefix, slash, b.prefix),
					arena_printf(a, "%s%s%s", kind_prefix, slash, b.start), q->revision, 0,
					stored_visit, &w, e);

	if (code < 0)
		return code;
	page_cut(page, q->limit);
	page->remaining = page->more ? -1 : 0;
	return 0;
}

int cache_list(struct cache *c, const struct cache_query *q, struct cache_page *ret, struct error *e)
{
	_arena_ a = arena_new();
	struct cache_page page = {0};
	bool from_store = false;
	int code = 0;

	pthread_rwlock_rdlock(&c->lock);
	int64_t now = c->revision;
	if (q->revision > now)
		code = error_set(e, E_TIMEOUT, "Too large resource version: %" PRId64 ", current: %" PRId64,
				 q->revision, now);
	else if (q->revision == 0 || q->revision == now)
		list_now(c, a, q, &page);
	else if (q->revision >= c->ring_floor)
		list_undone(c, a, q, &page);
	else
		from_store = true;
	pthread_rwlock_unlock(&c->lock);
	if (from_store)
		code = list_stored(c, a, q, &page, e);
	if (code < 0) {
		cache_page_clear(&page);
		return code;
	}
	page.revision = q->revision ? q->revision : now;
	*ret = page;
	return 0;
}
