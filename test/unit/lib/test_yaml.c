/*
 * test_yaml.c - lib/yaml.c and lib/yaml_scalar.c: what documents mean, what is refused, limits, and that what is
 * written reads back the same.
 */
#include "lib/yaml.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- accepted: YAML, and the JSON of its documents ---- */

static const struct {
	const char *yaml, *json;
} accepted[] = {
	{"", "[]"},
	{"\n# nothing\n", "[]"},
	{"---\n---\n# nothing\n---\na: 1\n---\n", "[{\"a\":1}]"},
	{"a: 1\n---\nb: 2\n...\n---\nc: 3\n", "[{\"a\":1},{\"b\":2},{\"c\":3}]"},
	{"%YAML 1.1\n---\na: 1\n", "[{\"a\":1}]"},
	{"\xef\xbb\xbf"
	 "a: 1\n",
	 "[{\"a\":1}]"},
	{"a:\n  b:\n  - 1\n  - c: x\n    d: z\n", "[{\"a\":{\"b\":[1,{\"c\":\"x\",\"d\":\"z\"}]}}]"},
	{"{\"a\": [1, 2.50, \"x\", null, true], \"b\": {}}", "[{\"a\":[1,2.50,\"x\",null,true],\"b\":{}}]"},
	{"{\n\t\"a\":\t[\n\t\t1\n\t]\n}\n", "[{\"a\":[1]}]"},
	{"[a, b]\n", "[[\"a\",\"b\"]]"},
	{"just text\n", "[\"just text\"]"},
	/* nulls and booleans */
	{"[~, null, Null, NULL, ]", "[[null,null,null,null]]"},
	{"a:\nb: ''\n", "[{\"a\":null,\"b\":\"\"}]"},
	{"[true, True, TRUE, yes, Yes, YES, on, On, ON, y, Y]",
	 "[[true,true,true,true,true,true,true,true,true,true,true]]"},
	{"[false, False, FALSE, no, No, NO, off, Off, OFF, n, N]",
	 "[[false,false,false,false,false,false,false,false,false,false,false]]"},
	{"['true', \"yes\", !!str no, tRUE, nULL, oN]", "[[\"true\",\"yes\",\"no\",\"tRUE\",\"nULL\",\"oN\"]]"},
	/* whole numbers */
	{"[0, -1, +5, 1_000, 0x1F, -0x10, 017, 0o17, 0b101, 0B1]", "[[0,-1,5,1000,31,-16,15,15,5,1]]"},
	{"[00, 08, -09, 0778]", "[[0,8,-9,778]]"},
	{"[9223372036854775807, -9223372036854775808, 9223372036854775808]",
	 "[[9223372036854775807,-9223372036854775808,9223372036854775808]]"},
	{"['1', \"1\", !!str 1, 1a, 0x, 0xg, 0b2, 1-2, -, +, --1, +-1, _1]",
	 "[[\"1\",\"1\",\"1\",\"1a\",\"0x\",\"0xg\",\"0b2\",\"1-2\",\"-\",\"+\",\"--1\",\"+-1\",\"_1\"]]"},
	/* real numbers, in JSON's spelling */
	{"[1.5, -0.25, 1.50, 1., .5, -.5, +1.5, 1e3, 1.e3, 1E-2, 007.5, 1_0.5]",
	 "[[1.5,-0.25,1.50,1.0,0.5,-0.5,1.5,1e3,1.0e3,1E-2,7.5,10.5]]"},
	{"[1.2.3, 10.88.0.5, 1e, e1, ., .., .e1, 1e999, 12:30, 2026-01-02, 256Mi, 500m]",
	 "[[\"1.2.3\",\"10.88.0.5\",\"1e\",\"e1\",\".\",\"..\",\".e1\",\"1e999\",\"12:30\",\"2026-01-02\",\"256Mi\",\"500m\"]]"},
	/* scalars in their styles */
	{"a: |\n  one\n  two\nb: >\n  one\n  two\nc: |-\n  x\nd: |+\n  x\n\n",
	 "[{\"a\":\"one\\ntwo\\n\",\"b\":\"one two\\n\",\"c\":\"x\",\"d\":\"x\\n\\n\"}]"},
	{"a: 'it''s'\nb: \"\\t\\u00e9\\x41\\0\"\n", "[{\"a\":\"it's\",\"b\":\"\\t\xc3\xa9"
						    "A\\u0000\"}]"},
	{"a: b # c\n", "[{\"a\":\"b\"}]"},
	{"a: b#c\n", "[{\"a\":\"b#c\"}]"},
	{"a: one\n  two\n", "[{\"a\":\"one two\"}]"},
	/* keys are text */
	{"80: a\ntrue: b\n1.5: c\n~: d\n'': e\non: f\n",
	 "[{\"80\":\"a\",\"true\":\"b\",\"1.5\":\"c\",\"~\":\"d\",\"\":\"e\",\"on\":\"f\"}]"},
	{"? a\n: b\n", "[{\"a\":\"b\"}]"},
	/* anchors, aliases, merge keys */
	{"a: &x {k: 1}\nb: *x\nc: [*x, *x]\n", "[{\"a\":{\"k\":1},\"b\":{\"k\":1},\"c\":[{\"k\":1},{\"k\":1}]}]"},
	{"a: &x 5\nb: *x\n", "[{\"a\":5,\"b\":5}]"},
	{"&k a: 1\nb: *k\n", "[{\"a\":1,\"b\":\"a\"}]"},
	{"a: &x 1\nb: &x 2\nc: *x\n", "[{\"a\":1,\"b\":2,\"c\":2}]"},
	{"a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  l: 3\n", "[{\"a\":{\"k\":1,\"l\":2},\"b\":{\"l\":3,\"k\":1}}]"},
	{"a: &x {k: 1}\nb: &y {k: 2, l: 2}\nc: {<<: [*x, *y], m: 3}\n",
	 "[{\"a\":{\"k\":1},\"b\":{\"k\":2,\"l\":2},\"c\":{\"m\":3,\"k\":1,\"l\":2}}]"},
	{"a: {<<: {k: 1}}\n", "[{\"a\":{\"k\":1}}]"},
	{"a: {'<<': 1}\n", "[{\"a\":{\"<<\":1}}]"},
	/* tags of the core schema */
	{"[!!str 1, !!int 1, !!float 1.5, !!float 1, !!bool yes, !!null ~, ! 1]", "[[\"1\",1,1.5,1,true,null,\"1\"]]"},
	{"!!map {a: !!seq [1]}", "[{\"a\":[1]}]"},
};

static void test_accepts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		_arena_ a = arena_new();
		struct json *v = NULL;
		struct error e = {0};
		const char *text;

		if (yaml_parse(a, accepted[i].yaml, strlen(accepted[i].yaml), &v, &e))
			fail_msg("%s\n%s", accepted[i].yaml, e.text);
		text = json_to_string(a, v);
		if (strcmp(text, accepted[i].json) != 0)
			fail_msg("%s\nis      %s\nand not %s", accepted[i].yaml, text, accepted[i].json);
	}
}

/* ---- refused, and where ---- */

static const struct {
	const char *yaml, *error;
} refused[] = {
	{"a: 1\na: 2\n", "line 2, column 1: duplicate key a"},
	{"a: 1\nb:\n  c: 1\n  'c': 2\n", "line 4, column 3: duplicate key c"},
	{"{a: 1, a: 2}", "duplicate key a"},
	{"1: a\n'1': b\n", "duplicate key 1"},
	{"&k a: 1\n*k : 2\n", "duplicate key a"},
	{"? [a]\n: b\n", "line 1, column 3: a key must be a string"},
	{"? {a: b}\n: c\n", "a key must be a string"},
	{"a: &x [1]\n*x : 2\n", "a key must be a string"},
	{"\"a\\0\": 1\n", "a key with a NUL"},
	{"a: *x\n", "line 1, column 4: unknown alias *x"},
	{"a: &x [*x]\n", "unknown alias *x"},
	{"a: &x {b: *x}\n", "unknown alias *x"},
	{"a: &x 1\n---\nb: *x\n", "unknown alias *x"},
	{"a: !thing 1\n", "line 1, column 4"},
	{"a: !!binary aGk=\n", "unknown tag"},
	{"a: !!timestamp 2026-01-02\n", "unknown tag"},
	{"a: !!int x\n", "does not fit its tag"},
	{"a: !!bool 1\n", "does not fit its tag"},
	{"a: !!set {b}\n", "unknown tag"},
	{"!!omap [a: 1]\n", "unknown tag"},
	{"!<tag:example.com,2026:x> {a: 1}\n", "unknown tag"},
	{"a: .inf\n", "JSON has no such number: .inf"},
	{"a: -.Inf\n", "JSON has no such number"},
	{"a: .NaN\n", "JSON has no such number"},
	{"a: {<<: 1}\n", "<< takes a mapping"},
	{"a: {<<: [1]}\n", "<< takes a mapping"},
	{"a: b: c\n", "line 1, column 5"},
	{"a:\n\t- b\n", "line 2, column 1"},
	{"a: [1\n", "line 2, column 1"},
	{"a: 'x\n", "line 2, column 1"},
	{"a: \"\\q\"\n", "line 1"},
	{"a: @x\n", "line 1, column 4"},
	{"a: `x\n", "line 1, column 4"},
	{"- a\nb: c\n", "line 2, column 1"},
	{"  a: 1\n b: 2\n", "line 2, column 2"},
	{"a: 1\n}", "line 2, column 1"},
	{"%YAML 2.0\n---\na: 1\n", "line 1"},
	{"a: \xff\n", "line 1, column 4"},
	{"a: 1\nb: \xc0\x80\n", "line 2, column 4"},
	{"a: \x01\n", "line 1, column 4"},
	{"a: \"\\ud800\"\n", "line 1"},
};

static void test_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_arena_ a = arena_new();
		struct json *v = NULL;
		struct error e = {0};
		int r = yaml_parse(a, refused[i].yaml, strlen(refused[i].yaml), &v, &e);

		if (r != -E_BAD_REQUEST || v)
			fail_msg("%s\ngives %d", refused[i].yaml, r);
		if (!strstr(e.text, refused[i].error))
			fail_msg("%s\n\"%s\" does not say \"%s\"", refused[i].yaml, e.text, refused[i].error);
	}
}

/* ---- limits ---- */

static int parse_buf(struct arena *a, const struct buf *b, struct json **ret, struct error *e)
{
	assert_false(b->over);
	return yaml_parse(a, b->data, b->len, ret, e);
}

static void nested(struct buf *b, int depth)
{
	buf_reset(b);
	for (int i = 0; i < depth; i++)
		buf_addf(b, "%*sa:\n", i, "");
	buf_addf(b, "%*sa\n", depth, "");
}

static void test_depth(void **state)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(YAML_MAX_BYTES);
	struct json *v;
	struct error e;

	(void)state;
	nested(&b, JSON_MAX_DEPTH);
	assert_int_equal(parse_buf(a, &b, &v, &e), 0);
	nested(&b, JSON_MAX_DEPTH + 1);
	assert_int_equal(parse_buf(a, &b, &v, &e), -E_BAD_REQUEST);
	assert_non_null(strstr(e.text, "nested too deep"));
	/* Aliases count with what they stand for. */
	buf_reset(&b);
	buf_adds(&b, "- &x [[[[[[[[[[1]]]]]]]]]]\n- ");
	for (int i = 0; i < JSON_MAX_DEPTH - 11; i++)
		buf_adds(&b, "- ");
	buf_adds(&b, "*x\n");
	assert_int_equal(parse_buf(a, &b, &v, &e), 0);
	buf_reset(&b);
	buf_adds(&b, "- &x [[[[[[[[[[1]]]]]]]]]]\n- ");
	for (int i = 0; i < JSON_MAX_DEPTH - 10; i++)
		buf_adds(&b, "- ");
	buf_adds(&b, "*x\n");
	assert_int_equal(parse_buf(a, &b, &v, &e), -E_BAD_REQUEST);
	assert_non_null(strstr(e.text, "nested too deep"));
}

static void test_size(void **state)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(YAML_MAX_BYTES + 1);
	struct json *v;
	struct error e;

	(void)state;
	buf_adds(&b, "a: ");
	while (b.len < YAML_MAX_BYTES)
		buf_addc(&b, 'x');
	assert_int_equal(parse_buf(a, &b, &v, &e), 0);
	assert_int_equal(json_strlen(json_get(json_item(v, 0), "a")), YAML_MAX_BYTES - 3);
	buf_addc(&b, '\n');
	assert_int_equal(parse_buf(a, &b, &v, &e), -E_TOO_LARGE);
}

static void test_alias_budget(void **state)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(YAML_MAX_BYTES);
	struct json *v;
	struct error e;

	(void)state;
	/* A hundred nodes, a hundred times: ten thousand. */
	buf_adds(&b, "- &x [");
	for (int i = 0; i < 99; i++)
		buf_addf(&b, "%d,", i);
	buf_adds(&b, "]\n");
	for (int i = 0; i < 100; i++)
		buf_adds(&b, "- *x\n");
	assert_int_equal(parse_buf(a, &b, &v, &e), 0);
	buf_adds(&b, "- *x\n");
	assert_int_equal(parse_buf(a, &b, &v, &e), -E_BAD_REQUEST);
	assert_non_null(strstr(e.text, "aliases expand to too many nodes"));
	/* Nine levels of nine aliases each would be hundreds of millions. */
	buf_reset(&b);
	buf_adds(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 9; i++) {
		buf_addf(&b, "a%d: &a%d [", i, i);
		for (int k = 0; k < 9; k++)
			buf_addf(&b, "*a%d,", i - 1);
		buf_adds(&b, "]\n");
	}
	assert_int_equal(parse_buf(a, &b, &v, &e), -E_BAD_REQUEST);
	assert_true(arena_size(a) < 16U << 20);
}

/* Inputs of the largest size that make careless parsers quadratic; they only have to end. */
static void test_hostile(void **state)
{
	static const struct {
		const char *head, *repeat;
	} texts[] = {
		{"", "["},
		{"", "{"},
		{"", "- "},
		{"", "? "},
		{"", "a: "},
		{"", "---\n"},
		{"", "--- a\n"},
		{"", "---\n---\na\n"},
		{"", "#\n"},
		{"", "\n"},
		{"[", "a,"},
		{"{", "a: b,"},
		{"[", "[],"},
		{"[", "&a b,"},
		{"a: &x b\nc: [", "*x,"},
		{"", "!"},
		{"", "&"},
		{"", "*"},
		{"", "'"},
		{"", "\""},
		{"", "%TAG ! !\n"},
		{"", "%FOO\n"},
		{"a: |\n", " x\n"},
		{"a: >\n", " x\n"},
		{"a: \"", "\\\n"},
		{"", "a\n"},
		{"", ":"},
		{"", ","},
		{"", "\xef\xbb\xbf"},
		{"[", "? a,"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_arena_ a = arena_new();
		_buf_ b = BUF_INIT(YAML_MAX_BYTES);
		struct json *v;
		struct error e;

		buf_adds(&b, texts[i].head);
		while (b.len + strlen(texts[i].repeat) <= YAML_MAX_BYTES)
			buf_adds(&b, texts[i].repeat);
		parse_buf(a, &b, &v, &e);
	}
}

static void test_many_keys(void **state)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(YAML_MAX_BYTES), c = BUF_INIT(YAML_MAX_BYTES);
	struct json *v;
	struct error e;

	(void)state;
	for (int i = 0; i < 90000; i++)
		buf_addf(&b, "k%d: 1\n", i);
	assert_int_equal(parse_buf(a, &b, &v, &e), 0);
	assert_int_equal(json_count(json_item(v, 0)), 90000);
	for (int i = 0; i < 40000; i++)
		buf_addf(&c, "- &k%d %d\n", i, i);
	for (int i = 0; i < 9000; i++)
		buf_addf(&c, "- *k%d\n", i);
	assert_int_equal(parse_buf(a, &c, &v, &e), 0);
	buf_reset(&c);
	for (int i = 0; i < 9; i++)
		buf_addf(&c, "%%TAG !%d! tag:x\n", i);
	buf_adds(&c, "---\na: 1\n");
	assert_int_equal(parse_buf(a, &c, &v, &e), -E_BAD_REQUEST);
	assert_non_null(strstr(e.text, "%TAG"));
}

/* ---- writing: JSON, and the YAML that kubectl would print ---- */

static const struct {
	const char *json, *yaml;
} written[] = {
	{"{\"apiVersion\":\"berth.dev/v1\",\"metadata\":{\"name\":\"x\",\"labels\":{\"a/b\":\"c\"}},\"spec\":{\"m\":3,\"r\":1.50,"
	 "\"t\":true,\"z\":null}}",
	 "apiVersion: berth.dev/v1\nmetadata:\n  name: x\n  labels:\n    a/b: c\nspec:\n  m: 3\n  r: 1.50\n  t: true\n  z: null\n"},
	{"{\"l\":[1,{\"a\":1,\"b\":[2,3]},[4,[5]]]}", "l:\n- 1\n- a: 1\n  b:\n  - 2\n  - 3\n- - 4\n  - - 5\n"},
	{"{\"a\":[],\"b\":{},\"c\":[{}],\"d\":\"\"}", "a: []\nb: {}\nc:\n- {}\nd: \"\"\n"},
	{"{\"a\":\"true\",\"b\":\"1\",\"c\":\"null\",\"d\":\"1.5\",\"e\":\"yes\",\"f\":\"0x1\",\"g\":\"~\",\"h\":\"<<\"}",
	 "a: \"true\"\nb: \"1\"\nc: \"null\"\nd: \"1.5\"\ne: \"yes\"\nf: \"0x1\"\ng: \"~\"\nh: \"<<\"\n"},
	{"{\"a\":\"2026-01-02T03:04:05Z\",\"b\":\"12:30\",\"c\":\"10.88.0.5\",\"d\":\"256Mi\"}",
	 "a: \"2026-01-02T03:04:05Z\"\nb: \"12:30\"\nc: 10.88.0.5\nd: 256Mi\n"},
	{"{\"a\":\"x: y\",\"b\":\"x #y\",\"c\":\"- x\",\"d\":\" x\",\"e\":\"it's\",\"f\":\"x:\",\"g\":\"*x\",\"h\":\"@\"}",
	 "a: 'x: y'\nb: 'x #y'\nc: '- x'\nd: ' x'\ne: it's\nf: 'x:'\ng: '*x'\nh: '@'\n"},
	{"{\"a\":\"one\\ntwo\\n\",\"b\":\"x\\ny\",\"c\":\"\\n\",\"d\":\"tab\\there\"}",
	 "a: |\n  one\n  two\nb: |-\n  x\n  y\nc: \"\\n\"\nd: \"tab\\there\"\n"},
	{"{\"\":1,\"true\":2,\"1\":3,\"a b\":4,\"a: b\":5}", "\"\": 1\n\"true\": 2\n\"1\": 3\na b: 4\n'a: b': 5\n"},
	{"{\"a\":\"\\u0000\\u0001\\u007f\",\"b\":\"\\u0085\\u2028\\ufeff\",\"c\":\"\xc3\xa9\xf0\x9d\x84\x9e\"}", NULL},
	{"[]", "[]\n"},
	{"{}", "{}\n"},
	{"[\"a\",[]]", "- a\n- []\n"},
	{"\"text\"", NULL},
	{"[\"a\\r\\nb\",\"a \\nb\",\" a\\nb\",\"\\na\",\"a\\n\\n\",\"#\",\"%x\",\"---\","
	 "\"...\",\"=\",\"!x\",\"&x\",\"|\",\">\",\"?\",\"-\"]",
	 NULL},
	{"[9223372036854775808,1E+3,\"1_000\",\"0o17\",\"017\",\"+5\",\".5\",\"1.\",\".inf\",\"1e3\",\"0b1\",\"n\",\"Y\"]",
	 NULL},
};

static void test_writes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(written); i++) {
		_arena_ a = arena_new();
		_buf_ b = BUF_INIT(10000);
		struct json *v, *again = NULL;
		struct error e = {0};

		if (json_parse(a, written[i].json, strlen(written[i].json), NULL, &v, &e))
			fail_msg("%s: %s", written[i].json, e.text);
		yaml_write(v, &b);
		if (written[i].yaml && strcmp(b.data, written[i].yaml) != 0)
			fail_msg("%s\nis written\n%s\nand not\n%s", written[i].json, b.data, written[i].yaml);
		if (yaml_parse(a, b.data, b.len, &again, &e))
			fail_msg("%s\n%s", b.data, e.text);
		if (json_count(again) != 1 || strcmp(json_to_string(a, json_item(again, 0)), json_to_string(a, v)) != 0)
			fail_msg("%s\nreads back as %s", b.data, json_to_string(a, again));
	}
}

static void test_long_lines_stay_whole(void **state)
{
	_arena_ a = arena_new();
	_buf_ b = BUF_INIT(10000), text = BUF_INIT(10000);
	struct json *o = json_object(a), *again;

	(void)state;
	for (int i = 0; i < 200; i++)
		buf_adds(&text, "word ");
	buf_adds(&text, "end");
	json_set_str(a, o, "a", text.data);
	json_set_str(a, o, text.data, "a long key");
	yaml_write(o, &b);
	assert_non_null(strstr(b.data, text.data));
	assert_int_equal(yaml_parse(a, b.data, b.len, &again, NULL), 0);
	assert_true(json_equal(json_item(again, 0), o));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_alias_budget),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_writes),
		cmocka_unit_test(test_long_lines_stay_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
