/*
 * world.c - keeping records, linking them, and booking capacity; see world.h.
 */
#include "scheduler/world.h"

#include "scheduler/decode.h"

bool phase_is_running(enum instance_phase p)
{
	return p >= PHASE_SCHEDULED && p <= PHASE_STOPPING;
}

bool string_list_has(const struct string_list *l, const char *s)
{
	for (size_t i = 0; i < l->count; i++)
		if (streq(l->items[i], s))
			return true;
	return false;
}

/* ---- booking ---- */

static void book(struct instance *i, struct node *n, const struct resources *need, bool running)
{
	i->is_booked = true;
	i->is_running = running;
	i->booked_on = n;
	i->booked = *need;
	if (n) {
		n->used.milli_vcpu += need->milli_vcpu;
		n->used.memory += need->memory;
		n->used.disk += need->disk;
		n->instances++;
	}
	if (i->container && running)
		i->container->running++;
}

static void unbook(struct instance *i)
{
	struct node *n = i->booked_on;

	if (!i->is_booked)
		return;
	if (n) {
		n->used.milli_vcpu -= i->booked.milli_vcpu;
		n->used.memory -= i->booked.memory;
		n->used.disk -= i->booked.disk;
		n->instances--;
	}
	if (i->container && i->is_running)
		i->container->running--;
	i->is_booked = i->is_running = false;
	i->booked_on = NULL;
}

/* One that is resumed to be told to end does not count: it was not let in, and serves nobody. One that makes way for a
 * generation that was let in does. */
static bool counts(const struct instance *i)
{
	bool ends_only = i->suspended && i->phase == PHASE_STOPPING && i->status_generation >= i->vm_generation;

	return phase_is_running(i->phase) && !ends_only;
}

static void rebook(const struct world *w, struct instance *i)
{
	unbook(i);
	if (i->assumed_node) {
		book(i, (struct node *)world_find(w, WORLD_NODE, NULL, i->assumed_node), &i->assumed, true);
	} else if (counts(i) || i->suspended) {
		const struct revision *rev = (struct revision *)world_find(w, WORLD_REVISION, i->r.ns, i->revision);
		struct resources need = rev ? rev->need : i->container ? i->container->need : (struct resources){0};

		if (!counts(i))
			need.milli_vcpu = 0;
		book(i, (struct node *)world_find(w, WORLD_NODE, NULL, i->node_name), &need, counts(i));
	}
}

void world_assume(const struct world *w, struct instance *i, const struct node *n, const struct resources *need)
{
	free(i->assumed_node);
	i->assumed_node = xstrdup(n->r.name);
	i->assumed = *need;
	rebook(w, i);
}

void world_settle(const struct world *w, struct instance *i)
{
	free(i->assumed_node);
	i->assumed_node = NULL;
	rebook(w, i);
}

/* ---- links ---- */

static void unlink_instance(struct instance *i)
{
	unbook(i);
	if (!i->container)
		return;
	if (i->prev)
		i->prev->next = i->next;
	else
		i->container->instances = i->next;
	if (i->next)
		i->next->prev = i->prev;
	i->container->instance_count--;
	i->container = NULL;
	i->next = i->prev = NULL;
}

static void link_instance(const struct world *w, struct instance *i)
{
	struct container *c = (struct container *)world_find(w, WORLD_CONTAINER, i->r.ns, i->container_name);

	if (c) {
		i->container = c;
		i->next = c->instances;
		if (i->next)
			i->next->prev = i;
		c->instances = i;
		c->instance_count++;
	}
	rebook(w, i);
}

static bool concerns_container(const struct instance *i, const struct record *r)
{
	return streq(i->container_name, r->name) && streq(i->r.ns, r->ns);
}

static bool concerns_node(const struct instance *i, const struct record *r)
{
	return streq(i->node_name, r->name);
}

static bool concerns_revision(const struct instance *i, const struct record *r)
{
	return streq(i->revision, r->name) && streq(i->r.ns, r->ns);
}

static bool (*const concerns[WORLD_KIND_COUNT])(const struct instance *, const struct record *) = {
	[WORLD_CONTAINER] = concerns_container,
	[WORLD_NODE] = concerns_node,
	[WORLD_REVISION] = concerns_revision,
};

/* A record that others point to has come or gone. */
static void relink(const struct world *w, const struct record *r)
{
	size_t pos = 0;
	struct record *x;

	while (concerns[r->kind] && (x = world_next(w, WORLD_INSTANCE, &pos))) {
		struct instance *i = (struct instance *)x;

		if (!concerns[r->kind](i, r))
			continue;
		unlink_instance(i);
		link_instance(w, i);
	}
}

/* ---- the world ---- */

struct world *world_new(void)
{
	struct world *w = xcalloc(1, sizeof(*w));

	for (int k = 0; k < WORLD_KIND_COUNT; k++)
		w->records[k] = strmap_new();
	return w;
}

static void record_free(struct record *r)
{
	if (r->kind == WORLD_CONTAINER)
		free(((struct container *)r)->resolve_error);
	if (r->kind == WORLD_INSTANCE)
		free(((struct instance *)r)->assumed_node);
	arena_free(r->arena);
	free(r);
}

void world_free(struct world *w)
{
	if (!w)
		return;
	for (int k = 0; k < WORLD_KIND_COUNT; k++) {
		size_t pos = 0;
		void *r;

		while (strmap_next(w->records[k], &pos, NULL, &r))
			record_free(r);
		strmap_free(w->records[k]);
	}
	free(w);
}

static void make_key(struct buf *key, const char *ns, const char *name)
{
	if (ns && *ns) {
		buf_adds(key, ns);
		buf_addc(key, '/');
	}
	buf_adds(key, name);
}

struct record *world_find(const struct world *w, enum world_kind kind, const char *ns, const char *name)
{
	_buf_ key = BUF_INIT(1024);

	if (!name || !*name)
		return NULL;
	make_key(&key, ns, name);
	return strmap_get(w->records[kind], key.data);
}

struct record *world_next(const struct world *w, enum world_kind kind, size_t *position)
{
	void *r;

	return strmap_next(w->records[kind], position, NULL, &r) ? r : NULL;
}

static void record_decode(struct record *r, const struct json *object)
{
	const struct json *meta;
	struct arena *old = r->arena;

	r->arena = arena_new();
	r->object = json_clone(r->arena, object);
	meta = json_get(r->object, "metadata");
	r->ns = json_str_or(json_get(meta, "namespace"), "");
	r->name = json_str_or(json_get(meta, "name"), "");
	r->uid = json_str_or(json_get(meta, "uid"), "");
	r->resource_version = strtoull(json_str_or(json_get(meta, "resourceVersion"), "0"), NULL, 10);
	r->deleting = json_str(json_get(meta, "deletionTimestamp")) != NULL;
	decoders[r->kind].decode(r);
	arena_free(old);
}

struct record *world_put(struct world *w, enum world_kind kind, const struct json *object)
{
	const struct json *meta = json_get(object, "metadata");
	uint64_t version = strtoull(json_str_or(json_get(meta, "resourceVersion"), "0"), NULL, 10);
	_buf_ key = BUF_INIT(1024);

	make_key(&key, json_str(json_get(meta, "namespace")), json_str_or(json_get(meta, "name"), ""));
	struct record *r = strmap_get(w->records[kind], key.data);
	bool is_new = !r;

	if (r && version && version <= r->resource_version)
		return r;
	if (is_new) {
		r = xcalloc(1, decoders[kind].size);
		r->kind = kind;
		strmap_put(w->records[kind], key.data, r);
	}
	if (kind == WORLD_INSTANCE)
		unlink_instance((struct instance *)r);
	record_decode(r, object);
	if (kind == WORLD_INSTANCE)
		link_instance(w, (struct instance *)r);
	else if (is_new)
		relink(w, r);
	return r;
}

void world_remove(struct world *w, enum world_kind kind, const struct json *object)
{
	const struct json *meta = json_get(object, "metadata");
	_buf_ key = BUF_INIT(1024);

	make_key(&key, json_str(json_get(meta, "namespace")), json_str_or(json_get(meta, "name"), ""));
	struct record *r = strmap_get(w->records[kind], key.data);

	if (!r || !streq(r->uid, json_str_or(json_get(meta, "uid"), "")))
		return;
	strmap_remove(w->records[kind], key.data);
	if (kind == WORLD_INSTANCE)
		unlink_instance((struct instance *)r);
	else
		relink(w, r);
	record_free(r);
}

/* ---- questions about nodes ---- */

const struct node_image *node_image_find(const struct node *n, const char *digest)
{
	for (size_t i = 0; i < n->image_count; i++)
		if (streq(n->images[i].digest, digest))
			return &n->images[i];
	return NULL;
}

bool node_is_live(const struct world *w, const struct node *n, int64_t now, const char **ret_why)
{
	const struct lease *l = (struct lease *)world_find(w, WORLD_LEASE, "kube-node-lease", n->r.name);

	if (n->r.deleting)
		return *ret_why = "node is being deleted", false;
	if (!n->ready)
		return *ret_why = "node is not ready", false;
	if (!l || now - l->renewed_at > l->duration_ms)
		return *ret_why = "node has stopped renewing its lease", false;
	return true;
}
