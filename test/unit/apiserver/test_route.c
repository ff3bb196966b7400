/*
 * test_route.c - URL paths to kind, namespace, name and subresource.
 */
#include "apiserver/call.h"
#include "test/unit/apiserver/core_fixture.h"
#include <setjmp.h>

#include <cmocka.h>

static void test_paths(void **state)
{
	static const struct {
		const char *path, *plural, *ns, *name, *sub; /* plural NULL: no resource; "?": of no known kind */
	} cases[] = {
		{"/api/v1/namespaces", "namespaces", "", "", ""},
		{"/api/v1/namespaces/", "namespaces", "", "", ""},
		{"/api/v1/namespaces/a", "namespaces", "", "a", ""},
		{"/api/v1/namespaces/a/status", "namespaces", "", "a", "status"},
		{"/api/v1/namespaces/a/finalize", "namespaces", "", "a", "finalize"},
		{"/api/v1/namespaces/a/configmaps", "configmaps", "a", "", ""},
		{"/api/v1/namespaces/a/configmaps/b", "configmaps", "a", "b", ""},
		{"/api/v1/configmaps", "configmaps", "", "", ""},
		{"/api/v1/configmaps/b", NULL, "", "", ""},
		{"/api/v1/nodes/n1/status", "nodes", "", "n1", "status"},
		{"/api/v1/namespaces/a/nodes", NULL, "", "", ""},
		{"/apis/berth.dev/v1/instances", "instances", "", "", ""},
		{"/apis/berth.dev/v1/namespaces/a/instances/x%2dy/binding", "instances", "a", "x-y", "binding"},
		{"/apis/berth.dev/v1/namespaces/a/instances/x/log/more", NULL, "", "", ""},
		{"/apis/berth.dev/v1/namespaces/a/pods", "?", "a", "", ""},
		{"/apis/berth.dev/v2/instances", "?", "", "", ""},
		{"/apis/berth.dev/v1", NULL, "", "", ""},
		{"/apis", NULL, "", "", ""},
		{"/api/v1", NULL, "", "", ""},
		{"/", NULL, "", "", ""},
		{"//api/v1/nodes", NULL, "", "", ""},
		{"/api/v1/namespaces//configmaps", NULL, "", "", ""},
		{"/a/b/c/d/e/f/g/h/i/j/k", NULL, "", "", ""},
	};
	struct core *c = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct route r;
		bool found = route_parse(c->arena, cases[i].path, &r);
		if (found != (cases[i].plural != NULL))
			fail_msg("%s: %d", cases[i].path, found);
		if (!found)
			continue;
		assert_string_equal(r.kind ? r.kind->plural : "?", cases[i].plural);
		assert_string_equal(r.ns, cases[i].ns);
		assert_string_equal(r.name, cases[i].name);
		assert_string_equal(r.sub, cases[i].sub);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_paths, core_setup, core_teardown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
