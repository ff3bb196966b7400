/*
 * world.h - everything the scheduler knows, decoded once from the objects its informers deliver.
 *
 * Ownership: the world owns its records; each record's strings live in the record's own arena and die with it. Pointers
 * between records (instance → container, …) are kept right by world_put() and world_remove(). Pure: no I/O, no clock.
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

struct resources {
	int64_t milli_vcpu;
	int64_t memory; /* bytes */
	int64_t disk;	/* bytes */
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

/* What every record begins with. */
struct record {
	enum world_kind kind;
	struct arena *arena;
	struct json *object; /* the decoded object itself, for what the fields below leave out */
	const char *ns, *name, *uid;
	uint64_t resource_version;
	bool deleting;
	bool writing;	  /* a write to it is under way: nothing more is decided about it until that is answered */
	int64_t retry_at; /* after a failed write: not before this time (ms) */
	int failures;
};

struct instance {
	struct record r;
	const char *container_name, *node_name, *revision, *origin, *status_revision, *status_address;
	bool wants_running; /* spec.state is Running */
	enum instance_phase phase;
	int64_t vm_generation, status_generation;
	int64_t started_at; /* ms, 0 when unknown */
	int64_t created_at;
	bool ours;	  /* carries the finalizer berth.dev/vm */
	bool suspended;	  /* from its status: its VM is kept though it sleeps */
	int64_t dropping; /* generation whose suspended VM its agent was told to give up, 0: none */
	struct container *container;
	bool is_booked;
	bool is_running;	/* booked, and counts against maxInstances */
	struct node *booked_on; /* whose capacity it takes; NULL when that node is not known */
	struct resources booked;
	char *assumed_node; /* a bind to it is being written; owned by the heap */
	struct resources assumed;
	struct instance *next, *prev; /* in container->instances */
};

enum rollout_kind { ROLLOUT_FULL_AUTO, ROLLOUT_FULL_MANUAL, ROLLOUT_NONE };
#define ROLLOUT_STEPS_MAX 16

struct container {
	struct record r;
	const char *image;
	const char *template_hash; /* of all that shapes a VM, hexadecimal */
	struct resources need;
	int64_t generation, max_instances;
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
	/* derived */
	struct instance *instances;
	size_t instance_count;
	int64_t running;     /* instances that count against max_instances */
	char *resolve_error; /* why the image could not be resolved; owned by the heap, NULL when there is no fault */
	/* set anew by revision_link() at the start of every step */
	struct revision *newest;	     /* highest number, NULL before the first */
	struct revision *current, *previous; /* fully rolled out; the one before it, kept for rolling back */
};

struct revision {
	struct record r;
	const char *container_name, *image_digest, *template_hash, *image;
	int64_t number;
	struct resources need;
	bool in_use; /* set anew by revision_link(): an awake instance runs it, or its Container points to it */
};

enum prefetch_phase { PREFETCH_NONE, PREFETCH_PENDING, PREFETCH_PULLING, PREFETCH_READY, PREFETCH_FAILED };

struct node_image {
	const char *digest, *message;
	enum prefetch_phase phase;
	int64_t percent, bytes_total;
};

struct node {
	struct record r;
	const char *location;
	bool ready, unschedulable;
	struct resources allocatable, used;
	struct node_image *images;
	size_t image_count;
	int64_t instances; /* booked ones */
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
	struct strmap *records[WORLD_KIND_COUNT]; /* "namespace/name", or "name" for cluster-wide kinds */
};

struct world *world_new(void);
void world_free(struct world *w);
/* Takes in an object that was added or changed. Older than what is known: ignored. Returns its record. */
struct record *world_put(struct world *w, enum world_kind kind, const struct json *object);
void world_remove(struct world *w, enum world_kind kind, const struct json *object);
struct record *world_find(const struct world *w, enum world_kind kind, const char *ns, const char *name);
/* Walks the records of a kind; position starts at 0; NULL at the end. */
struct record *world_next(const struct world *w, enum world_kind kind, size_t *position);

/* Books the capacity for a bind that is being written; once it is answered, what the object says counts again. */
void world_assume(const struct world *w, struct instance *i, const struct node *n, const struct resources *need);
void world_settle(const struct world *w, struct instance *i);

/* Phases whose VM exists or is about to. */
bool phase_is_running(enum instance_phase p);
const char *phase_name(enum instance_phase p);
/* The prefetch entry of a node for a digest, or NULL. */
const struct node_image *node_image_find(const struct node *n, const char *digest);
/* A node takes new instances: its Ready condition holds and its Lease is fresh at now; *ret_why is set when not. */
bool node_is_live(const struct world *w, const struct node *n, int64_t now, const char **ret_why);
/* Its pull Secrets as [{namespace, name}], in a. */
struct json *container_pull_secrets(struct arena *a, const struct container *c);
/* The parts of a Container's spec (or a Revision's template) that shape a VM, copied into a new object. */
struct json *template_of(struct arena *a, const struct json *container_spec);

#endif
