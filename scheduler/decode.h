/*
 * decode.h - one decoder a kind: fills the fields of a record from its object. Pure; used by world.c alone.
 *
 * Fields that are missing or of another type get their defaults: the apiserver validated the object, and a newer one
 * may know more than this scheduler.
 */
#ifndef BERTH_SCHEDULER_DECODE_H
#define BERTH_SCHEDULER_DECODE_H

#include "scheduler/world.h"

#define NODE_LOCATION_LABEL "topology.kubernetes.io/zone"
#define NODE_RACK_LABEL "topology.berth.dev/rack"

struct decoder {
	size_t size; /* of the record */
	/* Whether the record's object and arena are set; without them it keeps nothing of what o points to. */
	bool (*keeps_object)(const struct json *o);
	void (*decode)(struct world *w, struct record *r, const struct json *o);
};
extern const struct decoder decoders[WORLD_KIND_COUNT];

#endif
