/*
 * websocket.c - RFC 6455 framing; see websocket.h.
 *
 * Strict: reserved bits, unknown opcodes, masks of the wrong side, lengths not in their shortest form, fragmented or
 * long control frames, continuations without a beginning, text that is not UTF-8 and malformed close frames end the
 * conversation. Nothing is negotiated, so no extension bits are legal.
 */
#include "lib/websocket.h"

#include "lib/codec.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>

/* A frame's header is at most 14 bytes. */
#define HEADER_MAX 14
#define CONTROL_MAX 125

struct frame {
	bool fin, masked;
	int opcode;
	uint64_t len;
	uint8_t mask[4];
	size_t header;
};

void ws_parser_init(struct ws_parser *p, bool server)
{
	*p = (struct ws_parser){.server = server,
				/* A whole message, the frame behind it and what one read brings beyond. */
				.in = BUF_INIT(2 * WS_MESSAGE_MAX + (1U << 16)),
				.message = BUF_INIT(WS_MESSAGE_MAX),
				.message_opcode = -1};
}

void ws_parser_free(struct ws_parser *p)
{
	buf_free(&p->in);
	buf_free(&p->message);
}

void ws_parser_feed(struct ws_parser *p, const void *data, size_t len)
{
	buf_add(&p->in, data, len);
}

/* 1: the header is whole; 0: more bytes are needed. */
static int read_header(const struct ws_parser *p, struct frame *f, struct error *e)
{
	const uint8_t *b = (const uint8_t *)p->in.data;
	size_t have = p->in.len, extra;

	if (have < 2)
		return 0;
	*f = (struct frame){.fin = b[0] & 0x80, .opcode = b[0] & 0x0f, .masked = b[1] & 0x80, .len = b[1] & 0x7f};
	if (b[0] & 0x70)
		return error_set(e, E_BAD_REQUEST, "websocket: reserved bits are set");
	if ((f->opcode > WS_BINARY && f->opcode < WS_CLOSE) || f->opcode > WS_PONG)
		return error_set(e, E_BAD_REQUEST, "websocket: unknown opcode %d", f->opcode);
	if (f->masked != p->server)
		return error_set(e, E_BAD_REQUEST,
				 "websocket: frames of a client must be masked, those of a server not");
	if (f->opcode >= WS_CLOSE && (!f->fin || f->len > CONTROL_MAX))
		return error_set(e, E_BAD_REQUEST, "websocket: a control frame is fragmented or too long");
	extra = f->len == 126 ? 2 : f->len == 127 ? 8 : 0;
	f->header = 2 + extra + (f->masked ? 4U : 0U);
	if (have < f->header)
		return 0;
	if (extra) {
		f->len = 0;
		for (size_t i = 0; i < extra; i++)
			f->len = f->len << 8 | b[2 + i];
		if (f->len < (extra == 2 ? 126U : 65536U))
			return error_set(e, E_BAD_REQUEST, "websocket: a length is not in its shortest form");
	}
	if (f->masked)
		memcpy(f->mask, b + 2 + extra, 4);
	return 1;
}

static void unmask(char *data, size_t len, const uint8_t mask[4])
{
	for (size_t i = 0; i < len; i++)
		data[i] = (char)((uint8_t)data[i] ^ mask[i & 3]);
}

/* Source: RFC 6455 section 7.4. */
static int check_close(const char *data, size_t len, struct error *e)
{
	unsigned code;

	if (!len)
		return 0;
	if (len == 1)
		return error_set(e, E_BAD_REQUEST, "websocket: malformed close frame");
	code = (unsigned)(uint8_t)data[0] << 8 | (uint8_t)data[1];
	if (code < 1000 || code > 4999 || (code > 1014 && code < 3000) || (code >= 1004 && code <= 1006))
		return error_set(e, E_BAD_REQUEST, "websocket: close status %u is not allowed", code);
	if (utf8_prefix(data + 2, len - 2) != len - 2)
		return error_set(e, E_INVALID, "websocket: the reason of a close frame is not UTF-8");
	return 0;
}

static void deliver(struct buf *msg, const char *data, size_t len)
{
	if (!msg->max)
		msg->max = WS_MESSAGE_MAX;
	buf_reset(msg);
	msg->over = false;
	buf_add(msg, len ? data : "", len);
}

/* A data frame whose bytes are there: 1 when it completes a message. */
static int take_data(struct ws_parser *p, const struct frame *f, const char *data, enum ws_opcode *op, struct buf *msg,
		     struct error *e)
{
	if ((f->opcode == WS_CONTINUATION) != (p->message_opcode >= 0))
		return error_set(e, E_BAD_REQUEST, "websocket: %s",
				 f->opcode == WS_CONTINUATION ? "a continuation without a beginning"
							      : "a message begins inside another");
	if (f->opcode != WS_CONTINUATION) {
		p->message_opcode = f->opcode;
		buf_reset(&p->message);
	}
	if (f->len)
		buf_add(&p->message, data, (size_t)f->len);
	if (!f->fin)
		return 0;
	*op = (enum ws_opcode)p->message_opcode;
	p->message_opcode = -1;
	if (*op == WS_TEXT && utf8_prefix(p->message.data, p->message.len) != p->message.len)
		return error_set(e, E_INVALID, "websocket: a text message is not UTF-8");
	deliver(msg, p->message.data, p->message.len);
	return 1;
}

int ws_parser_next(struct ws_parser *p, enum ws_opcode *op, struct buf *msg, struct error *e)
{
	struct frame f;
	int r = 0;

	if (p->in.over)
		return error_set(e, E_TOO_LARGE, "websocket: more bytes arrived than are allowed to wait");
	while (r == 0) {
		char *data;

		r = read_header(p, &f, e);
		if (r <= 0)
			return r;
		if (f.len > WS_MESSAGE_MAX || (f.opcode < WS_CLOSE && p->message_opcode >= 0 &&
					       f.opcode == WS_CONTINUATION && f.len > WS_MESSAGE_MAX - p->message.len))
			return error_set(e, E_TOO_LARGE, "websocket: a message is larger than %u bytes",
					 WS_MESSAGE_MAX);
		if (p->in.len - f.header < f.len)
			return 0;
		data = p->in.data + f.header;
		if (f.masked)
			unmask(data, (size_t)f.len, f.mask);
		if (f.opcode < WS_CLOSE) {
			r = take_data(p, &f, data, op, msg, e);
		} else {
			r = f.opcode == WS_CLOSE ? check_close(data, (size_t)f.len, e) : 0;
			if (r == 0) {
				*op = (enum ws_opcode)f.opcode;
				deliver(msg, data, (size_t)f.len);
				r = 1;
			}
		}
		if (r >= 0)
			buf_consume(&p->in, f.header + (size_t)f.len);
	}
	return r;
}

void ws_frame(struct buf *out, enum ws_opcode op, bool mask, const void *data, size_t len)
{
	uint8_t header[HEADER_MAX] = {(uint8_t)(0x80U | (unsigned)op)}, key[4];
	size_t n = 2, start;

	if (len < 126) {
		header[1] = (uint8_t)len;
	} else if (len < 65536) {
		header[1] = 126;
		header[2] = (uint8_t)(len >> 8);
		header[3] = (uint8_t)len;
		n = 4;
	} else {
		header[1] = 127;
		for (unsigned i = 0; i < 8; i++)
			header[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
		n = 10;
	}
	if (mask) {
		header[1] |= 0x80;
		random_bytes(key, sizeof(key));
		memcpy(header + n, key, sizeof(key));
		n += sizeof(key);
	}
	/* Whole or not at all: half a frame would break everything behind it. */
	if (out->over || out->len + n + len > out->max) {
		out->over = true;
		return;
	}
	buf_add(out, header, n);
	start = out->len;
	if (len)
		buf_add(out, data, len);
	if (mask)
		unmask(out->data + start, len, key);
}

void ws_accept_key(const char *key, char out[29])
{
	_buf_ text = BUF_INIT(1024);
	unsigned char digest[SHA_DIGEST_LENGTH];
	_buf_ encoded = BUF_INIT(64);

	buf_addf(&text, "%.128s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	EVP_Digest(text.data, text.len, digest, NULL, EVP_sha1(), NULL);
	base64_encode(digest, sizeof(digest), &encoded);
	snprintf(out, 29, "%s", encoded.data);
}
