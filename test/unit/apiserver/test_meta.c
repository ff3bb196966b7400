/*
 * test_meta.c - ObjectMeta: pruning, validation, what the server says.
 */
#include "apiserver/meta.h"
#include "test/unit/apiserver/core_fixture.h"
#include <setjmp.h>

#include <cmocka.h>

/* "field " of each cause. */
static const char *faults(struct core *c, const char *plural, const char *meta)
{
	struct json *obj = json_object(c->arena), *causes = json_array(c->arena);
	_buf_ out = BUF_INIT(4096);

	json_set(c->arena, obj, "metadata", core_json(c->arena, meta));
	meta_validate(c->arena, core_kind(plural), obj, causes);
	for (size_t i = 0; i < json_count(causes); i++)
		buf_addf(&out, "%s ", json_str(json_get(json_item(causes, i), "field")));
	return arena_strdup(c->arena, out.data ? out.data : "");
}

static void test_validation(void **state)
{
	static const struct {
		const char *plural, *meta, *faults;
	} cases[] = {
		{"configmaps", "{'name': 'a.b-c'}", ""},
		{"configmaps", "{}", "metadata.name "},
		{"configmaps", "{'name': 'A'}", "metadata.name "},
		{"configmaps", "{'name': 'a/b'}", "metadata.name "},
		{"namespaces", "{'name': 'a.b'}", "metadata.name "},
		{"configmaps", "{'name': 7}", "metadata.name "},
		{"configmaps", "{'name': 'a', 'labels': {'x/y.z': 'V-1', 'k': ''}}", ""},
		{"configmaps", "{'name': 'a', 'labels': {'-x': 'v'}}", "metadata.labels "},
		{"configmaps", "{'name': 'a', 'labels': {'x': 'sp ace'}}", "metadata.labels "},
		{"configmaps", "{'name': 'a', 'labels': {'x': 1}}", "metadata.labels "},
		{"configmaps", "{'name': 'a', 'labels': []}", "metadata.labels "},
		{"configmaps", "{'name': 'a', 'annotations': {'x': 'any thing'}}", ""},
		{"configmaps", "{'name': 'a', 'annotations': {'/x': ''}}", "metadata.annotations "},
		{"configmaps", "{'name': 'a', 'finalizers': ['berth.dev/vm', 'orphan']}", ""},
		{"configmaps", "{'name': 'a', 'finalizers': ['mine']}", "metadata.finalizers "},
		{"configmaps",
		 "{'name': 'a', 'ownerReferences': [{'apiVersion': 'v1', 'kind': 'Node', 'name': 'n', 'uid': 'u'}]}",
		 ""},
		{"configmaps", "{'name': 'a', 'ownerReferences': [{'apiVersion': 'v1', 'kind': 'Node', 'name': 'n'}]}",
		 "metadata.ownerReferences[0].uid "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(faults(*state, cases[i].plural, cases[i].meta), cases[i].faults);
}

static void test_annotations_limit(void **state)
{
	struct core *c = *state;

	for (size_t over = 0; over < 2; over++) {
		struct json *obj = json_object(c->arena), *meta = meta_of(c->arena, obj),
			    *causes = json_array(c->arena);
		char *big = arena_calloc(c->arena, META_ANNOTATIONS_MAX + 1);
		memset(big, 'x', META_ANNOTATIONS_MAX - 1 + over); /* and one byte for the key */
		json_set_str(c->arena, meta, "name", "a");
		json_set_str(c->arena, json_ensure_object(c->arena, meta, "annotations"), "k", big);
		meta_validate(c->arena, core_kind("configmaps"), obj, causes);
		assert_int_equal(json_count(causes), over);
	}
}

static void test_prune(void **state)
{
	struct core *c = *state;
	struct json *obj = core_json(c->arena,
				     "{'metadata': {'name': 'a', 'labels': null, 'colour': 'red', 'creationTimestamp': "
				     "null}}");
	struct json *unknown = json_array(c->arena);

	meta_prune(c->arena, obj, unknown);
	assert_true(json_equal(obj, core_json(c->arena, "{'metadata': {'name': 'a'}}")));
	assert_int_equal(json_count(unknown), 1);
	assert_string_equal(json_str(json_item(unknown, 0)), "unknown field \"metadata.colour\"");
}

static void test_create_takes_server_fields_over(void **state)
{
	struct core *c = *state;
	struct json *obj = core_json(c->arena,
				     "{'metadata': {'name': 'a', 'uid': 'mine', 'generation': 9, 'resourceVersion': "
				     "'7', 'deletionTimestamp': '2020-01-01T00:00:00Z'}}");
	struct json *meta = json_get(obj, "metadata");

	meta_create(c->arena, core_kind("containers"), obj, 1767323045000);
	assert_string_not_equal(json_str(json_get(meta, "uid")), "mine");
	assert_int_equal(json_int_or(json_get(meta, "generation"), 0), 1);
	assert_string_equal(json_str(json_get(meta, "creationTimestamp")), "2026-01-02T03:04:05Z");
	assert_null(json_get(meta, "resourceVersion"));
	assert_null(json_get(meta, "deletionTimestamp"));
}

static void test_update_rules(void **state)
{
	struct core *c = *state;
	struct json *live = core_json(c->arena, "{'metadata': {'name': 'a', 'namespace': 'n', 'finalizers': ['x.y/z'], "
						"'deletionTimestamp': '2026-01-02T03:04:05Z'}}");
	struct json *renamed = core_json(c->arena, "{'metadata': {'name': 'b', 'namespace': 'n'}}");
	struct json *held = core_json(
		c->arena, "{'metadata': {'name': 'a', 'namespace': 'n', 'finalizers': ['x.y/z', 'v.w/u']}}");
	struct json *causes = json_array(c->arena);

	meta_validate_update(c->arena, live, renamed, causes);
	assert_string_equal(json_str(json_get(json_item(causes, 0), "field")), "metadata.name");
	causes = json_array(c->arena);
	meta_validate_update(c->arena, live, held, causes);
	assert_int_equal(json_count(causes), 1);
	assert_string_equal(json_str(json_get(json_item(causes, 0), "field")), "metadata.finalizers");
}

static void test_finalizers(void **state)
{
	struct core *c = *state;
	struct json *obj = core_json(c->arena, "{'metadata': {}}");

	meta_add_finalizer(c->arena, obj, "a/b");
	meta_add_finalizer(c->arena, obj, "a/b");
	assert_int_equal(json_count(json_in(obj, "metadata", "finalizers")), 1);
	assert_false(meta_remove_finalizer(obj, "c/d"));
	assert_true(meta_remove_finalizer(obj, "a/b"));
	assert_null(json_in(obj, "metadata", "finalizers"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, core_setup, core_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_validation),	 TEST(test_annotations_limit),
		TEST(test_prune),	 TEST(test_create_takes_server_fields_over),
		TEST(test_update_rules), TEST(test_finalizers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
