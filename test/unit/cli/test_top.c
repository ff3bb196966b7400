/*
 * test_top.c - statistics of an instance as a row.
 */
#include "cli/top.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void row_of(struct arena *a, const char *text, const char *row[TOP_INSTANCE_COLUMNS])
{
	struct json *o;

	assert_int_equal(json_parse(a, text, strlen(text), NULL, &o, NULL), 0);
	top_instance_row(a, "shop-u-1", o, row);
}

static void test_every_figure_has_its_cell(void **state)
{
	static const char *const wanted[] = {"shop-u-1", "1.5s",	"1.6MB",      "0.6%",
					     "2.0MB",	 "3.0kB/4.0kB", "5 processes"};
	struct arena *a = arena_new();
	const char *row[TOP_INSTANCE_COLUMNS];

	(void)state;
	/* As agent/port_stats.c names them. A hundredth of the memory and less is not nothing. */
	row_of(a,
	       "{\"cpuMicroseconds\":1500000,\"memoryBytes\":1610613,\"memoryLimitBytes\":268435456,\"diskBytes\":2000000,"
	       "\"networkReceivedBytes\":3000,\"networkSentBytes\":4000,\"processes\":5}",
	       row);
	for (size_t i = 0; i < TOP_INSTANCE_COLUMNS; i++)
		assert_string_equal(row[i], wanted[i]);
	assert_string_equal(top_instance_columns[3], "MEMORY%");
	arena_free(a);
}

static void test_percentages(void **state)
{
	struct arena *a = arena_new();
	const char *row[TOP_INSTANCE_COLUMNS];

	(void)state;
	row_of(a, "{\"memoryBytes\":1610613}", row);
	assert_null(row[3]);
	row_of(a, "{\"memoryBytes\":268435456,\"memoryLimitBytes\":268435456}", row);
	assert_string_equal(row[3], "100.0%");
	row_of(a, "{\"memoryBytes\":356000,\"memoryLimitBytes\":1073741824}", row);
	assert_string_equal(row[3], "<0.1%");
	row_of(a, "{\"memoryBytes\":0,\"memoryLimitBytes\":1073741824}", row);
	assert_string_equal(row[3], "0.0%");
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_figure_has_its_cell),
		cmocka_unit_test(test_percentages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
