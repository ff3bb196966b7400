/*
 * test_auth.c - token lines, and the table of rights.
 */
#include "apiserver/auth.h"
#include <setjmp.h>

#include <cmocka.h>

static void test_token_lines(void **state)
{
	static const struct {
		const char *line, *user, *uid;
		size_t groups;
		bool good;
	} cases[] = {
		{"t,admin,1,\"system:masters\"", "admin", "1", 1, true},
		{"t,admin,1,\"a,b,c\"", "admin", "1", 3, true},
		{"t,u,,g", "u", "", 1, true},
		{"t,u,1", "u", "1", 0, true},
		{"t,u", "u", "", 0, true},
		{"t", NULL, NULL, 0, false},
		{",u,1", NULL, NULL, 0, false},
		{"t,u,1,g,more", NULL, NULL, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct identity who;
		char *token;
		assert_int_equal(auth_parse_line(a, cases[i].line, &token, &who), cases[i].good);
		if (!cases[i].good)
			continue;
		assert_string_equal(token, "t");
		assert_string_equal(who.user, cases[i].user);
		assert_string_equal(who.uid, cases[i].uid);
		assert_int_equal(who.group_count, cases[i].groups);
	}
}

static struct identity identity(const char *user, const char *group)
{
	struct identity who = {.user = user, .uid = ""};

	if (group)
		who.groups[who.group_count++] = group;
	return who;
}

static void test_rights(void **state)
{
	static const struct {
		const char *user, *member, *verb, *group, *resource, *sub, *name;
		bool allowed;
	} cases[] = {
		{"root", "system:masters", "delete", "berth.dev", "containers", "", "x", true},
		{"somebody", NULL, "get", "berth.dev", "containers", "", "x", false},
		{"system:anonymous", NULL, "get", "berth.dev", "containers", "", "x", false},
		{"berth-scheduler", NULL, "create", "berth.dev", "instances", "binding", "x", true},
		{"berth-scheduler", NULL, "create", "", "secrets", "", "", false},
		{"berth-scheduler", NULL, "get", "", "secrets", "", "x", true},
		{"berth-scheduler", NULL, "list", "", "secrets", "", "", false},
		{"berth-scheduler", NULL, "watch", "", "secrets", "", "", false},
		{"system:node:a", "system:nodes", "get", "", "secrets", "", "x", true},
		{"system:node:a", "system:nodes", "list", "", "secrets", "", "", false},
		{"system:node:a", "system:nodes", "watch", "", "secrets", "", "x", false},
		{"berth-schedulerx", NULL, "get", "berth.dev", "instances", "", "", false},
		{"berth-gateway:fra", NULL, "create", "berth.dev", "instances", "", "", true},
		{"berth-gateway:fra", NULL, "create", "berth.dev", "instances", "binding", "x", false},
		{"berth-gateway:fra", NULL, "get", "", "secrets", "", "x", false},
		{"system:node:a", "system:nodes", "patch", "berth.dev", "instances", "status", "x", true},
		{"system:node:a", "system:nodes", "create", "berth.dev", "instances", "", "", false},
		{"system:node:a", NULL, "patch", "berth.dev", "instances", "status", "x", false},
		{"system:node:a", "system:nodes", "create", "", "nodes", "", "", true},
		{"system:node:a", "system:nodes", "create", "", "nodes", "", "a", true},
		{"system:node:a", "system:nodes", "create", "", "nodes", "", "b", false},
		{"system:node:a", "system:nodes", "patch", "", "nodes", "status", "a", true},
		{"system:node:a", "system:nodes", "patch", "", "nodes", "status", "b", false},
		{"system:node:a", "system:nodes", "patch", "coordination.k8s.io", "leases", "", "b", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct identity who = identity(cases[i].user, cases[i].member);
		struct access what = {.verb = cases[i].verb,
				      .group = cases[i].group,
				      .resource = cases[i].resource,
				      .subresource = cases[i].sub,
				      .ns = "n",
				      .name = cases[i].name};
		if (authorize(&who, &what) != cases[i].allowed)
			fail_msg("case %zu: %s %s %s/%s %s", i, cases[i].user, cases[i].verb, cases[i].resource,
				 cases[i].sub, cases[i].name);
	}
}

static void test_paths(void **state)
{
	static const struct {
		const char *user, *path;
		bool allowed;
	} cases[] = {
		{AUTH_ANONYMOUS, "/livez", true},
		{AUTH_ANONYMOUS, "/livez/ping", true},
		{AUTH_ANONYMOUS, "/version/", true},
		{AUTH_ANONYMOUS, "/metrics", false},
		{AUTH_ANONYMOUS, "/apis", false},
		{AUTH_ANONYMOUS, "/", false},
		{"somebody", "/metrics", true},
		{"somebody", "/apis/berth.dev/v1", true},
		{"somebody", "/openapi/v2", true},
		{"somebody", "/else", false},
		{"somebody", "/", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct identity who = identity(cases[i].user, NULL);
		struct access what = {.verb = "get",
				      .group = "",
				      .resource = "",
				      .subresource = "",
				      .ns = "",
				      .name = "",
				      .path = cases[i].path};
		if (authorize(&who, &what) != cases[i].allowed)
			fail_msg("%s %s", cases[i].user, cases[i].path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_lines),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
