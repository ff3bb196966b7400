/*
 * test_naming.c - lib/naming.c: names that several processes derive alike.
 */
#include "lib/naming.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#define FORTY "a234567890123456789012345678901234567890"

static const struct {
	const char *id, *name; /* for the container "shop"; NULL: refused */
} names[] = {
	{"u1", "shop.u1"},
	{"1", "shop.1"},
	{"user-1", "shop.user-1"},
	{FORTY, "shop." FORTY},
	{FORTY "1", "shop.a2345678901234567890123456789-ha399a513e7"},
	{"User 1", "shop.user-1-he735fcdd4c"},
	{"user_1", "shop.user-1-h79b0aa0042"},
	{"alice@example.com", "shop.alice-example-com-hff8d9819fc"},
	{"--a--", "shop.a-h971a854a7d"},
	{"-", "shop.x-h3973e022e9"},
	{"\xc3\xa9", "shop.x-h4a99557e40"},
	{"a-h0123456789", "shop.a-h0123456789-h2c291a1482"},
	{"a-h012345678", "shop.a-h012345678"},
	{"a-h012345678g", "shop.a-h012345678g"},
	{"h0123456789", "shop.h0123456789"},
	{"x-h3973e022e9", "shop.x-h3973e022e9-h089627a58e"},
	{"", NULL},
	{"a\nb", NULL},
	{"a\x7f", NULL},
	{"a\x1b", NULL},
	{"a\xff", NULL},
};

static void test_instance_names(void **state)
{
	_arena_ a = arena_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct error e = {0};
		char *name = NULL;
		int r = instance_name(a, "shop", names[i].id, &name, &e);

		if (!names[i].name) {
			assert_int_equal(r, -E_INVALID);
			assert_string_equal(e.field, "spec.id");
			assert_null(name);
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(name, names[i].name);
		assert_true(name_is_subdomain(name));
	}
}

static void test_id_length(void **state)
{
	_arena_ a = arena_new();
	char id[INSTANCE_ID_MAX + 2];
	char *name;

	(void)state;
	memset(id, 'a', sizeof(id));
	id[INSTANCE_ID_MAX] = '\0';
	assert_int_equal(instance_name(a, "shop", id, &name, NULL), 0);
	assert_int_equal(strlen(name), strlen("shop.") + 29 + strlen("-h") + 10);
	id[INSTANCE_ID_MAX] = 'a';
	id[INSTANCE_ID_MAX + 1] = '\0';
	assert_int_equal(instance_name(a, "shop", id, &name, NULL), -E_INVALID);
}

static void test_image_names(void **state)
{
	_arena_ a = arena_new();
	const char *hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

	(void)state;
	assert_string_equal(image_object_name(a, arena_printf(a, "sha256:%s", hex)), arena_printf(a, "sha256-%s", hex));
	assert_null(image_object_name(a, ""));
	assert_null(image_object_name(a, "sha256:"));
	assert_null(image_object_name(a, "sha256:e3b0"));
	assert_null(image_object_name(a, arena_printf(a, "sha512:%s", hex)));
	assert_null(image_object_name(a, arena_printf(a, "sha256:%s0", hex)));
	assert_null(image_object_name(a, arena_printf(a, "sha256:E%s", hex + 1)));
}

static void test_rfc1123(void **state)
{
	static const struct {
		const char *s;
		bool label, subdomain;
	} cases[] = {
		{"a", true, true},
		{"0", true, true},
		{"a-b", true, true},
		{"a.b", false, true},
		{"", false, false},
		{"-a", false, false},
		{"a-", false, false},
		{"A", false, false},
		{"a_b", false, false},
		{"a..b", false, false},
		{".a", false, false},
		{"a.", false, false},
		{"a.-b", false, false},
		{"a b", false, false},
		{"\xc3\xa9", false, false},
		{"a23456789012345678901234567890123456789012345678901234567890123", true, true},
		{"a234567890123456789012345678901234567890123456789012345678901234", false, true},
	};
	char s[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (name_is_label(cases[i].s) != cases[i].label || name_is_subdomain(cases[i].s) != cases[i].subdomain)
			fail_msg("\"%s\"", cases[i].s);
	}
	for (size_t i = 0; i < 254; i++)
		s[i] = i % 2 ? '.' : 'a';
	s[253] = '\0';
	assert_true(name_is_subdomain(s));
	memcpy(s + 253, "b", 2);
	s[252] = '.';
	assert_false(name_is_subdomain(s));
}

static void test_instance_types(void **state)
{
	static const struct {
		const char *type;
		int64_t milli_vcpu, memory_mib, disk_gb;
	} types[] = {{"lite", 63, 256, 2},	     {"basic", 250, 1024, 4},	     {"standard-1", 500, 4096, 8},
		     {"standard-2", 1000, 6144, 12}, {"standard-3", 2000, 8192, 16}, {"standard-4", 4000, 12288, 20}};
	int64_t v, m, d;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		assert_true(instance_type_lookup(types[i].type, &v, &m, &d));
		assert_int_equal(v, types[i].milli_vcpu);
		assert_int_equal(m, types[i].memory_mib * 1024 * 1024);
		assert_int_equal(d, types[i].disk_gb * 1000000000);
	}
	assert_false(instance_type_lookup("standard", &v, &m, &d));
	assert_false(instance_type_lookup("", &v, &m, &d));
	assert_false(instance_type_lookup(NULL, &v, &m, &d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instance_names), cmocka_unit_test(test_id_length),
		cmocka_unit_test(test_image_names),    cmocka_unit_test(test_rfc1123),
		cmocka_unit_test(test_instance_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
