/*
 * fuzz_websocket.c - the WebSocket parser as server and as client, its input cut in different ways: the same messages
 * must come, within the limits, and a message framed again must come back.
 *
 * Links: lib
 */
#include "lib/websocket.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void back_again(enum ws_opcode op, const struct buf *msg, bool mask)
{
	_buf_ frame = BUF_INIT(WS_MESSAGE_MAX + 14);
	_buf_ again = BUF_INIT(WS_MESSAGE_MAX);
	struct ws_parser p;
	enum ws_opcode op_again;

	ws_frame(&frame, op, mask, msg->data, msg->len);
	ws_parser_init(&p, mask);
	ws_parser_feed(&p, frame.data, frame.len);
	require(ws_parser_next(&p, &op_again, &again, NULL) == 1 && op_again == op && again.len == msg->len);
	require(!msg->len || memcmp(again.data, msg->data, msg->len) == 0);
	ws_parser_free(&p);
}

static int parse(const uint8_t *data, size_t size, size_t step, bool server, struct buf *out)
{
	_buf_ msg = BUF_INIT(WS_MESSAGE_MAX);
	struct ws_parser p;
	enum ws_opcode op;
	int r = 0;

	ws_parser_init(&p, server);
	for (size_t i = 0; i < size && r >= 0; i += step) {
		ws_parser_feed(&p, data + i, size - i < step ? size - i : step);
		while ((r = ws_parser_next(&p, &op, &msg, NULL)) > 0) {
			require(msg.len <= WS_MESSAGE_MAX && !msg.over);
			buf_addf(out, "%d:%zu:", op, msg.len);
			buf_add(out, msg.data, msg.len);
			back_again(op, &msg, server);
		}
	}
	ws_parser_free(&p);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int server = 0; server < 2; server++) {
		_buf_ whole = BUF_INIT(8U << 20);
		_buf_ pieces = BUF_INIT(8U << 20);
		int r = parse(data, size, size ? size : 1, server, &whole);

		require(parse(data, size, 1 + size / 7, server, &pieces) == r);
		require(whole.len == pieces.len && (!whole.len || memcmp(whole.data, pieces.data, whole.len) == 0));
	}
	return 0;
}
