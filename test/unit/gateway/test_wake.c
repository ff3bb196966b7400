/*
 * test_wake.c - the decision table of waking: what is known → what is done.
 */
#include "gateway/wake.h"
#include "test/unit/gateway/fixture.h"

#define NOW 1767225600000 /* 2026-01-01T00:00:00Z */
#define CONTAINER "{'metadata': {'name': 'c'}}"

struct world {
	struct arena *a;
	struct instance_table *t;
	struct wake_input in;
	struct wake_verdict v;
};

static void drop(struct world *w)
{
	instance_table_free(w->t);
	arena_free(w->a);
}

/* spec and status are members of JSON objects; spec NULL: no Instance. */
static void decide(struct world *w, const char *spec, const char *status)
{
	if (!w->a) {
		w->a = arena_new();
		w->t = instance_table_new();
		w->in = (struct wake_input){.synced = true,
					    .container = fixture_json(w->a, CONTAINER),
					    .new_request = true,
					    .wall_now = NOW,
					    .timeout_ms = 120000};
	}
	w->in.instance = NULL;
	if (spec)
		w->in.instance = instance_table_put(
			w->t,
			fixture_jsonf(
				w->a,
				"{'metadata': {'namespace': 'n', 'name': 'c.u', 'uid': '1', 'resourceVersion': '7'},"
				" 'spec': {'containerName': 'c', 'id': 'u', %s}, 'status': {%s}}",
				spec, status));
	wake_decide(&w->in, &w->v);
}

#define READY "'phase': 'Ready', 'address': '10.0.0.1', 'vmGeneration': 1, 'nodeName': 'a'"
#define BOUND "'state': 'Running', 'nodeName': 'a', 'vmGeneration': 1"

static void test_table(_unused_ void **state)
{
	static const struct {
		const char *spec, *status;
		enum wake_action action;
	} cases[] = {
		{NULL, NULL, WAKE_CREATE},
		{"'state': 'Asleep'", "", WAKE_RUN},
		{"'state': 'Asleep'", "'phase': 'Pending'", WAKE_RUN},
		{"'state': 'Asleep'", "'phase': 'Asleep'", WAKE_RUN},
		{"'state': 'Asleep'", "'phase': 'Stopped'", WAKE_RUN},
		/* the agent has not stopped it yet */
		{"'state': 'Asleep'", READY, WAKE_WAIT},
		{"'state': 'Asleep'", "'phase': 'Stopping'", WAKE_WAIT},
		{"'state': 'Asleep'", "'phase': 'Starting'", WAKE_WAIT},
		{"'state': 'Asleep'", "'phase': 'Failed'", WAKE_WAIT},
		{"'state': 'Running'", "", WAKE_WAIT},
		{BOUND, "'phase': 'Scheduled'", WAKE_WAIT},
		{BOUND, "'phase': 'Starting'", WAKE_WAIT},
		{BOUND, READY, WAKE_ANSWER},
		{BOUND, "'phase': 'Running', 'address': '10.0.0.1', 'vmGeneration': 1", WAKE_WAIT},
		{BOUND, "'phase': 'Stopping', 'address': '10.0.0.1', 'vmGeneration': 1", WAKE_WAIT},
		{BOUND, "'phase': 'Failed'", WAKE_RESET},
		{"'state': 'Stopped'", "'phase': 'Asleep'", WAKE_REFUSE},
	};
	_cleanup_(drop) struct world w = {0};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		decide(&w, cases[i].spec, cases[i].status);
		if (w.v.action != cases[i].action)
			fail_msg("case %zu: %d", i, w.v.action);
	}
	assert_string_equal(w.v.reason, "InstanceStopped");
	assert_int_equal(w.v.retry_after, 0);
}

static void test_waits_for_complete_caches(_unused_ void **state)
{
	_cleanup_(drop) struct world w = {0};

	decide(&w, NULL, NULL);
	w.in.synced = false;
	decide(&w, NULL, NULL);
	assert_int_equal(w.v.action, WAKE_WAIT);
	w.in.container = NULL;
	decide(&w, NULL, NULL);
	assert_int_equal(w.v.action, WAKE_WAIT);
	decide(&w, BOUND, READY); /* what is known may be used */
	assert_int_equal(w.v.action, WAKE_ANSWER);
	decide(&w, NULL, NULL);
	wake_timeout(&w.in, &w.v);
	assert_string_equal(w.v.reason, "ApiserverUnavailable");
}

static void test_no_container(_unused_ void **state)
{
	_cleanup_(drop) struct world w = {0};

	decide(&w, NULL, NULL);
	w.in.container = NULL;
	decide(&w, NULL, NULL);
	assert_int_equal(w.v.action, WAKE_REFUSE);
	assert_int_equal(w.v.status, 503);
	assert_string_equal(w.v.reason, "ContainerNotFound");
	w.in.container = fixture_json(w.a, "{'metadata': {'deletionTimestamp': 'x'}}");
	decide(&w, NULL, NULL);
	assert_string_equal(w.v.reason, "ContainerNotFound");
}

static void test_failure(_unused_ void **state)
{
	const char *status =
		"'phase': 'Failed', 'conditions': [{'type': 'Ready', 'status': 'False', 'reason': 'AppExited',"
		"'message': 'exit code 7', 'lastTransitionTime': '2025-12-31T23:59:56Z'}]";
	_cleanup_(drop) struct world w = {0};

	decide(&w, BOUND, status); /* four seconds ago */
	assert_int_equal(w.v.action, WAKE_REFUSE);
	assert_int_equal(w.v.status, 503);
	assert_int_equal(w.v.retry_after, 6);
	assert_string_equal(w.v.message, "the instance failed: AppExited: exit code 7");
	w.in.wall_now = NOW + 6000;
	decide(&w, BOUND, status);
	assert_int_equal(w.v.action, WAKE_RESET);
	w.in.new_request = false; /* those who have seen it fail get no second try */
	decide(&w, BOUND, status);
	assert_int_equal(w.v.action, WAKE_REFUSE);
	w.in.new_request = true;
	w.in.wall_now = NOW - 3600000; /* a clock that is wrong keeps nobody out for ever */
	decide(&w, BOUND, status);
	assert_int_equal(w.v.action, WAKE_RESET);
}

static void test_no_room(_unused_ void **state)
{
	const char *status = "'phase': 'Pending', 'conditions': [{'type': 'Ready', 'status': 'False',"
			     "'reason': 'MaxInstancesReached', 'message': '2 of 2'}]";
	_cleanup_(drop) struct world w = {0};

	decide(&w, "'state': 'Running'", status);
	assert_int_equal(w.v.action, WAKE_WAIT);
	w.in.waited_ms = WAKE_ROOM_WAIT_MS - 1;
	decide(&w, "'state': 'Running'", status);
	assert_int_equal(w.v.action, WAKE_WAIT);
	w.in.waited_ms = WAKE_ROOM_WAIT_MS;
	decide(&w, "'state': 'Running'", status);
	assert_int_equal(w.v.action, WAKE_REFUSE);
	assert_int_equal(w.v.retry_after, 5);
	assert_string_equal(w.v.message, "no more instances may run now: 2 of 2");
	decide(&w, "'state': 'Running'",
	       "'phase': 'Pending', 'conditions': [{'type': 'Ready', 'reason': 'Unschedulable'}]");
	assert_int_equal(w.v.action, WAKE_WAIT);
}

static void test_stale_or_leaving(_unused_ void **state)
{
	_cleanup_(drop) struct world w = {0};

	decide(&w, BOUND, READY);
	struct instance *i = instance_table_get(w.t, "n/c/u");

	i->min_version = 8;
	wake_decide(&w.in, &w.v);
	assert_int_equal(w.v.action, WAKE_WAIT);
	i->min_version = 7;
	i->falling_asleep = true;
	wake_decide(&w.in, &w.v);
	assert_int_equal(w.v.action, WAKE_WAIT);
	i->falling_asleep = false;
	i->deleting = true;
	wake_decide(&w.in, &w.v);
	assert_int_equal(w.v.action, WAKE_WAIT);
}

static void test_timeout_says_why(_unused_ void **state)
{
	_cleanup_(drop) struct world w = {0};

	decide(&w, "'state': 'Running'",
	       "'phase': 'Pending', 'conditions': [{'type': 'Ready', 'reason': 'Unschedulable', 'message': '1 node: full'}]");
	wake_timeout(&w.in, &w.v);
	assert_int_equal(w.v.status, 503);
	assert_true(w.v.retry_after > 0);
	assert_string_equal(w.v.message,
			    "the instance is not ready after 120s: it is Pending: Unschedulable: 1 node: full");
	w.in.instance = NULL;
	wake_timeout(&w.in, &w.v);
	assert_string_equal(w.v.message, "the instance could not be created within 120s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_waits_for_complete_caches),
		cmocka_unit_test(test_no_container),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_stale_or_leaving),
		cmocka_unit_test(test_timeout_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
