/*
 * ring.c - records in a ring of bytes; see ring.h. A record is u8 which, u16 length, bytes, and may wrap anywhere.
 */
#include "guest/ring.h"

#define RECORD_HEADER 3U

bool ring_has_room(const struct ring *r)
{
	return RING_SIZE - r->len >= RING_RECORD_MAX + RECORD_HEADER;
}

static void copy_in(struct ring *r, const uint8_t *data, size_t len)
{
	size_t tail = (r->head + r->len) % RING_SIZE;
	size_t first = len < RING_SIZE - tail ? len : RING_SIZE - tail;

	memcpy(r->bytes + tail, data, first);
	memcpy(r->bytes, data + first, len - first);
	r->len += len;
}

static void copy_out(struct ring *r, uint8_t *out, size_t len)
{
	size_t first = len < RING_SIZE - r->head ? len : RING_SIZE - r->head;

	if (out) {
		memcpy(out, r->bytes + r->head, first);
		memcpy(out + first, r->bytes, len - first);
	}
	r->head = (r->head + len) % RING_SIZE;
	r->len -= len;
}

static size_t take_header(struct ring *r, uint8_t *ret_which)
{
	uint8_t header[RECORD_HEADER];

	copy_out(r, header, sizeof(header));
	*ret_which = header[0];
	return (size_t)header[1] | (size_t)header[2] << 8;
}

void ring_put(struct ring *r, uint8_t which, const void *data, size_t len)
{
	uint8_t header[RECORD_HEADER] = {which, (uint8_t)len, (uint8_t)(len >> 8)};

	if (len == 0)
		return;
	while (RING_SIZE - r->len < len + RECORD_HEADER) {
		uint8_t ignored;
		size_t n = take_header(r, &ignored);

		copy_out(r, NULL, n);
		r->dropped += n;
	}
	copy_in(r, header, sizeof(header));
	copy_in(r, data, len);
}

size_t ring_take(struct ring *r, uint8_t *ret_which, uint8_t *out)
{
	size_t len;

	if (ring_empty(r))
		return 0;
	len = take_header(r, ret_which);
	copy_out(r, out, len);
	return len;
}
