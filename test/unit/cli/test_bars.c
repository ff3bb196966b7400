/*
 * test_bars.c - what bars write: over what stood there on a terminal, line by line elsewhere.
 */
#include "cli/bars.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *update(struct bars *b, const struct progress_row *rows, size_t count, size_t columns,
			  struct buf *out)
{
	buf_reset(out);
	bars_update(b, rows, count, (struct bars_size){.columns = columns, .lines = 24}, out);
	return out->len ? out->data : "";
}

static void test_bars_are_drawn_over(void **state)
{
	struct arena *a = arena_new();
	_buf_ out = BUF_INIT(65536);
	struct bars b;
	struct progress_row rows[] = {{"shop prefetch fra", 50, "1 of 2 nodes"}, {"shop rollout", 0, ""}};

	(void)state;
	bars_init(&b, a, true);
	assert_string_equal(update(&b, rows, 2, 80, &out),
			    "shop prefetch fra [############............]  50%  1 of 2 nodes\n"
			    "shop rollout      [........................]   0%  \n");
	rows[0].percent = 100;
	assert_string_equal(update(&b, rows, 1, 80, &out),
			    "\033[2A\r\033[Jshop prefetch fra [########################] 100%  1 of 2 nodes\n");
	rows[0].percent = 1000;
	assert_string_equal(update(&b, rows, 1, 80, &out),
			    "\033[1A\r\033[Jshop prefetch fra [########################] 100%  1 of 2 nodes\n");
	assert_string_equal(update(&b, rows, 0, 80, &out), "\033[1A\r\033[J");
	assert_string_equal(update(&b, rows, 0, 80, &out), "");
	arena_free(a);
}

static void test_a_line_never_wraps(void **state)
{
	struct arena *a = arena_new();
	_buf_ out = BUF_INIT(65536);
	struct progress_row row = {"a-name-of-a-container-that-is-rather-long rollout", 10,
				   "a text much longer than a terminal is wide, with \303\244\303\266\303\274 in it"};

	(void)state;
	for (size_t columns = 1; columns < 150; columns++) {
		struct bars b;
		size_t width = 0;

		bars_init(&b, a, true);
		for (const char *p = update(&b, &row, 1, columns, &out); *p && *p != '\n'; p++)
			width += ((unsigned char)*p & 0xc0) != 0x80;
		assert_in_range(width, 1, columns > 1 ? columns - 1 : 1);
		assert_string_equal(out.data + out.len - 1, "\n");
	}
	arena_free(a);
}

static void test_elsewhere_only_changes_are_said(void **state)
{
	struct arena *a = arena_new();
	_buf_ out = BUF_INIT(65536);
	struct bars b;
	struct progress_row row = {"shop prefetch fra", 10, "0 of 1 nodes"};

	(void)state;
	bars_init(&b, a, false);
	assert_string_equal(update(&b, &row, 1, 80, &out), "shop prefetch fra: 10%  0 of 1 nodes\n");
	assert_string_equal(update(&b, &row, 1, 80, &out), "");
	row.percent = 19;
	assert_string_equal(update(&b, &row, 1, 80, &out), "");
	row.percent = 20;
	assert_string_equal(update(&b, &row, 1, 80, &out), "shop prefetch fra: 20%  0 of 1 nodes\n");
	row.text = "no space left";
	assert_string_equal(update(&b, &row, 1, 80, &out), "shop prefetch fra: 20%  no space left\n");
	arena_free(a);
}

static void test_texts_do_not_steer_the_terminal(void **state)
{
	struct arena *a = arena_new();
	_buf_ out = BUF_INIT(65536);
	struct progress_row row = {"shop", 0, "a\033[2Jb\nc\r"};

	(void)state;
	for (int live = 0; live < 2; live++) {
		struct bars b;

		bars_init(&b, a, live);
		update(&b, &row, 1, 80, &out);
		assert_null(strchr(out.data, '\033'));
		assert_null(strchr(out.data, '\r'));
		assert_non_null(strstr(out.data, "a?[2Jb?c?\n"));
	}
	arena_free(a);
}

static void test_no_more_rows_than_the_terminal_has_lines(void **state)
{
	struct arena *a = arena_new();
	_buf_ out = BUF_INIT(65536);
	struct progress_row rows[10] = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		rows[i] = (struct progress_row){.label = "row", .text = ""};
	for (size_t lines = 1; lines < 14; lines++) {
		struct bars b;
		size_t drawn = 0;

		bars_init(&b, a, true);
		buf_reset(&out);
		bars_update(&b, rows, ARRAY_SIZE(rows), (struct bars_size){.columns = 80, .lines = lines}, &out);
		for (const char *p = out.data; *p; p++)
			drawn += *p == '\n';
		assert_int_equal(drawn, lines == 1 ? 1 : lines > 10 ? 10 : lines - 1);
		assert_int_equal(b.drawn, drawn);
	}
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bars_are_drawn_over),
		cmocka_unit_test(test_a_line_never_wraps),
		cmocka_unit_test(test_no_more_rows_than_the_terminal_has_lines),
		cmocka_unit_test(test_elsewhere_only_changes_are_said),
		cmocka_unit_test(test_texts_do_not_steer_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
