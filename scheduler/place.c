/*
 * place.c - filtering, scoring and explaining the nodes for one Instance; see place.h.
 */
#include "scheduler/place.h"

#include <math.h>

double place_distance_km(const struct location *x, const struct location *y)
{
	const double rad = M_PI / 180, earth_km = 6371;
	double lat = (y->latitude - x->latitude) * rad, lon = (y->longitude - x->longitude) * rad;
	double h = sin(lat / 2) * sin(lat / 2) +
		   cos(x->latitude * rad) * cos(y->latitude * rad) * sin(lon / 2) * sin(lon / 2);

	return 2 * earth_km * asin(fmin(1, sqrt(h)));
}

bool place_allows(const struct container *c, const struct location *l)
{
	if (string_list_has(&c->exclude_locations, l->r.name))
		return false;
	if (c->locations.count && !string_list_has(&c->locations, l->r.name))
		return false;
	return !c->regions.count || string_list_has(&c->regions, l->region);
}

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
	if (!node_is_live(w, n, now, &why))
		return why;
	return n->unschedulable ? "node is cordoned" : NULL;
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
	why = shortage(n, &rev->need);
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
	return n->used.milli_vcpu + rev->need.milli_vcpu > n->allocatable.milli_vcpu ? "insufficient vCPU" : NULL;
}

static double free_share(int64_t allocatable, int64_t used, int64_t need)
{
	return allocatable > 0 ? (double)(allocatable - used - need) / (double)allocatable : 0;
}

static int score(const struct node *n, const struct resources *need)
{
	double mean = (free_share(n->allocatable.milli_vcpu, n->used.milli_vcpu, need->milli_vcpu) +
		       free_share(n->allocatable.memory, n->used.memory, need->memory) +
		       free_share(n->allocatable.disk, n->used.disk, need->disk)) /
		      3;

	return (int)lround(mean * 1000);
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
	if (!x->reason && x->score != y->score)
		return x->score > y->score ? -1 : 1;
	if (!x->reason && x->node->instances != y->node->instances)
		return x->node->instances < y->node->instances ? -1 : 1;
	return strcmp(x->node->r.name, y->node->r.name);
}

struct placement place_instance(const struct world *w, const struct container *c, const struct revision *rev,
				const char *origin, int64_t now, struct arena *a)
{
	const struct location *from = (struct location *)world_find(w, WORLD_LOCATION, NULL, origin);
	struct placement p = {
		.candidates = arena_alloc(a, (strmap_count(w->records[WORLD_NODE]) + 1) * sizeof(*p.candidates))};
	size_t pos = 0;
	struct record *r;

	while ((r = world_next(w, WORLD_NODE, &pos))) {
		const struct node *n = (struct node *)r;
		const struct location *at = (struct location *)world_find(w, WORLD_LOCATION, NULL, n->location);
		struct candidate *k = &p.candidates[p.count++];

		*k = (struct candidate){.node = n, .distance_km = from && at ? place_distance_km(from, at) : -1};
		k->reason = reject(w, c, rev, n, now, &k->is_full, a);
		if (!k->reason)
			k->score = score(n, &rev->need);
	}
	qsort(p.candidates, p.count, sizeof(*p.candidates), compare);
	if (p.count && !p.candidates[0].reason)
		p.node = (struct node *)world_find(w, WORLD_NODE, NULL, p.candidates[0].node->r.name);
	return p;
}

struct json *place_explain(struct arena *a, const struct placement *p)
{
	struct json *placement = json_object(a), *list = json_set(a, placement, "candidates", json_array(a));

	for (size_t i = 0; i < p->count && i < PLACE_EXPLAIN_MAX; i++) {
		const struct candidate *k = &p->candidates[i];
		struct json *o = json_append(a, list, json_object(a));

		json_set_str(a, o, "node", k->node->r.name);
		if (*k->node->location)
			json_set_str(a, o, "location", k->node->location);
		if (k->reason)
			json_set_str(a, o, "reason", k->reason);
		else
			json_set_int(a, o, "score", k->score);
	}
	return placement;
}
