/*
 * place.c - choosing the node for one Instance; see place.h. place_explain.c says why.
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

/* Makes c->allowed anew when Locations have changed since, or the Container has. */
static void refresh_allowed(const struct world *w, struct container *c)
{
	if (c->allowed_epoch == w->sites.epoch)
		return;
	free(c->allowed);
	c->allowed = NULL;
	c->allowed_epoch = w->sites.epoch;
	if (!c->regions.count && !c->locations.count && !c->exclude_locations.count)
		return;
	c->allowed = xcalloc(w->sites.count / 64 + 1, sizeof(*c->allowed));
	for (size_t i = 0; i < w->sites.count; i++) {
		const struct location *l = w->sites.list[i]->location;

		if (l && place_allows(c, l))
			c->allowed[i / 64] |= 1ULL << i % 64;
	}
}

static bool allows(const struct container *c, const struct site *s)
{
	return !c->allowed || (c->allowed[(s->id - 1) / 64] >> (s->id - 1) % 64 & 1);
}

/* Counts by rack, kept while a Location is walked: its nodes share few racks. */
struct rack_memo {
	uint32_t domain[8], count[8];
};

static uint32_t in_rack(struct rack_memo *m, const struct container *c, uint32_t domain)
{
	size_t k = domain % ARRAY_SIZE(m->domain);

	if (m->domain[k] != domain) {
		m->domain[k] = domain;
		m->count[k] = tally_get(&c->spread, domain);
	}
	return m->count[k];
}

/* The best of a Location's feasible nodes. They stand in order of score: of two that are equally far from the
 * Container's other instances, the first is the better one. */
static struct node *best_at(struct site *s, const struct container *c, const struct revision *rev, int64_t now)
{
	struct node *best = NULL;
	uint32_t best_in_domain = UINT32_MAX, best_on_node = 0;
	struct rack_memo racks = {0};
	bool any_room = false;

	for (uint32_t i = 0; i < s->count && best_in_domain; i++) {
		const struct site_slot *n = &s->slots[s->order[i]];

		if (!resources_cover(&n->left, rev->need))
			continue;
		any_room = true;
		if (n->open_until < now || !held_has(n->held, rev->digest))
			continue;
		uint32_t in_domain = in_rack(&racks, c, n->domain);

		if (in_domain > best_in_domain || (in_domain == best_in_domain && !best_on_node))
			continue;
		uint32_t on_node = in_domain ? tally_get(&c->spread, n->id) : 0;

		if (in_domain == best_in_domain && on_node >= best_on_node)
			continue;
		best = n->node;
		best_in_domain = in_domain;
		best_on_node = on_node;
	}
	if (!any_room)
		site_note_full(s, rev->need);
	return best;
}

struct choice place_choose(struct world *w, struct container *c, const struct revision *rev, const char *origin,
			   int64_t now)
{
	struct choice choice = {0};
	size_t count;
	const struct neighbour *near = sites_near(&w->sites, site_named(origin), &count);

	refresh_allowed(w, c);
	for (size_t i = 0; i < count; i++) {
		struct site *s = near[i].site;

		if (!s->held || !held_has(s->held, rev->digest) || !allows(c, s))
			continue;
		if (!site_is_full_for(s, rev->need))
			choice.node = best_at(s, c, rev, now);
		if (choice.node)
			break;
		if (!choice.passed)
			choice.passed = s;
	}
	return choice;
}
