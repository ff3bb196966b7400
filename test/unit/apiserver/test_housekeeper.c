/*
 * test_housekeeper.c - which history may be forgotten, by simulated time.
 */
#include "apiserver/housekeeper.h"
#include <setjmp.h>

#include <cmocka.h>

static void test_five_minutes_are_kept(void **state)
{
	struct history_marks m = {0};
	int64_t step = 30000, forgotten = 0;

	(void)state;
	for (int64_t i = 0; i < 100; i++) {
		int64_t now = 1000000 + i * step, forget = history_tick(&m, now, 10 * i);
		if (forget)
			forgotten = forget;
		if (now - 1000000 < HISTORY_MS)
			assert_int_equal(forget, 0);
		/* what was current five minutes ago, and not a moment later */
		assert_true(forgotten <= 10 * (i - HISTORY_MS / step) || forgotten == 0);
	}
	assert_int_equal(forgotten, 10 * (99 - HISTORY_MS / step));
}

static void test_a_long_pause_keeps_marks_bounded(void **state)
{
	struct history_marks m = {0};

	(void)state;
	for (int64_t i = 0; i < 3 * HISTORY_MARKS; i++)
		assert_int_equal(history_tick(&m, i, i + 1), 0);
	assert_int_equal(m.count, HISTORY_MARKS);
	assert_int_equal(history_tick(&m, 10 * HISTORY_MS, 999), HISTORY_MARKS);
}

static void test_old_events(void **state)
{
	static const struct {
		const char *event;
		bool old;
	} cases[] = {
		{"{\"metadata\":{\"creationTimestamp\":\"2026-01-02T03:04:05Z\"}}", false},
		{"{\"metadata\":{\"creationTimestamp\":\"2026-01-02T03:04:04Z\"}}", true},
		{"{\"metadata\":{\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},\"lastTimestamp\":\"2026-01-02T04:00:00Z\"}",
		 false},
		{"{\"metadata\":{\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},\"lastTimestamp\":\"2036-01-01T00:00:00Z\"}",
		 true},
		{"{\"eventTime\":\"2026-01-02T04:00:00.000001Z\"}", false},
		{"{}", true},
	};
	const int64_t now = 1767326645000; /* 2026-01-02T04:04:05Z */
	_arena_ a = arena_new();
	struct json *event;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(json_parse(a, cases[i].event, strlen(cases[i].event), NULL, &event, NULL), 0);
		assert_int_equal(event_is_old(event, now), cases[i].old);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_five_minutes_are_kept),
		cmocka_unit_test(test_a_long_pause_keeps_marks_bounded),
		cmocka_unit_test(test_old_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
