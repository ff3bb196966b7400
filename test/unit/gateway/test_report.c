/*
 * test_report.c - the Accepted condition, and our line among the gateways of a Location.
 */
#include "gateway/report.h"
#include "test/unit/gateway/fixture.h"

#define NOW 1767225600000
#define NOW_TEXT "2026-01-01T00:00:00Z"

static const char *conditions(struct arena *a, const char *route, bool accepted, const char *reason)
{
	struct route_verdict v = {fixture_json(a, route), accepted, reason, "text"};
	struct json *c = report_route_conditions(a, &v, NOW);

	return c ? json_to_string(a, c) : NULL;
}

static void test_condition(_unused_ void **state)
{
	_arena_ a = arena_new();

	assert_string_equal(conditions(a, "{'metadata': {'generation': 2}}", true, "Accepted"),
			    "[{\"type\":\"Accepted\",\"status\":\"True\",\"observedGeneration\":2,"
			    "\"lastTransitionTime\":\"" NOW_TEXT "\",\"reason\":\"Accepted\",\"message\":\"text\"}]");
}

static void test_condition_changes_only_with_news(_unused_ void **state)
{
	const char *route =
		"{'metadata': {'generation': 2}, 'status': {'conditions': [{'type': 'Other', 'status': 'True'},"
		"{'type': 'Accepted', 'status': 'False', 'observedGeneration': 2, 'lastTransitionTime': 'then',"
		" 'reason': 'Conflict', 'message': 'text'}]}}";
	_arena_ a = arena_new();

	assert_null(conditions(a, route, false, "Conflict"));
	/* another reason: the same status since then */
	assert_string_equal(
		conditions(a, route, false, "NoPort"),
		"[{\"type\":\"Other\",\"status\":\"True\"},{\"type\":\"Accepted\",\"status\":\"False\","
		"\"observedGeneration\":2,\"lastTransitionTime\":\"then\",\"reason\":\"NoPort\",\"message\":\"text\"}]");
	assert_non_null(strstr(conditions(a, route, true, "Accepted"), NOW_TEXT));
}

static void test_gateways(_unused_ void **state)
{
	_arena_ a = arena_new();
	struct json *l = fixture_json(
		a, "{'status': {'gateways': [{'name': 'mine', 'url': 'old'}, {'name': 'other', 'url': 'u'}]}}");
	struct gateway_config cfg = {.name = "mine", .url = "new"};

	assert_string_equal(
		json_to_string(a, report_gateways(a, l, &cfg, NOW)),
		"[{\"name\":\"other\",\"url\":\"u\"},{\"name\":\"mine\",\"url\":\"new\",\"lastSeen\":\"" NOW_TEXT
		"\"}]");
	assert_string_equal(json_to_string(a, report_gateways(a, fixture_json(a, "{}"), &cfg, NOW)),
			    "[{\"name\":\"mine\",\"url\":\"new\",\"lastSeen\":\"" NOW_TEXT "\"}]");
	cfg.address = "192.0.2.7";
	assert_string_equal(json_to_string(a, report_gateways(a, fixture_json(a, "{}"), &cfg, NOW)),
			    "[{\"name\":\"mine\",\"url\":\"new\",\"address\":\"192.0.2.7\",\"lastSeen\":\"" NOW_TEXT
			    "\"}]");
}

static void test_silent_gateways_are_forgotten(_unused_ void **state)
{
	const struct gateway_config cfg = {.name = "mine", .url = "u"};
	_arena_ a = arena_new();
	struct json *l = fixture_json(a, "{'status': {'gateways': [{'name': 'other', 'url': 'u', 'lastSeen': '" NOW_TEXT
					 "'}]}}");

	assert_int_equal(json_count(report_gateways(a, l, &cfg, NOW + REPORT_FORGET_MS)), 2);
	assert_int_equal(json_count(report_gateways(a, l, &cfg, NOW + REPORT_FORGET_MS + 1000)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_condition),
		cmocka_unit_test(test_condition_changes_only_with_news),
		cmocka_unit_test(test_gateways),
		cmocka_unit_test(test_silent_gateways_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
