/*
 * world.h - everything the scheduler knows, decoded once from the objects its informers deliver.
 *
 * Ownership: the world owns its records; each record's strings live in the record's own arena and die with it. There
 * may be a million Instances: theirs are interned, and their object is kept only while something may be written about
 * them (see instance_keeps_object() in decode.c). Pointers between records (instance → container, …) are kept right by
 * world_put() and world_remove(); what came before the record it points to is linked by world_link(). Pure: no I/O, no
 * clock.
 *
 * The capacity an Instance takes is booked on its node and its Container as long as its phase counts as running
 * (docs/architecture.md, "Instance phases"), or a bind of it is under way. A suspended VM takes memory and disk of its
 * node, but no CPU, and does not count against maxInstances.
 *
 * Used by the scheduler's cores and its shell.
 */
#ifndef BERTH_SCHEDULER_WORLD_H
#define BERTH_SCHEDULER_WORLD_H

#include "lib/json.h"
#include "lib/strmap.h"
#include "scheduler/intern.h"
#include "scheduler/record_table.h"
#include "scheduler/site.h"
#include "scheduler/tally.h"

enum world_kind {
	WORLD_CONTAINER,
	WORLD_REVISION,
	WORLD_IMAGE,
	WORLD_INSTANCE,
	WORLD_NODE,
	WORLD_LEASE,
	WORLD_LOCATION,
	WORLD_KIND_COUNT,
};

struct string_list {
	const char **items;
	size_t count;
};
bool string_list_has(const struct string_list *l, const char *s);

enum instance_phase {
	PHASE_NONE, /* also Pending */
	PHASE_SCHEDULED,
	PHASE_STARTING,
	PHASE_READY,
	PHASE_RUNNING,
	PHASE_STOPPING,
	PHASE_ASLEEP,
	PHASE_STOPPED,
	PHASE_FAILED,
};

struct instance {
	struct record r; /* r.object: NULL unless instance_keeps_object() */
	/* interned */
	const char *container_name, *node_name, *revision;
	const char *origin; /* the Location to be near to: spec.clientLocation, else spec.origin; "" when unknown */
	int64_t vm_generation, status_generation;
	int64_t started_at; /* ms, 0 when unknown */
	int64_t dropping;   /* generation whose suspended VM its agent was told to give up, 0: none */
	struct container *container;
	struct node *booked_on;		/* whose capacity it takes; NULL when that node is not known */
	const struct resources *booked; /* how much; the world's, see world_resources() */
	const char *assumed_node;	/* a bind to it is being written; interned, NULL when none is */
	struct instance *next, *prev;	/* in container->instances */
	struct instance *next_suspended, *prev_suspended; /* in booked_on->suspended */
	uint32_t attention_slot;			  /* place in world.attention, counted from 1; 0: not in it */
	uint8_t phase;					  /* enum instance_phase */
	bool wants_running : 1;				  /* spec.state is Running */
	bool ours : 1;					  /* carries the finalizer berth.dev/vm */
	bool suspended : 1;				  /* from its status: its VM is kept though it sleeps */
	bool is_booked : 1;
	bool is_running : 1;	/* booked, and counts against maxInstances */
	bool runs_revision : 1; /* status.revision is spec.revision */
	bool unresolved : 1;	/* points to something the world does not hold yet */
};

enum rollout_kind { ROLLOUT_FULL_AUTO, ROLLOUT_FULL_MANUAL, ROLLOUT_NONE };
#define ROLLOUT_STEPS_MAX 16

struct container {
	struct record r;
	/* derived; first what every decision looks at */
	int64_t running, max_instances; /* running: instances that count against max_instances (of its spec) */
	struct tally spread;		/* running instances by node.id and node.domain */
	uint64_t *allowed; /* bit per site: placement lets instances run there; NULL: everywhere; see place.c */
	unsigned allowed_epoch;
	struct instance *instances;
	size_t instance_count;
	char *resolve_error; /* why the image could not be resolved; owned by the heap, NULL when there is no fault */
	/* from its spec */
	const char *image;
	const char *template_hash; /* of all that shapes a VM, hexadecimal */
	const struct resources *need;
	int64_t generation;
	struct string_list regions, locations, exclude_locations, prefetch_locations;
	struct string_list pull_secrets; /* names in its namespace */
	bool prefetch_all;
	int steps[ROLLOUT_STEPS_MAX];
	int step_count;
	enum rollout_kind rollout_kind;
	int64_t active_grace_ms;
	int promoted_step; /* from the annotation berth.dev/promoted-step, 0 when absent */
	/* from its status */
	const char *current_revision, *updated_revision;
	int step;
	/* set anew by revision_link() at the start of every step */
	struct revision *newest;	     /* highest number, NULL before the first */
	struct revision *current, *previous; /* fully rolled out; the one before it, kept for rolling back */
};

struct revision {
	struct record r;
	const struct resources *need;
	struct digest *digest;
	const char *container_name, *image_digest, *template_hash, *image;
	int64_t number;
	bool in_use; /* set anew by revision_link(): an awake instance runs it, or its Container points to it */
};

enum prefetch_phase { PREFETCH_NONE, PREFETCH_PENDING, PREFETCH_PULLING, PREFETCH_READY, PREFETCH_FAILED };

struct node_image {
	const char *digest, *message;
	enum prefetch_phase phase;
	int64_t percent, bytes_total;
};

/* An image digest that a node or a Revision names. */
struct digest {
	char *text;
	uint32_t id; /* its bit in node.held; given to another one when this one is gone */
	size_t refs;
	size_t nodes; /* that hold it */
};

struct node {
	struct record r;
	const char *location;
	const char *rack; /* label topology.berth.dev/rack, "" without */
	bool ready, unschedulable;
	const char *taint;    /* that keeps new instances away: "key=value:Effect"; NULL: none */
	const char *pressure; /* a condition that says it is overloaded, "MemoryPressure"; NULL: none */
	struct node_image *images;
	size_t image_count;
	/* what a booking looks at and changes */
	struct resources allocatable, used;
	uint32_t instances;	    /* booked ones */
	struct instance *suspended; /* booked ones that do not run: their VMs stand still, and can be given up */
	/* derived */
	uint32_t id;	 /* of this node, never 0 */
	uint32_t domain; /* of its rack in its Location; its own id without a rack */
	int32_t score;	 /* of its free room, 0 … 1000; see site.c */
	uint32_t slot;	 /* in site->slots */
	struct site *site;
	struct lease *lease;
	uint64_t *held;		 /* how many words follow; then a bit for each digest whose prefetch is Ready */
	const char *shared_name; /* r.name, interned */
};

struct lease {
	struct record r;
	int64_t renewed_at; /* ms */
	int64_t duration_ms;
};

struct location {
	struct record r;
	const char *region;
	double latitude, longitude; /* degrees */
};

struct image {
	struct record r;
	const char *digest, *reference;
	struct string_list locations;
};

struct world {
	struct record_table records[WORLD_KIND_COUNT];
	struct interns *names;
	struct strmap *resources; /* of world_resources() */
	struct strmap *digests;
	struct digest **digest_list; /* by id, NULL where there is none now */
	uint32_t digest_count, digest_room;
	struct strmap *domains; /* "location/rack" → struct domain */
	struct sites sites;
	uint32_t last_id; /* of nodes and domains */
	/* Instances that something may have to be done about: they want to run and are not bound, are being deleted,
	 * or have no Container. In no order. */
	struct instance **attention;
	size_t attention_count, attention_room;
	size_t unresolved; /* instances */
	bool news;	   /* a Container, Revision or Node has come since world_link() */
};

struct world *world_new(void);
void world_free(struct world *w);
/* Takes in an object that was added or changed. Older than what is known: ignored. Returns its record. */
struct record *world_put(struct world *w, enum world_kind kind, const struct json *object);
void world_remove(struct world *w, enum world_kind kind, const struct json *object);
/* Links Instances to what came after them. To be called before decisions are made. */
void world_link(struct world *w);
struct record *world_find(const struct world *w, enum world_kind kind, const char *ns, const char *name);
/* Walks the records of a kind; position starts at 0; NULL at the end. */
struct record *world_next(const struct world *w, enum world_kind kind, size_t *position);
size_t world_count(const struct world *w, enum world_kind kind);

/* Books the capacity for a bind that is being written; once it is answered, what the object says counts again. need is
 * a Revision's or Container's. */
void world_assume(struct world *w, struct instance *i, struct node *n, const struct resources *need);
void world_settle(struct world *w, struct instance *i);

/* The one copy of equal sizes; it lives as long as the world. */
const struct resources *world_resources(struct world *w, const struct resources *r);
/* Phases whose VM exists or is about to. */
bool phase_is_running(enum instance_phase p);
const char *phase_name(enum instance_phase p);
/* The prefetch entry of a node for a digest, or NULL. */
const struct node_image *node_image_find(const struct node *n, const char *digest);
/* A node takes new instances: its Ready condition holds and its Lease is fresh at now; *ret_why is set when not. */
bool node_is_live(const struct node *n, int64_t now, const char **ret_why);
/* Its pull Secrets as [{namespace, name}], in a. */
struct json *container_pull_secrets(struct arena *a, const struct container *c);
/* The bit of the digest is set in a node's or site's held. */
static inline bool held_has(const uint64_t *held, const struct digest *d)
{
	return d->id / 64 < held[0] && (held[1 + d->id / 64] >> d->id % 64 & 1);
}
/* The parts of a Container's spec (or a Revision's template) that shape a VM, copied into a new object. */
struct json *template_of(struct arena *a, const struct json *container_spec);

#endif
