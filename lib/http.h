/*
 * http.h - an HTTP client on libcurl: blocking calls, and asynchronous ones on a libuv loop.
 *
 * TLS is verified by default. No redirects are followed unless asked; credentials never follow a redirect to another
 * host. Ownership: a request is borrowed for the call (asynchronous: copied); a response belongs to its arena.
 *
 * This file and http.c alone know libcurl. Anyone may include this file.
 */
#ifndef BERTH_LIB_HTTP_H
#define BERTH_LIB_HTTP_H

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/error.h"
#include <uv.h>

#define HTTP_HEADERS_MAX 16

struct http_tls {
	const char *ca_file;		  /* PEM; NULL: the system's */
	const char *cert_file, *key_file; /* client certificate, PEM; NULL: none */
	bool insecure;			  /* no verification */
};

struct http_request {
	const char *method; /* NULL: GET */
	const char *url;
	const char *headers[HTTP_HEADERS_MAX]; /* "Accept: x" */
	const char *bearer_token;
	const char *username, *password; /* basic authentication */
	/* "aws:amz:REGION:SERVICE": signs the request instead (AWS Signature Version 4); username is the access key's
	 * ID, password its secret. */
	const char *aws_sigv4;
	const void *body;
	size_t body_len;
	const struct http_tls *tls;
	const char *unix_socket;    /* connect there instead of the URL's host */
	int64_t connect_timeout_ms; /* default 5,000 */
	int64_t timeout_ms;	    /* whole exchange; 0: none */
	int64_t stall_timeout_ms;   /* less than 1 byte/s for so long fails; 0: none */
	bool follow_redirects;
	size_t max_response; /* default 64 MiB; ignored with a sink */
	/* When set, the body of a 2xx answer goes here piece by piece instead of into the response. Non-zero stops with
	 * that code; fill e. */
	int (*sink)(void *user, const void *data, size_t len, struct error *e);
	void *sink_user;
	/* When set: true as soon as any of the request may have reached the server, so that a failed call may still
	 * have had its effect there. Never set to false. Blocking calls only. */
	bool *ret_sent;
};

struct http_response {
	int status;
	const char *content_type; /* "" when absent */
	char *body;		  /* NUL-terminated */
	size_t body_len;
	struct http_header {
		const char *name, *value;
	} * headers;
	size_t header_count;
};

/* Case-insensitive; NULL when absent. */
const char *http_response_header(const struct http_response *r, const char *name);

struct http_client; /* keeps connections; one thread at a time */
struct http_client *http_client_new(void);
void http_client_free(struct http_client *c);
static inline void http_client_freep(struct http_client **c)
{
	http_client_free(*c);
}

/* Blocking. Any HTTP status is a success here. Errors: E_UNAVAILABLE (cannot connect, broken off), E_TIMEOUT,
 * E_TOO_LARGE, E_IO (TLS), or the sink's. The text names the URL's host. */
int http_do(struct http_client *c, const struct http_request *req, struct arena *a, struct http_response *ret,
	    struct error *e);

/* ---- on a libuv loop ---- */
struct http_loop;
struct http_call;
struct http_loop *http_loop_new(uv_loop_t *loop);
void http_loop_free(struct http_loop *l); /* cancels what is under way, without callbacks */

/* Called once, unless cancelled; res is NULL when err is not 0. Both are valid during the call. */
typedef void http_done(void *user, int err, const struct http_response *res, const struct error *e);
/* With req->sink the body arrives there as it comes (for watches). */
struct http_call *http_start(struct http_loop *l, const struct http_request *req, http_done *done, void *user);
void http_cancel(struct http_call *c); /* no callback follows */

#endif
