/*
 * gc.c - the controller's thread and its index of owners; see gc.h.
 *
 * Everything here runs on that one thread. `dependents` maps an owner's uid to a set of "kind index:key".
 */
#include "apiserver/gc.h"
#include "apiserver/gc_private.h"
#include "apiserver/meta.h"
#include "lib/log.h"
#include "lib/strmap.h"
#include "lib/units.h"
#include <pthread.h>
#include <stdio.h>

#define BATCH 128
#define IDLE_WAIT_MS 1000

struct gc {
	struct server *server;
	pthread_t thread;
	_Atomic bool stopping;
	struct strmap *dependents; /* uid → struct strmap of id → struct kind */
	struct strmap *ending;	   /* names of namespaces being deleted */
	int64_t revision;	   /* everything up to here has been seen */
};

/* ---- index ---- */

static char *dependent_id(const struct object *o)
{
	return xasprintf("%u:%s", o->kind->index, o->key);
}

static void index_link(struct gc *g, const struct object *o)
{
	_free_ char *id = dependent_id(o);
	const char *uid = o->owners;

	for (uint16_t i = 0; i < o->owner_count; i++, uid += strlen(uid) + 1) {
		struct strmap *set = strmap_get(g->dependents, uid);
		if (!set) {
			set = strmap_new();
			strmap_put(g->dependents, uid, set);
		}
		strmap_put(set, id, (void *)o->kind);
	}
}

static void index_unlink(struct gc *g, const struct object *o)
{
	_free_ char *id = dependent_id(o);
	const char *uid = o->owners;

	for (uint16_t i = 0; i < o->owner_count; i++, uid += strlen(uid) + 1) {
		struct strmap *set = strmap_get(g->dependents, uid);
		if (!set)
			continue;
		strmap_remove(set, id);
		if (strmap_count(set) == 0) {
			strmap_remove(g->dependents, uid);
			strmap_free(set);
		}
	}
}

/* References to all present dependents of an owner; the caller clears the page. */
static void dependents_of(struct gc *g, const char *uid, struct cache_page *ret)
{
	struct strmap *set = strmap_get(g->dependents, uid);
	size_t position = 0;
	const char *id;
	void *kind;

	*ret = (struct cache_page){0};
	if (!set)
		return;
	ret->items = xcalloc(strmap_count(set), sizeof(struct object *));
	while (strmap_next(set, &position, &id, &kind)) {
		struct object *o = cache_get(g->server->cache, kind, strchr(id, ':') + 1);
		if (o)
			ret->items[ret->count++] = o;
	}
}

/* ---- owners ---- */

/* The owner a reference means, if it exists. Kinds this server does not know are taken to exist: *ret_unknown. */
static struct object *find_owner(struct gc *g, const struct object *o, const struct json *reference, bool *ret_unknown)
{
	_arena_ a = arena_new();
	const char *version = json_str_or(json_get(reference, "apiVersion"), "");
	const char *slash = strchr(version, '/');
	const char *group = slash ? arena_strndup(a, version, (size_t)(slash - version)) : "";
	const struct kind *k = kind_find_by_kind(group, slash ? slash + 1 : version,
						 json_str_or(json_get(reference, "kind"), ""));

	*ret_unknown = k == NULL;
	if (!k || (k->namespaced && !*o->ns))
		return NULL;
	const char *key = object_key(a, k, o->ns, json_str_or(json_get(reference, "name"), ""));
	struct object *owner = cache_get(g->server->cache, k, key);
	if (owner && !streq(owner->uid, json_str(json_get(reference, "uid")))) {
		object_unref(owner);
		return NULL;
	}
	return owner;
}

/* Deletes what no owner holds any more; takes out references to owners that are gone while others remain. */
static void collect(struct gc *g, const struct object *o)
{
	_arena_ a = arena_new();
	const struct json *owners = json_in(object_tree(a, o), "metadata", "ownerReferences");
	size_t alive = 0, n = json_count(owners);

	for (size_t pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < n; i++) {
			bool unknown;
			_object_ owner = find_owner(g, o, json_item(owners, i), &unknown);
			if (pass == 0)
				alive += owner || unknown;
			else if (!owner && !unknown)
				gc_drop_owner(g->server, o, json_str_or(json_get(json_item(owners, i), "uid"), ""));
		}
		if (alive == 0 || alive == n)
			break;
	}
	if (n && alive == 0 && !o->terminating)
		gc_delete(g->server, o, NULL);
}

/* ---- foreground and orphan ---- */

static bool blocks(const struct object *o, const char *owner_uid)
{
	_arena_ a = arena_new();
	const struct json *owners = json_in(object_tree(a, o), "metadata", "ownerReferences");

	for (size_t i = 0; i < json_count(owners); i++)
		if (streq(json_str(json_get(json_item(owners, i), "uid")), owner_uid))
			return json_bool_or(json_get(json_item(owners, i), "blockOwnerDeletion"), false);
	return false;
}

static void process_foreground(struct gc *g, const struct object *owner)
{
	struct cache_page page;
	size_t blocking = 0;

	dependents_of(g, owner->uid, &page);
	for (size_t i = 0; i < page.count; i++) {
		bool has_own = strmap_get(g->dependents, page.items[i]->uid) != NULL;
		if (!page.items[i]->terminating)
			gc_delete(g->server, page.items[i], has_own ? META_FINALIZER_FOREGROUND : NULL);
		_object_ still = cache_get(g->server->cache, page.items[i]->kind, page.items[i]->key);
		blocking += still && blocks(still, owner->uid);
	}
	cache_page_clear(&page);
	if (blocking == 0)
		gc_drop_finalizer(g->server, owner, META_FINALIZER_FOREGROUND);
}

static void process_orphan(struct gc *g, const struct object *owner)
{
	struct cache_page page;

	dependents_of(g, owner->uid, &page);
	for (size_t i = 0; i < page.count; i++)
		gc_drop_owner(g->server, page.items[i], owner->uid);
	cache_page_clear(&page);
	gc_drop_finalizer(g->server, owner, META_FINALIZER_ORPHAN);
}

static void process_terminating(struct gc *g, const struct object *o)
{
	_arena_ a = arena_new();

	if (!o->terminating || !o->finalized)
		return;
	const struct json *tree = object_tree(a, o);
	if (meta_has_finalizer(tree, META_FINALIZER_ORPHAN))
		process_orphan(g, o);
	else if (meta_has_finalizer(tree, META_FINALIZER_FOREGROUND))
		process_foreground(g, o);
}

/* A dependent went: owners that wait for it in the foreground may go too. */
static void wake_owners(struct gc *g, const struct object *o)
{
	_arena_ a = arena_new();
	const struct json *owners = json_in(object_tree(a, o), "metadata", "ownerReferences");

	for (size_t i = 0; i < json_count(owners); i++) {
		bool unknown;
		_object_ owner = find_owner(g, o, json_item(owners, i), &unknown);
		if (owner)
			process_terminating(g, owner);
	}
}

/* ---- events ---- */

static bool is_namespace(const struct object *o)
{
	return o->kind == kind_find("", "v1", "namespaces");
}

static void on_present(struct gc *g, const struct object *o)
{
	if (is_namespace(o) && o->terminating)
		strmap_put(g->ending, o->name, g);
	process_terminating(g, o);
}

static void on_gone(struct gc *g, const struct object *o)
{
	struct cache_page page;

	if (is_namespace(o)) {
		strmap_remove(g->ending, o->name);
		gc_empty_namespace(g->server, o->name); /* what was committed while it ended */
	}
	dependents_of(g, o->uid, &page);
	for (size_t i = 0; i < page.count; i++)
		collect(g, page.items[i]);
	cache_page_clear(&page);
	if (o->owner_count)
		wake_owners(g, o);
}

/* An owner may be named that never was, at any write. */
static bool names_other_owners(const struct event *ev)
{
	const char *now = ev->object->owners, *was = ev->old ? ev->old->owners : NULL;

	if (!was || ev->old->owner_count != ev->object->owner_count)
		return true;
	for (uint16_t i = 0; i < ev->object->owner_count; i++, now += strlen(now) + 1, was += strlen(was) + 1)
		if (!streq(now, was))
			return true;
	return false;
}

static void on_event(struct gc *g, const struct event *ev)
{
	if (ev->old && ev->old->owner_count)
		index_unlink(g, ev->old);
	if (ev->type == EVENT_DELETED) {
		on_gone(g, ev->object);
		return;
	}
	if (ev->object->owner_count) {
		index_link(g, ev->object);
		if (names_other_owners(ev))
			collect(g, ev->object);
	}
	on_present(g, ev->object);
}

static void end_namespaces(struct gc *g)
{
	const struct kind *namespaces = kind_find("", "v1", "namespaces");
	size_t position = 0;
	const char *name;

	while (strmap_next(g->ending, &position, &name, NULL)) {
		if (!gc_empty_namespace(g->server, name))
			continue;
		_object_ ns = cache_get(g->server->cache, namespaces, name);
		if (ns && ns->terminating)
			gc_remove_namespace(g->server, ns); /* its event takes the name out of the set */
	}
}

/* ---- thread ---- */

static void index_clear(struct gc *g)
{
	size_t position = 0;
	void *set;

	while (strmap_next(g->dependents, &position, NULL, &set))
		strmap_free(set);
	strmap_free(g->dependents);
	strmap_free(g->ending);
	g->dependents = strmap_new();
	g->ending = strmap_new();
}

/* Everything there is, as if it had just come. */
static void scan(struct gc *g)
{
	struct cache_page *pages = xcalloc(kind_count(), sizeof(*pages));

	index_clear(g);
	g->revision = cache_revision(g->server->cache);
	for (size_t k = 0; k < kind_count(); k++) {
		struct cache_query q = {.filter = {.kind = kind_at(k)}};
		if (cache_list(g->server->cache, &q, &pages[k], NULL) < 0)
			continue;
		for (size_t i = 0; i < pages[k].count; i++)
			if (pages[k].items[i]->owner_count)
				index_link(g, pages[k].items[i]);
	}
	for (size_t k = 0; k < kind_count(); k++) {
		for (size_t i = 0; i < pages[k].count; i++) {
			if (pages[k].items[i]->owner_count)
				collect(g, pages[k].items[i]);
			on_present(g, pages[k].items[i]);
		}
		cache_page_clear(&pages[k]);
	}
	free(pages);
}

/* False when nothing new was there. */
static bool follow(struct gc *g)
{
	struct event events[BATCH];
	struct error e;
	size_t count;

	if (cache_events(g->server->cache, g->revision, BATCH, events, &count, &e) < 0) {
		log_warn("garbage collector fell behind, reading everything again", "error", e.text, NULL);
		scan(g);
		return true;
	}
	for (size_t i = 0; i < count; i++) {
		g->revision = events[i].revision;
		on_event(g, &events[i]);
		event_clear(&events[i]);
	}
	return count > 0;
}

static void *gc_run(void *arg)
{
	struct gc *g = arg;

	scan(g);
	while (!g->stopping) {
		while (!g->stopping && follow(g))
			continue;
		end_namespaces(g);
		if (!g->stopping)
			cache_wait(g->server->cache, g->revision, IDLE_WAIT_MS);
	}
	return NULL;
}

struct gc *gc_start(struct server *s)
{
	struct gc *g = xcalloc(1, sizeof(*g));

	g->server = s;
	g->dependents = strmap_new();
	g->ending = strmap_new();
	gc_default_namespaces(s);
	if (pthread_create(&g->thread, NULL, gc_run, g) != 0)
		abort();
	return g;
}

void gc_stop(struct gc *g)
{
	if (!g)
		return;
	g->stopping = true;
	cache_wake(g->server->cache);
	pthread_join(g->thread, NULL);
	index_clear(g);
	strmap_free(g->dependents);
	strmap_free(g->ending);
	free(g);
}
