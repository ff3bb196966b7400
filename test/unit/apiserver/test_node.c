/*
 * test_node.c - log, exec, signal and stats of an Instance, against a node port played by lib/httpd over mutual TLS.
 */
#include "lib/http_tunnel.h"
#include "lib/httpd.h"
#include "lib/pki.h"
#include "lib/units.h"
#include "test/unit/apiserver/server_fixture.h"
#include <poll.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#define LOG_LINES 3000

struct node {
	struct served *served;
	struct httpd *httpd;
	char last[512]; /* "METHOD path?query", written by the handler before it answers */
};
static struct node node;

/* ---- the node's side ---- */

static void on_closed(struct httpd_stream *s, void *user)
{
	(void)s;
	(void)user;
}

static void reply_log(struct httpd_request *r)
{
	struct httpd_stream *s = httpd_stream_start(r, 200, "text/plain", on_closed, NULL);

	for (int i = 0; i < LOG_LINES; i++) {
		_free_ char *line = xasprintf("line %d\n", i);
		struct chunk *c = chunk_new(line, strlen(line));
		httpd_stream_write(s, c);
		chunk_unref(c);
	}
	httpd_stream_end(s);
}

/* Sends back what it gets until the other side ends. */
static void echo(int fd, void *user)
{
	char data[4096];
	ssize_t n;

	(void)user;
	while ((n = read(fd, data, sizeof(data))) > 0)
		if (write(fd, data, (size_t)n) != n)
			break;
	close(fd);
}

static void handle(struct httpd_request *r, void *user)
{
	const char *path = httpd_path(r);

	(void)user;
	snprintf(node.last, sizeof(node.last), "%s %s?%s", httpd_method(r), path, httpd_query_string(r));
	if (!streq(httpd_peer_cn(r), "berth-apiserver")) {
		httpd_reply(r, 403, "text/plain", "who?", 4);
	} else if (str_ends(path, "/log")) {
		reply_log(r);
	} else if (str_ends(path, "/exec")) {
		httpd_set_header(r, "Upgrade", "websocket");
		httpd_set_header(r, "Sec-WebSocket-Accept", "as-the-node-says");
		httpd_set_header(r, "Sec-WebSocket-Protocol", httpd_header(r, "Sec-WebSocket-Protocol"));
		httpd_upgrade(r, echo, NULL);
	} else if (str_ends(path, "/stats")) {
		const char *stats = "{\"instances\":[{\"namespace\":\"x\",\"name\":\"hello.u1\",\"cpu\":1},"
				    "{\"namespace\":\"default\",\"name\":\"hello.u1\",\"cpu\":2}]}";
		httpd_reply(r, 200, "application/json", stats, strlen(stats));
	} else {
		httpd_reply(r, 409, "application/json", "{\"kind\":\"Status\"}", 17);
	}
}

/* ---- set-up ---- */

static int node_setup(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", NULL};
	const struct pki_request serving = {.common_name = "system:node:n1",
					    .organization = "system:nodes",
					    .hosts = hosts,
					    .server = true,
					    .valid_days = 1};
	const struct pki_request client = {.common_name = "berth-apiserver", .client = true, .valid_days = 1};
	struct error e;

	assert_int_equal(served_setup(state), 0);
	struct served *s = *state;
	if (pki_ca_ensure(s->dir, "test", 1, &e) < 0 || pki_issue(s->dir, s->dir, "node", &serving, &e) < 0 ||
	    pki_issue(s->dir, s->dir, "client", &client, &e) < 0)
		fail_msg("%s", e.text);
	struct httpd_config cfg = {.listen = "127.0.0.1:0",
				   .cert_file = arena_printf(s->arena, "%s/node.crt", s->dir),
				   .key_file = arena_printf(s->arena, "%s/node.key", s->dir),
				   .client_ca_file = arena_printf(s->arena, "%s/ca.crt", s->dir),
				   .handler = handle};
	if (httpd_start(&cfg, &node.httpd, &e) < 0)
		fail_msg("%s", e.text);
	s->server->node_tls = (struct http_tls){.ca_file = cfg.client_ca_file,
						.cert_file = arena_printf(s->arena, "%s/client.crt", s->dir),
						.key_file = arena_printf(s->arena, "%s/client.key", s->dir)};
	served_hello(s);
	return 0;
}

static int node_teardown(void **state)
{
	int code = served_teardown(state);

	httpd_stop(node.httpd);
	return code;
}

/* Binds the Instance to the Node, whose status says where its port is. */
static void bind_to_node(struct served *s)
{
	served_expect(s, 201, "POST", INSTANCES "/hello.u1/binding",
		      "{'target': {'kind': 'Node', 'name': 'n1'}, 'revision': 'hello-1'}");
	served_patch(
		s, 200, "/api/v1/nodes/n1/status",
		arena_printf(
			s->arena,
			"{'status': {'addresses': [{'type': 'Hostname', 'address': 'n1'}, {'type': 'InternalIP', 'address': "
			"'127.0.0.1'}], 'daemonEndpoints': {'kubeletEndpoint': {'Port': %u}}}}",
			httpd_port(node.httpd)));
}

/* ---- tests ---- */

static void test_log(void **state)
{
	struct served *s = *state;

	served_expect(s, 404, "GET", INSTANCES "/none/log", NULL);
	served_expect(s, 400, "GET", INSTANCES "/hello.u1/log", NULL); /* on no node */
	bind_to_node(s);
	served_expect(s, 200, "GET", INSTANCES "/hello.u1/log?follow=true&tailLines=5", NULL);
	assert_string_equal(node.last, "GET /v1/instances/default/hello.u1/log?follow=true&tailLines=5");
	assert_true(str_starts(s->response.body, "line 0\nline 1\n"));
	assert_true(str_ends(s->response.body, "line 2999\n"));
	assert_string_equal(s->response.content_type, "text/plain; charset=utf-8");
}

static void test_signal_and_stats(void **state)
{
	struct served *s = *state;

	bind_to_node(s);
	served_expect(s, 409, "POST", INSTANCES "/hello.u1/signal?signal=15", NULL);
	assert_string_equal(node.last, "POST /v1/instances/default/hello.u1/signal?signal=15");
	struct json *stats = served_expect(s, 200, "GET", INSTANCES "/hello.u1/stats", NULL);
	assert_int_equal(json_int_or(json_get(stats, "cpu"), 0), 2);
	served_expect(s, 405, "GET", INSTANCES "/hello.u1/signal", NULL);
}

static void test_node_that_is_away(void **state)
{
	struct served *s = *state;

	bind_to_node(s);
	served_patch(s, 200, "/api/v1/nodes/n1/status",
		     "{'status': {'daemonEndpoints': {'kubeletEndpoint': {'Port': 1}}}}");
	served_expect(s, 503, "GET", INSTANCES "/hello.u1/log", NULL);
	served_expect(s, 503, "GET", INSTANCES "/hello.u1/stats", NULL);
	served_expect(s, 200, "DELETE", "/api/v1/nodes/n1", NULL);
	served_expect(s, 503, "GET", INSTANCES "/hello.u1/log", NULL);
}

/* Everything that comes until `wanted` bytes are there or the deadline is over. */
static size_t read_all(struct http_tunnel *t, char *out, size_t wanted)
{
	int64_t deadline = time_mono_ms() + 30000;
	size_t got = 0;
	struct error e;

	while (got < wanted && time_mono_ms() < deadline) {
		ssize_t n = http_tunnel_read(t, out + got, wanted - got, &e);
		struct pollfd fd = {.fd = http_tunnel_fd(t), .events = POLLIN};
		if (n > 0)
			got += (size_t)n;
		else if (n == -1)
			poll(&fd, 1, 100);
		else
			break;
	}
	return got;
}

static void test_exec(void **state)
{
	struct served *s = *state;
	struct http_request req = {
		.url = arena_printf(s->arena, "http://127.0.0.1:%u" INSTANCES "/hello.u1/exec?command=sh&stdin=true",
				    httpd_port(s->server->httpd)),
		.headers = {"Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13",
			    "Sec-WebSocket-Protocol: v5.channel.k8s.io"},
		.bearer_token = ADMIN,
	};
	static char sent[100000], got[sizeof(sent)];
	_buf_ head = BUF_INIT(65536);
	struct http_tunnel *t;
	struct error e;

	bind_to_node(s);
	served_expect(s, 400, "GET", INSTANCES "/hello.u1/exec?command=sh", NULL); /* no upgrade */
	if (http_tunnel_open(&req, "websocket", &head, &t, &e) < 0)
		fail_msg("%s", e.text);
	assert_non_null(strstr(head.data, "as-the-node-says"));
	assert_non_null(strstr(head.data, "v5.channel.k8s.io"));
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 7);
	assert_int_equal(http_tunnel_write(t, sent, sizeof(sent), &e), 0);
	assert_int_equal(read_all(t, got, sizeof(got)), sizeof(got));
	assert_memory_equal(got, sent, sizeof(sent));
	http_tunnel_close(t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, node_setup, node_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_log),
		TEST(test_signal_and_stats),
		TEST(test_node_that_is_away),
		TEST(test_exec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
