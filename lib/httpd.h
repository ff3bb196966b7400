/*
 * httpd.h - an HTTPS server on libmicrohttpd, behind a strict gate.
 *
 * The gate refuses, before any handler runs: both Content-Length and Transfer-Encoding, duplicate Content-Length, Host
 * or Transfer-Encoding, a missing or malformed Host (RFC 9112 section 3.2), bodies over the limit (413), request
 * heads over 32 KiB (431), targets over 8 KiB (414), control characters or malformed percent-encoding in the target
 * (400), and connections that have not delivered a whole request within the deadline (closed). The body is read whole
 * before the handler is called.
 *
 * A handler answers exactly once, from any thread, at any later time: httpd_reply*(), httpd_stream_start() or
 * httpd_upgrade(). Until then the request, its arena and everything read from it stay alive; after it the request
 * must not be touched. Nothing blocks libmicrohttpd's threads: a handler either answers at once or hands the request
 * on.
 *
 * This file and httpd*.c alone know libmicrohttpd. Anyone may include this file.
 */
#ifndef BERTH_LIB_HTTPD_H
#define BERTH_LIB_HTTPD_H

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/error.h"

struct httpd;
struct httpd_request;
struct httpd_stream;

typedef void httpd_handler(struct httpd_request *r, void *user);

struct httpd_config {
	const char *listen;		  /* "127.0.0.1:6443", "[::1]:6443", port 0: any; or "unix:/path" (no TLS) */
	const char *cert_file, *key_file; /* PEM; both NULL: plain HTTP */
	const char *client_ca_file;	  /* PEM; asks for (does not insist on) a client certificate; NULL: none */
	unsigned threads;		  /* epoll threads, default 2 */
	unsigned max_connections;	  /* default 16,384; more are refused */
	size_t max_body;		  /* default 3 MiB */
	int64_t request_deadline_ms;	  /* from the first byte to the last, default 15,000 */
	int64_t idle_timeout_ms;	  /* keep-alive without a request, default 300,000; never applies to streams */
	httpd_handler *handler;
	void *user;
};

int httpd_start(const struct httpd_config *cfg, struct httpd **ret, struct error *e);
/* Stops listening, ends streams, waits for running handlers, frees. NULL-safe. */
void httpd_stop(struct httpd *h);
unsigned httpd_port(const struct httpd *h);
unsigned httpd_connections(const struct httpd *h);

/* ---- the request; borrowed until the answer ---- */
struct arena *httpd_arena(struct httpd_request *r);
const char *httpd_method(const struct httpd_request *r); /* "GET"; HEAD arrives as "GET", its body is dropped */
const char *httpd_path(const struct httpd_request *r);	 /* as sent, without the query, still percent-encoded */
/* First value of a query parameter, decoded; "" when present without a value, NULL when absent. */
const char *httpd_query(const struct httpd_request *r, const char *name);
/* The i-th value of a repeated parameter, NULL past the last. */
const char *httpd_query_n(const struct httpd_request *r, const char *name, size_t i);
const char *httpd_query_string(const struct httpd_request *r);		   /* raw, "" when none */
const char *httpd_header(const struct httpd_request *r, const char *name); /* case-insensitive; NULL when absent */
/* The i-th header whose name begins with a prefix, in no order; its value, and its whole name. NULL past the last. */
const char *httpd_header_n(const struct httpd_request *r, const char *prefix, size_t i, const char **ret_name);
const char *httpd_body(const struct httpd_request *r, size_t *ret_len); /* never NULL */
/* Common name and organisations of a client certificate that chains to client_ca_file, else NULL / 0. */
const char *httpd_peer_cn(const struct httpd_request *r);
const char *httpd_peer_org(const struct httpd_request *r, size_t i); /* the i-th organisation, NULL past the last */
const char *httpd_peer_address(const struct httpd_request *r);	     /* "127.0.0.1" */
/* A place for the caller's own per-request data. */
void httpd_set_data(struct httpd_request *r, void *data);
void *httpd_data(const struct httpd_request *r);

/* ---- shared bytes: one allocation, any number of readers ---- */
struct chunk; /* reference-counted, immutable; thread-safe */
struct chunk *chunk_new(const void *data, size_t len);
struct chunk *chunk_take(char *data, size_t len); /* takes a malloc()ed block */
struct chunk *chunk_ref(struct chunk *c);
void chunk_unref(struct chunk *c); /* NULL-safe */
const char *chunk_data(const struct chunk *c);
size_t chunk_len(const struct chunk *c);

/* ---- answers ---- */
/* Adds a header to the answer that will follow. */
void httpd_set_header(struct httpd_request *r, const char *name, const char *value);
/* Copies body; gzip is applied when the client takes it and the body is over 128 KiB. */
void httpd_reply(struct httpd_request *r, int status, const char *content_type, const void *body, size_t len);
/* The same without a copy; takes one reference of c. */
void httpd_reply_chunk(struct httpd_request *r, int status, const char *content_type, struct chunk *c);
/* What lib/metrics.h has counted, in Prometheus' text format. */
void httpd_reply_metrics(struct httpd_request *r);
/* A handler for processes that serve nothing else: /metrics and /healthz. */
httpd_handler httpd_serve_metrics;

/* A chunked answer that is pushed. on_closed is called exactly once, when the client has gone or after
 * httpd_stream_end(); then the stream must not be touched any more. All calls are thread-safe and never block. Started
 * outside the handler's thread, a stream may be closed before httpd_stream_start() has returned it: hold a lock around
 * the call that on_closed takes too. */
typedef void httpd_stream_closed(struct httpd_stream *s, void *user);
struct httpd_stream *httpd_stream_start(struct httpd_request *r, int status, const char *content_type,
					httpd_stream_closed *on_closed, void *user);
/* Queues the chunk (takes a reference of its own). False when more than max_queued bytes (16 MiB) already wait because
 * the client does not read: the stream is then ended by the server. */
bool httpd_stream_write(struct httpd_stream *s, struct chunk *c);
size_t httpd_stream_queued(struct httpd_stream *s);
void httpd_stream_end(struct httpd_stream *s);

/* Answers 101 and hands over the connection: on_upgraded gets a blocking, O_CLOEXEC socket (plain bytes, TLS is handled
 * below it) on a thread of its own and owns it; bytes the client already sent come first out of the socket. Headers set
 * before (Upgrade, Sec-WebSocket-Accept, …) are part of the answer; Upgrade is needed. If the connection ends before it
 * can be handed over, on_upgraded is called all the same, with a socket at its end. httpd_stop() shuts the socket down
 * and waits for on_upgraded to return. */
typedef void httpd_upgraded(int fd, void *user);
void httpd_upgrade(struct httpd_request *r, httpd_upgraded *on_upgraded, void *user);

#endif
