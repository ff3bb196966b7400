/*
 * test_gc.c - what owners leave behind, foreground and orphan deletion, namespaces that end.
 */
#include "lib/units.h"
#include "test/unit/apiserver/server_fixture.h"
#include <setjmp.h>

#include <cmocka.h>

static const char *make(struct served *s, const char *name, const char *more)
{
	struct json *made = served_expect(s, 201, "POST", CONFIGMAPS,
					  arena_printf(s->arena, "{'metadata': {'name': '%s'%s}}", name, more));

	return json_str(json_in(made, "metadata", "uid"));
}

static const char *owned_by(struct served *s, const char *name, const char *uid, const char *more)
{
	return arena_printf(
		s->arena,
		", 'ownerReferences': [{'apiVersion': 'v1', 'kind': 'ConfigMap', 'name': '%s', 'uid': '%s'%s}]", name,
		uid, more);
}

#define BLOCKS ", 'blockOwnerDeletion': true"

static void test_background(void **state)
{
	struct served *s = *state;
	const char *owner = make(s, "owner", "");
	const char *child = make(s, "child", owned_by(s, "owner", owner, ""));

	make(s, "grandchild", owned_by(s, "child", child, ""));
	make(s, "other", "");
	served_expect(s, 200, "DELETE", CONFIGMAPS "/owner", "{'propagationPolicy': 'Background'}");
	served_until(s, 404, CONFIGMAPS "/child");
	served_until(s, 404, CONFIGMAPS "/grandchild");
	served_expect(s, 200, "GET", CONFIGMAPS "/other", NULL);
}

static void test_owner_that_never_was(void **state)
{
	struct served *s = *state;

	make(s, "child", owned_by(s, "owner", "no-such-uid", ""));
	served_until(s, 404, CONFIGMAPS "/child");
	make(s, "adopted", "");
	served_patch(
		s, 200, CONFIGMAPS "/adopted",
		"{'metadata': {'ownerReferences': [{'apiVersion': 'v1', 'kind': 'ConfigMap', 'name': 'owner', 'uid': 'u'}]}}");
	served_until(s, 404, CONFIGMAPS "/adopted");
}

static void test_one_of_two_owners(void **state)
{
	struct served *s = *state;
	const char *first = make(s, "first", ""), *second = make(s, "second", "");
	struct json *child;
	int64_t deadline = time_mono_ms() + 30000;

	make(s, "child",
	     arena_printf(
		     s->arena,
		     ", 'ownerReferences': [{'apiVersion': 'v1', 'kind': 'ConfigMap', 'name': 'first', 'uid': '%s'}, "
		     "{'apiVersion': 'v1', 'kind': 'ConfigMap', 'name': 'second', 'uid': '%s'}]",
		     first, second));
	served_expect(s, 200, "DELETE", CONFIGMAPS "/first", NULL);
	do {
		child = served_expect(s, 200, "GET", CONFIGMAPS "/child", NULL);
	} while (json_count(json_in(child, "metadata", "ownerReferences")) != 1 && time_mono_ms() < deadline);
	assert_string_equal(json_str(json_get(json_item(json_in(child, "metadata", "ownerReferences"), 0), "uid")),
			    second);
}

static void test_foreground(void **state)
{
	struct served *s = *state;
	const char *owner = make(s, "owner", "");

	make(s, "child", arena_printf(s->arena, "%s, 'finalizers': ['a.b/c']", owned_by(s, "owner", owner, BLOCKS)));
	struct json *o = served_expect(s, 200, "DELETE", CONFIGMAPS "/owner", "{'propagationPolicy': 'Foreground'}");
	assert_string_equal(json_str(json_item(json_in(o, "metadata", "finalizers"), 0)), "foregroundDeletion");
	do {
		o = served_expect(s, 200, "GET", CONFIGMAPS "/child", NULL);
	} while (!json_in(o, "metadata", "deletionTimestamp"));
	served_expect(s, 200, "GET", CONFIGMAPS "/owner", NULL); /* waits for the child */
	served_patch(s, 200, CONFIGMAPS "/child", "{'metadata': {'finalizers': null}}");
	served_until(s, 404, CONFIGMAPS "/owner");
}

static void test_orphan(void **state)
{
	struct served *s = *state;
	const char *owner = make(s, "owner", "");

	make(s, "child", owned_by(s, "owner", owner, ""));
	served_expect(s, 200, "DELETE", CONFIGMAPS "/owner", "{'propagationPolicy': 'Orphan'}");
	served_until(s, 404, CONFIGMAPS "/owner");
	struct json *child = served_expect(s, 200, "GET", CONFIGMAPS "/child", NULL);
	assert_null(json_in(child, "metadata", "ownerReferences"));
}

static void test_collected_after_a_restart(void **state)
{
	struct served *s = *state;
	const char *owner = make(s, "owner", "");

	make(s, "child", arena_printf(s->arena, "%s, 'finalizers': ['a.b/c']", owned_by(s, "owner", owner, BLOCKS)));
	served_expect(s, 200, "DELETE", CONFIGMAPS "/owner", "{'propagationPolicy': 'Foreground'}");
	served_restart(s);
	served_patch(s, 200, CONFIGMAPS "/child", "{'metadata': {'finalizers': null}}");
	served_until(s, 404, CONFIGMAPS "/owner");
}

static void test_namespace_ends(void **state)
{
	struct served *s = *state;

	served_expect(s, 201, "POST", "/api/v1/namespaces", "{'metadata': {'name': 'team'}}");
	served_expect(s, 201, "POST", "/api/v1/namespaces/team/configmaps", "{'metadata': {'name': 'x'}}");
	served_expect(s, 201, "POST", "/api/v1/namespaces/team/configmaps",
		      "{'metadata': {'name': 'held', 'finalizers': ['a.b/c']}}");
	struct json *o = served_expect(s, 200, "DELETE", "/api/v1/namespaces/team", NULL);
	assert_string_equal(json_str(json_in(o, "status", "phase")), "Terminating");
	served_expect(s, 403, "POST", "/api/v1/namespaces/team/configmaps", "{'metadata': {'name': 'late'}}");
	served_until(s, 404, "/api/v1/namespaces/team/configmaps/x");
	served_expect(s, 200, "GET", "/api/v1/namespaces/team", NULL);
	served_patch(s, 200, "/api/v1/namespaces/team/configmaps/held", "{'metadata': {'finalizers': null}}");
	served_until(s, 404, "/api/v1/namespaces/team");
	served_expect(s, 403, "DELETE", "/api/v1/namespaces/default", NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, served_setup, served_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_background),
		TEST(test_owner_that_never_was),
		TEST(test_one_of_two_owners),
		TEST(test_foreground),
		TEST(test_orphan),
		TEST(test_collected_after_a_restart),
		TEST(test_namespace_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
