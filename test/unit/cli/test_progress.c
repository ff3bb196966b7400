/*
 * test_progress.c - what statuses mean for a deployment: rows and verdicts.
 */
#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct json *parse(struct arena *a, const char *text)
{
	struct json *o;
	struct error e = {0};

	if (json_parse(a, text, strlen(text), NULL, &o, &e))
		fail_msg("%s: %s", e.text, text);
	return o;
}

/* A Container of generation 3 with these conditions and rollout. */
static struct json *container(struct arena *a, int observed, const char *conditions, const char *rollout)
{
	return parse(
		a,
		arena_printf(a,
			     "{\"metadata\":{\"name\":\"shop\",\"generation\":3},\"status\":{\"observedGeneration\":%d,"
			     "\"updatedRevision\":\"shop-2\",\"imageDigest\":\"sha256:%064d\",\"conditions\":[%s],"
			     "\"rollout\":%s}}",
			     observed, 7, conditions, rollout));
}

#define RESOLVED "{\"type\":\"ImageResolved\",\"status\":\"True\"},"
#define PREFETCHED "{\"type\":\"Prefetched\",\"status\":\"True\",\"reason\":\"Prefetched\",\"message\":\"all\"}"
#define COMPLETE "{\"phase\":\"Complete\",\"updated\":2,\"total\":2}"

static const struct {
	int observed;
	const char *conditions, *rollout;
	enum progress_state state;
	const char *message;
} cases[] = {
	/* Older statuses do not count, whatever they say. */
	{2, RESOLVED PREFETCHED, COMPLETE, PROGRESS_GOING, "waiting for the scheduler"},
	{3, RESOLVED PREFETCHED, COMPLETE, PROGRESS_DONE, "shop-2 is rolled out"},
	{4, RESOLVED PREFETCHED, COMPLETE, PROGRESS_DONE, "shop-2 is rolled out"},
	/* The status is new, but the image is not known yet: prefetch and rollout are still the old Revision's. */
	{3,
	 "{\"type\":\"ImageResolved\",\"status\":\"False\",\"reason\":\"Resolving\",\"message\":\"asking\"}," PREFETCHED,
	 COMPLETE, PROGRESS_GOING, "asking"},
	{3,
	 "{\"type\":\"ImageResolved\",\"status\":\"False\",\"reason\":\"ResolveFailed\",\"message\":\"no tag\"}," PREFETCHED,
	 COMPLETE, PROGRESS_FAILING, "no tag"},
	{3,
	 "{\"type\":\"ImageResolved\",\"status\":\"False\",\"reason\":\"Resolving\",\"message\":\"asking\"},"
	 "{\"type\":\"Progressing\",\"status\":\"False\",\"reason\":\"Halted\",\"message\":\"halted: the old one\"}",
	 "{\"phase\":\"Progressing\"}", PROGRESS_GOING, "asking"},
	{3, RESOLVED "{\"type\":\"Prefetched\",\"status\":\"False\",\"reason\":\"Prefetching\",\"message\":\"1 of 2\"}",
	 COMPLETE, PROGRESS_GOING, "1 of 2"},
	{3,
	 RESOLVED
	 "{\"type\":\"Prefetched\",\"status\":\"False\",\"reason\":\"PrefetchFailed\",\"message\":\"disk full\"}",
	 COMPLETE, PROGRESS_FAILING, "disk full"},
	{3, RESOLVED "{\"type\":\"Prefetched\",\"status\":\"False\",\"reason\":\"NoNodes\",\"message\":\"0\"}",
	 COMPLETE, PROGRESS_FAILING, "no node that is ready takes it: see `berthctl get nodes`, and spec.placement"},
	{3,
	 RESOLVED PREFETCHED
	 ",{\"type\":\"Progressing\",\"status\":\"True\",\"reason\":\"Progressing\",\"message\":\"moving\"}",
	 "{\"phase\":\"Progressing\",\"updated\":1,\"total\":4}", PROGRESS_GOING, "moving"},
	{3,
	 RESOLVED PREFETCHED
	 ",{\"type\":\"Progressing\",\"status\":\"True\",\"reason\":\"Paused\",\"message\":\"promote\"}",
	 "{\"phase\":\"Paused\"}", PROGRESS_DONE, "the rollout of shop-2 is paused: promote"},
	{3,
	 RESOLVED PREFETCHED
	 ",{\"type\":\"Progressing\",\"status\":\"False\",\"reason\":\"Halted\",\"message\":\"halted: shop-a failed\"}",
	 "{\"phase\":\"Progressing\"}", PROGRESS_FAILED, "the rollout of shop-2 is halted: shop-a failed"},
};

static void test_verdicts(void **state)
{
	struct arena *a = arena_new();
	struct progress p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		progress_read(a, container(a, cases[i].observed, cases[i].conditions, cases[i].rollout), NULL, 3, &p);
		assert_string_equal(p.message, cases[i].message);
		assert_int_equal(p.state, cases[i].state);
	}
	arena_free(a);
}

static void test_the_image_is_named_once_it_is_the_new_one(void **state)
{
	struct arena *a = arena_new();
	struct json *c = container(a, 3, RESOLVED PREFETCHED, COMPLETE);

	(void)state;
	assert_string_equal(progress_image_name(a, c, 3), arena_printf(a, "sha256-%064d", 7));
	assert_null(progress_image_name(a, c, 4));
	assert_null(progress_image_name(a, parse(a, "{}"), 1));
	arena_free(a);
}

static void test_a_row_for_each_location(void **state)
{
	struct arena *a = arena_new();
	struct json *c = container(
		a, 3, RESOLVED PREFETCHED,
		"{\"phase\":\"Progressing\",\"step\":1,\"stepPercentage\":100,\"updated\":1,\"total\":4,"
		"\"message\":\"moving\"}");
	struct json *image = parse(
		a, "{\"status\":{\"nodes\":["
		   "{\"node\":\"a\",\"location\":\"fra\",\"phase\":\"Ready\",\"percent\":100},"
		   "{\"node\":\"b\",\"location\":\"lon\",\"phase\":\"Failed\",\"percent\":7,\"message\":\"no\"},"
		   "{\"node\":\"c\",\"location\":\"fra\",\"phase\":\"Pulling\",\"percent\":50}]}}");
	struct progress p;

	(void)state;
	progress_read(a, c, image, 3, &p);
	assert_int_equal(p.count, 3);
	assert_string_equal(p.rows[0].label, "shop prefetch fra");
	assert_int_equal(p.rows[0].percent, 75);
	assert_string_equal(p.rows[0].text, "1 of 2 nodes");
	assert_string_equal(p.rows[1].text, "no");
	assert_int_equal(p.rows[1].percent, 7);
	assert_string_equal(p.rows[2].label, "shop rollout");
	assert_int_equal(p.rows[2].percent, 25);
	assert_string_equal(p.rows[2].text, "1 of 4 instances, step 2 (100%): moving");
	arena_free(a);
}

static void test_more_locations_than_rows(void **state)
{
	struct arena *a = arena_new();
	_buf_ text = BUF_INIT(1U << 20);
	struct progress p;

	(void)state;
	buf_adds(&text, "{\"status\":{\"nodes\":[{\"node\":\"x\",\"location\":\"x\"}");
	for (unsigned i = 0; i < 2 * PROGRESS_ROWS_MAX; i++)
		buf_addf(&text, ",{\"node\":\"n%u\",\"location\":\"l%u\"}", i, i);
	buf_adds(&text, "]}}");
	progress_read(a, container(a, 3, RESOLVED PREFETCHED, COMPLETE), parse(a, text.data), 3, &p);
	assert_int_equal(p.count, PROGRESS_ROWS_MAX);
	assert_int_equal(p.state, PROGRESS_DONE);
	arena_free(a);
}

static void test_why_instances_failed(void **state)
{
	struct arena *a = arena_new();
	struct json *c = container(a, 3, RESOLVED PREFETCHED, COMPLETE);
	_buf_ text = BUF_INIT(1U << 16);

	(void)state;
	assert_null(progress_failure(a, c, parse(a, "[]")));
	buf_adds(
		&text,
		"[{\"metadata\":{\"name\":\"old\"},\"spec\":{\"revision\":\"shop-1\"},\"status\":{\"phase\":\"Failed\"}},"
		"{\"metadata\":{\"name\":\"fine\"},\"spec\":{\"revision\":\"shop-2\"},\"status\":{\"phase\":\"Ready\"}}");
	for (int i = 0; i < 5; i++)
		buf_addf(
			&text,
			",{\"metadata\":{\"name\":\"shop-%d\"},\"spec\":{\"revision\":\"shop-2\"},\"status\":{\"phase\":\"Failed\","
			"\"conditions\":[{\"type\":\"Ready\",\"reason\":\"AppExited\",\"message\":\"exit code %d\"}]}}",
			i, i);
	buf_addc(&text, ']');
	assert_string_equal(
		progress_failure(a, c, parse(a, text.data)),
		"shop-0: AppExited: exit code 0; shop-1: AppExited: exit code 1; shop-2: AppExited: exit code 2");
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_the_image_is_named_once_it_is_the_new_one),
		cmocka_unit_test(test_a_row_for_each_location),
		cmocka_unit_test(test_more_locations_than_rows),
		cmocka_unit_test(test_why_instances_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
