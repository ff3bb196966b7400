/*
 * test_json.c - lib/json.c, lib/json_read.c and lib/json_build.c: what is taken and refused, limits, duplicates, trees,
 * round trips.
 */
#include "lib/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static int parse(struct arena *a, const char *text, struct json **ret, struct error *e)
{
	return json_parse(a, text, strlen(text), NULL, ret, e);
}

static struct json *must_parse(struct arena *a, const char *text)
{
	struct json *v = NULL;
	struct error e = {0};

	if (parse(a, text, &v, &e))
		fail_msg("%s: %s", text, e.text);
	return v;
}

/* ---- accepted, and what is written for it (NULL: the same text) ---- */

static const struct {
	const char *text, *written;
} accepted[] = {
	{"null", NULL},
	{"true", NULL},
	{"false", NULL},
	{"0", NULL},
	{"-1", NULL},
	{"9223372036854775807", NULL},
	{"-9223372036854775808", NULL},
	{"9223372036854775808", NULL},
	{"-9223372036854775809", NULL},
	{"123456789012345678901234567890", NULL},
	{"1.0", NULL},
	{"1.50", NULL},
	{"-0", NULL},
	{"-0.0", NULL},
	{"1e3", NULL},
	{"1E+3", NULL},
	{"1.5e-7", NULL},
	{"1.7976931348623157e308", NULL},
	{"0.1", NULL},
	{"\"\"", NULL},
	{"\"a b\"", NULL},
	{"\"\\u0041\"", "\"A\""},
	{"\"\\/\"", "\"/\""},
	{"\"\\\"\\\\\\b\\f\\n\\r\\t\"", "\"\\\"\\\\\\b\\f\\n\\r\\t\""},
	{"\"\\u0000\"", NULL},
	{"\"\\u001f\"", "\"\\u001F\""},
	{"\"\x7f\"", NULL},
	{"\"\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\"", NULL},
	{"\"\\uD834\\uDD1E\"", "\"\xf0\x9d\x84\x9e\""},
	{"\"\\ud834\\udd1e\"", "\"\xf0\x9d\x84\x9e\""},
	{"\"\\\\uD834\"", "\"\\\\uD834\""},
	{"\"\\uFFFF\"", "\"\xef\xbf\xbf\""},
	{"\"\\u00e9\"", "\"\xc3\xa9\""},
	{"[]", NULL},
	{"{}", NULL},
	{"[ ]", "[]"},
	{"{\n}\t\r", "{}"},
	{"[1,[2,[]],{\"a\":{}}]", NULL},
	{"{\"b\":1,\"a\":2,\"\":3}", NULL},
	{" \t\r\n[1 , 2] ", "[1,2]"},
	{"{\"a\":null}", NULL},
};

static void test_accepts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		_arena_ a = arena_new();
		const char *want = accepted[i].written ? accepted[i].written : accepted[i].text;

		assert_string_equal(json_to_string(a, must_parse(a, accepted[i].text)), want);
	}
}

/* ---- refused, and where ---- */

static const struct {
	const char *text, *error; /* what the message contains */
} refused[] = {
	{"", "premature EOF"},
	{" ", "premature EOF"},
	{"nul", "line 1, column"},
	{"nulL", "line 1, column"},
	{"tru", "line 1, column"},
	{"[1", "premature EOF"},
	{"{\"a\":1", "premature EOF"},
	{"\"abc", "premature EOF"},
	{"1 2", "trailing garbage"},
	{"{} x", "line 1"},
	{"[] []", "trailing garbage"},
	{"[1,]", "line 1, column 4"},
	{"[,1]", "line 1, column"},
	{"[1 2]", "line 1, column"},
	{"{\"a\":1,}", "line 1, column"},
	{"{a:1}", "line 1, column"},
	{"{'a':1}", "line 1, column"},
	{"{1:1}", "line 1, column"},
	{"{\"a\" 1}", "line 1, column"},
	{"{\"a\":}", "line 1, column"},
	{"{,}", "line 1, column"},
	{"[}", "line 1, column"},
	{"{]", "line 1, column"},
	{"]", "line 1, column"},
	{"01", "line 1, column"},
	{"-", "line 1, column"},
	{"-a", "line 1, column"},
	{"+1", "line 1, column"},
	{"1.", "line 1, column"},
	{".5", "line 1, column"},
	{"1.e5", "line 1, column"},
	{"1e", "line 1, column"},
	{"1e+", "line 1, column"},
	{"0x10", "line 1, column"},
	{"1_000", "line 1, column"},
	{"NaN", "line 1, column"},
	{"Infinity", "line 1, column"},
	{"-Infinity", "line 1, column"},
	{"1e999", "out of range"},
	{"-1e999", "out of range"},
	{"// c\n1", "line 1, column"},
	{"/* c */ 1", "line 1, column"},
	{"\"\t\"", "line 1, column"},
	{"\"\n\"", "line"},
	{"\"\\x41\"", "line 1, column"},
	{"\"\\u12\"", "line 1, column"},
	{"\"\\u12G4\"", "line 1, column"},
	{"\"\\\"", "line 1, column"},
	{"\"\\ud834\"", "half of a surrogate pair"},
	{"\"\\udd1e\"", "half of a surrogate pair"},
	{"\"\\ud834\\ud834\"", "half of a surrogate pair"},
	{"\"\\ud834x\"", "half of a surrogate pair"},
	{"\"\\ud834\\n\"", "half of a surrogate pair"},
	{"\"\\ud834", "half of a surrogate pair"},
	{"\"\\ud834\\udd1", "half of a surrogate pair"},
	{"\"\x80\"", "invalid UTF-8"},
	{"\"\xc0\x80\"", "invalid UTF-8"},
	{"\"\xc3\"", "invalid UTF-8"},
	{"\"\xe0\x80\x80\"", "invalid UTF-8"},
	{"\"\xed\xa0\x80\"", "invalid UTF-8"},
	{"\"\xf0\x80\x80\x80\"", "invalid UTF-8"},
	{"\"\xf4\x90\x80\x80\"", "invalid UTF-8"},
	{"\"\xf5\x80\x80\x80\"", "invalid UTF-8"},
	{"\"\xff\"", "invalid UTF-8"},
	{"\xef\xbb\xbf{}", "line 1, column"},
	{"{\"a\\u0000b\":1}", "NUL"},
	{"{\n  \"a\": 1,\n  \"b\": x\n}", "line 3, column"},
	{"{\n  \"\xc3\xa9\": 1, x}", "line 2, column 11"},
};

static void test_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_arena_ a = arena_new();
		struct json *v = NULL;
		struct error e = {0};
		int r = parse(a, refused[i].text, &v, &e);

		if (r != -E_BAD_REQUEST)
			fail_msg("%s: gives %d", refused[i].text, r);
		if (!strstr(e.text, refused[i].error))
			fail_msg("%s: \"%s\" does not say \"%s\"", refused[i].text, e.text, refused[i].error);
		assert_null(v);
		/* Without an error to fill, and cut out of a larger text. */
		assert_int_equal(parse(a, refused[i].text, &v, NULL), -E_BAD_REQUEST);
	}
}

static void test_raw_nul_and_length(void **state)
{
	_arena_ a = arena_new();
	struct json *v;

	(void)state;
	assert_int_equal(json_parse(a, "1\0", 2, NULL, &v, NULL), -E_BAD_REQUEST);
	assert_int_equal(json_parse(a, "[1]garbage", 3, NULL, &v, NULL), 0);
	assert_int_equal(json_count(v), 1);
	assert_int_equal(json_parse(a, NULL, 0, NULL, &v, NULL), -E_BAD_REQUEST);
}

/* ---- limits ---- */

static char *nested(struct arena *a, unsigned depth, const char *open, const char *close)
{
	_buf_ b = BUF_INIT(1U << 20);

	for (unsigned i = 0; i < depth; i++)
		buf_adds(&b, open);
	buf_adds(&b, "1");
	for (unsigned i = 0; i < depth; i++)
		buf_adds(&b, close);
	return arena_strdup(a, b.data);
}

static void test_depth(void **state)
{
	_arena_ a = arena_new();
	struct json_options five = {.max_depth = 5}, beyond = {.max_depth = 1000};
	struct error e = {0};
	struct json *v;
	const char *text;

	(void)state;
	assert_int_equal(parse(a, nested(a, JSON_MAX_DEPTH, "[", "]"), &v, &e), 0);
	assert_int_equal(parse(a, nested(a, JSON_MAX_DEPTH + 1, "[", "]"), &v, &e), -E_BAD_REQUEST);
	assert_non_null(strstr(e.text, "nested deeper than 64"));
	assert_int_equal(parse(a, nested(a, JSON_MAX_DEPTH, "{\"a\":", "}"), &v, &e), 0);
	assert_int_equal(parse(a, nested(a, JSON_MAX_DEPTH + 1, "{\"a\":", "}"), &v, &e), -E_BAD_REQUEST);
	assert_int_equal(parse(a, nested(a, 100000, "[", ""), &v, &e), -E_BAD_REQUEST);
	text = nested(a, 5, "[", "]");
	assert_int_equal(json_parse(a, text, strlen(text), &five, &v, &e), 0);
	text = nested(a, 6, "[", "]");
	assert_int_equal(json_parse(a, text, strlen(text), &five, &v, &e), -E_BAD_REQUEST);
	text = nested(a, JSON_MAX_DEPTH + 1, "[", "]");
	assert_int_equal(json_parse(a, text, strlen(text), &beyond, &v, &e), -E_BAD_REQUEST);
}

static void test_size(void **state)
{
	_arena_ a = arena_new();
	struct json_options small = {.max_bytes = 4};
	_buf_ b = BUF_INIT(JSON_MAX_BYTES + 1);
	struct json *v;
	struct error e;

	(void)state;
	assert_int_equal(json_parse(a, "1234", 4, &small, &v, &e), 0);
	assert_int_equal(json_parse(a, "12345", 5, &small, &v, &e), -E_TOO_LARGE);
	assert_non_null(strstr(e.text, "limit of 4"));
	buf_addc(&b, '"');
	while (b.len < JSON_MAX_BYTES - 1)
		buf_addc(&b, 'x');
	buf_addc(&b, '"');
	assert_int_equal(json_parse(a, b.data, b.len, NULL, &v, &e), 0);
	assert_int_equal(json_strlen(v), JSON_MAX_BYTES - 2);
	buf_addc(&b, ' ');
	assert_int_equal(json_parse(a, b.data, b.len, NULL, &v, &e), -E_TOO_LARGE);
}

static void test_long_number(void **state)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(2000);
	struct json *v;
	struct error e;

	(void)state;
	buf_adds(&b, "0.");
	while (b.len < 1000)
		buf_addc(&b, '3');
	assert_int_equal(json_parse(a, b.data, b.len, NULL, &v, &e), -E_BAD_REQUEST);
	assert_non_null(strstr(e.text, "out of range"));
	assert_int_equal(json_parse(a, b.data, 400, NULL, &v, &e), 0);
	assert_int_equal(strlen(json_to_string(a, v)), 400);
}

/* ---- duplicates ---- */

static const struct {
	const char *text, *path, *merged;
} duplicates[] = {
	{"{\"a\":1,\"a\":2}", "a", "{\"a\":2}"},
	{"{\"a\":1,\"b\":0,\"\\u0061\":2}", "a", "{\"a\":2,\"b\":0}"},
	{"{\"spec\":{\"image\":1,\"image\":2}}", "spec.image", "{\"spec\":{\"image\":2}}"},
	{"{\"spec\":{\"ports\":[{\"name\":1},{\"name\":2,\"name\":3}]}}", "spec.ports[1].name",
	 "{\"spec\":{\"ports\":[{\"name\":1},{\"name\":3}]}}"},
	{"[[],[{\"\":1,\"\":2}]]", "[1][0].", "[[],[{\"\":2}]]"},
	{"{\"a\":{\"x\":1},\"a\":{\"y\":1}}", "a", "{\"a\":{\"y\":1}}"},
};

static void test_duplicates(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(duplicates); i++) {
		_arena_ a = arena_new();
		struct json_options opt = {.duplicates = json_array(a)};
		struct json *v = NULL;
		struct error e = {0};
		const char *text = duplicates[i].text;

		assert_int_equal(parse(a, text, &v, &e), -E_BAD_REQUEST);
		assert_non_null(strstr(e.text, "duplicate key"));
		assert_non_null(strstr(e.text, duplicates[i].path));
		assert_int_equal(json_parse(a, text, strlen(text), &opt, &v, &e), 0);
		assert_int_equal(json_count(opt.duplicates), 1);
		assert_string_equal(json_str(json_item(opt.duplicates, 0)), duplicates[i].path);
		assert_string_equal(json_to_string(a, v), duplicates[i].merged);
	}
}

static void test_duplicate_position(void **state)
{
	_arena_ a = arena_new();
	struct error e = {0};
	struct json *v;

	(void)state;
	assert_int_equal(parse(a, "{\n  \"a\": 1,\n  \"a\": {\"b\": 1}\n}", &v, &e), -E_BAD_REQUEST);
	assert_non_null(strstr(e.text, "line 3, column 3: duplicate key a"));
}

/* {"k0":0, ... } with n members, and one more that repeats member `again` when it is not negative. */
static void many_members(struct buf *b, int n, int again)
{
	buf_adds(b, "{");
	for (int i = 0; i < n; i++)
		buf_addf(b, "%s\"k%d\":%d", i ? "," : "", i, i);
	if (again >= 0)
		buf_addf(b, ",\"k%d\":-1", again);
	buf_adds(b, "}");
}

static void test_duplicates_in_large_objects(void **state)
{
	static const int sizes[] = {15, 16, 17, 18, 1000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_arena_ a = arena_new();
		_buf_ b = BUF_INIT(JSON_MAX_BYTES), c = BUF_INIT(JSON_MAX_BYTES);
		struct json_options opt = {.duplicates = json_array(a)};
		struct json *v;
		struct error e;

		many_members(&b, sizes[i], -1);
		assert_int_equal(json_parse(a, b.data, b.len, NULL, &v, &e), 0);
		many_members(&c, sizes[i], sizes[i] - 1);
		assert_int_equal(json_parse(a, c.data, c.len, NULL, &v, &e), -E_BAD_REQUEST);
		assert_int_equal(json_parse(a, c.data, c.len, &opt, &v, &e), 0);
		assert_int_equal(json_count(v), sizes[i]);
		assert_int_equal(json_int_or(json_item(v, (size_t)sizes[i] - 1), 0), -1);
	}
}

/* As many members as the size limit allows: quadratic behaviour would take minutes. */
static void test_hostile_objects(void **state)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(JSON_MAX_BYTES);
	struct json_options opt = {.duplicates = json_array(a)};
	struct json *v, *c;
	struct error e;

	(void)state;
	many_members(&b, 150000, -1);
	assert_false(b.over);
	assert_int_equal(json_parse(a, b.data, b.len, &opt, &v, &e), 0);
	assert_int_equal(json_count(v), 150000);
	for (int i = 0; i < 150000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(json_int_or(json_get(v, key), -1), i);
	}
	c = json_clone(a, v);
	assert_true(json_equal(c, v));
	while (json_count(c))
		json_remove_item(c, json_count(c) - 1);
	buf_reset(&b);
	buf_adds(&b, "{\"k\":1");
	while (b.len < JSON_MAX_BYTES - 16)
		buf_adds(&b, ",\"k\":2");
	buf_adds(&b, "}");
	assert_int_equal(json_parse(a, b.data, b.len, &opt, &v, &e), 0);
	assert_int_equal(json_count(v), 1);
	assert_int_equal(json_count(opt.duplicates), 100);
}

/* Paths stay short however long keys are, and the report does too. */
static void test_long_duplicate_paths(void **state)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(JSON_MAX_BYTES);
	struct json_options opt = {.duplicates = json_array(a)};
	struct json *v;
	struct error e;

	(void)state;
	for (int d = 0; d < 60; d++) {
		buf_adds(&b, "{\"");
		for (int i = 0; i < 10000; i++)
			buf_adds(&b, "\xc3\xa9");
		buf_adds(&b, "\":");
	}
	buf_adds(&b, "{\"x\":1,\"x\":2}");
	for (int d = 0; d < 60; d++)
		buf_adds(&b, "}");
	assert_int_equal(json_parse(a, b.data, b.len, &opt, &v, &e), 0);
	assert_int_equal(json_count(opt.duplicates), 1);
	assert_true(json_strlen(json_item(opt.duplicates, 0)) <= 512);
	assert_int_equal(json_parse(a, b.data, b.len, NULL, &v, &e), -E_BAD_REQUEST);
}

/* ---- reading ---- */

static void test_reading(void **state)
{
	_arena_ a = arena_new();
	struct json *v = must_parse(a, "{\"metadata\":{\"name\":\"x\",\"n\":7,\"r\":1.5,\"t\":true},\"l\":[1,\"b\"]}");

	(void)state;
	assert_string_equal(json_str(json_in(v, "metadata", "name")), "x");
	assert_null(json_str(json_in(v, "metadata", "n")));
	assert_null(json_in(v, "metadata", "name", "deeper"));
	assert_null(json_in(v, "nothing", "name"));
	assert_int_equal(json_int_or(json_in(v, "metadata", "n"), 0), 7);
	assert_int_equal(json_int_or(json_in(v, "metadata", "name"), 3), 3);
	assert_true(json_real_or(json_in(v, "metadata", "n"), 0) > 6.9);
	assert_true(json_real_or(json_in(v, "metadata", "r"), 0) > 1.4);
	assert_int_equal(json_whole_or(json_in(v, "metadata", "r"), 0), 1);
	assert_int_equal(json_whole_or(json_in(v, "metadata", "n"), 0), 7);
	assert_int_equal(json_whole_or(json_real(a, 1e300), 0), INT64_MAX);
	assert_int_equal(json_whole_or(json_real(a, -1e300), 0), INT64_MIN);
	assert_int_equal(json_whole_or(NULL, 3), 3);
	assert_true(json_bool_or(json_in(v, "metadata", "t"), false));
	assert_true(json_bool_or(NULL, true));
	assert_string_equal(json_str_or(NULL, "d"), "d");
	assert_int_equal(json_count(json_get(v, "l")), 2);
	assert_string_equal(json_str(json_item(json_get(v, "l"), 1)), "b");
	assert_null(json_item(json_get(v, "l"), 2));
	assert_string_equal(json_key(v, 1), "l");
	assert_string_equal(json_key(v, 2), "");
	assert_string_equal(json_key(json_get(v, "l"), 0), "");
	assert_int_equal(json_count(NULL), 0);
	assert_int_equal(json_count(json_in(v, "metadata", "name")), 0);
	assert_null(json_get(NULL, "x"));
	assert_null(json_get(json_get(v, "l"), "x"));
	assert_int_equal(json_type(NULL), JSON_NULL);
	assert_false(json_is(NULL, JSON_NULL));
	assert_int_equal(json_strlen(NULL), 0);
	assert_string_equal(json_type_name(JSON_INT), "integer");
	assert_string_equal(json_type_name(JSON_REAL), "number");
	assert_string_equal(json_type_name(JSON_OBJECT), "object");
}

static void test_nul_in_strings(void **state)
{
	_arena_ a = arena_new();
	struct json *v = must_parse(a, "\"a\\u0000b\"");

	(void)state;
	assert_int_equal(json_strlen(v), 3);
	assert_memory_equal(json_str(v), "a\0b", 4);
	assert_string_equal(json_to_string(a, v), "\"a\\u0000b\"");
	assert_true(json_equal(v, json_clone(a, v)));
	assert_false(json_equal(v, json_string(a, "a")));
}

static const struct {
	const char *a, *b;
	bool equal;
} pairs[] = {
	{"1", "1.0", true},
	{"1", "1", true},
	{"1", "2", false},
	{"0", "-0", true},
	{"100", "1e2", true},
	{"1.5", "1.50", true},
	{"1", "1.5", false},
	{"9007199254740993", "9007199254740992.0", false},
	{"9223372036854775807", "9223372036854775808", false},
	{"9223372036854775807", "9.223372036854775807e18", false},
	{"-9223372036854775808", "-9.223372036854775808e18", true},
	{"18446744073709551616", "18446744073709551617", false},
	{"18446744073709551616", "18446744073709551616", true},
	{"\"1\"", "1", false},
	{"\"a\"", "\"a\"", true},
	{"\"a\"", "\"ab\"", false},
	{"null", "null", true},
	{"null", "false", false},
	{"true", "false", false},
	{"[1,2]", "[1,2]", true},
	{"[1,2]", "[2,1]", false},
	{"[1]", "[1,1]", false},
	{"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true},
	{"{\"a\":1}", "{\"a\":2}", false},
	{"{\"a\":null}", "{}", false},
	{"{\"a\":null}", "{\"b\":null}", false},
	{"{\"a\":[{\"b\":1.0}]}", "{\"a\":[{\"b\":1}]}", true},
	{"{}", "[]", false},
};

static void test_equal(void **state)
{
	_arena_ a = arena_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct json *x = must_parse(a, pairs[i].a), *y = must_parse(a, pairs[i].b);

		if (json_equal(x, y) != pairs[i].equal || json_equal(y, x) != pairs[i].equal)
			fail_msg("%s and %s", pairs[i].a, pairs[i].b);
	}
	assert_true(json_equal(NULL, NULL));
	assert_false(json_equal(NULL, json_null(a)));
}

/* ---- building ---- */

static void test_building(void **state)
{
	_arena_ a = arena_new();
	struct json *o = json_object(a), *l;

	(void)state;
	json_set_str(a, o, "s", "x");
	json_set_str(a, o, "none", NULL);
	json_set_int(a, o, "i", INT64_MIN);
	json_set_bool(a, o, "b", false);
	json_set(a, o, "r", json_real(a, 0.1));
	json_set(a, o, "n", json_null(a));
	json_set_str(a, o, "s", "y");
	l = json_ensure_array(a, o, "l");
	json_append(a, l, json_int(a, 2));
	json_insert(a, l, 0, json_int(a, 1));
	json_insert(a, l, 2, json_stringf(a, "%d-%s", 3, "x"));
	json_set_str(a, json_ensure_object(a, o, "m"), "k", "v");
	assert_ptr_equal(json_ensure_object(a, o, "m"), json_get(o, "m"));
	assert_ptr_equal(json_ensure_array(a, o, "l"), l);
	assert_string_equal(json_to_string(a, o),
			    "{\"s\":\"y\",\"i\":-9223372036854775808,\"b\":false,\"r\":0.1,\"n\":null,"
			    "\"l\":[1,2,\"3-x\"],\"m\":{\"k\":\"v\"}}");
	json_remove_item(l, 1);
	json_remove_item(l, 7);
	json_replace_item(l, 0, json_string(a, NULL));
	assert_true(json_unset(o, "i"));
	assert_false(json_unset(o, "i"));
	assert_false(json_unset(l, "i"));
	json_remove_item(o, 0);
	json_replace_item(o, 0, json_bool(a, true));
	assert_string_equal(json_to_string(a, o),
			    "{\"b\":true,\"r\":0.1,\"n\":null,\"l\":[null,\"3-x\"],\"m\":{\"k\":\"v\"}}");
	/* A member of another type is replaced. */
	assert_int_equal(json_count(json_ensure_object(a, o, "b")), 0);
}

static void test_reals(void **state)
{
	static const struct {
		double d;
		const char *text;
	} reals[] = {{0.1, "0.1"},
		     {2, "2.0"},
		     {-0.0, "-0.0"},
		     {1e100, "1e+100"},
		     {1.0 / 3, "0.333333333333333"},
		     {123456789.125, "123456789.125"},
		     {5e-324, "4.94065645841247e-324"}};
	_arena_ a = arena_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(reals); i++) {
		const char *text = json_to_string(a, json_real(a, reals[i].d));

		/* The text reads back as the same number. */
		assert_true(fabs(strtod(text, NULL) - reals[i].d) <= 0);
		if (i != 4)
			assert_string_equal(text, reals[i].text);
	}
	assert_string_equal(json_to_string(a, json_real(a, INFINITY)), "null");
	assert_string_equal(json_to_string(a, json_real(a, NAN)), "null");
	assert_null(json_number(a, "1e999", 5));
	assert_string_equal(json_to_string(a, json_number(a, "1.10", 4)), "1.10");
	assert_int_equal(json_int_or(json_number(a, "42", 2), 0), 42);
}

/* Strings from outside JSON may be anything; what is written is JSON nevertheless. */
static void test_repairs_utf8(void **state)
{
	_arena_ a = arena_new();
	struct json *o = json_object(a), *v;

	(void)state;
	assert_string_equal(json_to_string(a, json_string(a, "a\xff"
							     "b\xc3")),
			    "\"a\xef\xbf\xbd"
			    "b\xef\xbf\xbd\"");
	assert_string_equal(json_to_string(a, json_stringn(a, "\xed\xa0\x80", 3)),
			    "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	json_set_str(a, o, "k\xff", "1");
	json_set_str(a, o, "k\xfe", "2");
	assert_int_equal(json_count(o), 1);
	assert_int_equal(parse(a, json_to_string(a, o), &v, NULL), 0);
}

/* Sets, replaces and removes at random beside a plain array that does the same. */
static void test_objects_against_model(void **state)
{
	_arena_ a = arena_new();
	struct json *o = json_object(a);
	int model[200], order[200];
	size_t count = 0;
	uint32_t seed = 1;

	(void)state;
	memset(model, 0xff, sizeof(model));
	for (int step = 0; step < 20000; step++) {
		seed = seed * 1664525 + 1013904223;
		int k = (int)(seed >> 16) % 200;
		char key[16];
		size_t at = 0;

		snprintf(key, sizeof(key), "key-%d", k);
		if (seed >> 31) {
			json_set_int(a, o, key, step);
			if (model[k] < 0)
				order[count++] = k;
			model[k] = step;
		} else {
			assert_int_equal(json_unset(o, key), model[k] >= 0);
			if (model[k] < 0)
				continue;
			model[k] = -1;
			while (order[at] != k)
				at++;
			memmove(order + at, order + at + 1, (--count - at) * sizeof(*order));
		}
		assert_int_equal(json_count(o), count);
		assert_int_equal(json_int_or(json_get(o, key), -1), model[k]);
	}
	for (size_t i = 0; i < count; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key-%d", order[i]);
		assert_string_equal(json_key(o, i), key);
		assert_int_equal(json_int_or(json_item(o, i), -1), model[order[i]]);
	}
	assert_true(json_equal(o, json_clone(a, o)));
}

static bool keep_odd(void *user, const char *key, struct json *value)
{
	++*(size_t *)user;
	return (!key || key[0] == 'k') && json_int_or(value, 0) % 2 == 1;
}

static void test_filter(void **state)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(JSON_MAX_BYTES);
	struct json *v = must_parse(a, "{\"k1\":1,\"k2\":2,\"x3\":3,\"k5\":5}"), *l = must_parse(a, "[1,2,3,\"x\"]");
	size_t calls = 0;

	(void)state;
	assert_int_equal(json_filter(v, keep_odd, &calls), 2);
	assert_string_equal(json_to_string(a, v), "{\"k1\":1,\"k5\":5}");
	assert_int_equal(json_filter(l, keep_odd, &calls), 2);
	assert_string_equal(json_to_string(a, l), "[1,3]");
	assert_int_equal(calls, 8);
	assert_int_equal(json_filter(json_item(l, 0), keep_odd, &calls), 0);
	assert_int_equal(json_filter(NULL, keep_odd, &calls), 0);
	many_members(&b, 100000, -1);
	assert_int_equal(json_parse(a, b.data, b.len, NULL, &v, NULL), 0);
	assert_int_equal(json_filter(v, keep_odd, &calls), 50000);
	assert_int_equal(json_int_or(json_get(v, "k77777"), 0), 77777);
	assert_null(json_get(v, "k77778"));
	json_set_int(a, v, "k0", 1);
	assert_int_equal(json_int_or(json_get(v, "k0"), 0), 1);
	assert_int_equal(json_count(v), 50001);
}

static void test_clone_is_independent(void **state)
{
	_arena_ a = arena_new();
	struct arena *b = arena_new();
	struct json *v = json_clone(a, must_parse(b, "{\"a\":[1,2.50,\"x\",null,true],\"b\":{}}"));

	(void)state;
	arena_free(b);
	json_append(a, json_get(v, "a"), json_int(a, 3));
	json_set_int(a, v, "c", 4);
	json_set_int(a, json_get(v, "b"), "d", 5);
	assert_string_equal(json_to_string(a, v), "{\"a\":[1,2.50,\"x\",null,true,3],\"b\":{\"d\":5},\"c\":4}");
	assert_null(json_clone(a, NULL));
}

/* ---- writing ---- */

static void test_pretty(void **state)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(1000);

	(void)state;
	json_write(must_parse(a, "{\"a\":[1,{\"b\":[]}],\"c\":{}}"), JSON_PRETTY, &b);
	assert_string_equal(b.data, "{\n    \"a\": [\n        1,\n        {\n            \"b\": []\n        }\n    ],\n"
				    "    \"c\": {}\n}");
	buf_reset(&b);
	json_write(NULL, JSON_COMPACT, &b);
	assert_string_equal(b.data, "null");
}

static void test_write_limits(void **state)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(10), c = BUF_INIT(10000);
	struct json *v = json_array(a);

	(void)state;
	json_write(must_parse(a, "[1,2,3,4,5,6,7]"), JSON_COMPACT, &b);
	assert_true(b.over);
	for (int i = 0; i < 500; i++) {
		struct json *outer = json_array(a);

		json_append(a, outer, v);
		v = outer;
	}
	json_write(v, JSON_COMPACT, &c);
	assert_true(c.over);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_raw_nul_and_length),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_long_number),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_duplicate_position),
		cmocka_unit_test(test_duplicates_in_large_objects),
		cmocka_unit_test(test_hostile_objects),
		cmocka_unit_test(test_long_duplicate_paths),
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_nul_in_strings),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_building),
		cmocka_unit_test(test_reals),
		cmocka_unit_test(test_repairs_utf8),
		cmocka_unit_test(test_objects_against_model),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_clone_is_independent),
		cmocka_unit_test(test_pretty),
		cmocka_unit_test(test_write_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
