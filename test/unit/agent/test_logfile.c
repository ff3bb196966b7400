/*
 * test_logfile.c - lines in, rotation, and what tail, since, previous, timestamps and following give back.
 */
#include "agent/logfile.h"
#include "lib/fsutil.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000000)
#define T0 (INT64_C(1767225600) * SECOND) /* 2026-01-01T00:00:00Z */

static const struct logfile_query all = {.tail_lines = -1};

static int setup(void **state)
{
	char *dir = xstrdup("/tmp/berth-test-log-XXXXXX");

	if (!mkdtemp(dir))
		return -1;
	*state = dir;
	return 0;
}

static int teardown(void **state)
{
	tree_remove(*state, NULL);
	free(*state);
	return 0;
}

static void put(struct logfile *l, enum logfile_stream s, const char *text, int64_t at)
{
	logfile_write(l, s, text, strlen(text), at);
}

/* All pages from the cursor on. */
static void pages(const char *dir, const struct logfile_query *q, struct logfile_cursor *c, struct buf *out)
{
	bool more = true;
	struct error e = {0};

	while (more)
		assert_int_equal(logfile_page(dir, q, c, out, &more, &e), 0);
}

static char *read_log(const char *dir, const struct logfile_query *q)
{
	struct logfile_cursor c;
	_buf_ out = BUF_INIT(64U << 20);
	struct error e = {0};

	assert_int_equal(logfile_seek(dir, q, &c, &e), 0);
	pages(dir, q, &c, &out);
	return buf_steal(&out);
}

static void assert_log(const char *dir, const struct logfile_query *q, const char *want)
{
	_free_ char *got = read_log(dir, q);

	assert_string_equal(got, want);
}

static void test_lines_and_pieces(void **state)
{
	struct logfile *l = logfile_open(*state, 0);
	_buf_ file = BUF_INIT(65536);
	_free_ char *path = xasprintf("%s/app.log", (char *)*state);

	assert_log(*state, &all, ""); /* nothing was ever written */
	put(l, LOGFILE_STDOUT, "one\ntw", T0 + 5);
	put(l, LOGFILE_STDERR, "oops\n", T0 + SECOND);
	put(l, LOGFILE_STDOUT, "o\n\nend", T0 + 2 * SECOND);
	assert_log(*state, &all, "one\noops\ntwo\n\n");
	logfile_close(l);
	assert_log(*state, &all, "one\noops\ntwo\n\nend");
	assert_int_equal(file_read(path, &file, NULL), 0);
	assert_non_null(strstr(file.data, "2026-01-01T00:00:00.000000005Z stdout F one\n"));
	assert_non_null(strstr(file.data, "2026-01-01T00:00:01.000000000Z stderr F oops\n"));
	assert_non_null(strstr(file.data, "Z stdout P end\n"));
}

static void test_long_line_is_joined_again(void **state)
{
	struct logfile *l = logfile_open(*state, 0);
	size_t len = 3 * LOGFILE_LINE_MAX + 100;
	_free_ char *line = xmalloc(len + 2);

	memset(line, 'x', len);
	memcpy(line + len, "\n", 2);
	put(l, LOGFILE_STDOUT, line, T0);
	put(l, LOGFILE_STDOUT, "next\n", T0);
	_free_ char *want = xasprintf("%snext\n", line);
	assert_log(*state, &all, want);
	const struct logfile_query tail = {.tail_lines = 2, .timestamps = true};
	_free_ char *got = read_log(*state, &tail);
	assert_memory_equal(got, "2026-01-01T00:00:00.000000000Z xxx", 34);
	assert_non_null(strstr(got, "x\n2026-01-01T00:00:00.000000000Z next\n"));
	logfile_close(l);
}

static void test_tail_since_timestamps(void **state)
{
	struct logfile *l = logfile_open(*state, 0);
	const struct logfile_query tail = {.tail_lines = 2}, none = {.tail_lines = 0}, more = {.tail_lines = 100};
	const struct logfile_query since = {.tail_lines = -1, .since_ns = T0 + 3 * SECOND, .timestamps = true};

	for (int i = 0; i < 5; i++) {
		char line[16];
		snprintf(line, sizeof(line), "line %d\n", i);
		put(l, LOGFILE_STDOUT, line, T0 + i * SECOND);
	}
	assert_log(*state, &tail, "line 3\nline 4\n");
	assert_log(*state, &none, "");
	assert_log(*state, &more, "line 0\nline 1\nline 2\nline 3\nline 4\n");
	assert_log(*state, &since, "2026-01-01T00:00:03.000000000Z line 3\n2026-01-01T00:00:04.000000000Z line 4\n");
	logfile_close(l);
}

static void test_runs(void **state)
{
	struct logfile *l = logfile_open(*state, 0);
	const struct logfile_query previous = {.tail_lines = -1, .previous = true};
	struct logfile_cursor c;

	logfile_run(l, 1, T0);
	put(l, LOGFILE_STDOUT, "first\n", T0);
	assert_int_equal(logfile_seek(*state, &previous, &c, NULL), -E_NOT_FOUND);
	logfile_run(l, 2, T0);
	put(l, LOGFILE_STDOUT, "second\nunfinished", T0);
	logfile_run(l, 3, T0);
	put(l, LOGFILE_STDOUT, "third\n", T0);
	assert_log(*state, &all, "third\n");
	assert_log(*state, &previous, "second\nunfinished");
	logfile_close(l);
}

static void test_following_over_rotations_and_runs(void **state)
{
	struct logfile *l = logfile_open(*state, 2000);
	struct logfile_cursor c;
	_buf_ got = BUF_INIT(1U << 20);
	_buf_ want = BUF_INIT(1U << 20);

	logfile_run(l, 1, T0);
	assert_int_equal(logfile_seek(*state, &all, &c, NULL), 0);
	for (int i = 0; i < 400; i++) {
		char line[32];
		snprintf(line, sizeof(line), "line number %d\n", i);
		put(l, LOGFILE_STDOUT, line, T0 + i);
		buf_adds(&want, line);
		if (i == 200)
			logfile_run(l, 2, T0 + i);
		if (i % 7 == 0)
			pages(*state, &all, &c, &got);
	}
	pages(*state, &all, &c, &got);
	assert_string_equal(got.data, want.data);
	logfile_close(l);
}

/* A reader that sleeps while its segment is rotated away goes on with the oldest that is left. */
static void test_slow_follower_skips(void **state)
{
	struct logfile *l = logfile_open(*state, 1000);
	struct logfile_cursor c;
	_buf_ got = BUF_INIT(1U << 20);

	put(l, LOGFILE_STDOUT, "start\n", T0);
	assert_int_equal(logfile_seek(*state, &all, &c, NULL), 0);
	pages(*state, &all, &c, &got);
	for (int i = 0; i < 1000; i++)
		put(l, LOGFILE_STDOUT, "something\n", T0);
	put(l, LOGFILE_STDOUT, "last\n", T0);
	pages(*state, &all, &c, &got);
	assert_memory_equal(got.data, "start\nsomething\n", 16);
	assert_string_equal(got.data + got.len - 15, "something\nlast\n");
	logfile_close(l);
}

static void test_size_is_bounded(void **state)
{
	struct logfile *l = logfile_open(*state, 4096);
	static const char *const names[] = {"app.log", "app.log.1", "app.log.2", "app.log.3"};
	struct stat st;
	_free_ char *big = xmalloc(60001);

	memset(big, 'y', 60000);
	big[60000] = 0;
	for (int i = 0; i < 20; i++)
		put(l, LOGFILE_STDOUT, i % 2 ? big : "short\nlines\n", T0);
	logfile_close(l);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_free_ char *path = xasprintf("%s/%s", (char *)*state, names[i]);
		bool there = stat(path, &st) == 0;
		assert_int_equal(there, i < LOGFILE_SEGMENTS);
		if (there)
			assert_in_range(st.st_size, 1, 4096 + LOGFILE_LINE_MAX + 128);
	}
}

static void test_garbage_in_the_file(void **state)
{
	_free_ char *path = xasprintf("%s/app.log", (char *)*state);
	static const char text[] =
		"\n\nnot a line\n2026-01-01T00:00:00.000000000Z stdout F good\n2026-01-01T00:00:00.000000000Z s\n"
		"2026-01-01T00:00:00.000000000Z stdout\n2026-01-01T00:00:00.000000000Z stdout F half";

	assert_int_equal(file_write_atomic(path, text, sizeof(text) - 1, 0600, NULL), 0);
	assert_log(*state, &all, "good\n");
	_free_ char *noise = xcalloc(300000, 1);
	assert_int_equal(file_write_atomic(path, noise, 300000, 0600, NULL), 0);
	assert_log(*state, &all, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines_and_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line_is_joined_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tail_since_timestamps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_following_over_rotations_and_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_follower_skips, setup, teardown),
		cmocka_unit_test_setup_teardown(test_size_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage_in_the_file, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
