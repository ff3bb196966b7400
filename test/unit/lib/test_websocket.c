/*
 * test_websocket.c - unit tests of lib/websocket.c: frames as the RFC shows them, every violation, every way to cut the
 * input.
 */
#include "lib/websocket.h"
#include "test/unit/lib/net_fixture.h"

#include <stdio.h>

#define BYTES(...)                                                                     \
	{                                                                              \
		(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}) \
	}
#define MASK 0x37, 0xfa, 0x21, 0x3d

static const struct {
	const char *name;
	bool server;
	struct {
		const uint8_t *data;
		size_t len;
	} in;
	int code;	      /* 0: op and text are what comes */
	const char *messages; /* "op:text;op:text;" */
} cases[] = {
	/* RFC 6455 section 5.7 */
	{"unmasked text", false, BYTES(0x81, 0x05, 'H', 'e', 'l', 'l', 'o'), 0, "1:Hello;"},
	{"masked text", true, BYTES(0x81, 0x85, MASK, 0x7f, 0x9f, 0x4d, 0x51, 0x58), 0, "1:Hello;"},
	{"fragments", false, BYTES(0x01, 0x03, 'H', 'e', 'l', 0x80, 0x02, 'l', 'o'), 0, "1:Hello;"},
	{"ping", false, BYTES(0x89, 0x05, 'H', 'e', 'l', 'l', 'o'), 0, "9:Hello;"},
	{"masked pong", true, BYTES(0x8a, 0x85, MASK, 0x7f, 0x9f, 0x4d, 0x51, 0x58), 0, "10:Hello;"},
	{"ping between fragments", false, BYTES(0x01, 0x01, 'a', 0x89, 0x01, 'p', 0x00, 0x01, 'b', 0x80, 0x01, 'c'), 0,
	 "9:p;1:abc;"},
	{"two messages", false, BYTES(0x82, 0x01, 'x', 0x82, 0x01, 'y'), 0, "2:x;2:y;"},
	{"empty message", false, BYTES(0x82, 0x00), 0, "2:;"},
	{"empty fragments", false, BYTES(0x02, 0x00, 0x00, 0x00, 0x80, 0x00), 0, "2:;"},
	{"close without status", false, BYTES(0x88, 0x00), 0, "8:;"},
	{"close with status", false, BYTES(0x88, 0x03, 0x03, 0xe8, 'x'), 0, "8:\x03\xe8x;"},
	{"close with private status", false, BYTES(0x88, 0x02, 0x0f, 0xa0), 0, "8:\x0f\xa0;"},
	{"text over fragments within a character", false, BYTES(0x01, 0x01, 0xc3, 0x80, 0x01, 0xa4), 0, "1:\xc3\xa4;"},
	{"four-byte character", false, BYTES(0x81, 0x04, 0xf0, 0x9f, 0x98, 0x80), 0, "1:\xf0\x9f\x98\x80;"},
	/* violations */
	{"reserved bit 1", false, BYTES(0xc1, 0x00), E_BAD_REQUEST, ""},
	{"reserved bit 2", false, BYTES(0xa1, 0x00), E_BAD_REQUEST, ""},
	{"reserved bit 3", false, BYTES(0x91, 0x00), E_BAD_REQUEST, ""},
	{"opcode 3", false, BYTES(0x83, 0x00), E_BAD_REQUEST, ""},
	{"opcode 7", false, BYTES(0x87, 0x00), E_BAD_REQUEST, ""},
	{"opcode 11", false, BYTES(0x8b, 0x00), E_BAD_REQUEST, ""},
	{"opcode 15", false, BYTES(0x8f, 0x00), E_BAD_REQUEST, ""},
	{"unmasked to a server", true, BYTES(0x81, 0x00), E_BAD_REQUEST, ""},
	{"masked to a client", false, BYTES(0x81, 0x80, MASK), E_BAD_REQUEST, ""},
	{"fragmented ping", false, BYTES(0x09, 0x00), E_BAD_REQUEST, ""},
	{"fragmented close", false, BYTES(0x08, 0x00), E_BAD_REQUEST, ""},
	{"long ping", false, BYTES(0x89, 0x7e, 0x00, 0x7e), E_BAD_REQUEST, ""},
	{"continuation first", false, BYTES(0x80, 0x00), E_BAD_REQUEST, ""},
	{"continuation after the end", false, BYTES(0x81, 0x01, 'a', 0x80, 0x00), E_BAD_REQUEST, "1:a;"},
	{"text inside a message", false, BYTES(0x01, 0x01, 'a', 0x81, 0x01, 'b'), E_BAD_REQUEST, ""},
	{"length of two bytes too long a form", false, BYTES(0x82, 0x7e, 0x00, 0x7d), E_BAD_REQUEST, ""},
	{"length of eight bytes too long a form", false, BYTES(0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff), E_BAD_REQUEST,
	 ""},
	{"length over the limit", false, BYTES(0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 0x01), E_TOO_LARGE, ""},
	{"length with the highest bit", false, BYTES(0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0), E_TOO_LARGE, ""},
	{"close of one byte", false, BYTES(0x88, 0x01, 0x03), E_BAD_REQUEST, ""},
	{"close status 999", false, BYTES(0x88, 0x02, 0x03, 0xe7), E_BAD_REQUEST, ""},
	{"close status 1005", false, BYTES(0x88, 0x02, 0x03, 0xed), E_BAD_REQUEST, ""},
	{"close status 1006", false, BYTES(0x88, 0x02, 0x03, 0xee), E_BAD_REQUEST, ""},
	{"close status 1015", false, BYTES(0x88, 0x02, 0x03, 0xf7), E_BAD_REQUEST, ""},
	{"close status 2999", false, BYTES(0x88, 0x02, 0x0b, 0xb7), E_BAD_REQUEST, ""},
	{"close status 5000", false, BYTES(0x88, 0x02, 0x13, 0x88), E_BAD_REQUEST, ""},
	{"close reason not UTF-8", false, BYTES(0x88, 0x03, 0x03, 0xe8, 0xff), E_INVALID, ""},
	{"text: lone continuation byte", false, BYTES(0x81, 0x01, 0x80), E_INVALID, ""},
	{"text: overlong", false, BYTES(0x81, 0x02, 0xc0, 0xaf), E_INVALID, ""},
	{"text: overlong three bytes", false, BYTES(0x81, 0x03, 0xe0, 0x80, 0xaf), E_INVALID, ""},
	{"text: surrogate", false, BYTES(0x81, 0x03, 0xed, 0xa0, 0x80), E_INVALID, ""},
	{"text: beyond Unicode", false, BYTES(0x81, 0x04, 0xf4, 0x90, 0x80, 0x80), E_INVALID, ""},
	{"text: cut character", false, BYTES(0x81, 0x02, 0xe2, 0x82), E_INVALID, ""},
};

/* Feeds in pieces of `step` bytes; what came is appended to out. */
static int run(bool server, const uint8_t *data, size_t len, size_t step, struct buf *out)
{
	_buf_ msg = BUF_INIT(WS_MESSAGE_MAX);
	struct ws_parser p;
	struct error e = {0};
	enum ws_opcode op;
	int r = 0;

	ws_parser_init(&p, server);
	for (size_t i = 0; i < len && r >= 0; i += step) {
		ws_parser_feed(&p, data + i, len - i < step ? len - i : step);
		while ((r = ws_parser_next(&p, &op, &msg, &e)) > 0) {
			buf_addf(out, "%d:", op);
			buf_add(out, msg.data, msg.len);
			buf_addc(out, ';');
		}
	}
	ws_parser_free(&p);
	assert_int_equal(-r, e.code);
	return r;
}

static void test_frames(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t step = 1; step <= cases[i].in.len; step++) {
			_buf_ out = BUF_INIT(4096);
			int r = run(cases[i].server, cases[i].in.data, cases[i].in.len, step, &out);

			if (r != -cases[i].code || !streq(out.data ? out.data : "", cases[i].messages))
				fail_msg("%s in steps of %zu: code %d, messages %s", cases[i].name, step, -r,
					 out.data ? out.data : "");
		}
}

static void test_there_and_back(void **state _unused_)
{
	static const size_t lengths[] = {0, 1, 125, 126, 127, 65535, 65536, WS_MESSAGE_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		for (int mask = 0; mask < 2; mask++) {
			_buf_ frame = BUF_INIT(WS_MESSAGE_MAX + 14);
			_buf_ msg = BUF_INIT(WS_MESSAGE_MAX);
			char *data = xmalloc(lengths[i] + 1);
			struct ws_parser p;
			enum ws_opcode op;

			for (size_t n = 0; n < lengths[i]; n++)
				data[n] = (char)(n * 7 + n / 256);
			ws_frame(&frame, WS_BINARY, mask, data, lengths[i]);
			assert_false(frame.over);
			ws_parser_init(&p, mask);
			ws_parser_feed(&p, frame.data, frame.len - 1);
			assert_int_equal(ws_parser_next(&p, &op, &msg, NULL), 0);
			ws_parser_feed(&p, frame.data + frame.len - 1, 1);
			assert_int_equal(ws_parser_next(&p, &op, &msg, NULL), 1);
			assert_int_equal(op, WS_BINARY);
			assert_int_equal(msg.len, lengths[i]);
			assert_memory_equal(msg.data, data, lengths[i]);
			assert_int_equal(ws_parser_next(&p, &op, &msg, NULL), 0);
			ws_parser_free(&p);
			free(data);
		}
}

static void test_limits(void **state _unused_)
{
	_buf_ stream = BUF_INIT(8U << 20);
	_buf_ out = BUF_INIT(4U << 20);
	_buf_ small = BUF_INIT(10);
	static char zeros[WS_MESSAGE_MAX];
	const uint8_t first[] = {0x02, 0x7f, 0, 0, 0, 0, 0, 0x0f, 0xff, 0xff}, one[] = {0x80, 0x01, 'x'},
		      two[] = {0x80, 0x02, 'x', 'y'};
	struct ws_parser p;
	struct error e;
	enum ws_opcode op;

	/* Fragments count together: exactly the limit, and one more. */
	buf_add(&stream, first, sizeof(first));
	buf_add(&stream, zeros, WS_MESSAGE_MAX - 1);
	buf_add(&stream, one, sizeof(one));
	assert_int_equal(run(false, (uint8_t *)stream.data, stream.len, 65536, &out), 0);
	assert_int_equal(out.len, WS_MESSAGE_MAX + 3);
	stream.len -= sizeof(one);
	buf_add(&stream, two, sizeof(two));
	assert_int_equal(run(false, (uint8_t *)stream.data, stream.len, 65536, &out), -E_TOO_LARGE);

	/* Bytes that nobody takes out do not pile up for ever. */
	ws_parser_init(&p, false);
	for (int i = 0; i < 4; i++)
		ws_parser_feed(&p, zeros, sizeof(zeros));
	buf_reset(&out);
	assert_int_equal(ws_parser_next(&p, &op, &out, &e), -E_TOO_LARGE);
	ws_parser_free(&p);

	/* A frame that does not fit is not written by halves. */
	ws_frame(&small, WS_BINARY, false, "123456789", 9);
	assert_true(small.over);
	assert_int_equal(small.len, 0);
}

static void test_accept_key(void **state _unused_)
{
	char out[29];

	ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==", out); /* RFC 6455 section 1.3 */
	assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_accept_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
