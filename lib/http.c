/*
 * http.c - libcurl behind http.h: what every request has, and blocking calls. http_loop.c has the asynchronous ones.
 */
#include "lib/http_internal.h"

#include "lib/log.h"

#include <pthread.h>
#include <stdio.h>
#include <strings.h>

#define MAX_RESPONSE_DEFAULT (64U << 20)
#define CONNECT_TIMEOUT_DEFAULT_MS 5000
#define REDIRECTS_MAX 10

static void curl_init_once(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		log_error("libcurl cannot be initialised", NULL);
		abort();
	}
}

CURL *http_easy_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CURL *easy;

	pthread_once(&once, curl_init_once);
	easy = curl_easy_init();
	if (!easy) {
		log_error("libcurl handle cannot be made", NULL);
		abort();
	}
	return easy;
}

/* ---- what arrives ---- */

static long exchange_status(const struct exchange *x)
{
	long status = 0;

	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
	struct exchange *x = user;
	size_t len = size * n;
	const char *colon = memchr(line, ':', len), *value, *end = line + len;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		x->header_count = 0; /* a status line: what came before belonged to a 100 or a redirect */
		return len;
	}
	if (!colon)
		return len;
	while (end > colon && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
		end--;
	for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
		;
	if (x->header_count == x->header_cap) {
		size_t cap = x->header_cap ? 2 * x->header_cap : 16;
		struct http_header *grown = arena_alloc(x->a, cap * sizeof(*grown));

		if (x->header_count)
			memcpy(grown, x->headers, x->header_count * sizeof(*grown));
		x->headers = grown;
		x->header_cap = cap;
	}
	if (value > end)
		value = end;
	x->headers[x->header_count].name = arena_strndup(x->a, line, (size_t)(colon - line));
	x->headers[x->header_count++].value = arena_strndup(x->a, value, (size_t)(end - value));
	return len;
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
	struct exchange *x = user;
	size_t len = size * n;
	long status = exchange_status(x);

	if (x->silenced)
		return 0;
	if (x->sink && status >= 200 && status < 300) {
		if (x->sink(x->sink_user, data, len, &x->sink_error) == 0)
			return len;
		if (!x->sink_error.code)
			error_set(&x->sink_error, E_INTERNAL, "the receiver of the answer gave up");
		return 0;
	}
	buf_add(&x->body, data, len);
	return x->body.over ? 0 : len;
}

/* ---- what is sent ---- */

static bool request_has_header(const struct http_request *req, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < HTTP_HEADERS_MAX && req->headers[i]; i++)
		if (strncasecmp(req->headers[i], name, n) == 0 && req->headers[i][n] == ':')
			return true;
	return false;
}

static void add_header(struct exchange *x, const char *line)
{
	struct curl_slist *grown = curl_slist_append(x->headers_out, line);

	if (!grown) {
		log_error("out of memory", NULL);
		abort();
	}
	x->headers_out = grown;
}

static void setup_headers(struct exchange *x, const struct http_request *req)
{
	for (size_t i = 0; i < HTTP_HEADERS_MAX && req->headers[i]; i++)
		add_header(x, req->headers[i]);
	/* Our bodies are small against the wait that curl would make for a 100. curl signs even headers it is told to
	 * leave out. */
	if (!req->aws_sigv4)
		add_header(x, "Expect:");
	if (!request_has_header(req, "Content-Type"))
		add_header(x, "Content-Type:"); /* curl would call every body a form */
	curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers_out);
	/* A sink wants the bytes that were asked for (blobs are hashed), and a watch must not wait in a decompressor.
	 */
	if (!req->sink && !request_has_header(req, "Range") && !request_has_header(req, "Accept-Encoding"))
		curl_easy_setopt(x->easy, CURLOPT_ACCEPT_ENCODING, "");
}

static void setup_method(struct exchange *x, const struct http_request *req)
{
	const char *method = req->method ? req->method : "GET";
	bool sends = req->body || streq(method, "POST") || streq(method, "PUT") || streq(method, "PATCH");

	if (streq(method, "HEAD")) {
		curl_easy_setopt(x->easy, CURLOPT_NOBODY, 1L);
	} else if (sends) {
		curl_easy_setopt(x->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
		curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, req->body ? req->body : "");
		curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, method);
	} else if (!streq(method, "GET")) {
		curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, method);
	}
}

static void setup_credentials(struct exchange *x, const struct http_request *req)
{
	if (req->bearer_token) {
		curl_easy_setopt(x->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(x->easy, CURLOPT_XOAUTH2_BEARER, req->bearer_token);
	} else if (req->username) {
		if (req->aws_sigv4)
			curl_easy_setopt(x->easy, CURLOPT_AWS_SIGV4, req->aws_sigv4);
		else
			curl_easy_setopt(x->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(x->easy, CURLOPT_USERNAME, req->username);
		curl_easy_setopt(x->easy, CURLOPT_PASSWORD, req->password ? req->password : "");
	}
	if (!req->tls)
		return;
	if (req->tls->ca_file)
		curl_easy_setopt(x->easy, CURLOPT_CAINFO, req->tls->ca_file);
	if (req->tls->cert_file)
		curl_easy_setopt(x->easy, CURLOPT_SSLCERT, req->tls->cert_file);
	if (req->tls->key_file)
		curl_easy_setopt(x->easy, CURLOPT_SSLKEY, req->tls->key_file);
	if (req->tls->insecure) {
		curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

static void setup_times(struct exchange *x, const struct http_request *req)
{
	int64_t connect_ms = req->connect_timeout_ms > 0 ? req->connect_timeout_ms : CONNECT_TIMEOUT_DEFAULT_MS;

	curl_easy_setopt(x->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
	if (req->timeout_ms > 0)
		curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long)req->timeout_ms);
	if (req->stall_timeout_ms > 0) {
		curl_easy_setopt(x->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(x->easy, CURLOPT_LOW_SPEED_TIME, (long)((req->stall_timeout_ms + 999) / 1000));
	}
}

/* "host:port" of the URL for error texts. Loopback is never reached through a proxy, as Go's clients have it. */
static void setup_host(struct exchange *x, const struct http_request *req)
{
	CURLU *u = curl_url();
	char *host = NULL, *port = NULL;

	if (u && curl_url_set(u, CURLUPART_URL, req->url, 0) == CURLUE_OK)
		curl_url_get(u, CURLUPART_HOST, &host, 0);
	if (host)
		curl_url_get(u, CURLUPART_PORT, &port, 0);
	if (host && (streq(host, "localhost") || streq(host, "[::1]") || str_starts(host, "127.")))
		curl_easy_setopt(x->easy, CURLOPT_PROXY, "");
	if (req->unix_socket)
		x->host = xasprintf("unix:%s", req->unix_socket);
	else if (host)
		x->host = xasprintf("%s%s%s", host, port ? ":" : "", port ? port : "");
	else
		x->host = xstrdup("(malformed URL)");
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
}

/* x->easy and x->a are set; everything in req but body outlives the call by curl's own copies. */
void exchange_setup(struct exchange *x, const struct http_request *req)
{
	x->body = BUF_INIT(req->max_response ? req->max_response : MAX_RESPONSE_DEFAULT);
	x->sink = req->sink;
	x->sink_user = req->sink_user;
	curl_easy_setopt(x->easy, CURLOPT_URL, req->url);
	curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(x->easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(x->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, x->curl_error);
	curl_easy_setopt(x->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(x->easy, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
	if (req->follow_redirects) {
		curl_easy_setopt(x->easy, CURLOPT_FOLLOWLOCATION, 1L);
		curl_easy_setopt(x->easy, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
		/* What came over TLS is never continued without it. */
		curl_easy_setopt(x->easy, CURLOPT_REDIR_PROTOCOLS_STR,
				 str_starts(req->url, "https:") ? "https" : "http,https");
	}
	if (req->unix_socket)
		curl_easy_setopt(x->easy, CURLOPT_UNIX_SOCKET_PATH, req->unix_socket);
	setup_headers(x, req);
	setup_method(x, req);
	setup_credentials(x, req);
	setup_times(x, req);
	setup_host(x, req);
}

void exchange_release(struct exchange *x)
{
	curl_slist_free_all(x->headers_out);
	buf_free(&x->body);
	free(x->host);
}

/* ---- how it ended ---- */

static const struct {
	CURLcode curl;
	int code;
} error_codes[] = {
	{CURLE_OPERATION_TIMEDOUT, E_TIMEOUT},
	{CURLE_URL_MALFORMAT, E_BAD_REQUEST},
	{CURLE_UNSUPPORTED_PROTOCOL, E_BAD_REQUEST},
	{CURLE_SSL_CONNECT_ERROR, E_IO},
	{CURLE_PEER_FAILED_VERIFICATION, E_IO},
	{CURLE_SSL_CERTPROBLEM, E_IO},
	{CURLE_SSL_CIPHER, E_IO},
	{CURLE_SSL_CACERT_BADFILE, E_IO},
	{CURLE_SSL_ISSUER_ERROR, E_IO},
	{CURLE_TOO_MANY_REDIRECTS, E_IO},
	{CURLE_BAD_CONTENT_ENCODING, E_IO},
};

int exchange_error(const struct exchange *x, CURLcode rc, struct error *e)
{
	int code = E_UNAVAILABLE;

	if (x->sink_error.code) {
		if (e)
			*e = x->sink_error;
		return -x->sink_error.code;
	}
	if (x->body.over)
		return error_set(e, E_TOO_LARGE, "answer of %s is larger than %zu bytes", x->host, x->body.max);
	for (size_t i = 0; i < ARRAY_SIZE(error_codes); i++)
		if (error_codes[i].curl == rc)
			code = error_codes[i].code;
	return error_set(e, code, "request to %s failed: %s", x->host,
			 x->curl_error[0] ? x->curl_error : curl_easy_strerror(rc));
}

const char *http_response_header(const struct http_response *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (strcasecmp(r->headers[i].name, name) == 0)
			return r->headers[i].value;
	return NULL;
}

void exchange_response(struct exchange *x, struct http_response *ret)
{
	struct http_response r = {.status = (int)exchange_status(x),
				  .headers = x->headers,
				  .header_count = x->header_count,
				  .body_len = x->body.len};

	r.body = arena_strndup(x->a, "", 0);
	if (x->body.len) {
		r.body = arena_alloc(x->a, x->body.len + 1);
		memcpy(r.body, x->body.data, x->body.len);
		r.body[x->body.len] = '\0';
	}
	r.content_type = http_response_header(&r, "Content-Type");
	if (!r.content_type)
		r.content_type = "";
	*ret = r;
}

/* ---- blocking ---- */

struct http_client {
	CURL *easy;
};

struct http_client *http_client_new(void)
{
	struct http_client *c = xcalloc(1, sizeof(*c));

	c->easy = http_easy_new();
	return c;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->easy);
	free(c);
}

int http_do(struct http_client *c, const struct http_request *req, struct arena *a, struct http_response *ret,
	    struct error *e)
{
	struct exchange x = {.easy = c->easy, .a = a};
	long sent = 0;
	CURLcode rc;
	int r = 0;

	curl_easy_reset(c->easy); /* keeps the connections */
	exchange_setup(&x, req);
	rc = curl_easy_perform(c->easy);
	curl_easy_getinfo(c->easy, CURLINFO_REQUEST_SIZE, &sent);
	if (req->ret_sent && sent > 0)
		*req->ret_sent = true;
	if (rc != CURLE_OK)
		r = exchange_error(&x, rc, e);
	else
		exchange_response(&x, ret);
	exchange_release(&x);
	return r;
}
