/*
 * test_activity.c - idle times under simulated time, and what HAProxy's table says.
 */
#include "gateway/activity.h"
#include "gateway/haproxy_cfg.h"
#include "gateway/sleeper.h"
#include "test/unit/gateway/fixture.h"

#include <stdio.h>

#define MINUTE 60000
#define AFTER (10 * MINUTE)

/* A HAProxy and a gateway: requests come and go, looks happen when they are due. */
struct simulation {
	struct activity a;
	int64_t now, last_end, in_flight;
	bool seen; /* there was a request */
	int looks;
};

/* Goes on to `until`; returns when it fell asleep, or -1. */
static int64_t run(struct simulation *s, int64_t until, int64_t after)
{
	for (; s->now < until; s->now += 250) {
		if (s->now < s->a.check_at)
			continue;
		int64_t idle = s->now - s->last_end;
		struct activity_sample sample = {.found = s->seen &&
							  (s->in_flight || idle < HAPROXY_ACTIVITY_EXPIRE_MS),
						 .in_flight = s->in_flight,
						 .idle_ms = idle};

		s->looks++;
		if (activity_judge(&s->a, s->now, after, &sample) == ACTIVITY_SLEEP)
			return s->now;
	}
	return -1;
}

static void request(struct simulation *s)
{
	s->seen = true;
	s->last_end = s->now;
}

static void test_sleeps_after_the_last_request(_unused_ void **state)
{
	struct simulation s = {.now = 1000};

	activity_start(&s.a, s.now, AFTER);
	for (int i = 0; i < 100; i++) { /* one every minute */
		request(&s);
		assert_int_equal(run(&s, s.now + MINUTE, AFTER), -1);
	}
	int64_t asleep = run(&s, INT64_MAX, AFTER);

	assert_in_range(asleep - s.last_end, AFTER, AFTER + 500);
	assert_in_range(s.looks, 1, 15); /* a look per sleepAfter, not per second */
}

static void test_never_used(_unused_ void **state)
{
	struct simulation s = {.now = 5000};

	activity_start(&s.a, s.now, AFTER);
	assert_in_range(run(&s, INT64_MAX, AFTER), 5000 + AFTER, 5000 + AFTER + 500);
}

static void test_open_websocket_holds_it_off(_unused_ void **state)
{
	struct simulation s = {.now = 0};

	activity_start(&s.a, s.now, AFTER);
	request(&s);
	s.in_flight = 1;
	assert_int_equal(run(&s, 5 * 24 * 60 * MINUTE, AFTER), -1);
	s.in_flight = 0;
	s.last_end = s.now;
	int64_t asleep = run(&s, INT64_MAX, AFTER);

	assert_in_range(asleep - s.last_end, AFTER, AFTER + 500);
}

static void test_sleep_after_beyond_the_tables_memory(_unused_ void **state)
{
	struct simulation s = {.now = 0};
	int64_t after = 5 * (int64_t)HAPROXY_ACTIVITY_EXPIRE_MS;

	activity_start(&s.a, s.now, after);
	s.now = 20 * MINUTE;
	request(&s);
	int64_t asleep = run(&s, INT64_MAX, after);

	assert_in_range(asleep - s.last_end, after, after + 500);
}

static void test_zero_means_never(_unused_ void **state)
{
	struct activity a;

	activity_start(&a, 1, 0);
	assert_true(a.check_at == INT64_MAX);
	assert_int_equal(activity_judge(&a, INT64_MAX / 2, 0, &(struct activity_sample){0}), ACTIVITY_STAY);
	activity_retime(&a, 1000, 5000); /* the Container was changed */
	assert_int_equal(a.check_at, 5001);
}

static void test_short_times_do_not_storm(_unused_ void **state)
{
	struct simulation s = {.now = 0};

	activity_start(&s.a, 0, 1);
	request(&s);
	s.in_flight = 1;
	run(&s, 10000, 1);
	assert_in_range(s.looks, 1, 40);
}

static void test_full_table_says_nothing(_unused_ void **state)
{
	struct activity a;

	activity_start(&a, 0, AFTER);
	assert_int_equal(activity_judge(&a, AFTER, AFTER, &(struct activity_sample){.table_full = true}),
			 ACTIVITY_STAY);
	assert_int_equal(activity_judge(&a, 2 * AFTER, AFTER, &(struct activity_sample){0}), ACTIVITY_SLEEP);
}

static void test_no_trust_in_the_past(_unused_ void **state)
{
	struct activity a;

	/* Idle for 9 minutes when the gateway started: it gets the full time from then on. */
	activity_start(&a, 100000, AFTER);
	struct activity_sample s = {.found = true, .idle_ms = 9 * MINUTE + AFTER};

	assert_int_equal(activity_judge(&a, 100000 + AFTER - 1, AFTER, &s), ACTIVITY_STAY);
	assert_int_equal(activity_judge(&a, 100000 + AFTER, AFTER, &s), ACTIVITY_SLEEP);
}

static void test_parses_the_table(_unused_ void **state)
{
	const char *answer = "# table: activity, type: string, size:1000, used:3\n\n"
			     "# table: activity, type: string, size:1000, used:3\n"
			     "0x558be92ac0c8: key=default/hello/ws use=2 exp=3598545 conn_cur=2\n\n\n"
			     "0x558be92ac0d8: key=default/hello/ws2 use=1 exp=3600000 conn_cur=1\n"
			     "# table: activity, type: string, size:1000, used:950\n"
			     "0x558be92ac0e8: key=default/hello/ws use=1 exp=3599000 conn_cur=1\n";
	struct activity_sample s;

	sleeper_parse_sample(answer, "default/hello/ws", &s);
	assert_true(s.found && s.table_full);
	assert_int_equal(s.in_flight, 3);
	assert_int_equal(s.idle_ms, 1000);
	sleeper_parse_sample(answer, "default/hello/w", &s);
	assert_false(s.found);
	sleeper_parse_sample("", "default/hello/ws", &s);
	assert_false(s.found || s.table_full);
}

static void test_long_keys_share_an_entry(_unused_ void **state)
{
	char key[HAPROXY_ACTIVITY_KEY_MAX + 10], answer[HAPROXY_ACTIVITY_KEY_MAX + 100];
	struct activity_sample s;

	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = 0;
	snprintf(answer, sizeof(answer), "0x1: key=%.*s use=1 exp=3600000 conn_cur=1\n", HAPROXY_ACTIVITY_KEY_MAX, key);
	sleeper_parse_sample(answer, key, &s);
	assert_true(s.found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sleeps_after_the_last_request),
		cmocka_unit_test(test_never_used),
		cmocka_unit_test(test_open_websocket_holds_it_off),
		cmocka_unit_test(test_sleep_after_beyond_the_tables_memory),
		cmocka_unit_test(test_zero_means_never),
		cmocka_unit_test(test_short_times_do_not_storm),
		cmocka_unit_test(test_full_table_says_nothing),
		cmocka_unit_test(test_no_trust_in_the_past),
		cmocka_unit_test(test_parses_the_table),
		cmocka_unit_test(test_long_keys_share_an_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
