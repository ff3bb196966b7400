/*
 * test_probe.c - readiness under simulated time, against real sockets of this machine.
 */
#include "guest/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct probe probe;
static int listener;
static uint16_t port;

static int set_up(void **state)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);

	(void)state;
	probe_init(&probe);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	port = ntohs(at.sin_port);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	probe_stop(&probe);
	return close(listener);
}

static struct probe_config config_of(enum probe_kind kind)
{
	struct probe_config c = {
		.kind = kind, .port = port, .period_ms = 1000, .timeout_ms = 500, .failures = 3, .path = "/ready"};

	return c;
}

/* Runs one try to its end at one instant. */
static enum probe_event settle(uint64_t now)
{
	enum probe_event event = probe_step(&probe, 0, now);

	while (event == PROBE_NOTHING && probe.fd >= 0) {
		struct pollfd p = {.fd = probe.fd, .events = probe_wants(&probe)};

		if (poll(&p, 1, 5000) != 1)
			fail_msg("nothing happens on the probe's socket");
		event = probe_step(&probe, p.revents, now);
	}
	return event;
}

static void test_none_is_ready_at_once(void **state)
{
	struct probe_config c = config_of(PROBE_NONE);

	(void)state;
	assert_int_equal(probe_due(&probe), UINT64_MAX);
	probe_start(&probe, &c, (struct in_addr){0}, 5);
	assert_int_equal(probe_due(&probe), 5);
	assert_int_equal(probe_step(&probe, 0, 5), PROBE_READY);
	assert_true(probe.ready);
	assert_int_equal(probe_due(&probe), UINT64_MAX);
}

static void test_tcp_tries_fast_then_slower(void **state)
{
	struct probe_config c = config_of(PROBE_TCP);
	uint64_t now = 1000, last = 0, tries = 0;

	(void)state;
	probe_start(&probe, &c, (struct in_addr){0}, now);
	while (now < 1000 + 60000) {
		uint64_t due = probe_due(&probe), pause = due - now, age = due - 1000;

		assert_true(tries == 0 || pause >= PROBE_FAST_MS);
		assert_true(pause <= 1000);
		assert_true(tries == 0 || pause <= PROBE_FAST_MS || pause * 15 <= age + 15);
		assert_true(pause >= last || pause == 1000);
		last = pause;
		now = due;
		assert_int_equal(settle(now), PROBE_NOTHING);
		tries++;
	}
	assert_int_equal(last, 1000);
	assert_int_equal(listen(listener, 8), 0);
	now = probe_due(&probe);
	assert_int_equal(settle(now), PROBE_READY);
	assert_int_equal(probe_due(&probe), now + 1000);
}

static void test_unready_after_failures_and_back(void **state)
{
	struct probe_config c = config_of(PROBE_TCP);
	uint64_t now = 100000;

	(void)state;
	assert_int_equal(listen(listener, 8), 0);
	probe_start(&probe, &c, (struct in_addr){0}, now);
	assert_int_equal(settle(now), PROBE_READY);
	now = probe_due(&probe);
	assert_int_equal(settle(now), PROBE_NOTHING);
	close(listener);
	for (int i = 0; i < 2; i++)
		assert_int_equal(settle(now = probe_due(&probe)), PROBE_NOTHING);
	assert_true(probe.ready);
	assert_int_equal(settle(now = probe_due(&probe)), PROBE_UNREADY);
	assert_false(probe.ready);
	assert_non_null(strstr(probe.why, "cannot connect"));
	assert_int_equal(probe_due(&probe), now + 1000);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int on = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(settle(probe_due(&probe)), PROBE_READY);
}

static void test_own_address_is_tried_second(void **state)
{
	struct probe_config c = config_of(PROBE_TCP);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	/* Nobody listens on 127.0.0.1; somebody does on another address of this machine. */
	assert_int_equal(inet_pton(AF_INET, "127.0.0.77", &at.sin_addr), 1);
	assert_int_equal(bind(other, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(other, 8), 0);
	probe_start(&probe, &c, (struct in_addr){0}, 0);
	assert_int_equal(settle(0), PROBE_NOTHING);
	probe_start(&probe, &c, at.sin_addr, 0);
	assert_int_equal(settle(0), PROBE_READY);
	assert_false(probe.on_own);
	close(other);
}

/* One HTTP try against an answer, written as soon as the request is there. */
static enum probe_event ask_http(const char *answer, char *ret_request, size_t size)
{
	struct probe_config c = config_of(PROBE_HTTP);
	enum probe_event event;
	int peer = -1;
	ssize_t n;

	assert_int_equal(listen(listener, 8), 0);
	probe_start(&probe, &c, (struct in_addr){0}, 0);
	event = probe_step(&probe, 0, 0);
	while (event == PROBE_NOTHING && probe.fd >= 0) {
		struct pollfd p = {.fd = probe.fd, .events = probe_wants(&probe)};

		if (probe.sent && peer < 0) {
			peer = accept(listener, NULL, NULL);
			assert_true(peer >= 0);
			n = recv(peer, ret_request, size - 1, 0);
			assert_true(n > 0);
			ret_request[n] = '\0';
			assert_int_equal(send(peer, answer, strlen(answer), MSG_NOSIGNAL), (ssize_t)strlen(answer));
			shutdown(peer, SHUT_WR);
		}
		assert_int_equal(poll(&p, 1, 5000), 1);
		event = probe_step(&probe, p.revents, 0);
	}
	close(peer);
	return event;
}

static void test_http(void **state)
{
	static const struct {
		const char *answer;
		enum probe_event event;
		const char *why;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\n\r\n", PROBE_READY, ""},
		{"HTTP/1.0 204 No Content\r\n\r\n", PROBE_READY, ""},
		{"HTTP/1.1 399 x", PROBE_READY, ""},
		{"HTTP/1.1 199 x", PROBE_NOTHING, "answered 199"},
		{"HTTP/1.1 400 x", PROBE_NOTHING, "answered 400"},
		{"HTTP/1.1 503 x", PROBE_NOTHING, "answered 503"},
		{"SSH-2.0-OpenSSH_9", PROBE_NOTHING, "the answer is not HTTP"},
		{"HTTP/1.1", PROBE_NOTHING, "closed without an answer"},
		{"HTTP/1.1 abc", PROBE_NOTHING, "answered abc"},
		{"HTTP/1.1 0D0", PROBE_NOTHING, "answered 0D0"},
	};
	char request[2048];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(ask_http(rows[i].answer, request, sizeof(request)), rows[i].event);
		assert_string_equal(probe.why, rows[i].why);
		assert_int_equal(strncmp(request, "GET /ready HTTP/1.1\r\n", 21), 0);
	}
}

static void test_no_answer_in_time(void **state)
{
	struct probe_config c = config_of(PROBE_HTTP);

	(void)state;
	assert_int_equal(listen(listener, 8), 0);
	probe_start(&probe, &c, (struct in_addr){0}, 0);
	(void)probe_step(&probe, 0, 0);
	assert_true(probe.fd >= 0);
	assert_int_equal(probe_due(&probe), 500);
	assert_int_equal(probe_step(&probe, 0, 499), PROBE_NOTHING);
	assert_true(probe.fd >= 0);
	assert_int_equal(probe_step(&probe, 0, 500), PROBE_NOTHING);
	assert_int_equal(probe.fd, -1);
	assert_string_equal(probe.why, "no answer in time");
	probe_stop(&probe);
	assert_int_equal(probe_step(&probe, 0, 100000), PROBE_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_none_is_ready_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tcp_tries_fast_then_slower, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unready_after_failures_and_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_own_address_is_tried_second, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_http, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_answer_in_time, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
