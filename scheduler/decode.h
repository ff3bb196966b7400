/*
 * decode.h - one decoder a kind: fills the fields of a record from its object. Pure; used by world.c alone.
 *
 * Fields that are missing or of another type get their defaults: the apiserver validated the object, and a newer one
 * may know more than this scheduler.
 */
#ifndef BERTH_SCHEDULER_DECODE_H
#define BERTH_SCHEDULER_DECODE_H

#include "scheduler/world.h"

struct decoder {
	size_t size;			  /* of the record */
	void (*decode)(struct record *r); /* r->object and r->arena are set */
};
extern const struct decoder decoders[WORLD_KIND_COUNT];

#endif
