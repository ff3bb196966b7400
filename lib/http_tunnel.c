/*
 * http_tunnel.c - Upgrade over libcurl's CONNECT_ONLY mode, which does name resolution, TLS and verification; the one
 * request and the head of the one answer are written and read here. See http_tunnel.h.
 */
#include "lib/http_tunnel.h"

#include "lib/codec.h"
#include "lib/json.h"
#include "lib/units.h"

#include <curl/curl.h>
#include <poll.h>
#include <strings.h>

#define HEAD_MAX 32768
#define OPEN_TIMEOUT_MS 30000

struct http_tunnel {
	CURL *curl;
	curl_socket_t fd;
	struct buf early; /* bytes that came together with the answer's head */
};

static int wait_fd(const struct http_tunnel *t, short events, int64_t deadline, struct error *e)
{
	for (;;) {
		int64_t left = deadline - time_mono_ms();
		struct pollfd p = {.fd = t->fd, .events = events};

		if (left <= 0)
			return error_set(e, E_TIMEOUT, "the other side does not answer");
		if (poll(&p, 1, (int)left) > 0)
			return 0;
	}
}

static int connect_only(struct http_tunnel *t, const struct http_request *req, struct error *e)
{
	char text[CURL_ERROR_SIZE] = "";
	const struct http_tls *tls = req->tls;

	t->curl = curl_easy_init();
	if (!t->curl)
		return error_set(e, E_INTERNAL, "libcurl cannot be initialised");
	curl_easy_setopt(t->curl, CURLOPT_URL, req->url);
	curl_easy_setopt(t->curl, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, text);
	curl_easy_setopt(t->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(t->curl, CURLOPT_SSL_ENABLE_ALPN, 0L);
	curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)(req->connect_timeout_ms ? req->connect_timeout_ms : 5000));
	if (req->unix_socket)
		curl_easy_setopt(t->curl, CURLOPT_UNIX_SOCKET_PATH, req->unix_socket);
	if (tls && tls->ca_file)
		curl_easy_setopt(t->curl, CURLOPT_CAINFO, tls->ca_file);
	if (tls && tls->cert_file) {
		curl_easy_setopt(t->curl, CURLOPT_SSLCERT, tls->cert_file);
		curl_easy_setopt(t->curl, CURLOPT_SSLKEY, tls->key_file);
	}
	if (tls && tls->insecure) {
		curl_easy_setopt(t->curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(t->curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	CURLcode r = curl_easy_perform(t->curl);

	curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, NULL);
	if (r != CURLE_OK)
		return error_set(e, E_UNAVAILABLE, "cannot connect to %s: %s", req->url,
				 *text ? text : curl_easy_strerror(r));
	if (curl_easy_getinfo(t->curl, CURLINFO_ACTIVESOCKET, &t->fd) != CURLE_OK || t->fd == CURL_SOCKET_BAD)
		return error_set(e, E_UNAVAILABLE, "the connection to %s was lost", req->url);
	return 0;
}

/* "host:port" and "/path?query" of an http(s) URL. */
static void split_url(const char *url, struct buf *host, const char **path)
{
	const char *p = strstr(url, "://"), *end;

	p = p ? p + 3 : url;
	end = p + strcspn(p, "/?");
	buf_add(host, p, (size_t)(end - p));
	*path = *end ? end : "/";
}

static int send_head(struct http_tunnel *t, const struct http_request *req, const char *protocol, struct error *e)
{
	_buf_ head = BUF_INIT(HEAD_MAX), host = BUF_INIT(1024);
	const char *path;

	split_url(req->url, &host, &path);
	buf_addf(&head, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n", path, host.data,
		 protocol);
	if (req->bearer_token)
		buf_addf(&head, "Authorization: Bearer %s\r\n", req->bearer_token);
	for (size_t i = 0; i < HTTP_HEADERS_MAX && req->headers[i]; i++)
		buf_addf(&head, "%s\r\n", req->headers[i]);
	buf_adds(&head, "\r\n");
	if (head.over)
		return error_set(e, E_TOO_LARGE, "the request is larger than %d bytes", HEAD_MAX);
	return http_tunnel_write(t, head.data, head.len, e);
}

static int fail_with_answer(struct http_tunnel *t, int status, size_t content_length, struct error *e)
{
	_arena_ a = arena_new();
	struct json *o;
	int64_t deadline = time_mono_ms() + 5000;
	char piece[4096];
	ssize_t n;

	while (t->early.len < content_length && !t->early.over) {
		n = http_tunnel_read(t, piece, sizeof(piece), NULL);
		if (n == -1 && wait_fd(t, POLLIN, deadline, NULL) == 0)
			continue;
		if (n <= 0)
			break;
		buf_add(&t->early, piece, (size_t)n);
	}
	if (t->early.len && json_parse(a, t->early.data, t->early.len, NULL, &o, NULL) == 0 &&
	    json_str(json_get(o, "message")))
		return error_set(e, error_code_from_http(status, json_str(json_get(o, "reason"))), "%s",
				 json_str(json_get(o, "message")));
	return error_set(e, error_code_from_http(status, NULL), "the server answered %d instead of upgrading", status);
}

static int read_head(struct http_tunnel *t, struct buf *response_headers, struct error *e)
{
	_buf_ head = BUF_INIT(HEAD_MAX);
	int64_t deadline = time_mono_ms() + OPEN_TIMEOUT_MS;
	char piece[4096], *end, *line;
	size_t content_length = 0;
	int status;

	while (!head.data || !(end = strstr(head.data, "\r\n\r\n"))) {
		ssize_t n = http_tunnel_read(t, piece, sizeof(piece), e);

		if (n == -1) {
			int r = wait_fd(t, POLLIN, deadline, e);

			if (r)
				return r;
			continue;
		}
		if (n <= 0)
			return n < 0 ? (int)n : error_set(e, E_UNAVAILABLE, "the server closed the connection");
		buf_add(&head, piece, (size_t)n);
		if (head.over || memchr(head.data, 0, head.len))
			return error_set(e, E_IO, "the server's answer is not HTTP");
	}
	buf_add(&t->early, end + 4, head.len - (size_t)(end + 4 - head.data));
	if (sscanf(head.data, "HTTP/1.%*d %d", &status) != 1)
		return error_set(e, E_IO, "the server's answer is not HTTP");
	end[2] = '\0';
	line = strstr(head.data, "\r\n") + 2;
	for (char *p = line; (p = strstr(p, "\r\n")); p += 2)
		*p = '\n';
	for (char *p = line; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (strncasecmp(p, "content-length:", 15) == 0)
			content_length = strtoul(p + 15, NULL, 10);
	if (status != 101)
		return fail_with_answer(t, status, content_length, e);
	if (response_headers)
		buf_adds(response_headers, line);
	return 0;
}

int http_tunnel_open(const struct http_request *req, const char *protocol, struct buf *response_headers,
		     struct http_tunnel **ret, struct error *e)
{
	struct http_tunnel *t = xcalloc(1, sizeof(*t));
	int r;

	t->fd = CURL_SOCKET_BAD;
	t->early = BUF_INIT(HEAD_MAX);
	r = connect_only(t, req, e);
	if (!r)
		r = send_head(t, req, protocol, e);
	if (!r)
		r = read_head(t, response_headers, e);
	if (r) {
		http_tunnel_close(t);
		return r;
	}
	*ret = t;
	return 0;
}

void http_tunnel_close(struct http_tunnel *t)
{
	if (!t)
		return;
	curl_easy_cleanup(t->curl);
	buf_free(&t->early);
	free(t);
}

int http_tunnel_fd(const struct http_tunnel *t)
{
	return t->fd;
}

ssize_t http_tunnel_read(struct http_tunnel *t, void *data, size_t len, struct error *e)
{
	size_t n = t->early.len < len ? t->early.len : len;

	if (n) {
		memcpy(data, t->early.data, n);
		buf_consume(&t->early, n);
		return (ssize_t)n;
	}
	CURLcode r = curl_easy_recv(t->curl, data, len, &n);

	if (r == CURLE_AGAIN)
		return -1;
	if (r != CURLE_OK) {
		error_set(e, E_UNAVAILABLE, "the connection broke: %s", curl_easy_strerror(r));
		return -E_UNAVAILABLE;
	}
	return (ssize_t)n;
}

int http_tunnel_write(struct http_tunnel *t, const void *data, size_t len, struct error *e)
{
	const char *p = data;

	while (len) {
		size_t n = 0;
		CURLcode r = curl_easy_send(t->curl, p, len, &n);

		if (r == CURLE_AGAIN) {
			int w = wait_fd(t, POLLOUT, time_mono_ms() + OPEN_TIMEOUT_MS, e);

			if (w)
				return w;
			continue;
		}
		if (r != CURLE_OK)
			return error_set(e, E_UNAVAILABLE, "the connection broke: %s", curl_easy_strerror(r));
		p += n;
		len -= n;
	}
	return 0;
}
