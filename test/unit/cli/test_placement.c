/*
 * test_placement.c - what an Instance's object says about its place, in words.
 */
#include "cli/placement.h"
#include "lib/yaml.h"

#include <setjmp.h>

#include <cmocka.h>

static struct json *yaml(struct arena *a, const char *text)
{
	struct json *docs;
	struct error e = {0};

	if (yaml_parse(a, text, strlen(text), &docs, &e))
		fail_msg("%s", e.text);
	return json_item(docs, 0);
}

static void test_verdicts(_unused_ void **state)
{
	static const struct {
		const char *object, *verdict;
		bool waiting;
	} cases[] = {
		{"{spec: {state: Running}, status: {phase: Ready, nodeName: n1, location: fra}}",
		 "it is Ready on node n1 in Location fra", false},
		{"{spec: {state: Running}, status: {phase: Scheduled, nodeName: n1}}", "it is Scheduled on node n1",
		 false},
		{"{spec: {state: Running}}", "it waits (the scheduler has not looked at it yet)", true},
		{"{spec: {state: Running}, status: {phase: Pending, conditions: [{type: Ready, reason: NoRevision, message: resolving}]}}",
		 "it waits (NoRevision: resolving)", true},
		{"{spec: {state: Running}, status: {phase: Asleep}}",
		 "it waits (the scheduler has not looked at it yet)", true},
		{"{spec: {state: Asleep}, status: {phase: Asleep, nodeName: n1}}",
		 "it is asleep: the next request wakes it, and it is placed then", false},
		{"{spec: {state: Stopped}, status: {phase: Stopped}}",
		 "it is stopped by its owner: set spec.state to Asleep, and requests wake it", false},
		{"{spec: {state: Running}, status: {phase: Failed, conditions: [{type: Ready, reason: AppExited, message: exit code 7}]}}",
		 "it failed (AppExited: exit code 7): see berthctl logs, the next request starts it anew", true},
	};
	_arena_ a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct json *o = yaml(a, cases[i].object);

		assert_string_equal(placement_verdict(a, o), cases[i].verdict);
		assert_int_equal(placement_is_waiting(o), cases[i].waiting);
	}
}

static void test_report(_unused_ void **state)
{
	_arena_ a = arena_new();
	struct json *r = placement_report(
		a,
		yaml(a,
		     "{metadata: {name: shop.a, namespace: default}, spec: {containerName: shop, state: Running, clientLocation: fra}, "
		     "status: {phase: Ready, nodeName: n2, location: iad, placement: {origin: fra, omitted: 3, candidates: ["
		     "{node: n2, location: iad, distanceKm: 6540, score: 900, sameNode: 0, sameDomain: 1}, "
		     "{node: n3, location: iad, distanceKm: 6540, score: 800}, "
		     "{node: n1, location: fra, distanceKm: 0, reason: insufficient memory}]}}}"));
	const struct json *list = json_get(r, "candidates");
	static const char *const cells[] = {
		"LOCATION", "DISTANCE", "NODE", "SCORE", "SAME-NODE", "SAME-RACK", "VERDICT",
		"iad",	    "6540 km",	"n2",	"900",	 "0",	      "1",	   "chosen",
		"iad",	    "6540 km",	"n3",	"800",	 "-",	      "-",	   "feasible",
		"fra",	    "0 km",	"n1",	"-",	 "-",	      "-",	   "insufficient memory"};

	assert_string_equal(json_str(json_get(r, "originFrom")), "the client's network");
	assert_string_equal(json_str(json_get(json_item(list, 0), "verdict")), "chosen");
	assert_int_equal(json_int_or(json_get(r, "omitted"), -1), 3);
	struct table *t = placement_table(a, r);

	assert_int_equal(t->rows * t->columns, ARRAY_SIZE(cells));
	for (size_t i = 0; i < ARRAY_SIZE(cells); i++)
		assert_string_equal(t->cells[i], cells[i]);
}

static void test_a_sleeper_has_no_node(_unused_ void **state)
{
	_arena_ a = arena_new();
	struct json *r = placement_report(
		a,
		yaml(a,
		     "{metadata: {name: s}, spec: {state: Asleep}, status: {phase: Asleep, nodeName: n1, location: fra, "
		     "placement: {origin: '', candidates: [{node: n1, score: 5}]}}}"));

	assert_null(json_get(r, "node"));
	assert_null(json_get(r, "origin"));
	assert_string_equal(json_str(json_get(json_item(json_get(r, "candidates"), 0), "verdict")), "feasible");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_a_sleeper_has_no_node),
	};

	return cmocka_run_group_tests_name("cli/placement", tests, NULL, NULL);
}
