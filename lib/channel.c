/*
 * channel.c - encoder and decoder of the agent-guest conversation; channel.h is the manual.
 *
 * Owns no memory and no descriptor: a writer fills its caller's buffer, a reader is its caller's struct. Whatever the
 * other side sends, nothing is read or written outside of these. Needs libc only: the guest's PID 1 links this file
 * alone.
 */
#include "lib/channel.h"

#include <string.h>

#define FIELD_HEADER_SIZE 6U
/* type and stream: what the length counts besides the payload. */
#define LENGTH_MIN (CHANNEL_HEADER_SIZE - 4U)
#define LENGTH_MAX (CHANNEL_FRAME_MAX - 4U)

static void store_le(uint8_t *p, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t load_le(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

/* ---- writing ---- */

void channel_begin(struct channel_writer *w, uint8_t *out, uint8_t type, uint32_t stream)
{
	w->out = out;
	w->len = CHANNEL_HEADER_SIZE;
	w->over = false;
	store_le(out, LENGTH_MIN, 4);
	out[4] = type;
	store_le(out + 5, stream, 4);
}

static bool has_room(struct channel_writer *w, size_t len)
{
	if (w->over || len > CHANNEL_FRAME_MAX - w->len)
		w->over = true;
	return !w->over;
}

void channel_put_raw(struct channel_writer *w, const void *data, size_t len)
{
	if (!has_room(w, len) || len == 0)
		return;
	memcpy(w->out + w->len, data, len);
	w->len += len;
}

void channel_put(struct channel_writer *w, uint16_t key, const void *data, size_t len)
{
	uint8_t header[FIELD_HEADER_SIZE];

	/* The length is checked alone first, so that the sum cannot wrap. */
	if (!has_room(w, len) || !has_room(w, len + FIELD_HEADER_SIZE))
		return;
	store_le(header, key, 2);
	store_le(header + 2, len, 4);
	channel_put_raw(w, header, sizeof(header));
	channel_put_raw(w, data, len);
}

void channel_put_str(struct channel_writer *w, uint16_t key, const char *s)
{
	channel_put(w, key, s, strlen(s));
}

void channel_put_u64(struct channel_writer *w, uint16_t key, uint64_t v)
{
	uint8_t bytes[8];

	store_le(bytes, v, sizeof(bytes));
	channel_put(w, key, bytes, sizeof(bytes));
}

size_t channel_end(struct channel_writer *w)
{
	if (w->over)
		return 0;
	store_le(w->out, w->len - 4, 4);
	return w->len;
}

/* ---- reading ---- */

uint8_t *channel_reader_space(struct channel_reader *r, size_t *ret_room)
{
	*ret_room = r->broken ? 0 : sizeof(r->buf) - r->len;
	return r->buf + r->len;
}

void channel_reader_added(struct channel_reader *r, size_t n)
{
	if (n > sizeof(r->buf) - r->len)
		r->broken = true;
	else
		r->len += n;
}

int channel_reader_next(struct channel_reader *r, struct channel_frame *ret)
{
	uint64_t length;

	if (r->broken)
		return -1;
	if (r->len < 4)
		return 0;
	length = load_le(r->buf, 4);
	if (length < LENGTH_MIN || length > LENGTH_MAX) {
		r->broken = true;
		return -1;
	}
	if (r->len < length + 4)
		return 0;
	ret->type = r->buf[4];
	ret->stream = (uint32_t)load_le(r->buf + 5, 4);
	ret->payload = r->buf + CHANNEL_HEADER_SIZE;
	ret->payload_len = (size_t)length - LENGTH_MIN;
	return 1;
}

void channel_reader_drop(struct channel_reader *r, const struct channel_frame *f)
{
	size_t size = CHANNEL_HEADER_SIZE + f->payload_len;

	if (size > r->len) {
		r->broken = true;
		return;
	}
	memmove(r->buf, r->buf + size, r->len - size);
	r->len -= size;
}

/* ---- fields ---- */

bool channel_next_field(const struct channel_frame *f, size_t *offset, struct channel_field *ret, bool *ret_bad)
{
	const uint8_t *p;
	size_t rest, len;

	*ret_bad = *offset > f->payload_len;
	if (*ret_bad || *offset == f->payload_len)
		return false;
	rest = f->payload_len - *offset;
	if (rest < FIELD_HEADER_SIZE) {
		*ret_bad = true;
		return false;
	}
	p = f->payload + *offset;
	len = (size_t)load_le(p + 2, 4);
	if (len > rest - FIELD_HEADER_SIZE) {
		*ret_bad = true;
		return false;
	}
	ret->key = (uint16_t)load_le(p, 2);
	ret->data = p + FIELD_HEADER_SIZE;
	ret->len = len;
	*offset += FIELD_HEADER_SIZE + len;
	return true;
}

static bool find_field(const struct channel_frame *f, uint16_t key, struct channel_field *ret)
{
	size_t offset = 0;
	bool bad;

	while (channel_next_field(f, &offset, ret, &bad))
		if (ret->key == key)
			return true;
	return false;
}

bool channel_get_u64(const struct channel_frame *f, uint16_t key, uint64_t *ret)
{
	struct channel_field field;

	if (!find_field(f, key, &field) || field.len != 8)
		return false;
	*ret = load_le(field.data, 8);
	return true;
}

bool channel_get_str(const struct channel_frame *f, uint16_t key, char *out, size_t size)
{
	struct channel_field field;

	if (!find_field(f, key, &field) || field.len >= size || memchr(field.data, 0, field.len))
		return false;
	memcpy(out, field.data, field.len);
	out[field.len] = '\0';
	return true;
}
