/*
 * test_request.c - START and EXEC frames: every kind of field, every limit, every refusal.
 */
#include "guest/request.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint8_t frame_bytes[CHANNEL_FRAME_MAX];
static struct channel_writer w;
static struct request request;
static char why[REQUEST_WHY_MAX];

static int begin(void **state)
{
	(void)state;
	channel_begin(&w, frame_bytes, CHANNEL_START, 1);
	why[0] = '\0';
	return 0;
}

static bool parse(void)
{
	size_t len = channel_end(&w);
	struct channel_frame f = {CHANNEL_START, 1, frame_bytes + CHANNEL_HEADER_SIZE, len - CHANNEL_HEADER_SIZE};

	assert_true(len > 0);
	return request_parse(&f, &request, why);
}

static void test_all_fields(void **state)
{
	struct probe_config probe;

	(void)state;
	channel_put_str(&w, CHANNEL_KEY_ARG, "/app/hello");
	channel_put_str(&w, CHANNEL_KEY_ARG, "");
	channel_put_str(&w, CHANNEL_KEY_ENV, "A=1");
	channel_put_str(&w, CHANNEL_KEY_ENV, "A=2");
	channel_put_str(&w, CHANNEL_KEY_ENV, "AB=3");
	channel_put_str(&w, CHANNEL_KEY_VOLUME, "/data");
	channel_put_str(&w, CHANNEL_KEY_DNS, "1.1.1.1");
	channel_put_str(&w, CHANNEL_KEY_CWD, "/app");
	channel_put_str(&w, CHANNEL_KEY_USER, "app");
	channel_put(&w, CHANNEL_KEY_ENTROPY, "a\0b", 3);
	channel_put_u64(&w, CHANNEL_KEY_TTY, 1);
	channel_put_u64(&w, CHANNEL_KEY_COLUMNS, 65535);
	channel_put(&w, 4711, "unknown", 7);
	channel_put_str(&w, CHANNEL_KEY_PROBE_KIND, "http");
	channel_put_u64(&w, CHANNEL_KEY_PROBE_PORT, 8080);
	channel_put_u64(&w, CHANNEL_KEY_PROBE_PERIOD_MS, 250);
	assert_true(parse());
	assert_int_equal(request.args.count, 2);
	assert_string_equal(request.args.at[1], "");
	assert_null(request.args.at[2]);
	assert_string_equal(request_env(&request.envs, "A"), "2");
	assert_string_equal(request_env(&request.envs, "AB"), "3");
	assert_null(request_env(&request.envs, "B"));
	assert_string_equal(request.cwd, "/app");
	assert_string_equal(request.hostname, "");
	assert_int_equal(request.entropy_len, 3);
	assert_memory_equal(request.entropy, "a\0b", 3);
	assert_int_equal(request.columns, 65535);
	assert_true(request_probe(&request, &probe));
	assert_int_equal(probe.kind, PROBE_HTTP);
	assert_int_equal(probe.period_ms, 250);
	assert_int_equal(probe.timeout_ms, PROBE_TIMEOUT_DEFAULT_MS);
	assert_int_equal(probe.failures, PROBE_FAILURES_DEFAULT);
	assert_string_equal(probe.path, "/");
}

static void test_a_request_leaves_nothing_to_the_next(void **state)
{
	(void)state;
	channel_put_str(&w, CHANNEL_KEY_ARG, "a");
	channel_put_str(&w, CHANNEL_KEY_CWD, "/x");
	channel_put_u64(&w, CHANNEL_KEY_TTY, 1);
	assert_true(parse());
	(void)begin(NULL);
	channel_put_str(&w, CHANNEL_KEY_ARG, "b");
	assert_true(parse());
	assert_int_equal(request.args.count, 1);
	assert_string_equal(request.args.at[0], "b");
	assert_string_equal(request.cwd, "");
	assert_int_equal(request.tty, 0);
}

static void test_refusals(void **state)
{
	static const struct {
		uint16_t key;
		const char *bytes;
		size_t len;
		const char *why;
	} rows[] = {
		{CHANNEL_KEY_TTY, "\1", 1, "field TTY is not a number"},
		{CHANNEL_KEY_TTY, "\2\0\0\0\0\0\0\0", 8, "field TTY is too large"},
		{CHANNEL_KEY_COLUMNS, "\0\0\1\0\0\0\0\0", 8, "field COLUMNS is too large"},
		{CHANNEL_KEY_CWD, "/a\0b", 4, "field CWD holds a NUL byte"},
		{CHANNEL_KEY_ARG, "a\0b", 3, "field ARG holds a NUL byte"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		(void)begin(NULL);
		channel_put_str(&w, CHANNEL_KEY_ARG, "a");
		channel_put(&w, rows[i].key, rows[i].bytes, rows[i].len);
		assert_false(parse());
		assert_string_equal(why, rows[i].why);
	}
	(void)begin(NULL);
	assert_false(parse());
	assert_string_equal(why, "there is no command: field ARG is missing or empty");
	(void)begin(NULL);
	channel_put_str(&w, CHANNEL_KEY_ARG, "");
	assert_false(parse());
	(void)begin(NULL);
	channel_put_str(&w, CHANNEL_KEY_ARG, "a");
	channel_put_raw(&w, "xx", 2);
	assert_false(parse());
}

static void test_word_limits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < REQUEST_WORDS_MAX; i++)
		channel_put_str(&w, CHANNEL_KEY_ARG, "a");
	assert_true(parse());
	channel_put_str(&w, CHANNEL_KEY_ARG, "a");
	assert_false(parse());
	assert_string_equal(why, "field ARG is given too often");
	(void)begin(NULL);
	channel_put_str(&w, CHANNEL_KEY_ARG, "a");
	for (unsigned i = 0; i < REQUEST_DNS_MAX + 1; i++)
		channel_put_str(&w, CHANNEL_KEY_DNS, "1.1.1.1");
	assert_false(parse());
}

static void test_a_full_frame_of_empty_words_fits(void **state)
{
	(void)state;
	channel_put_str(&w, CHANNEL_KEY_ARG, "a");
	while (w.len + 6 <= CHANNEL_FRAME_MAX)
		channel_put_str(&w, CHANNEL_KEY_CWD, "");
	assert_true(parse());
	assert_true(request.used <= sizeof(request.text));
}

static void test_long_entropy_is_cut(void **state)
{
	static const uint8_t bytes[REQUEST_ENTROPY_MAX + 1];

	(void)state;
	channel_put_str(&w, CHANNEL_KEY_ARG, "a");
	channel_put(&w, CHANNEL_KEY_ENTROPY, bytes, sizeof(bytes));
	assert_true(parse());
	assert_int_equal(request.entropy_len, REQUEST_ENTROPY_MAX);
}

static void test_probes(void **state)
{
	static const struct {
		const char *kind, *path;
		uint64_t port;
		bool ok;
	} rows[] = {
		{"", "", 0, true},
		{"none", "", 0, true},
		{"tcp", "", 80, true},
		{"tcp", "", 0, false},
		{"http", "/x?y=1", 80, true},
		{"http", "/a b", 80, false},
		{"http", "/a\r\nX: y", 80, false},
		{"udp", "", 80, false},
	};
	struct probe_config probe;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		(void)begin(NULL);
		channel_put_str(&w, CHANNEL_KEY_ARG, "a");
		channel_put_str(&w, CHANNEL_KEY_PROBE_KIND, rows[i].kind);
		channel_put_str(&w, CHANNEL_KEY_PROBE_PATH, rows[i].path);
		channel_put_u64(&w, CHANNEL_KEY_PROBE_PORT, rows[i].port);
		assert_true(parse());
		assert_int_equal(request_probe(&request, &probe), rows[i].ok);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_all_fields, begin),
		cmocka_unit_test_setup(test_a_request_leaves_nothing_to_the_next, begin),
		cmocka_unit_test_setup(test_refusals, begin),
		cmocka_unit_test_setup(test_word_limits, begin),
		cmocka_unit_test_setup(test_a_full_frame_of_empty_words_fits, begin),
		cmocka_unit_test_setup(test_long_entropy_is_cut, begin),
		cmocka_unit_test_setup(test_probes, begin),
	};

	return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
