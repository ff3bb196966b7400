/*
 * test_httpd_gate.c - unit tests of lib/httpd_gate.c: smuggled requests, and each limit on both sides.
 */
#include "lib/httpd.h"
#include "test/unit/lib/net_fixture.h"

#include <stdio.h>

#define BODY_MAX 100000

struct server {
	struct httpd *h;
	unsigned port;
};

static void handler(struct httpd_request *r, void *user _unused_)
{
	httpd_reply(r, 200, "text/plain", httpd_path(r), strlen(httpd_path(r)));
}

static void start(struct server *sv)
{
	struct httpd_config cfg = {.listen = "127.0.0.1:0", .handler = handler, .max_body = BODY_MAX};
	struct error e;

	if (httpd_start(&cfg, &sv->h, &e) < 0)
		fail_msg("%s", e.text);
	sv->port = httpd_port(sv->h);
}

static char *ask(struct arena *a, struct server *sv, const char *text)
{
	return net_exchange(a, sv->port, text, strlen(text));
}

/* H: a good Host line. Bytes may hold NUL, hence the length. */
#define H "Host: x\r\n"
#define CASE(name_, status_, text_)                      \
	{                                                \
		name_, text_, sizeof(text_) - 1, status_ \
	}
static const struct {
	const char *name, *text;
	size_t len;
	int status; /* 0: any refusal, or closed without an answer */
} smuggling[] = {
	CASE("CL and TE", 400,
	     "POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	CASE("TE and CL", 400,
	     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
	CASE("CL twice", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
	CASE("CL twice, equal", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\ncontent-length: 1\r\n\r\na"),
	CASE("CL list", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\na"),
	CASE("CL signed", 400, "POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\na"),
	CASE("CL negative", 400, "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\na"),
	CASE("CL hexadecimal", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\na"),
	CASE("CL empty", 400, "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\na"),
	CASE("CL beyond 64 bits", 413, "POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\na"),
	CASE("TE twice", 400,
	     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	CASE("TE unknown", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
	CASE("TE list", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
	CASE("TE identity", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n"),
	CASE("TE quoted", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
	CASE("TE with tab", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n"),
	CASE("TE with form feed", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\fchunked\r\n\r\n0\r\n\r\n"),
	CASE("TE in HTTP/1.0", 400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	CASE("space before colon", 400, "POST / HTTP/1.1\r\n" H "Content-Length : 1\r\n\r\na"),
	CASE("TE, space before colon", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
	CASE("folded TE", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
	CASE("folded header", 400, "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n"),
	CASE("first header begins with space", 400, "GET / HTTP/1.1\r\n " H "\r\n"),
	CASE("bare LF after a header", 400, "GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n"),
	CASE("bare LF after the request line", 400, "GET / HTTP/1.1\n" H "\r\n"),
	CASE("bare LF at the end", 400, "GET / HTTP/1.1\r\n" H "\n"),
	CASE("bare LFs", 400, "GET / HTTP/1.1\nHost: x\n\n"),
	CASE("bare CR in a value", 400, "GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n"),
	CASE("NUL in a value", 400, "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n"),
	CASE("NUL in a name", 400, "GET / HTTP/1.1\r\n" H "X\0Y: b\r\n\r\n"),
	CASE("NUL in the target", 400, "GET /a\0b HTTP/1.1\r\n" H "\r\n"),
	CASE("NUL in the method", 400, "G\0T / HTTP/1.1\r\n" H "\r\n"),
	CASE("control character in a value", 400, "GET / HTTP/1.1\r\n" H "X: a\001b\r\n\r\n"),
	CASE("no colon", 400, "GET / HTTP/1.1\r\n" H "X\r\n\r\n"),
	CASE("empty name", 400, "GET / HTTP/1.1\r\n" H ": x\r\n\r\n"),
	CASE("name with parenthesis", 400, "GET / HTTP/1.1\r\n" H "X(Y): b\r\n\r\n"),
	CASE("no Host", 400, "GET / HTTP/1.1\r\n\r\n"),
	CASE("Host twice", 400, "GET / HTTP/1.1\r\n" H H "\r\n"),
	CASE("Host empty", 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
	CASE("Host with path", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
	CASE("Host with user", 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
	CASE("Host with space", 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
	CASE("Host list", 400, "GET / HTTP/1.1\r\nHost: a, b/\r\n\r\n"),
	CASE("Host with bad port", 400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
	CASE("Host with open bracket", 400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
	CASE("absolute target", 400, "GET http://a/ HTTP/1.1\r\n" H "\r\n"),
	CASE("authority target", 400, "CONNECT a:1 HTTP/1.1\r\n" H "\r\n"),
	CASE("asterisk target", 400, "OPTIONS * HTTP/1.1\r\n" H "\r\n"),
	CASE("two spaces before the target", 400, "GET  / HTTP/1.1\r\n" H "\r\n"),
	CASE("two spaces before the version", 0, "GET /  HTTP/1.1\r\n" H "\r\n"),
	CASE("space in the target", 0, "GET /a b HTTP/1.1\r\n" H "\r\n"),
	CASE("tab in the target", 400, "GET /a\tb HTTP/1.1\r\n" H "\r\n"),
	CASE("control character in the target", 400, "GET /a\001 HTTP/1.1\r\n" H "\r\n"),
	CASE("DEL in the target", 400, "GET /a\177 HTTP/1.1\r\n" H "\r\n"),
	CASE("high byte in the target", 400, "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n"),
	CASE("fragment in the target", 400, "GET /a#b HTTP/1.1\r\n" H "\r\n"),
	CASE("half an escape", 400, "GET /%4 HTTP/1.1\r\n" H "\r\n"),
	CASE("escape of no digits", 400, "GET /%zz HTTP/1.1\r\n" H "\r\n"),
	CASE("escape in the query", 400, "GET /?a=%g1 HTTP/1.1\r\n" H "\r\n"),
	CASE("escaped NUL", 400, "GET /%00 HTTP/1.1\r\n" H "\r\n"),
	CASE("method with a colon", 400, "G:T / HTTP/1.1\r\n" H "\r\n"),
	CASE("HTTP/2.0", 505, "GET / HTTP/2.0\r\n" H "\r\n"),
	CASE("HTTP/0.9", 0, "GET /\r\n\r\n"),
	CASE("lower-case version", 400, "GET / http/1.1\r\n" H "\r\n"),
	CASE("no request at all", 0, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"),
	CASE("chunk size of no digits", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
	CASE("chunk size beyond 64 bits", 413,
	     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
	CASE("chunk longer than it says", 400,
	     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"),
};

static void test_smuggling(void **state _unused_)
{
	struct server sv = {0};

	start(&sv);
	for (size_t i = 0; i < ARRAY_SIZE(smuggling); i++) {
		_arena_ a = arena_new();
		_buf_ b = BUF_INIT(4096);
		char *t;

		/* What a smuggler hides behind it must never be answered. */
		buf_add(&b, smuggling[i].text, smuggling[i].len);
		buf_adds(&b, "GET /smuggled HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
		t = net_exchange(a, sv.port, b.data, b.len);
		if (strstr(t, "/smuggled") || (net_status(t) && net_status(t) < 400) ||
		    (smuggling[i].status && net_status(t) != smuggling[i].status))
			fail_msg("%s: wanted %d, got: %s", smuggling[i].name, smuggling[i].status, t);
	}
	httpd_stop(sv.h);
}

static void test_good_heads(void **state _unused_)
{
	static const char *const good[] = {
		"GET / HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a.b-c_d:1\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost:x\r\nConnection: close\r\n\r\n",
		"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x \r\nX-Empty:\r\nX-Tab:\ta\tb\r\nX-High: \xc3\xa4\r\nConnection: close\r\n\r\n",
		"GET /?q=%2500&r=%41 HTTP/1.1\r\nHost: x\r\nCookie: a=b; c=\"d\"\r\nConnection: close\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"M-SEARCH / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	};
	struct server sv = {0};

	start(&sv);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_arena_ a = arena_new();
		char *t = ask(a, &sv, good[i]);

		if (net_status(t) != 200)
			fail_msg("%zu: %s", i, t);
	}
	httpd_stop(sv.h);
}

static void test_refusals_are_status_objects(void **state _unused_)
{
	_arena_ a = arena_new();
	struct server sv = {0};
	char *t;

	start(&sv);
	t = ask(a, &sv, "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_non_null(strstr(t, "Content-Type: application/json\r\n"));
	assert_non_null(
		strstr(t, "\r\n\r\n{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
			  "\"message\":\""));
	assert_non_null(strstr(t, "\"reason\":\"BadRequest\",\"code\":400}"));
	httpd_stop(sv.h);
}

/* ---- limits, on both sides ---- */

static int status_of_target(struct server *sv, size_t len)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(65536);

	buf_adds(&b, "GET /");
	for (size_t i = 1; i < len; i++)
		buf_addc(&b, 'a');
	buf_adds(&b, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	return net_status(net_exchange(a, sv->port, b.data, b.len));
}

/* One long header, or many short ones. */
static int status_of_head(struct server *sv, size_t len, bool many)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(262144);

	buf_adds(&b, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
	while (many && b.len + 100 < len)
		buf_addf(&b, "X-Header-%06zu: %064d\r\n", b.len, 7);
	buf_adds(&b, "X: ");
	while (b.len + 4 < len)
		buf_addc(&b, 'a');
	buf_adds(&b, "\r\n\r\n");
	assert_int_equal(b.len, len);
	return net_status(net_exchange(a, sv->port, b.data, b.len));
}

static int status_of_body(struct server *sv, size_t len, bool chunked)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(8U << 20);

	buf_adds(&b, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
	if (chunked)
		buf_adds(&b, "Transfer-Encoding: chunked\r\n\r\n");
	else
		buf_addf(&b, "Content-Length: %zu\r\n\r\n", len);
	for (size_t i = 0; i < len; i++) {
		if (chunked && i % 1000 == 0)
			buf_addf(&b, "%s%zx\r\n", i ? "\r\n" : "", len - i < 1000 ? len - i : 1000);
		buf_addc(&b, 'a');
	}
	if (chunked)
		buf_adds(&b, "\r\n0\r\n\r\n");
	return net_status(net_exchange(a, sv->port, b.data, b.len));
}

static void test_limits(void **state _unused_)
{
	struct server sv = {0};

	start(&sv);
	assert_int_equal(status_of_target(&sv, 8192), 200);
	assert_int_equal(status_of_target(&sv, 8193), 414);
	assert_int_equal(status_of_target(&sv, 60000), 414);
	assert_int_equal(status_of_head(&sv, 32768, false), 200);
	assert_int_equal(status_of_head(&sv, 32769, false), 431);
	assert_int_equal(status_of_head(&sv, 60000, false), 431);
	assert_int_equal(status_of_head(&sv, 200000, false), 431);
	assert_int_equal(status_of_head(&sv, 16000, true), 200);
	assert_int_equal(status_of_head(&sv, 100000, true), 431);
	for (int chunked = 0; chunked < 2; chunked++) {
		assert_int_equal(status_of_body(&sv, BODY_MAX, chunked), 200);
		assert_int_equal(status_of_body(&sv, BODY_MAX + 1, chunked), 413);
		assert_int_equal(status_of_body(&sv, 3 * BODY_MAX, chunked), 413);
	}
	httpd_stop(sv.h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smuggling),
		cmocka_unit_test(test_good_heads),
		cmocka_unit_test(test_refusals_are_status_objects),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
