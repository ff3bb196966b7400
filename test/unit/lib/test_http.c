/*
 * test_http.c - unit tests of lib/http.c and http_loop.c against an httpd in this process.
 */
#include "lib/codec.h"
#include "lib/http.h"
#include "lib/httpd.h"
#include "test/unit/lib/net_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

struct server {
	struct httpd *h;
	char base[64];
	_Atomic unsigned closed;
	_Atomic unsigned parked;
	struct httpd_request *r;
	_Atomic(struct httpd_stream *) stream;
};

static void on_closed(struct httpd_stream *s _unused_, void *user)
{
	struct server *sv = user;

	atomic_store(&sv->stream, NULL);
	atomic_fetch_add(&sv->closed, 1);
}

static void echo(struct httpd_request *r)
{
	_buf_ b = BUF_INIT(1U << 20);
	size_t len;
	const char *body = httpd_body(r, &len);
	static const char *const names[] = {"Authorization", "Content-Type", "Expect", "X-Test", "Accept-Encoding"};

	buf_addf(&b, "%s %s\n", httpd_method(r), httpd_path(r));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (httpd_header(r, names[i]))
			buf_addf(&b, "%s: %s\n", names[i], httpd_header(r, names[i]));
	buf_addf(&b, "len=%zu\n", len);
	buf_add(&b, body, len);
	httpd_set_header(r, "X-Twice", "1");
	httpd_reply(r, streq(httpd_path(r), "/missing") ? 404 : 200, "text/x-test", b.data, b.len);
}

static void handler(struct httpd_request *r, void *user)
{
	struct server *sv = user;
	const char *path = httpd_path(r), *to;

	if (streq(path, "/redirect")) {
		to = httpd_query(r, "to");
		httpd_set_header(r, "Location", to);
		httpd_reply(r, 302, "text/plain", "elsewhere", 9);
	} else if (streq(path, "/park")) {
		sv->r = r;
		atomic_store(&sv->parked, 1);
	} else if (streq(path, "/stream")) {
		struct chunk *c = chunk_new("first\n", 6);
		struct httpd_stream *s = httpd_stream_start(r, 200, "text/plain", on_closed, sv);

		httpd_stream_write(s, c);
		chunk_unref(c);
		atomic_store(&sv->stream, s);
	} else if (streq(path, "/big")) {
		httpd_reply_chunk(r, 200, "text/plain", chunk_take(xcalloc(1, 300000), 300000));
	} else {
		echo(r);
	}
}

static void start(struct server *sv, struct httpd_config cfg)
{
	struct error e;

	*sv = (struct server){0};
	cfg.listen = "127.0.0.1:0";
	cfg.handler = handler;
	cfg.user = sv;
	if (httpd_start(&cfg, &sv->h, &e) < 0)
		fail_msg("%s", e.text);
	snprintf(sv->base, sizeof(sv->base), "%s://127.0.0.1:%u", cfg.cert_file ? "https" : "http", httpd_port(sv->h));
}

static const char *url(struct arena *a, const struct server *sv, const char *path)
{
	return arena_printf(a, "%s%s", sv->base, path);
}

/* ---- blocking ---- */

static void test_requests(void **state _unused_)
{
	_arena_ a = arena_new();
	_cleanup_(http_client_freep) struct http_client *c = http_client_new();
	struct server sv;
	struct http_response res;
	struct error e;

	start(&sv, (struct httpd_config){0});
	struct http_request q = {.url = url(a, &sv, "/a"), .headers = {"X-Test: v"}, .bearer_token = "secret"};

	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_int_equal(res.status, 200);
	assert_string_equal(res.content_type, "text/x-test");
	assert_string_equal(http_response_header(&res, "x-TWICE"), "1");
	assert_null(http_response_header(&res, "X-None"));
	assert_non_null(strstr(res.body, "GET /a\nAuthorization: Bearer secret\nX-Test: v\n"));

	q = (struct http_request){.method = "PATCH",
				  .url = url(a, &sv, "/b"),
				  .headers = {"Content-Type: application/merge-patch+json"},
				  .username = "u",
				  .password = "p",
				  .body = "{}",
				  .body_len = 2};
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_non_null(
		strstr(res.body, "PATCH /b\nAuthorization: Basic dTpw\nContent-Type: application/merge-patch+json\n"));
	assert_non_null(strstr(res.body, "len=2\n{}"));

	q = (struct http_request){.method = "POST", .url = url(a, &sv, "/c")};
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_non_null(strstr(res.body, "POST /c\n"));
	assert_null(strstr(res.body, "Content-Type"));
	assert_non_null(strstr(res.body, "len=0\n"));

	q = (struct http_request){.method = "DELETE", .url = url(a, &sv, "/missing")};
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_int_equal(res.status, 404);
	assert_non_null(strstr(res.body, "DELETE /missing\n"));

	q = (struct http_request){.method = "HEAD", .url = url(a, &sv, "/d")};
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_int_equal(res.status, 200);
	assert_int_equal(res.body_len, 0);
	assert_int_equal(httpd_connections(sv.h), 1); /* one connection served them all */
	httpd_stop(sv.h);
}

static void test_redirects(void **state _unused_)
{
	_arena_ a = arena_new();
	_cleanup_(http_client_freep) struct http_client *c = http_client_new();
	struct server sv, other;
	struct http_response res;
	struct error e;

	start(&sv, (struct httpd_config){0});
	start(&other, (struct httpd_config){0});
	struct http_request q = {.url = url(a, &sv, "/redirect?to=/target"), .bearer_token = "secret"};

	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_int_equal(res.status, 302);
	q.follow_redirects = true;
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_non_null(strstr(res.body, "GET /target\nAuthorization: Bearer secret\n"));
	/* Another host (a port is another host too) must not see the token. */
	q.url = arena_printf(a, "%s/redirect?to=%s/target", sv.base, other.base);
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_non_null(strstr(res.body, "GET /target\n"));
	assert_null(strstr(res.body, "secret"));
	q.url = url(a, &sv, "/redirect?to=file:///etc/passwd");
	assert_true(http_do(c, &q, a, &res, &e) < 0);
	httpd_stop(sv.h);
	httpd_stop(other.h);
}

static int take_some(void *user, const void *data _unused_, size_t len, struct error *e)
{
	size_t *left = user;

	if (len > *left)
		return error_set(e, E_CONFLICT, "enough");
	*left -= len;
	return 0;
}

static void test_errors(void **state _unused_)
{
	_arena_ a = arena_new();
	_cleanup_(http_client_freep) struct http_client *c = http_client_new();
	struct server sv;
	struct http_response res;
	struct error e;
	size_t left = 1000;

	start(&sv, (struct httpd_config){0});
	struct http_request q = {.url = url(a, &sv, "/big"), .max_response = 299999};

	assert_int_equal(http_do(c, &q, a, &res, &e), -E_TOO_LARGE);
	q.max_response = 300000;
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_int_equal(res.body_len, 300000);
	q.sink = take_some;
	q.sink_user = &left;
	assert_int_equal(http_do(c, &q, a, &res, &e), -E_CONFLICT);
	assert_string_equal(e.text, "enough");
	left = 300000;
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_int_equal(left, 0);
	assert_int_equal(res.body_len, 0);
	/* What is no success goes into the response in spite of the sink. */
	q.url = url(a, &sv, "/missing");
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_int_equal(res.status, 404);
	assert_true(res.body_len > 0);

	bool sent = false;
	q = (struct http_request){.url = url(a, &sv, "/park"), .timeout_ms = 50, .ret_sent = &sent};
	assert_int_equal(http_do(c, &q, a, &res, &e), -E_TIMEOUT);
	assert_true(sent);
	net_wait(atomic_load(&sv.parked));
	httpd_reply(sv.r, 200, NULL, "", 0);
	httpd_stop(sv.h);
	sent = false;
	q = (struct http_request){.url = url(a, &sv, "/a"), .ret_sent = &sent};
	assert_int_equal(http_do(c, &q, a, &res, &e), -E_UNAVAILABLE);
	assert_false(sent);
	assert_non_null(strstr(e.text, "127.0.0.1:"));
	q.url = "gopher://127.0.0.1/";
	assert_int_equal(http_do(c, &q, a, &res, &e), -E_BAD_REQUEST);
	q.url = "http://[::1";
	assert_int_equal(http_do(c, &q, a, &res, &e), -E_BAD_REQUEST);
}

static void test_tls(void **state _unused_)
{
	_arena_ a = arena_new();
	_cleanup_(http_client_freep) struct http_client *c = http_client_new();
	char *dir = net_folder(a), *other = net_folder(a);
	struct server sv;
	struct http_tls tls = {0};
	struct http_response res;
	struct error e;

	net_certificate(dir, "s", "s", NULL);
	net_certificate(other, "s", "s", NULL);
	start(&sv, (struct httpd_config){.cert_file = arena_printf(a, "%s/s.crt", dir),
					 .key_file = arena_printf(a, "%s/s.key", dir)});
	struct http_request q = {.url = url(a, &sv, "/a"), .tls = &tls};

	assert_int_equal(http_do(c, &q, a, &res, &e), -E_IO); /* the system does not know this CA */
	tls.ca_file = arena_printf(a, "%s/ca/ca.crt", other);
	assert_int_equal(http_do(c, &q, a, &res, &e), -E_IO);
	tls.ca_file = arena_printf(a, "%s/ca/ca.crt", dir);
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	tls = (struct http_tls){.insecure = true};
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	/* Verification is back for the next request, though the connection is still there. */
	tls = (struct http_tls){0};
	assert_int_equal(http_do(c, &q, a, &res, &e), -E_IO);
	httpd_stop(sv.h);
	net_folder_drop(dir);
	net_folder_drop(other);
}

/* ---- on a loop ---- */

struct test_loop {
	uv_loop_t uv;
	struct http_loop *http;
	struct server *sv;
	struct arena *a;
	struct http_call *calls[2];
	unsigned done, failed, sunk;
	int last;
	bool free_in_callback;
};

static void loop_open(struct test_loop *t, struct server *sv, struct arena *a)
{
	*t = (struct test_loop){.sv = sv, .a = a};
	assert_int_equal(uv_loop_init(&t->uv), 0);
	t->http = http_loop_new(&t->uv);
}

static void loop_close(struct test_loop *t)
{
	http_loop_free(t->http);
	uv_run(&t->uv, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&t->uv), 0);
}

static void on_done(void *user, int err, const struct http_response *res, const struct error *e _unused_)
{
	struct test_loop *t = user;

	t->done++;
	t->last = err ? err : res->status;
	t->failed += err != 0;
}

static void start_again(void *user, int err, const struct http_response *res, const struct error *e)
{
	struct test_loop *t = user;
	struct http_request q = {.url = url(t->a, t->sv, "/again")};

	on_done(user, err, res, e);
	if (t->done < 50)
		http_start(t->http, &q, start_again, t);
}

static void test_loop_many(void **state _unused_)
{
	_arena_ a = arena_new();
	struct server sv;
	struct test_loop t;
	char body[] = "copied";

	start(&sv, (struct httpd_config){0});
	loop_open(&t, &sv, a);
	for (int i = 0; i < 100; i++) {
		struct http_request q = {.method = "POST", .url = url(a, &sv, "/a"), .body = body, .body_len = 6};

		http_start(t.http, &q, on_done, &t);
	}
	memset(body, 0, sizeof(body));
	uv_run(&t.uv, UV_RUN_DEFAULT);
	assert_int_equal(t.done, 100);
	assert_int_equal(t.failed, 0);

	/* One after the other, each started by the one before. */
	t.done = 0;
	struct http_request q = {.url = url(a, &sv, "/again")};
	http_start(t.http, &q, start_again, &t);
	uv_run(&t.uv, UV_RUN_DEFAULT);
	assert_int_equal(t.done, 50);
	assert_int_equal(t.failed, 0);
	loop_close(&t);
	httpd_stop(sv.h);

	/* Nobody listens any more. */
	loop_open(&t, &sv, a);
	http_start(t.http, &q, on_done, &t);
	uv_run(&t.uv, UV_RUN_DEFAULT);
	assert_int_equal(t.last, -E_UNAVAILABLE);
	loop_close(&t);
}

/* A sink that starts another request, then cancels its own, or frees everything. */
static int meddling_sink(void *user, const void *data _unused_, size_t len _unused_, struct error *e _unused_)
{
	struct test_loop *t = user;
	struct http_request q = {.url = url(t->a, t->sv, "/a")};

	t->sunk++;
	http_start(t->http, &q, on_done, t);
	if (t->free_in_callback) {
		http_loop_free(t->http);
		t->http = NULL;
	} else {
		http_cancel(t->calls[0]);
		http_cancel(t->calls[0]); /* a second time changes nothing */
	}
	return 0;
}

static void test_loop_meddling_sink(void **state _unused_)
{
	for (int i = 0; i < 2; i++) {
		_arena_ a = arena_new();
		struct server sv;
		struct test_loop t;

		start(&sv, (struct httpd_config){0});
		loop_open(&t, &sv, a);
		t.free_in_callback = i;
		struct http_request q = {.url = url(a, &sv, "/stream"), .sink = meddling_sink, .sink_user = &t};
		t.calls[0] = http_start(t.http, &q, on_done, &t);
		uv_run(&t.uv, UV_RUN_DEFAULT);
		assert_int_equal(t.sunk, 1);
		assert_int_equal(t.done, i ? 0 : 1);
		net_wait(atomic_load(&sv.closed) == 1);
		loop_close(&t);
		httpd_stop(sv.h);
	}
}

static void cancel_other(void *user, int err, const struct http_response *res, const struct error *e)
{
	struct test_loop *t = user;

	on_done(user, err, res, e);
	http_cancel(t->calls[1]);
}

static void free_all(void *user, int err, const struct http_response *res, const struct error *e)
{
	struct test_loop *t = user;

	on_done(user, err, res, e);
	http_loop_free(t->http);
	t->http = NULL;
}

static void test_loop_meddling_done(void **state _unused_)
{
	_arena_ a = arena_new();
	struct server sv;
	struct test_loop t;

	start(&sv, (struct httpd_config){0});
	struct http_request q = {.url = url(a, &sv, "/a")}, park = {.url = url(a, &sv, "/park")};
	loop_open(&t, &sv, a);
	t.calls[1] = http_start(t.http, &park, on_done, &t);
	t.calls[0] = http_start(t.http, &q, cancel_other, &t);
	uv_run(&t.uv, UV_RUN_DEFAULT);
	assert_int_equal(t.done, 1);
	/* Two that are ready at the same time: the first one's callback frees the client. */
	t.done = 0;
	http_start(t.http, &q, free_all, &t);
	http_start(t.http, &q, free_all, &t);
	uv_run(&t.uv, UV_RUN_DEFAULT);
	assert_int_equal(t.done, 1);
	loop_close(&t);
	if (atomic_load(&sv.parked))
		httpd_reply(sv.r, 200, NULL, "", 0);
	httpd_stop(sv.h);
}

static void test_loop_stall(void **state _unused_)
{
	_arena_ a = arena_new();
	struct server sv;
	struct test_loop t;

	start(&sv, (struct httpd_config){0});
	loop_open(&t, &sv, a);
	struct http_request q = {.url = url(a, &sv, "/stream"), .stall_timeout_ms = 1000};
	http_start(t.http, &q, on_done, &t);
	uv_run(&t.uv, UV_RUN_DEFAULT);
	assert_int_equal(t.last, -E_TIMEOUT);
	loop_close(&t);
	httpd_stop(sv.h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_loop_many),
		cmocka_unit_test(test_loop_meddling_sink),
		cmocka_unit_test(test_loop_meddling_done),
		cmocka_unit_test(test_loop_stall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
