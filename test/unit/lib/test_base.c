/*
 * test_base.c - lib/base.c, lib/error.c, lib/arena.c, lib/buf.c and lib/version.c.
 */
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/wait.h>

#include <cmocka.h>

/* ---- base ---- */

static void test_strings(void **state)
{
	_free_ char *formatted = xasprintf("%s-%d", "a", 7), *cut = xstrndup("abcdef", 3), *whole = xstrndup("ab", 9);

	(void)state;
	assert_string_equal(formatted, "a-7");
	assert_string_equal(cut, "abc");
	assert_string_equal(whole, "ab");
	assert_true(str_ends("abc", "bc"));
	assert_true(str_ends("abc", ""));
	assert_false(str_ends("bc", "abc"));
	assert_true(str_starts("abc", "ab"));
	assert_false(str_starts("ab", "abc"));
	assert_false(streq(NULL, NULL));
	assert_true(streq("a", "a"));
	char *taken = steal(&formatted);

	assert_null(formatted);
	free(taken);
	free(xmalloc(0));
	free(xcalloc(0, 0));
	free(xrealloc(NULL, 0));
	assert_true(strlen(version_commit()) > 0);
}

/* ---- error ---- */

static int failing(struct error *e)
{
	return error_set_field(e, E_INVALID, "spec.image", "%d is wrong", 5);
}

static void test_errors(void **state)
{
	struct error e = {0};

	(void)state;
	assert_int_equal(failing(&e), -E_INVALID);
	assert_int_equal(failing(NULL), -E_INVALID);
	assert_string_equal(e.text, "5 is wrong");
	assert_string_equal(e.field, "spec.image");
	assert_int_equal(error_prefix(&e, "container %s", "shop"), -E_INVALID);
	assert_string_equal(e.text, "container shop: 5 is wrong");
	assert_string_equal(e.field, "spec.image");
	assert_int_equal(error_prefix(NULL, "x"), -E_INTERNAL);
	/* An error may be made of itself. */
	assert_int_equal(error_set(&e, E_CONFLICT, "again: %s", e.text), -E_CONFLICT);
	assert_string_equal(e.text, "again: container shop: 5 is wrong");
	assert_string_equal(e.field, "");
	assert_int_equal(error_prefix(&e, "%s", e.text), -E_CONFLICT);
	assert_string_equal(e.text, "again: container shop: 5 is wrong: again: container shop: 5 is wrong");
}

static void test_errno(void **state)
{
	struct error e = {0};

	(void)state;
	assert_int_equal(error_set_errno(&e, ENOENT, "cannot open %s", "x"), -E_NOT_FOUND);
	assert_string_equal(e.text, "cannot open x: No such file or directory");
	assert_int_equal(error_set_errno(&e, ENOSPC, "x"), -E_NO_SPACE);
	assert_int_equal(error_set_errno(&e, EDQUOT, "x"), -E_NO_SPACE);
	assert_int_equal(error_set_errno(&e, EACCES, "x"), -E_IO);
	assert_int_equal(error_set_errno(NULL, EACCES, "x"), -E_IO);
}

static void test_long_errors_are_cut(void **state)
{
	char text[2 * ERROR_TEXT_MAX];
	struct error e;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set_field(&e, E_INVALID, text, "%s", text);
	assert_int_equal(strlen(e.text), ERROR_TEXT_MAX - 1);
	assert_int_equal(strlen(e.field), ERROR_FIELD_MAX - 1);
	error_prefix(&e, "%s", text);
	error_set_errno(&e, EIO, "%s", text);
	assert_int_equal(strlen(e.text), ERROR_TEXT_MAX - 1);
}

static void test_error_table(void **state)
{
	(void)state;
	for (int code = 1; code < E_CODE_COUNT; code++) {
		int status = error_http_status(code);

		assert_in_range(status, 400, 599);
		assert_true(strlen(error_reason(code)) > 0);
		/* E_IO has no reason of its own in the API. */
		if (code != E_IO)
			assert_int_equal(error_code_from_http(status, error_reason(code)), code);
	}
	assert_int_equal(error_code_from_http(409, NULL), E_ALREADY_EXISTS);
	assert_int_equal(error_code_from_http(409, "Conflict"), E_CONFLICT);
	assert_int_equal(error_code_from_http(404, "Unheard"), E_NOT_FOUND);
	assert_int_equal(error_code_from_http(500, ""), E_INTERNAL);
	assert_int_equal(error_code_from_http(502, NULL), E_UNAVAILABLE);
	assert_int_equal(error_code_from_http(408, NULL), E_TIMEOUT);
	assert_int_equal(error_code_from_http(418, NULL), E_BAD_REQUEST);
	assert_int_equal(error_code_from_http(599, NULL), E_INTERNAL);
	assert_int_equal(error_http_status(0), 500);
	assert_int_equal(error_http_status(E_CODE_COUNT), 500);
	assert_true(error_is_retryable(E_UNAVAILABLE));
	assert_false(error_is_retryable(E_INVALID));
	assert_false(error_is_retryable(0));
}

/* ---- arena ---- */

static void test_arena(void **state)
{
	_arena_ a = arena_new();
	char *texts[1000];

	(void)state;
	arena_free(NULL);
	/* Values and strings of all sizes stay apart. */
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		unsigned char *p = arena_alloc(a, i);
		unsigned char *q = arena_calloc(a, i);

		assert_int_equal((uintptr_t)p % 16, 0);
		assert_int_equal((uintptr_t)q % 16, 0);
		for (size_t k = 0; k < i; k++)
			assert_int_equal(q[k], 0);
		memset(p, 0xa5, i);
		memset(q, 0x5a, i);
		texts[i] = arena_printf(a, "text %zu", i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char want[32];

		snprintf(want, sizeof(want), "text %zu", i);
		assert_string_equal(texts[i], want);
	}
	assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(a, "ab", 100), "ab");
	assert_string_equal(arena_strdup(a, ""), "");
}

static void test_arena_size(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	assert_int_equal(arena_size(a), 0);
	arena_strdup(a, "x");
	assert_int_equal(arena_size(a), 1024);
	/* A large piece does not waste what is left of the block in use. */
	arena_alloc(a, 1U << 20);
	size_t with_large = arena_size(a);

	arena_alloc(a, 100);
	assert_int_equal(arena_size(a), with_large);
	arena_free(a);
	a = arena_new();
	for (int i = 0; i < 100000; i++)
		arena_alloc(a, 64);
	assert_true(arena_size(a) < 100000 * 64 * 3 / 2);
	arena_free(a);
}

#ifdef __SANITIZE_ADDRESS__
/* Whether a child that touches the byte ends by the sanitizer's hand. */
static bool is_poisoned(const volatile char *p)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		close(STDERR_FILENO);
		_exit(*p ? 0 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

/* Running over a piece of an arena is found as it would be on the heap. */
static void test_arena_is_poisoned(void **state)
{
	_arena_ a = arena_new();
	char *p = arena_alloc(a, 24), *q = arena_alloc(a, 16), *s = arena_strdup(a, "seven78"),
	     *t = arena_strdup(a, "x");

	(void)state;
	assert_false(is_poisoned(p + 23));
	assert_true(is_poisoned(p + 24));
	assert_true(is_poisoned(q + 16));
	assert_false(is_poisoned(s + 7));
	assert_true(is_poisoned(s + 8));
	assert_true(is_poisoned(t + 8));
}
#endif

/* ---- buf ---- */

static void test_buf(void **state)
{
	_buf_ b = BUF_INIT(100);
	struct buf zeroed = {0};

	(void)state;
	buf_adds(&b, "ab");
	buf_addc(&b, 'c');
	buf_addf(&b, "%d", 12);
	buf_add(&b, "\0x", 2);
	assert_int_equal(b.len, 7);
	assert_memory_equal(b.data, "abc12\0x", 8);
	buf_consume(&b, 3);
	assert_memory_equal(b.data, "12\0x", 5);
	buf_consume(&b, 100);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.data, "");
	buf_adds(&b, "xyz");
	_free_ char *taken = buf_steal(&b), *nothing = buf_steal(&b);

	assert_string_equal(taken, "xyz");
	assert_string_equal(nothing, "");
	assert_int_equal(b.max, 100);
	buf_add(&b, NULL, 0);
	buf_consume(&b, 0);
	buf_reset(&b);
	buf_addc(&zeroed, 'x');
	assert_true(zeroed.over);
	assert_null(zeroed.data);
	buf_free(&zeroed);
	buf_free(&zeroed);
}

static void test_buf_limit(void **state)
{
	_buf_ b = BUF_INIT(5);

	(void)state;
	buf_adds(&b, "abcd");
	buf_adds(&b, "ef"); /* dropped whole */
	assert_true(b.over);
	assert_string_equal(b.data, "abcd");
	buf_addf(&b, "%s", "gh");
	assert_string_equal(b.data, "abcd");
	buf_addc(&b, 'e');
	assert_string_equal(b.data, "abcde");
	assert_true(b.cap <= 6);
	buf_reset(&b);
	assert_false(b.over);
	buf_adds(&b, "12345");
	assert_false(b.over);
	buf_add(&b, "x", SIZE_MAX);
	assert_true(b.over);
	assert_string_equal(b.data, "12345");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_long_errors_are_cut),
		cmocka_unit_test(test_error_table),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_arena_size),
#ifdef __SANITIZE_ADDRESS__
		cmocka_unit_test(test_arena_is_poisoned),
#endif
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_buf_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
