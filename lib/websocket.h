/*
 * websocket.h - RFC 6455 framing without I/O, and Kubernetes' channel protocol on top.
 *
 * The parser takes bytes as they come and gives whole messages; it never allocates more than its limit. Used by the
 * agent (server side of exec and attach), the apiserver (watch over WebSocket) and the cli (client side).
 */
#ifndef BERTH_LIB_WEBSOCKET_H
#define BERTH_LIB_WEBSOCKET_H

#include "lib/buf.h"
#include "lib/error.h"

enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

#define WS_MESSAGE_MAX (1U << 20)

struct ws_parser {
	bool server;	    /* we are the server: frames must be masked, else they must not be */
	struct buf in;	    /* bytes not yet understood */
	struct buf message; /* fragments of the message under way */
	int message_opcode;
};
void ws_parser_init(struct ws_parser *p, bool server);
void ws_parser_free(struct ws_parser *p);
/* Feeds bytes. */
void ws_parser_feed(struct ws_parser *p, const void *data, size_t len);
/* 1: a message is in *op and msg, the caller's own buffer, whose content is replaced; 0: more bytes needed; negative:
 * protocol error, close (E_BAD_REQUEST: status 1002, E_INVALID: 1007, E_TOO_LARGE: 1009). Control messages come between
 * the fragments of a message, as they do on the wire. */
int ws_parser_next(struct ws_parser *p, enum ws_opcode *op, struct buf *msg, struct error *e);
/* One unfragmented frame. mask: true for clients. */
void ws_frame(struct buf *out, enum ws_opcode op, bool mask, const void *data, size_t len);
/* Sec-WebSocket-Accept for a Sec-WebSocket-Key. out: 29 bytes. */
void ws_accept_key(const char *key, char out[29]);

/* The first byte of a binary message. Source: k8s.io/apimachinery/pkg/util/remotecommand; v5 adds the close signal. */
enum ws_channel {
	WS_CHANNEL_STDIN,
	WS_CHANNEL_STDOUT,
	WS_CHANNEL_STDERR,
	WS_CHANNEL_ERROR,
	WS_CHANNEL_RESIZE,
	WS_CHANNEL_CLOSE = 255,
};

#endif
