/*
 * place.h - which node an Instance runs on. Pure. docs/placement.md has the rules in words.
 *
 * The rule: among the Locations the Container's placement allows, the nearest to the Instance's origin (great-circle
 * distance; by name when the origin is unknown) that has at least one feasible node; there, the node whose rack has the
 * fewest running instances of the Container, then the node with the fewest of them, then the one with the largest
 * mean free share of vCPU, memory and disk (with one more small instance on it), then with fewer instances of any
 * Container, then by name. A node is feasible when it is live, schedulable, not overloaded, holds the image, and has
 * room.
 *
 * place_choose() finds that node through the world's indexes and is what binds. place_survey() looks at every node
 * through the objects alone, for explanations: it is slow and says why. Both give the same node, always.
 *
 * Used by the scheduler's step.
 */
#ifndef BERTH_SCHEDULER_PLACE_H
#define BERTH_SCHEDULER_PLACE_H

#include "scheduler/world.h"

/* At most so many candidates are explained in an Instance's status; the rest is only counted. */
#define PLACE_EXPLAIN_MAX 16
/* A Location that was passed over is explained by at most so many of its nodes, so that others find room; one that
 * placement does not allow, by one. */
#define PLACE_EXPLAIN_PASSED 3

struct candidate {
	const struct node *node;
	double distance_km; /* from the origin, -1 when unknown */
	uint32_t in_domain; /* running instances of the Container in its rack (or on it, without a rack) */
	uint32_t on_node;
	const char *reason; /* NULL when feasible */
	bool is_full;	    /* the reason is that there is no room: but for that it would be feasible */
};

struct placement {
	struct node *node; /* NULL: none is feasible */
	struct candidate
		*candidates; /* the chosen one first, then feasible ones, then the others by distance and name */
	size_t count;	     /* of candidates */
	size_t omitted;	     /* nodes beside them */
	const char *origin;  /* "" when unknown */
};

struct choice {
	struct node *node;   /* NULL: none is feasible */
	struct site *passed; /* the nearest Location allowed that has the image, when it is not the chosen one */
};

/* origin: interned, as in an Instance. */
struct choice place_choose(struct world *w, struct container *c, const struct revision *rev, const char *origin,
			   int64_t now);
/* All nodes, with the reason against each that is not feasible; everything lives in the arena or the world. */
struct placement place_survey(const struct world *w, const struct container *c, const struct revision *rev,
			      const char *origin, int64_t now, struct arena *a);
/* What led to a choice: the chosen node first, then nodes of the Locations passed over and of the chosen one. */
struct placement place_account(struct world *w, const struct container *c, const struct revision *rev,
			       const char *origin, const struct choice *chosen, int64_t now, struct arena *a);
/* The commonest reason against the nodes of a site. */
const char *place_why_passed(const struct world *w, const struct container *c, const struct revision *rev,
			     const struct site *s, int64_t now, struct arena *a);
/* "2 nodes: insufficient memory; 1 node: node is cordoned", of the nodes that are not feasible. */
const char *place_summary(struct arena *a, const struct placement *p);
/* Why the Instance's suspended VM cannot run on where it is, NULL when it can. It has its memory and disk already, and
 * needs no image. */
const char *place_resume_obstacle(const struct world *w, const struct instance *i, const struct node *n, int64_t now,
				  struct arena *a);
/* True when the Container's placement lets instances run there. */
bool place_allows(const struct container *c, const struct location *l);
/* The candidates as Instance.status.placement. */
struct json *place_explain(struct arena *a, const struct placement *p);
/* Great-circle distance in kilometres (haversine, mean Earth radius 6371 km). */
double place_distance_km(const struct location *x, const struct location *y);

#endif
