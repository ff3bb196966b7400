/*
 * test_selector.c - label and field selectors.
 */
#include "test/unit/apiserver/text_fixture.h"

#include "apiserver/selector.h"

static const char *look_up(const void *user, const char *key)
{
	return json_str(json_get(user, key));
}

static void test_labels(void **state)
{
	static const struct {
		const char *selector, *labels;
		bool matches;
	} cases[] = {
		{"", "{}", true},
		{"a=b", "{'a':'b'}", true},
		{"a==b", "{'a':'b'}", true},
		{"a=b", "{'a':'c'}", false},
		{"a=b", "{}", false},
		{"a=", "{'a':''}", true},
		{"a=", "{}", false},
		{"a!=b", "{'a':'c'}", true},
		{"a!=b", "{}", true},
		{"a!=b", "{'a':'b'}", false},
		{"a in (b,c)", "{'a':'c'}", true},
		{"a in (b, c )", "{'a':'d'}", false},
		{"a in ()", "{'a':''}", true},
		{"a notin (b,c)", "{'a':'d'}", true},
		{"a notin (b,c)", "{}", true},
		{"a notin(b,c)", "{'a':'b'}", false},
		{"a", "{'a':'x'}", true},
		{"a", "{}", false},
		{"!a", "{}", true},
		{" ! a ", "{'a':''}", false},
		{"a>5", "{'a':'6'}", true},
		{"a>5", "{'a':'5'}", false},
		{"a<5", "{'a':'x'}", false},
		{"a<5", "{'a':'4'}", true},
		{"example.com/app=shop,tier in (web,db),!old", "{'example.com/app':'shop','tier':'db'}", true},
		{"example.com/app=shop,tier in (web,db),!old", "{'example.com/app':'shop','tier':'db','old':''}",
		 false},
		{"in in (in)", "{'in':'in'}", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct selector *s;
		struct error e = {0};

		if (selector_parse_labels(text_arena, cases[i].selector, &s, &e) < 0)
			fail_msg("%s: %s", cases[i].selector, e.text);
		if (selector_matches(s, look_up, text_json(cases[i].labels)) != cases[i].matches)
			fail_msg("%s on %s", cases[i].selector, cases[i].labels);
	}
}

static void test_bad_labels(void **state)
{
	static const char *const cases[] = {
		"a b",	  "a=b c", "=a",   "a in b", "a in (b", "a,",	",a",	 "a>x",	       "-a",
		"a=b,,c", "a/b/c", "!a=b", "a=-b",   "a=$",	"a/=b", "A.b/c", "a in (b c)",
	};
	struct selector *s;
	struct error e = {0};
	char *many = arena_calloc(text_arena, 2 * (SELECTOR_REQUIREMENTS_MAX + 1));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (selector_parse_labels(text_arena, cases[i], &s, &e) != -E_BAD_REQUEST)
			fail_msg("%s is taken", cases[i]);
	for (int i = 0; i < SELECTOR_REQUIREMENTS_MAX; i++)
		memcpy(many + 2 * i, i ? ",a" : "aa", 2);
	assert_int_equal(selector_parse_labels(text_arena, many, &s, &e), 0);
	memcpy(many + 2 * SELECTOR_REQUIREMENTS_MAX, ",a", 2);
	assert_int_equal(selector_parse_labels(text_arena,
					       arena_strndup(text_arena, many, 2 * SELECTOR_REQUIREMENTS_MAX + 2), &s,
					       &e),
			 -E_BAD_REQUEST);
}

static void test_fields(void **state)
{
	static const struct {
		const char *plural, *selector, *fields;
		int matches; /* -1: refused */
	} cases[] = {
		{"instances", "metadata.name=a", "{'metadata.name':'a'}", 1},
		{"instances", "metadata.name==a,metadata.namespace!=b",
		 "{'metadata.name':'a','metadata.namespace':'c'}", 1},
		{"instances", "spec.nodeName=", "{}", 1},
		{"instances", "spec.nodeName!=", "{}", 0},
		{"instances", "spec.nodeName!=n1,status.phase=Ready", "{'spec.nodeName':'n2','status.phase':'Ready'}",
		 1},
		{"instances", "spec.id=a\\,b\\=c\\\\", "{'spec.id':'a,b=c\\\\'}", 1},
		{"instances", "", "{}", 1},
		{"instances", "spec.image=x", "{}", -1},
		{"containers", "spec.image=x", "{}", -1},
		{"images", "metadata.namespace=x", "{}", -1},
		{"nodes", "spec.unschedulable=true", "{'spec.unschedulable':'true'}", 1},
		{"secrets", "type=Opaque", "{'type':'Opaque'}", 1},
		{"events", "involvedObject.kind=Instance,involvedObject.name=i", "{'involvedObject.kind':'Instance'}",
		 0},
		{"instances", "metadata.name", "{}", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct kind *k = text_kind(cases[i].plural);
		struct selector *s;
		struct error e = {0};
		int rc = selector_parse_fields(text_arena, k, cases[i].selector, &s, &e);

		if (cases[i].matches < 0)
			assert_int_equal(rc, -E_BAD_REQUEST);
		else if (rc < 0 || selector_matches(s, look_up, text_json(cases[i].fields)) != (cases[i].matches == 1))
			fail_msg("%s on %s: %s", cases[i].selector, cases[i].fields, e.text);
		if (cases[i].matches < 0 && strchr(cases[i].selector, '='))
			assert_true(str_starts(e.text, "field label not supported: "));
	}
}

static void test_requires(void **state)
{
	const struct kind *k = text_kind("instances");
	struct selector *s;

	(void)state;
	assert_int_equal(selector_parse_fields(text_arena, k, "spec.state=Running,metadata.name=x", &s, NULL), 0);
	assert_string_equal(selector_requires(s, "metadata.name"), "x");
	assert_null(selector_requires(s, "metadata.namespace"));
	assert_int_equal(selector_parse_fields(text_arena, k, "metadata.name!=x", &s, NULL), 0);
	assert_null(selector_requires(s, "metadata.name"));
	assert_null(selector_requires(NULL, "metadata.name"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEXT_TEST(test_labels),
		TEXT_TEST(test_bad_labels),
		TEXT_TEST(test_fields),
		TEXT_TEST(test_requires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
