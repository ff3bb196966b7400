/*
 * world.c - keeping records, and linking them; see world.h. world_book.c books capacity.
 */
#include "scheduler/world_private.h"

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

/* ---- instances that need attention ---- */

static bool needs_attention(const struct instance *i)
{
	return i->r.deleting || !i->container || (i->wants_running && !phase_is_running(i->phase));
}

static void attend(struct world *w, struct instance *i, bool wanted)
{
	if (wanted == (i->attention_slot > 0))
		return;
	if (wanted) {
		if (w->attention_count == w->attention_room) {
			w->attention_room = w->attention_room ? w->attention_room * 2 : 64;
			w->attention = xrealloc(w->attention, w->attention_room * sizeof(struct instance *));
		}
		w->attention[w->attention_count++] = i;
		i->attention_slot = (uint32_t)w->attention_count;
		return;
	}
	struct instance *last = w->attention[--w->attention_count];

	w->attention[i->attention_slot - 1] = last;
	last->attention_slot = i->attention_slot;
	i->attention_slot = 0;
}

/* ---- links of instances ---- */

static void unlink_instance(struct world *w, struct instance *i)
{
	world_unbook(i);
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
	attend(w, i, true);
}

static void link_instance(struct world *w, struct instance *i)
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
	world_rebook(w, i);
	attend(w, i, needs_attention(i));
}

void world_link(struct world *w)
{
	struct record *x;

	if (w->news && w->unresolved)
		for (size_t pos = 0; (x = world_next(w, WORLD_INSTANCE, &pos));) {
			struct instance *i = (struct instance *)x;

			if (!i->unresolved)
				continue;
			unlink_instance(w, i);
			link_instance(w, i);
		}
	w->news = false;
}

/* Every instance booked on a node that goes, or whose place in the tallies changes. */
static void each_on_node(struct world *w, const struct node *n, void (*f)(struct world *, struct instance *))
{
	struct record *x;

	for (size_t pos = 0; (x = world_next(w, WORLD_INSTANCE, &pos));)
		if (((struct instance *)x)->booked_on == n)
			f(w, (struct instance *)x);
}

static void lose_node(struct world *w, struct instance *i)
{
	world_rebook(w, i);
}

/* ---- links of the other kinds ---- */

static struct digest *digest_ref(struct world *w, const char *text)
{
	struct digest *d = strmap_get(w->digests, text);

	if (!d) {
		uint32_t id = 0;

		while (id < w->digest_count && w->digest_list[id])
			id++;
		if (id == w->digest_room) {
			w->digest_room = w->digest_room ? w->digest_room * 2 : 64;
			w->digest_list = xrealloc(w->digest_list, w->digest_room * sizeof(struct digest *));
		}
		w->digest_count += id == w->digest_count;
		d = xcalloc(1, sizeof(*d));
		*d = (struct digest){.text = xstrdup(text), .id = id};
		w->digest_list[id] = d;
		strmap_put(w->digests, text, d);
	}
	d->refs++;
	return d;
}

static void digest_free(struct digest *d)
{
	free(d->text);
	free(d);
}

static void digest_unref(struct world *w, struct digest *d)
{
	if (!d || --d->refs)
		return;
	strmap_remove(w->digests, d->text);
	w->digest_list[d->id] = NULL;
	digest_free(d);
}

struct domain {
	uint32_t id;
};

static uint32_t domain_of(struct world *w, const struct node *n)
{
	_buf_ key = BUF_INIT(1024);

	if (!*n->rack)
		return n->id;
	buf_addf(&key, "%s/%s", n->location, n->rack);
	struct domain *d = strmap_get(w->domains, key.data);

	if (!d) {
		d = xcalloc(1, sizeof(*d));
		d->id = ++w->last_id;
		strmap_put(w->domains, key.data, d);
	}
	return d->id;
}

/* Makes n->held, and counts the node at the digests it holds. */
static void hold_images(struct world *w, struct node *n, struct site *s)
{
	struct digest **held = xcalloc(n->image_count + 1, sizeof(struct digest *));
	size_t count = 0;

	for (size_t i = 0; i < n->image_count; i++)
		/* Named twice it is still one image on one node. */
		if (n->images[i].phase == PREFETCH_READY && node_image_find(n, n->images[i].digest) == &n->images[i])
			held[count++] = digest_ref(w, n->images[i].digest);
	size_t words = w->digest_count / 64 + 1;

	n->held = xcalloc(words + 1, sizeof(*n->held));
	n->held[0] = words;
	for (size_t i = 0; i < count; i++) {
		n->held[1 + held[i]->id / 64] |= 1ULL << held[i]->id % 64;
		site_hold(s, held[i]->id);
		held[i]->nodes++;
	}
	free(held);
}

static void link_node(struct world *w, struct node *n)
{
	struct site *s = sites_get(&w->sites, n->location);

	if (!n->id) {
		n->id = ++w->last_id;
		n->shared_name = intern(w->names, n->r.name);
	}
	n->lease = (struct lease *)world_find(w, WORLD_LEASE, "kube-node-lease", n->r.name);
	n->domain = domain_of(w, n);
	hold_images(w, n, s);
	site_add_node(s, n);
}

static void unlink_node(struct world *w, struct node *n)
{
	for (uint32_t id = 0; id < n->held[0] * 64; id++) {
		struct digest *d = n->held[1 + id / 64] >> id % 64 & 1 ? w->digest_list[id] : NULL;

		if (!d)
			continue;
		site_unhold(n->site, id);
		d->nodes--;
		digest_unref(w, d);
	}
	site_remove_node(n);
	free(n->held);
	n->held = NULL;
}

/* Its Lease came, changed or went. */
static void set_lease(struct world *w, const char *name, struct lease *l)
{
	struct node *n = (struct node *)world_find(w, WORLD_NODE, NULL, name);

	if (!n)
		return;
	n->lease = l;
	site_update_node(n, false);
}

/* ---- the world ---- */

struct world *world_new(void)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->names = interns_new();
	w->resources = strmap_new();
	w->digests = strmap_new();
	w->domains = strmap_new();
	sites_init(&w->sites, w->names);
	return w;
}

static void record_free(struct world *w, struct record *r)
{
	if (r->kind == WORLD_CONTAINER) {
		struct container *c = (struct container *)r;

		free(c->resolve_error);
		free(c->allowed);
		tally_free(&c->spread);
	} else if (r->kind == WORLD_INSTANCE) {
		const struct instance *i = (struct instance *)r;

		intern_drop(w->names, i->container_name);
		intern_drop(w->names, i->node_name);
		intern_drop(w->names, i->revision);
		intern_drop(w->names, i->origin);
		intern_drop(w->names, i->assumed_node);
		intern_drop(w->names, r->ns);
	}
	arena_free(r->arena);
	free(r);
}

static void free_values(struct strmap *m)
{
	void *v;

	for (size_t pos = 0; strmap_next(m, &pos, NULL, &v);)
		free(v);
	strmap_free(m);
}

void world_free(struct world *w)
{
	struct record *r;
	void *d;

	if (!w)
		return;
	for (size_t pos = 0; (r = world_next(w, WORLD_NODE, &pos));)
		free(((struct node *)r)->held);
	for (int k = 0; k < WORLD_KIND_COUNT; k++) {
		for (size_t pos = 0; (r = world_next(w, (enum world_kind)k, &pos));)
			record_free(w, r);
		record_table_free(&w->records[k]);
	}
	for (size_t pos = 0; strmap_next(w->digests, &pos, NULL, &d);)
		digest_free(d);
	strmap_free(w->digests);
	free_values(w->resources);
	free_values(w->domains);
	sites_free(&w->sites);
	interns_free(w->names);
	free(w->digest_list);
	free(w->attention);
	free(w);
}

struct record *world_find(const struct world *w, enum world_kind kind, const char *ns, const char *name)
{
	return name && *name ? record_table_find(&w->records[kind], ns, name) : NULL;
}

struct record *world_next(const struct world *w, enum world_kind kind, size_t *position)
{
	return record_table_next(&w->records[kind], position);
}

size_t world_count(const struct world *w, enum world_kind kind)
{
	return w->records[kind].count;
}

/* ---- taking objects in ---- */

/* An Instance's own strings lie behind it: one allocation for each of a million. */
static struct record *record_new(struct world *w, enum world_kind kind, const struct json *meta)
{
	const char *ns = json_str_or(json_get(meta, "namespace"), "");
	const char *name = json_str_or(json_get(meta, "name"), ""), *uid = json_str_or(json_get(meta, "uid"), "");
	size_t name_len = strlen(name) + 1, uid_len = strlen(uid) + 1, size = decoders[kind].size;
	struct record *r;

	if (kind == WORLD_INSTANCE) {
		char *text;

		r = xmalloc(size + name_len + uid_len);
		memset(r, 0, size);
		text = (char *)r + size;
		r->ns = intern(w->names, ns);
		r->name = memcpy(text, name, name_len);
		r->uid = memcpy(text + name_len, uid, uid_len);
	} else {
		r = xcalloc(1, size);
		r->ns = ns;
		r->name = name;
	}
	r->kind = (uint8_t)kind;
	record_table_add(&w->records[kind], r);
	return r;
}

static void decode(struct world *w, struct record *r, const struct json *object)
{
	const struct json *meta = json_get(object, "metadata");
	struct arena *old = r->arena;

	r->arena = NULL;
	r->object = NULL;
	if (decoders[r->kind].keeps_object(object)) {
		r->arena = arena_new();
		r->object = json_clone(r->arena, object);
	}
	if (r->kind != WORLD_INSTANCE) {
		meta = json_get(r->object, "metadata");
		r->ns = json_str_or(json_get(meta, "namespace"), "");
		r->name = json_str_or(json_get(meta, "name"), "");
		r->uid = json_str_or(json_get(meta, "uid"), "");
	}
	r->resource_version = strtoull(json_str_or(json_get(meta, "resourceVersion"), "0"), NULL, 10);
	r->deleting = json_str(json_get(meta, "deletionTimestamp")) != NULL;
	decoders[r->kind].decode(w, r, r->object ? r->object : object);
	arena_free(old);
}

static void put_instance(struct world *w, struct record *r, const struct json *object)
{
	unlink_instance(w, (struct instance *)r);
	decode(w, r, object);
	link_instance(w, (struct instance *)r);
}

static void put_node(struct world *w, struct record *r, const struct json *object)
{
	struct node *n = (struct node *)r;
	const struct json *labels = json_in(object, "metadata", "labels");
	bool moves = n->site && (!streq(n->location, json_str_or(json_get(labels, NODE_LOCATION_LABEL), "")) ||
				 !streq(n->rack, json_str_or(json_get(labels, NODE_RACK_LABEL), "")));

	/* What is booked on it is counted by Location and rack. */
	if (moves)
		each_on_node(w, n, world_uncount);
	if (n->site)
		unlink_node(w, n);
	decode(w, r, object);
	link_node(w, n);
	if (moves)
		each_on_node(w, n, world_count_again);
}

static void put_location(struct world *w, struct record *r, const struct json *object)
{
	struct location *l = (struct location *)r, was = *l;
	_free_ char *region = xstrdup(was.region ? was.region : "");

	decode(w, r, object);
	struct site *s = sites_get(&w->sites, r->name);

	if (s->location != l || was.latitude < l->latitude || was.latitude > l->latitude ||
	    was.longitude < l->longitude || was.longitude > l->longitude || !streq(region, l->region))
		sites_changed(&w->sites);
	s->location = l;
}

static void put_revision(struct world *w, struct record *r, const struct json *object)
{
	struct revision *v = (struct revision *)r;
	struct digest *old = v->digest;

	decode(w, r, object);
	v->digest = digest_ref(w, v->image_digest);
	digest_unref(w, old);
}

static void put_lease(struct world *w, struct record *r, const struct json *object)
{
	decode(w, r, object);
	if (streq(r->ns, "kube-node-lease"))
		set_lease(w, r->name, (struct lease *)r);
}

static void (*const putters[WORLD_KIND_COUNT])(struct world *, struct record *, const struct json *) = {
	[WORLD_CONTAINER] = decode,	 [WORLD_REVISION] = put_revision, [WORLD_IMAGE] = decode,
	[WORLD_INSTANCE] = put_instance, [WORLD_NODE] = put_node,	  [WORLD_LEASE] = put_lease,
	[WORLD_LOCATION] = put_location,
};

struct record *world_put(struct world *w, enum world_kind kind, const struct json *object)
{
	const struct json *meta = json_get(object, "metadata");
	uint64_t version = strtoull(json_str_or(json_get(meta, "resourceVersion"), "0"), NULL, 10);
	struct record *r = record_table_find(&w->records[kind], json_str(json_get(meta, "namespace")),
					     json_str_or(json_get(meta, "name"), ""));

	if (r && version && version <= r->resource_version)
		return r;
	/* Another object of that name: the news that the old one is gone was missed. */
	if (r && kind == WORLD_INSTANCE && !streq(r->uid, json_str_or(json_get(meta, "uid"), ""))) {
		world_drop(w, r);
		r = NULL;
	}
	if (!r) {
		r = record_new(w, kind, meta);
		w->news |= kind == WORLD_CONTAINER || kind == WORLD_REVISION || kind == WORLD_NODE;
	}
	putters[kind](w, r, object);
	return r;
}

void world_drop(struct world *w, struct record *r)
{
	record_table_remove(&w->records[r->kind], r);
	switch ((enum world_kind)r->kind) {
	case WORLD_INSTANCE:
		unlink_instance(w, (struct instance *)r);
		w->unresolved -= ((struct instance *)r)->unresolved;
		attend(w, (struct instance *)r, false);
		break;
	case WORLD_CONTAINER:
		for (struct instance *i; (i = ((struct container *)r)->instances);) {
			unlink_instance(w, i);
			link_instance(w, i);
		}
		break;
	case WORLD_NODE:
		each_on_node(w, (struct node *)r, lose_node);
		unlink_node(w, (struct node *)r);
		intern_drop(w->names, ((struct node *)r)->shared_name);
		break;
	case WORLD_REVISION:
		digest_unref(w, ((struct revision *)r)->digest);
		break;
	case WORLD_LOCATION:
		sites_get(&w->sites, r->name)->location = NULL;
		sites_changed(&w->sites);
		break;
	case WORLD_LEASE:
		if (streq(r->ns, "kube-node-lease"))
			set_lease(w, r->name, NULL);
		break;
	default:
		break;
	}
	record_free(w, r);
}

void world_remove(struct world *w, enum world_kind kind, const struct json *object)
{
	const struct json *meta = json_get(object, "metadata");
	struct record *r = record_table_find(&w->records[kind], json_str(json_get(meta, "namespace")),
					     json_str_or(json_get(meta, "name"), ""));

	if (r && streq(r->uid, json_str_or(json_get(meta, "uid"), "")))
		world_drop(w, r);
}

/* ---- questions about nodes ---- */

const struct node_image *node_image_find(const struct node *n, const char *digest)
{
	for (size_t i = 0; i < n->image_count; i++)
		if (streq(n->images[i].digest, digest))
			return &n->images[i];
	return NULL;
}

bool node_is_live(const struct node *n, int64_t now, const char **ret_why)
{
	if (n->r.deleting)
		return *ret_why = "node is being deleted", false;
	if (!n->ready)
		return *ret_why = "node is not ready", false;
	if (!n->lease || now - n->lease->renewed_at > n->lease->duration_ms)
		return *ret_why = "node has stopped renewing its lease", false;
	return true;
}
