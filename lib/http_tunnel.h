/*
 * http_tunnel.h - the client side of an HTTP/1.1 Upgrade: a verified connection that turns into a two-way byte stream.
 *
 * Used by cli (exec over WebSocket) and apiserver (proxy of exec to the nodes). Blocking to open; afterwards the caller
 * polls http_tunnel_fd() and reads and writes without blocking. One thread at a time.
 */
#ifndef BERTH_LIB_HTTP_TUNNEL_H
#define BERTH_LIB_HTTP_TUNNEL_H

#include "lib/http.h"

struct http_tunnel;

/* Connects, sends "GET <url> HTTP/1.1" with `Connection: Upgrade`, `Upgrade: <protocol>` and the request's headers and
 * credentials (body, sink and redirects are not used), and reads the answer's head. 101 gives a tunnel; any other
 * status is the error of that status with the answer's text. response_headers (may be NULL) gets "Name: value" lines of
 * a 101. Errors: E_UNAVAILABLE, E_TIMEOUT, E_IO, or by the status. */
int http_tunnel_open(const struct http_request *req, const char *protocol, struct buf *response_headers,
		     struct http_tunnel **ret, struct error *e);
void http_tunnel_close(struct http_tunnel *t); /* NULL-safe */
int http_tunnel_fd(const struct http_tunnel *t);
/* Bytes read (0: end of stream), -1: nothing there now (wait with poll for POLLIN), or a negative error below -1. */
ssize_t http_tunnel_read(struct http_tunnel *t, void *data, size_t len, struct error *e);
/* Writes all of it, waiting as needed. */
int http_tunnel_write(struct http_tunnel *t, const void *data, size_t len, struct error *e);

#endif
