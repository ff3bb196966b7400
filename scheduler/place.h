/*
 * place.h - which node an Instance runs on. Pure.
 *
 * The rule: among the Locations the Container's placement allows, the nearest to the Instance's origin (great-circle
 * distance; by name when the origin is unknown) that has at least one feasible node; there, the node whose mean free
 * share of vCPU, memory and disk is largest after placing, ties by fewer instances, then by name. A node is feasible
 * when it is live, schedulable, holds the image, and has room.
 *
 * Used by the scheduler's step.
 */
#ifndef BERTH_SCHEDULER_PLACE_H
#define BERTH_SCHEDULER_PLACE_H

#include "scheduler/world.h"

/* At most so many candidates are explained in an Instance's status; the rest is only counted. */
#define PLACE_EXPLAIN_MAX 16

struct candidate {
	const struct node *node;
	double distance_km; /* from the origin, -1 when unknown */
	int score;	    /* 0 … 1000, meaningful when feasible */
	const char *reason; /* NULL when feasible */
	bool is_full;	    /* the reason is that there is no room: but for that it would be feasible */
};

struct placement {
	struct node *node;	      /* NULL: none is feasible */
	struct candidate *candidates; /* sorted: chosen first, then feasible ones, then by distance and name */
	size_t count;
};

/* Decides for one Instance of a Container at a revision; everything returned lives in the arena or the world. */
struct placement place_instance(const struct world *w, const struct container *c, const struct revision *rev,
				const char *origin, int64_t now, struct arena *a);
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
