/*
 * instance.h - what the gateway knows of each Instance, decoded once from the object its informer delivers. Pure.
 *
 * The table is keyed as HAProxy's maps are: "<namespace>/<container>/<ID, percent-encoded>". Only the Instance that
 * bears the name naming.h derives from its Container and ID counts; any other is not the one requests are for.
 *
 * An answer to a write of our own may overtake the watch: min_version then says which objects are too old to decide by.
 * An address is used only while it belongs to the newest VM generation seen, and only while the Instance is meant to
 * run.
 *
 * Ownership: the table owns its records and their strings; a record is valid until it is removed.
 */
#ifndef BERTH_GATEWAY_INSTANCE_H
#define BERTH_GATEWAY_INSTANCE_H

#include "gateway/activity.h"
#include "lib/json.h"
#include "lib/strmap.h"

#define INSTANCE_KEY_MAX 1024

enum instance_state { STATE_ASLEEP, STATE_RUNNING, STATE_STOPPED };
enum instance_phase {
	PHASE_PENDING, /* also empty, and any phase this version does not know */
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
	char *key, *ns, *name, *container, *id;
	/* as of resource_version; all strings live in text */
	struct arena *text;
	uint64_t resource_version, min_version;
	const char *uid, *origin, *client_location, *phase_name, *address;
	enum instance_state state;
	enum instance_phase phase;
	bool deleting;
	int64_t spec_generation, status_generation;
	const char *node, *status_node;
	const char *reason, *message; /* of the condition Ready, "" when unknown */
	int64_t changed_at;	      /* when that condition changed, ms by the wall clock; 0 unknown */
	/* ours */
	int64_t seen_generation; /* the newest one that was Ready */
	bool falling_asleep;	 /* its map entry is being taken away: nobody may be sent there */
	bool tracked;		 /* activity is meaningful */
	struct activity activity;
};

struct instance_table;
struct instance_table *instance_table_new(void);
void instance_table_free(struct instance_table *t); /* NULL-safe */
/* Takes over what the object says; returns its record, or NULL when no request can be for it. */
struct instance *instance_table_put(struct instance_table *t, const struct json *object);
void instance_table_remove(struct instance_table *t, struct instance *i);
struct instance *instance_table_get(const struct instance_table *t, const char *key);
size_t instance_table_count(const struct instance_table *t);
/* As strmap_next(). */
bool instance_table_next(const struct instance_table *t, size_t *position, struct instance **ret);

/* The key for a Container and an ID. ret: INSTANCE_KEY_MAX bytes; false when it does not fit. */
bool instance_key(const char *ns, const char *container, const char *id, char *ret);
/* The parts of a key, in the arena. Errors: E_INVALID when it is none, E_BAD_REQUEST for an impossible ID. */
int instance_key_split(struct arena *a, const char *key, char **ret_ns, char **ret_container, char **ret_id,
		       char **ret_name, struct error *e);

/* Known to be older than a write of ours that was answered: wait for the watch. */
bool instance_is_stale(const struct instance *i);
/* The address requests go to, NULL while there is none. */
const char *instance_address(const struct instance *i);
/* Its VM of the newest generation runs and has been Ready: it may fall asleep. */
bool instance_is_awake(const struct instance *i);

#endif
