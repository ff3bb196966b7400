/*
 * record_table.h - the records of one kind by namespace and name, without a copy of the key.
 *
 * Ownership: the table borrows the records; their ns and name must not change while they are in it. While
 * record_table_next() walks, nothing may be added or removed.
 *
 * Used by world.c.
 */
#ifndef BERTH_SCHEDULER_RECORD_TABLE_H
#define BERTH_SCHEDULER_RECORD_TABLE_H

#include "lib/json.h"

/* What every record begins with. */
struct record {
	struct arena *arena;
	struct json *object; /* the decoded object itself, for what the other fields leave out */
	const char *ns, *name, *uid;
	uint64_t resource_version;
	int64_t retry_at; /* after a failed write: not before this time (ms) */
	uint32_t hash;	  /* of ns and name */
	uint8_t kind;	  /* enum world_kind */
	uint8_t failures; /* writes in a row */
	bool deleting;
	bool writing; /* a write to it is under way: nothing more is decided about it until that is answered */
};

struct record_table {
	struct record **slots;
	uint32_t size, count;
};

struct record *record_table_find(const struct record_table *t, const char *ns, const char *name);
/* Sets r->hash. No record of that name may be in it. */
void record_table_add(struct record_table *t, struct record *r);
void record_table_remove(struct record_table *t, struct record *r);
/* Walks in no order: start with *position 0; NULL at the end. */
struct record *record_table_next(const struct record_table *t, size_t *position);
void record_table_free(struct record_table *t); /* not the records */

#endif
