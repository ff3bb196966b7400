/*
 * ring.h - the app's last output while nobody reads it: records of (stdout or stderr, bytes) in a ring of fixed size.
 *
 * Pure memory, no I/O. When full, the oldest records make room and their bytes are counted. Called by machine.c.
 */
#ifndef BERTH_GUEST_RING_H
#define BERTH_GUEST_RING_H

#include "lib/base.h"

#define RING_SIZE 65536U
/* Longest record: what one read of a pipe may bring. */
#define RING_RECORD_MAX 16384U

struct ring {
	uint8_t bytes[RING_SIZE];
	size_t head, len;
	uint64_t dropped; /* bytes of output lost since the start */
};

/* True when ring_put() of a longest record would drop nothing. */
bool ring_has_room(const struct ring *r);
/* Appends len <= RING_RECORD_MAX bytes of `which` (1 or 2), dropping the oldest records when needed. */
void ring_put(struct ring *r, uint8_t which, const void *data, size_t len);
/* Takes the oldest record out; its length, 0 when there is none. `out` holds RING_RECORD_MAX bytes. */
size_t ring_take(struct ring *r, uint8_t *ret_which, uint8_t *out);
static inline bool ring_empty(const struct ring *r)
{
	return r->len == 0;
}

#endif
