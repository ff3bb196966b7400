/*
 * fake_registry.h - a registry on loopback that does as the test says, lies included. One thread, one request a
 * connection.
 *
 * Fill it before the first request, or while none is under way. For test_registry.c and the agent's image tests.
 */
#ifndef BERTH_TEST_FAKE_REGISTRY_H
#define BERTH_TEST_FAKE_REGISTRY_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>

#include "lib/arena.h"
#include "lib/codec.h"
#include "lib/oci.h"

#define FAKE_ROUTES_MAX 1200

struct fake_route {
	const char *path; /* "/v2/x/manifests/latest" */
	atomic_int status;
	const char *type, *header; /* header: one more line, without its end, or NULL */
	void *body;
	size_t len;
	size_t cut_after; /* answer breaks off after so many bytes of each transfer; 0: never */
	bool no_ranges;
	atomic_int hits;
};

enum fake_auth { FAKE_OPEN, FAKE_BASIC, FAKE_BEARER };

struct fake_registry {
	struct arena *a;
	int fd;
	unsigned port;
	pthread_t thread;
	struct fake_route routes[FAKE_ROUTES_MAX];
	size_t count;
	_Atomic enum fake_auth auth; /* credentials: user, secret; with BEARER anonymous gets a token as well */
	bool anonymous_denied;	     /* BEARER: the token server wants credentials */
	atomic_int token_requests;   /* at the token server */
	atomic_llong sent;	     /* bytes of bodies */
};

static inline struct fake_route *fake_find(struct fake_registry *f, const char *path)
{
	for (size_t i = f->count; i-- > 0;) /* the newest wins */
		if (streq(f->routes[i].path, path))
			return &f->routes[i];
	return NULL;
}

static inline void fake_send(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

static inline void fake_answer(int fd, int status, const char *type, const char *header, const void *body, size_t len,
			       size_t send_len)
{
	char head[1024];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n%s%s\r\n",
			 status, type ? type : "text/plain", len, header ? header : "", header ? "\r\n" : "");

	fake_send(fd, head, (size_t)n);
	if (body)
		fake_send(fd, body, send_len);
}

/* Base64 of user:secret. */
#define FAKE_BASIC_HEADER "Authorization: Basic dXNlcjpzZWNyZXQ="

static inline bool fake_authorized(struct fake_registry *f, const char *request)
{
	if (f->auth == FAKE_BASIC)
		return strstr(request, FAKE_BASIC_HEADER);
	return f->auth == FAKE_OPEN || strstr(request, "Authorization: Bearer good-token");
}

static inline void fake_token(struct fake_registry *f, int fd, const char *request)
{
	static const char body[] = "{\"token\": \"good-token\", \"expires_in\": 300}";

	atomic_fetch_add(&f->token_requests, 1);
	if (strstr(request, FAKE_BASIC_HEADER) || (!strstr(request, "Authorization:") && !f->anonymous_denied))
		fake_answer(fd, 200, "application/json", NULL, body, sizeof(body) - 1, sizeof(body) - 1);
	else
		fake_answer(fd, 401, NULL, NULL, NULL, 0, 0);
}

static inline void fake_challenge(struct fake_registry *f, int fd)
{
	char header[256];

	snprintf(
		header, sizeof(header),
		f->auth == FAKE_BASIC
			? "WWW-Authenticate: Basic realm=\"r\""
			: "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%u/token\",service=\"fake\",scope=\"repository:x:pull\"",
		f->port);
	fake_answer(fd, 401, NULL, header, NULL, 0, 0);
}

static inline void fake_route_answer(struct fake_registry *f, int fd, struct fake_route *r, const char *request)
{
	const char *range = strcasestr(request, "\r\nRange: bytes=");
	size_t offset = range && !r->no_ranges ? strtoull(range + strlen("\r\nRange: bytes="), NULL, 10) : 0;
	size_t len = offset < r->len ? r->len - offset : 0,
	       send_len = r->cut_after && r->cut_after < len ? r->cut_after : len;

	atomic_fetch_add(&r->hits, 1);
	atomic_fetch_add(&f->sent, (long long)send_len);
	fake_answer(fd, offset ? 206 : r->status, r->type, r->header, (const char *)r->body + offset, len, send_len);
}

static inline void fake_serve(struct fake_registry *f, int fd)
{
	char request[8192], path[1024];
	size_t n = 0;

	while (n < sizeof(request) - 1) {
		ssize_t got = recv(fd, request + n, sizeof(request) - 1 - n, 0);

		if (got <= 0)
			return;
		n += (size_t)got;
		request[n] = '\0';
		if (request[0] == 0x16) /* a TLS handshake */
			return;
		if (strstr(request, "\r\n\r\n"))
			break;
	}
	if (sscanf(request, "%*s %1023[^ ?]", path) != 1)
		return;
	struct fake_route *r = fake_find(f, path);

	if (streq(path, "/token"))
		fake_token(f, fd, request);
	else if (!fake_authorized(f, request))
		fake_challenge(f, fd);
	else if (r)
		fake_route_answer(f, fd, r, request);
	else if (streq(path, "/v2/"))
		fake_answer(fd, 200, NULL, NULL, NULL, 0, 0);
	else
		fake_answer(fd, 404, "application/json", NULL, "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}", 41,
			    41);
}

static inline void *fake_main(void *arg)
{
	struct fake_registry *f = arg;
	int fd;

	while ((fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct timeval limit = {5, 0};

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		fake_serve(f, fd);
		shutdown(fd, SHUT_WR);
		close(fd);
	}
	return NULL;
}

static inline struct fake_registry *fake_start(void)
{
	struct fake_registry *f = xcalloc(1, sizeof(*f));
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);

	f->a = arena_new();
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(f->fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(f->fd, 64) ||
	    getsockname(f->fd, (struct sockaddr *)&sa, &len) || pthread_create(&f->thread, NULL, fake_main, f))
		abort();
	f->port = ntohs(sa.sin_port);
	return f;
}

static inline void fake_stop(struct fake_registry *f)
{
	shutdown(f->fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->fd);
	arena_free(f->a);
	free(f);
}

/* body is copied. */
static inline struct fake_route *fake_add(struct fake_registry *f, const char *path, const char *type, const void *body,
					  size_t len)
{
	struct fake_route *r = &f->routes[f->count++];

	*r = (struct fake_route){.path = path, .status = 200, .type = type, .len = len};
	r->body = memcpy(arena_alloc(f->a, len + 1), body, len);
	return r;
}

static inline const char *fake_digest(struct fake_registry *f, const void *data, size_t len)
{
	char hex[SHA256_HEX_MAX];

	sha256_hex(data, len, hex);
	return arena_printf(f->a, "sha256:%s", hex);
}

/* Adds a blob of repository x under its digest. */
static inline struct fake_route *fake_blob(struct fake_registry *f, const void *data, size_t len,
					   const char **ret_digest)
{
	const char *digest = fake_digest(f, data, len);

	if (ret_digest)
		*ret_digest = digest;
	return fake_add(f, arena_printf(f->a, "/v2/x/blobs/%s", digest), "application/octet-stream", data, len);
}

/* Adds a manifest of repository x under its digest and a tag; returns the digest. */
static inline const char *fake_manifest(struct fake_registry *f, const char *tag, const char *type, const char *text)
{
	const char *digest = fake_digest(f, text, strlen(text));

	fake_add(f, arena_printf(f->a, "/v2/x/manifests/%s", digest), type, text, strlen(text));
	fake_add(f, arena_printf(f->a, "/v2/x/manifests/%s", tag), type, text, strlen(text));
	return digest;
}

#define FAKE_MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define FAKE_INDEX_TYPE "application/vnd.oci.image.index.v1+json"

struct fake_layer {
	const void *blob; /* as served */
	size_t len;
	const char *digest, *diff_id; /* NULL: the right ones, for an uncompressed blob */
	int64_t declared;	      /* size in the manifest; 0: the right one */
};

/* Adds a whole image of repository x and returns its digest. */
static inline const char *fake_image(struct fake_registry *f, const char *tag, const struct fake_layer *layers,
				     size_t n)
{
	_buf_ manifest = BUF_INIT(1U << 20);
	_buf_ config = BUF_INIT(1U << 20);
	const char *config_digest, *digest;

	buf_adds(
		&config,
		"{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{\"Entrypoint\":[\"/init\"],\"Env\":[\"A=b\"]},"
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
	for (size_t i = 0; i < n; i++) {
		digest = fake_digest(f, layers[i].blob, layers[i].len);
		buf_addf(&config, "%s\"%s\"", i ? "," : "", layers[i].diff_id ? layers[i].diff_id : digest);
	}
	buf_adds(&config, "]}}");
	fake_blob(f, arena_strdup(f->a, config.data), config.len, &config_digest);
	buf_addf(
		&manifest,
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\","
		"\"size\":%zu},\"layers\":[",
		config_digest, config.len);
	for (size_t i = 0; i < n; i++) {
		fake_blob(f, layers[i].blob, layers[i].len, &digest);
		if (layers[i].digest)
			fake_add(f, arena_printf(f->a, "/v2/x/blobs/%s", layers[i].digest), "application/octet-stream",
				 layers[i].blob, layers[i].len);
		buf_addf(&manifest,
			 "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%lld}",
			 i ? "," : "", layers[i].digest ? layers[i].digest : digest,
			 (long long)(layers[i].declared ? layers[i].declared : (int64_t)layers[i].len));
	}
	buf_adds(&manifest, "]}");
	return fake_manifest(f, tag, FAKE_MANIFEST_TYPE, arena_strdup(f->a, manifest.data));
}

#endif
