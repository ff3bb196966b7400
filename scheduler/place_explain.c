/*
 * place_explain.c - why a node was chosen or not, in words; see place.h.
 *
 * place_survey() uses none of the indexes that place_choose() uses, so that tests can hold one against the other.
 */
#include "scheduler/place.h"

static const char *shortage(const struct node *n, const struct resources *need)
{
	if (n->used.milli_vcpu + need->milli_vcpu > n->allocatable.milli_vcpu)
		return "insufficient vCPU";
	if (n->used.memory + need->memory > n->allocatable.memory)
		return "insufficient memory";
	if (n->used.disk + need->disk > n->allocatable.disk)
		return "insufficient disk";
	return NULL;
}

static const char *image_lacks(struct arena *a, const struct node *n, const char *digest)
{
	const struct node_image *i = node_image_find(n, digest);

	if (!i)
		return "image is not prefetched";
	switch (i->phase) {
	case PREFETCH_READY:
		return NULL;
	case PREFETCH_FAILED:
		return arena_printf(a, "image prefetch failed: %s", i->message);
	default:
		return arena_printf(a, "image is being prefetched (%d %%)", (int)i->percent);
	}
}

/* Why no instance of the Container may run on a node, whatever it needs; NULL when it may. */
static const char *exclude(const struct world *w, const struct container *c, const struct node *n, int64_t now,
			   struct arena *a)
{
	const struct location *l = (struct location *)world_find(w, WORLD_LOCATION, NULL, n->location);
	const char *why;

	if (!l)
		return *n->location ? arena_printf(a, "its Location \"%s\" does not exist", n->location)
				    : "it belongs to no Location";
	if (!place_allows(c, l))
		return "placement does not allow its Location";
	if (!node_is_live(n, now, &why))
		return why;
	if (n->unschedulable)
		return "node is cordoned";
	if (n->taint)
		return arena_printf(a, "node has the taint %s", n->taint);
	if (n->pressure)
		return arena_printf(a, "node is overloaded (%s)", n->pressure);
	return NULL;
}

/* Why a node cannot take the Instance, NULL when it can. */
static const char *reject(const struct world *w, const struct container *c, const struct revision *rev,
			  const struct node *n, int64_t now, bool *ret_full, struct arena *a)
{
	const char *why = exclude(w, c, n, now, a);

	*ret_full = false;
	if (!why)
		why = image_lacks(a, n, rev->image_digest);
	if (why)
		return why;
	why = shortage(n, rev->need);
	*ret_full = why != NULL;
	return why;
}

const char *place_resume_obstacle(const struct world *w, const struct instance *i, const struct node *n, int64_t now,
				  struct arena *a)
{
	const struct revision *rev = (struct revision *)world_find(w, WORLD_REVISION, i->r.ns, i->revision);
	const char *why = exclude(w, i->container, n, now, a);

	if (why)
		return why;
	if (!rev)
		return "its Revision is gone";
	return n->used.milli_vcpu + rev->need->milli_vcpu > n->allocatable.milli_vcpu ? "insufficient vCPU" : NULL;
}

static bool same_domain(const struct node *x, const struct node *y)
{
	return x == y || (*x->rack && streq(x->rack, y->rack) && streq(x->location, y->location));
}

static struct candidate judge(const struct world *w, const struct container *c, const struct revision *rev,
			      const struct location *from, const struct node *n, int64_t now, struct arena *a)
{
	const struct location *at = (struct location *)world_find(w, WORLD_LOCATION, NULL, n->location);

	struct candidate k = {.node = n, .distance_km = from && at ? place_distance_km(from, at) : -1};

	k.reason = reject(w, c, rev, n, now, &k.is_full, a);
	return k;
}

static int compare(const void *px, const void *py)
{
	const struct candidate *x = px, *y = py;

	if (!x->reason != !y->reason)
		return x->reason ? 1 : -1;
	if (x->distance_km < y->distance_km || x->distance_km > y->distance_km)
		return x->distance_km < y->distance_km ? -1 : 1;
	/* Without a distance, and between Locations equally far, the Location's name decides. */
	int by_location = strcmp(x->node->location, y->node->location);

	if (by_location)
		return by_location;
	if (x->reason)
		return strcmp(x->node->r.name, y->node->r.name);
	if (x->in_domain != y->in_domain)
		return x->in_domain < y->in_domain ? -1 : 1;
	if (x->on_node != y->on_node)
		return x->on_node < y->on_node ? -1 : 1;
	if (x->node->score != y->node->score)
		return x->node->score > y->node->score ? -1 : 1;
	if (x->node->instances != y->node->instances)
		return x->node->instances < y->node->instances ? -1 : 1;
	return strcmp(x->node->r.name, y->node->r.name);
}

struct placement place_survey(const struct world *w, const struct container *c, const struct revision *rev,
			      const char *origin, int64_t now, struct arena *a)
{
	const struct location *from = (struct location *)world_find(w, WORLD_LOCATION, NULL, origin);
	struct placement p = {.candidates = arena_alloc(a, (world_count(w, WORLD_NODE) + 1) * sizeof(*p.candidates)),
			      .origin = from ? from->r.name : ""};
	struct record *r;

	for (size_t pos = 0; (r = world_next(w, WORLD_NODE, &pos));) {
		struct candidate *k = &p.candidates[p.count++];

		*k = judge(w, c, rev, from, (struct node *)r, now, a);
		for (const struct instance *i = c->instances; i && !k->reason; i = i->next)
			if (i->booked_on && i->is_running) {
				k->on_node += i->booked_on == k->node;
				k->in_domain += same_domain(i->booked_on, k->node);
			}
	}
	qsort(p.candidates, p.count, sizeof(*p.candidates), compare);
	if (p.count && !p.candidates[0].reason)
		p.node = (struct node *)world_find(w, WORLD_NODE, NULL, p.candidates[0].node->r.name);
	return p;
}

/* Adds up to `most` nodes of a site but the chosen one. */
static void account_site(const struct world *w, struct placement *p, const struct container *c,
			 const struct revision *rev, const struct site *s, size_t most, int64_t now, struct arena *a)
{
	const struct location *from = (struct location *)world_find(w, WORLD_LOCATION, NULL, p->origin);

	for (size_t i = 0; i < s->count && most && p->count < PLACE_EXPLAIN_MAX; i++) {
		const struct node *n = s->slots[s->order[i]].node;
		struct candidate k;

		if (n == p->node)
			continue;
		k = judge(w, c, rev, from, n, now, a);
		k.on_node = tally_get(&c->spread, k.node->id);
		k.in_domain = tally_get(&c->spread, k.node->domain);
		p->candidates[p->count++] = k;
		most--;
	}
}

struct placement place_account(struct world *w, const struct container *c, const struct revision *rev,
			       const char *origin, const struct choice *chosen, int64_t now, struct arena *a)
{
	struct site *from = site_named(origin);
	const struct location *here = from ? from->location : NULL;
	struct placement p = {.node = chosen->node,
			      .candidates = arena_alloc(a, PLACE_EXPLAIN_MAX * sizeof(*p.candidates)),
			      .origin = here ? here->r.name : ""};
	const struct node *n = chosen->node;
	size_t count;
	const struct neighbour *near = sites_near(&w->sites, from, &count);

	p.candidates[p.count++] = judge(w, c, rev, here, n, now, a);
	p.candidates[0].on_node = tally_get(&c->spread, n->id);
	p.candidates[0].in_domain = tally_get(&c->spread, n->domain);
	for (size_t i = 0; i < count && near[i].site != n->site; i++)
		account_site(w, &p, c, rev, near[i].site,
			     place_allows(c, near[i].site->location) ? PLACE_EXPLAIN_PASSED : 1, now, a);
	account_site(w, &p, c, rev, n->site, PLACE_EXPLAIN_MAX, now, a);
	p.omitted = world_count(w, WORLD_NODE) - p.count;
	qsort(p.candidates, p.count, sizeof(*p.candidates), compare);
	return p;
}

/* ---- in words ---- */

struct reasons {
	const char *text;
	size_t nodes;
};

#define REASONS_MAX 8

/* Counts equal reasons, commonest first; those beyond REASONS_MAX different ones are left out. */
static size_t gather(const struct candidate *list, size_t count, struct reasons *ret)
{
	size_t n = 0, k;

	for (size_t i = 0; i < count; i++) {
		if (!list[i].reason)
			continue;
		for (k = 0; k < n && !streq(ret[k].text, list[i].reason); k++)
			;
		if (k == REASONS_MAX)
			continue;
		if (k == n)
			ret[n++] = (struct reasons){list[i].reason, 0};
		ret[k].nodes++;
		for (; k > 0 && ret[k].nodes > ret[k - 1].nodes; k--) {
			struct reasons x = ret[k];

			ret[k] = ret[k - 1];
			ret[k - 1] = x;
		}
	}
	return n;
}

const char *place_summary(struct arena *a, const struct placement *p)
{
	struct reasons reasons[REASONS_MAX];
	size_t n = gather(p->candidates, p->count, reasons);
	const char *text = "";

	for (size_t i = 0; i < n; i++)
		text = arena_printf(a, "%s%s%zu node%s: %s", text, *text ? "; " : "", reasons[i].nodes,
				    reasons[i].nodes > 1 ? "s" : "", reasons[i].text);
	return p->count ? text : "there are no nodes";
}

const char *place_why_passed(const struct world *w, const struct container *c, const struct revision *rev,
			     const struct site *s, int64_t now, struct arena *a)
{
	struct candidate *list = arena_alloc(a, (s->count + 1) * sizeof(*list));
	struct reasons reasons[REASONS_MAX];

	for (size_t i = 0; i < s->count; i++)
		list[i] = judge(w, c, rev, NULL, s->slots[s->order[i]].node, now, a);
	return gather(list, s->count, reasons) ? reasons[0].text : "it has no node";
}

static void put_row(struct arena *a, struct json *list, const struct candidate *k)
{
	struct json *o = json_append(a, list, json_object(a));

	json_set_str(a, o, "node", k->node->r.name);
	if (*k->node->location)
		json_set_str(a, o, "location", k->node->location);
	if (k->distance_km >= 0)
		json_set_int(a, o, "distanceKm", (int64_t)(k->distance_km + 0.5));
	if (k->reason) {
		json_set_str(a, o, "reason", k->reason);
		return;
	}
	json_set_int(a, o, "score", k->node->score);
	json_set_int(a, o, "sameNode", k->on_node);
	json_set_int(a, o, "sameDomain", k->in_domain);
}

struct json *place_explain(struct arena *a, const struct placement *p)
{
	struct json *placement = json_object(a), *list;
	size_t shown = p->count < PLACE_EXPLAIN_MAX ? p->count : PLACE_EXPLAIN_MAX;

	/* Always all members: what a merge patch leaves out would stay as it was. */
	json_set_str(a, placement, "origin", p->origin ? p->origin : "");
	list = json_set(a, placement, "candidates", json_array(a));
	for (size_t i = 0; i < shown; i++)
		put_row(a, list, &p->candidates[i]);
	json_set_int(a, placement, "omitted", (int64_t)(p->omitted + p->count - shown));
	return placement;
}
