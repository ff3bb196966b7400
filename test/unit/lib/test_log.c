/*
 * test_log.c - lib/log.c: what a line looks like, and that one is always one.
 */
#include "lib/log.h"
#include "test/unit/lib/capture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

/* The line without its time; checks the time's form. */
static const char *after_time(const char *line)
{
	int n = 0;

	assert_int_equal(sscanf(line, "time=%*4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ %n", &n), 0);
	assert_int_equal(n, strlen("time=2026-01-02T03:04:05.678Z "));
	return line + n;
}

static void test_line(void **state)
{
	struct capture c;

	(void)state;
	log_init("agent", LOG_INFO);
	c = capture_begin(STDERR_FILENO);
	log_info("instance started", "instance", "shop-u1", "none", NULL, "why", "a \"b\" c=d\\", "n", log_num(-5),
		 NULL);
	_free_ char *text = capture_end(&c);

	assert_string_equal(after_time(text), "level=info component=agent msg=\"instance started\" instance=shop-u1 "
					      "why=\"a \\\"b\\\" c=d\\\\\" n=-5\n");
}

static void test_control_characters(void **state)
{
	struct capture c = capture_begin(STDERR_FILENO);

	(void)state;
	log_warn("x", "a", "1\n2\r\t\x1b[31m\x7f", "b", "", "c", "\xc3\xa9", NULL);
	_free_ char *text = capture_end(&c);

	assert_string_equal(after_time(text),
			    "level=warn component=agent msg=x a=\"1\\n2\\x0d\\x09\\x1b[31m\\x7f\" b=\"\" "
			    "c=\xc3\xa9\n");
}

static void test_long_values(void **state)
{
	struct capture c = capture_begin(STDERR_FILENO);
	char big[5001];

	(void)state;
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	memcpy(big + 2047, "\xc3\xa9", 2); /* the cut would split this character */
	log_error("x", "a", big, "b", big, "c", big, "d", big, "e", big, "f", "last", NULL);
	_free_ char *text = capture_end(&c);
	size_t len = strlen(text);

	assert_true(len <= 8192);
	assert_int_equal(text[len - 1], '\n');
	assert_ptr_equal(strchr(text, '\n'), text + len - 1);
	assert_non_null(strstr(text, "aaa\xe2\x80\xa6\" b="));
	/* What does not fit is left out whole; what follows and fits is not. */
	assert_null(strstr(text, " e="));
	assert_non_null(strstr(text, " f=last\n"));
}

static void test_levels(void **state)
{
	enum log_level level = LOG_ERROR;
	struct capture c;

	(void)state;
	assert_true(log_level_parse("debug", &level));
	assert_int_equal(level, LOG_DEBUG);
	assert_true(log_level_parse("warn", &level));
	assert_int_equal(level, LOG_WARN);
	assert_false(log_level_parse("loud", &level));
	assert_false(log_level_parse(NULL, &level));
	assert_int_equal(level, LOG_WARN);
	log_init("agent", LOG_WARN);
	assert_false(log_enabled(LOG_INFO));
	assert_true(log_enabled(LOG_WARN));
	c = capture_begin(STDERR_FILENO);
	log_info("not this", NULL);
	log_error("this", NULL);
	_free_ char *text = capture_end(&c);

	assert_null(strstr(text, "not this"));
	assert_non_null(strstr(text, "msg=this\n"));
}

static void *write_lines(void *arg)
{
	for (int i = 0; i < 200; i++)
		log_error("from a thread", "name", arg, "i", log_num(i), NULL);
	return NULL;
}

static void test_threads(void **state)
{
	static char names[4][8] = {"one", "two", "three", "four"};
	struct capture c = capture_begin(STDERR_FILENO);
	pthread_t threads[4];
	size_t lines = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	_free_ char *text = capture_end(&c);

	for (char *p = text, *end; (end = strchr(p, '\n')); p = end + 1, lines++)
		assert_int_equal(strncmp(p, "time=", 5), 0);
	assert_int_equal(lines, 800);
}

static void test_numbers(void **state)
{
	const char *kept[8];

	(void)state;
	for (int i = 0; i < 8; i++)
		kept[i] = log_num(INT64_MIN + i);
	assert_string_equal(kept[0], "-9223372036854775808");
	assert_string_equal(kept[7], "-9223372036854775801");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),	    cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_long_values), cmocka_unit_test(test_levels),
		cmocka_unit_test(test_threads),	    cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
