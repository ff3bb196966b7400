/*
 * prefetch.c - the plan of Image objects and their gathered status; see prefetch.h.
 */
#include "scheduler/prefetch.h"

#include "lib/naming.h"
#include "scheduler/place.h"

#define PULL_SECRETS_MAX 64U /* of one image; api-spec/image.yaml has the same number */

/* One digest that some Revision needs. */
struct want {
	const struct revision *revision; /* one of those that need it: names the repository to pull from */
	struct json *locations;		 /* sorted array of names */
	struct json *pull_secrets;	 /* of the Containers that pull it from that repository */
};

static bool wanted_at(const struct container *c, const struct location *l)
{
	return place_allows(c, l) && (c->prefetch_all || string_list_has(&c->prefetch_locations, l->r.name));
}

static void add_sorted(struct arena *a, struct json *names, const char *name)
{
	size_t i = 0;

	while (i < json_count(names) && strcmp(json_str(json_item(names, i)), name) < 0)
		i++;
	if (!streq(json_str(json_item(names, i)), name))
		json_insert(a, names, i, json_string(a, name));
}

/* Ordered by namespace and name, each once. */
static int compare_secrets(const struct json *x, const struct json *y)
{
	int by_ns = strcmp(json_str_or(json_get(x, "namespace"), ""), json_str_or(json_get(y, "namespace"), ""));

	return by_ns ? by_ns : strcmp(json_str_or(json_get(x, "name"), ""), json_str_or(json_get(y, "name"), ""));
}

static void add_secrets(struct arena *a, struct json *into, const struct container *c)
{
	const struct json *names = container_pull_secrets(a, c);

	for (size_t k = 0; k < json_count(names) && json_count(into) < PULL_SECRETS_MAX; k++) {
		struct json *name = json_item(names, k);
		size_t i = 0;

		while (i < json_count(into) && compare_secrets(json_item(into, i), name) < 0)
			i++;
		if (i == json_count(into) || compare_secrets(json_item(into, i), name) != 0)
			json_insert(a, into, i, name);
	}
}

/* The Container of a Revision whose image has to be there; NULL when it has not. */
static const struct container *needs_image(const struct world *w, const struct revision *r)
{
	const struct container *c = (struct container *)world_find(w, WORLD_CONTAINER, r->r.ns, r->container_name);

	return c && !c->r.deleting && r->in_use ? c : NULL;
}

/* Of several repositories with the same image, the one that its Image object names already is kept. */
static bool is_better_source(const struct world *w, struct arena *a, const struct revision *than,
			     const struct revision *r)
{
	const char *name = image_object_name(a, r->image_digest);
	const struct image *i = name ? (struct image *)world_find(w, WORLD_IMAGE, NULL, name) : NULL;

	return i && !streq(than->image, i->reference) && streq(r->image, i->reference);
}

static struct strmap *gather_wants(const struct world *w, struct arena *a)
{
	struct strmap *wants = strmap_new();
	const struct container *c;
	struct record *x, *y;

	for (size_t pos = 0; (x = world_next(w, WORLD_REVISION, &pos));) {
		struct revision *r = (struct revision *)x;

		if (!(c = needs_image(w, r)))
			continue;
		struct want *want = strmap_get(wants, r->image_digest);

		if (!want) {
			want = arena_calloc(a, sizeof(*want));
			want->revision = r;
			want->locations = json_array(a);
			want->pull_secrets = json_array(a);
			strmap_put(wants, r->image_digest, want);
		} else if (is_better_source(w, a, want->revision, r)) {
			want->revision = r;
		}
		for (size_t lp = 0; (y = world_next(w, WORLD_LOCATION, &lp));)
			if (wanted_at(c, (struct location *)y))
				add_sorted(a, want->locations, y->name);
	}
	/* A Secret is only used for the repository that it was named for. */
	for (size_t pos = 0; (x = world_next(w, WORLD_REVISION, &pos));) {
		struct revision *r = (struct revision *)x;
		struct want *want = strmap_get(wants, r->image_digest);

		if (want && streq(r->image, want->revision->image) && (c = needs_image(w, r)))
			add_secrets(a, want->pull_secrets, c);
	}
	return wants;
}

static void create_missing(const struct world *w, struct strmap *wants, int64_t now, struct action_list *out)
{
	struct arena *a = out->arena;
	const char *digest;
	void *v;

	for (size_t pos = 0; strmap_next(wants, &pos, &digest, &v);) {
		const struct want *want = v;
		const char *name = image_object_name(a, digest);
		struct container *c = (struct container *)world_find(w, WORLD_CONTAINER, want->revision->r.ns,
								     want->revision->container_name);

		if (!name || world_find(w, WORLD_IMAGE, NULL, name) || c->r.writing || now < c->r.retry_at)
			continue;
		struct json *o = json_object(a), *spec = json_set(a, o, "spec", json_object(a));

		json_set_str(a, o, "apiVersion", "berth.dev/v1");
		json_set_str(a, o, "kind", "Image");
		json_set_str(a, json_ensure_object(a, o, "metadata"), "name", name);
		json_set_str(a, spec, "reference", want->revision->image);
		json_set_str(a, spec, "digest", digest);
		json_set(a, spec, "locations", want->locations);
		if (json_count(want->pull_secrets))
			json_set(a, spec, "pullSecrets", want->pull_secrets);
		action_add_create(out, WORLD_IMAGE, NULL, name, &c->r, o);
	}
}

static struct json *node_row(struct arena *a, const struct node *n, const struct node_image *i)
{
	static const char *const names[] = {"Pending", "Pending", "Pulling", "Ready", "Failed"};
	struct json *o = json_object(a);

	json_set_str(a, o, "node", n->r.name);
	json_set_str(a, o, "location", n->location);
	json_set_str(a, o, "phase", names[i ? i->phase : PREFETCH_NONE]);
	json_set_int(a, o, "percent", i ? i->percent : 0);
	if (i && *i->message)
		json_set_str(a, o, "message", i->message);
	return o;
}

static int compare_rows(const void *x, const void *y)
{
	const struct node *const *nx = x, *const *ny = y;

	return strcmp((*nx)->r.name, (*ny)->r.name);
}

/* Image.status as the nodes report it now. */
static struct json *image_status(const struct world *w, const struct image *i, int64_t now, struct arena *a)
{
	const struct node **nodes = arena_alloc(a, (world_count(w, WORLD_NODE) + 1) * sizeof(*nodes));
	struct json *status = json_object(a), *rows = json_array(a), *at = json_object(a);
	const struct json *old = json_in(i->r.object, "status", "conditions");
	size_t count = 0, ready = 0;
	int64_t size = 0;
	struct record *x;

	for (size_t pos = 0; (x = world_next(w, WORLD_NODE, &pos));)
		if (string_list_has(&i->locations, ((struct node *)x)->location))
			nodes[count++] = (struct node *)x;
	qsort(nodes, count, sizeof(*nodes), compare_rows);
	for (size_t n = 0; n < count; n++) {
		const struct node_image *ni = node_image_find(nodes[n], i->digest);

		json_append(a, rows, node_row(a, nodes[n], ni));
		ready += ni && ni->phase == PREFETCH_READY;
		if (ni && ni->bytes_total > size)
			size = ni->bytes_total;
	}
	if (size)
		json_set_int(a, status, "sizeBytes", size);
	json_set(a, status, "nodes", rows);
	json_set_int(a, at, "ready", (int64_t)ready);
	json_set_int(a, at, "wanted", (int64_t)count);
	json_set(a, status, "locations", at);
	condition_put(a, json_set(a, status, "conditions", json_array(a)), old, "Prefetched", count && ready == count,
		      count && ready == count ? "Prefetched" : "Prefetching",
		      arena_printf(a, "%zu of %zu nodes hold the image", ready, count), now);
	return status;
}

static struct json *wrap(struct arena *a, const char *key, struct json *value)
{
	struct json *o = json_object(a);

	json_set(a, o, key, value);
	return o;
}

/* No list is an empty one. */
static bool same_list(const struct json *x, const struct json *y)
{
	return (!json_count(x) && !json_count(y)) || json_equal(x, y);
}

static void update_image(const struct world *w, struct image *i, const struct want *want, int64_t now,
			 struct action_list *out)
{
	struct arena *a = out->arena;
	const struct json *spec_now = json_get(i->r.object, "spec");

	/* One whose repository nobody names any more is made anew in the next step: its reference never changes. */
	if (!want || !streq(i->reference, want->revision->image)) {
		action_add(out, ACTION_DELETE, &i->r, NULL);
		return;
	}
	if (!json_equal(json_get(spec_now, "locations"), want->locations) ||
	    !same_list(json_get(spec_now, "pullSecrets"), want->pull_secrets)) {
		struct json *spec = wrap(a, "locations", want->locations);

		json_set(a, spec, "pullSecrets", json_count(want->pull_secrets) ? want->pull_secrets : json_null(a));
		action_add(out, ACTION_PATCH, &i->r, wrap(a, "spec", spec));
		return;
	}
	struct json *status = image_status(w, i, now, a);

	if (!json_equal(status, json_get(i->r.object, "status")))
		action_add(out, ACTION_PATCH_STATUS, &i->r, wrap(a, "status", status));
}

void prefetch_step(struct world *w, int64_t now, struct action_list *out)
{
	struct strmap *wants = gather_wants(w, out->arena);
	struct record *x;

	create_missing(w, wants, now, out);
	for (size_t pos = 0; (x = world_next(w, WORLD_IMAGE, &pos));) {
		struct image *i = (struct image *)x;

		if (!x->writing && !x->deleting && now >= x->retry_at)
			update_image(w, i, strmap_get(wants, i->digest), now, out);
	}
	strmap_free(wants);
}

/* The nodes of a site that do not hold the image; returns their percent, summed. */
static int64_t progress_of_rest(const struct site *s, const struct digest *d, const char **ret_failure)
{
	int64_t sum = 0;

	for (uint32_t k = 0; k < s->count; k++) {
		const struct node *n = s->slots[k].node;
		const struct node_image *i = held_has(n->held, d) ? NULL : node_image_find(n, d->text);

		sum += i ? i->percent : 0;
		if (i && i->phase == PREFETCH_FAILED)
			*ret_failure = i->message;
	}
	return sum;
}

struct prefetch_progress prefetch_progress(const struct world *w, const struct container *c)
{
	struct prefetch_progress p = {0};
	int64_t sum = 0;

	for (size_t k = 0; c->newest && k < w->sites.count; k++) {
		const struct site *s = w->sites.list[k];
		const struct digest *d = c->newest->digest;

		if (!s->location || !s->count || !wanted_at(c, s->location))
			continue;
		uint32_t ready = tally_get(&s->holders, d->id + 1);

		p.wanted += s->count;
		p.ready += ready;
		sum += 100 * (int64_t)ready;
		if (ready < s->count)
			sum += progress_of_rest(s, d, &p.failure);
	}
	p.percent = p.wanted ? sum / p.wanted : 0;
	return p;
}
