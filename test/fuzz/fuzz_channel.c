/*
 * fuzz_channel.c - whatever bytes come over the guest channel: both sides' decoding, in pieces of any size, and writing
 * again.
 *
 * Links: guest
 */
#include <stdio.h>

#include "guest/request.h"
#include "lib/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fields(const struct channel_frame *f)
{
	static struct request request;
	struct channel_field field;
	struct probe_config probe;
	char why[REQUEST_WHY_MAX], text[64];
	size_t offset = 0;
	uint64_t number;
	bool bad;

	while (channel_next_field(f, &offset, &field, &bad)) {
		if (field.data < f->payload || field.data + field.len > f->payload + f->payload_len)
			abort();
		(void)channel_get_u64(f, field.key, &number);
		if (channel_get_str(f, field.key, text, sizeof(text)) && strlen(text) >= sizeof(text))
			abort();
	}
	if (request_parse(f, &request, why)) {
		for (size_t i = 0; i < request.args.count; i++)
			if (strlen(request.args.at[i]) > f->payload_len)
				abort();
		(void)request_probe(&request, &probe);
		(void)request_env(&request.envs, "PATH");
	}
}

/* What was read is written back and must be the same bytes. */
static void check_round_trip(const struct channel_frame *f, const uint8_t *bytes)
{
	static uint8_t out[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, out, f->type, f->stream);
	channel_put_raw(&w, f->payload, f->payload_len);
	if (channel_end(&w) != CHANNEL_HEADER_SIZE + f->payload_len || memcmp(out, bytes, w.len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct channel_reader reader;
	struct channel_frame f;
	size_t step;

	if (size == 0)
		return 0;
	reader.len = 0;
	reader.broken = false;
	step = 1 + data[0] * 17U;
	data++;
	size--;
	while (size > 0) {
		size_t room, n;
		uint8_t *space = channel_reader_space(&reader, &room);

		if (room == 0)
			break;
		n = size < step ? size : step;
		n = n < room ? n : room;
		memcpy(space, data, n);
		channel_reader_added(&reader, n);
		data += n;
		size -= n;
		while (channel_reader_next(&reader, &f) == 1) {
			check_round_trip(&f, reader.buf);
			check_fields(&f);
			channel_reader_drop(&reader, &f);
		}
	}
	return 0;
}
