/*
 * site.h - the nodes of each Location in the order in which they are preferred, and Locations by nearness. Pure.
 *
 * A site exists for every Location that has an object or that a node names. Its nodes stand in order of their score
 * (largest first), then by fewer instances, then by name; booking moves a node by the few places its score has changed.
 * The order of Locations around one is made once and kept until a Location moves, comes or goes.
 *
 * Used by world.c and place.c.
 */
#ifndef BERTH_SCHEDULER_SITE_H
#define BERTH_SCHEDULER_SITE_H

#include "scheduler/intern.h"
#include "scheduler/tally.h"

struct node;
struct location;

struct resources {
	int64_t milli_vcpu;
	int64_t memory; /* bytes */
	int64_t disk;	/* bytes */
};

/* So many sizes that found no room at a site are remembered, so that the next one need not look. */
#define SITE_FULL_MAX 4

/* What a decision needs of a node, in one cache line. */
#define SITE_SLOT_BYTES 64
struct site_slot {
	struct node *node;
	struct resources left; /* allocatable less used */
	int64_t open_until;    /* it takes new instances until then (ms); INT64_MIN: it takes none */
	const uint64_t *held;  /* node->held */
	uint32_t id, domain;   /* the node's */
	int32_t score;
	uint32_t instances;
};

struct site {
	uint32_t id;	/* never 0 */
	uint32_t count; /* of nodes */
	struct site_slot *slots;
	uint32_t *order;	   /* slots, the preferred one first */
	uint64_t *held;		   /* as node->held: digests that any of its nodes holds; NULL: none */
	unsigned full_count;	   /* of full */
	uint32_t *rank;		   /* by slot: its place in order */
	struct location *location; /* NULL: there is no such object */
	const char *name;	   /* interned; its tag is this site */
	uint32_t room;
	struct tally holders; /* nodes that hold a digest, by its id + 1 */
	struct neighbour *near;
	size_t near_count;
	unsigned near_epoch;
	struct resources full[SITE_FULL_MAX];
};

struct neighbour {
	struct site *site;
	double km; /* -1 when there is no place to measure from */
};

struct sites {
	struct interns *names; /* the world's */
	struct site **list;    /* by id - 1 */
	size_t count, room;
	unsigned epoch;	     /* counts what changes the order: compare it with what was kept */
	struct site nowhere; /* its `near` is the order for an unknown origin: by name */
};

void sites_init(struct sites *s, struct interns *names);
void sites_free(struct sites *s);
/* The site of that name; made when there is none. */
struct site *sites_get(struct sites *s, const char *name);
/* NULL when there is none. name: interned. */
static inline struct site *site_named(const char *name)
{
	return *intern_tag(name);
}
/* A Location came, went, or has other coordinates or another region. */
void sites_changed(struct sites *s);
/* All sites that have a Location, nearest first, by name when equally far or from is NULL; valid until anything
 * changes. */
const struct neighbour *sites_near(struct sites *s, struct site *from, size_t *ret_count);

void site_add_node(struct site *s, struct node *n);
void site_remove_node(struct node *n);
/* Something of the node that its slot or the order tells has changed; grew: there may be room where there was none. */
void site_update_node(struct node *n, bool grew);
/* Only its used capacity and its instances changed. */
void site_book_node(struct node *n, bool grew);
/* One node more or less of the site holds the digest with that id. */
void site_hold(struct site *s, uint32_t digest);
void site_unhold(struct site *s, uint32_t digest);
/* True when it is known that none of its nodes has room for that much. */
bool site_is_full_for(const struct site *s, const struct resources *need);
/* None of its nodes has room for that much, be they live or not. */
void site_note_full(struct site *s, const struct resources *need);
/* What is left is at least need. */
static inline bool resources_cover(const struct resources *left, const struct resources *need)
{
	return left->milli_vcpu >= need->milli_vcpu && left->memory >= need->memory && left->disk >= need->disk;
}

#endif
