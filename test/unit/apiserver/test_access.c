/*
 * test_access.c - identity and access over HTTP: refusals, escalation, reviews, impersonation, tokens of
 * ServiceAccounts.
 */
#include "test/unit/apiserver/server_fixture.h"
#include <setjmp.h>

#include <cmocka.h>

#define RBAC "/apis/rbac.authorization.k8s.io/v1"
#define ROLES RBAC "/namespaces/default/roles"
#define BINDINGS RBAC "/namespaces/default/rolebindings"
#define CLUSTERROLES RBAC "/clusterroles"
#define CLUSTERBINDINGS RBAC "/clusterrolebindings"
#define ACCOUNTS "/api/v1/namespaces/default/serviceaccounts"
#define SSAR "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
#define SAR "/apis/authorization.k8s.io/v1/subjectaccessreviews"
#define SSRR "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
#define WHOAMI "/apis/authentication.k8s.io/v1/selfsubjectreviews"
#define TOKENREVIEWS "/apis/authentication.k8s.io/v1/tokenreviews"

static const char *message(const struct json *status)
{
	return json_str_or(json_get(status, "message"), "");
}

static void be(struct served *s, const char *user)
{
	s->as = user;
	s->as_group = s->as_group_too = NULL;
}

/* As admin, whoever one was. */
static void give(struct served *s, const char *path, const char *role_kind, const char *role, const char *user)
{
	const char *was = s->as;

	be(s, NULL);
	served_expect(s, 201, "POST", path,
		      arena_printf(s->arena,
				   "{'metadata': {'generateName': 'b-'}, 'roleRef': {'kind': '%s', 'name': '%s'}, "
				   "'subjects': [{'kind': 'User', 'name': '%s'}]}",
				   role_kind, role, user));
	be(s, was);
}

static void test_refusals(void **state)
{
	struct served *s = *state;

	be(s, "jane");
	assert_string_equal(
		message(served_expect(s, 403, "GET", CONFIGMAPS, NULL)),
		"configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the "
		"namespace \"default\"");
	assert_string_equal(
		message(served_expect(s, 403, "GET", "/api/v1/namespaces/default/pods", NULL)),
		"pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace "
		"\"default\"");
	assert_string_equal(
		message(served_expect(s, 403, "DELETE", CONTAINERS "/x", NULL)),
		"containers.berth.dev \"x\" is forbidden: User \"jane\" cannot delete resource \"containers\" in API "
		"group \"berth.dev\" in the namespace \"default\"");
	assert_string_equal(
		message(served_expect(s, 403, "GET", INSTANCES "/x/log", NULL)),
		"instances.berth.dev \"x\" is forbidden: User \"jane\" cannot get resource \"instances/log\" in API group "
		"\"berth.dev\" in the namespace \"default\"");
	assert_string_equal(
		message(served_expect(s, 403, "GET", "/api/v1/nodes", NULL)),
		"nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" at the cluster scope");
	assert_string_equal(message(served_expect(s, 403, "GET", "/metrics", NULL)),
			    "forbidden: User \"jane\" cannot get path \"/metrics\"");
	assert_string_equal(message(served_expect(s, 403, "POST", "/version", NULL)),
			    "forbidden: User \"jane\" cannot post path \"/version\"");
	served_expect(s, 200, "GET", "/apis", NULL);
	give(s, BINDINGS, "ClusterRole", "view", "jane");
	served_expect(s, 200, "GET", CONFIGMAPS, NULL);
	served_expect(s, 200, "GET", "/api/v1/namespaces/default", NULL);
	served_expect(s, 403, "GET", "/api/v1/namespaces/kube-system", NULL);
	served_expect(s, 403, "GET", "/api/v1/configmaps", NULL);
	served_expect(s, 403, "POST", CONFIGMAPS, "{'metadata': {'name': 'x'}}");
	/* One object by name: also in the lists and watches that clients make of it. */
	be(s, NULL);
	served_expect(
		s, 201, "POST", ROLES,
		"{'metadata': {'name': 'one'}, 'rules': [{'apiGroups': [''], 'resources': ['secrets'], 'resourceNames': "
		"['a'], 'verbs': ['get', 'list']}]}");
	give(s, BINDINGS, "Role", "one", "jane");
	be(s, "jane");
	served_expect(s, 404, "GET", "/api/v1/namespaces/default/secrets/a", NULL);
	served_expect(s, 403, "GET", "/api/v1/namespaces/default/secrets/b", NULL);
	served_expect(s, 403, "GET", "/api/v1/namespaces/default/secrets", NULL);
	served_expect(s, 200, "GET", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Da", NULL);
	served_expect(s, 403, "GET", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Db", NULL);
	served_expect(s, 403, "GET", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%21%3Da", NULL);
	/* To apply a new object is to create it. */
	be(s, NULL);
	served_expect(
		s, 201, "POST", ROLES,
		"{'metadata': {'name': 'patcher'}, 'rules': [{'apiGroups': [''], 'resources': ['configmaps'], 'verbs': "
		"['patch']}]}");
	give(s, BINDINGS, "Role", "patcher", "jane");
	be(s, "jane");
	served_call_as(s, "PATCH", CONFIGMAPS "/x?fieldManager=m", "{'metadata': {'name': 'x'}}",
		       "application/apply-patch+yaml", NULL);
	assert_int_equal(s->status, 403);
}

static void test_validation(void **state)
{
	struct served *s = *state;
	static const struct {
		const char *path, *body, *message;
	} cases[] = {
		{ROLES, "{'metadata': {'name': 'x'}, 'rules': [{'apiGroups': [''], 'resources': ['a'], 'verbs': []}]}",
		 "rules[0].verbs: Required value: verbs must contain at least one value"},
		{ROLES, "{'metadata': {'name': 'x'}, 'rules': [{'resources': ['a'], 'verbs': ['get']}]}",
		 "rules[0].apiGroups: Required value: resource rules must supply at least one api group"},
		{ROLES, "{'metadata': {'name': 'a/b'}, 'rules': []}", "may not be '.' or '..' nor contain '/' or '%'"},
		{CLUSTERROLES,
		 "{'metadata': {'name': 'x'}, 'rules': [{'nonResourceURLs': ['/a'], 'resources': ['a'], 'apiGroups': [''], "
		 "'verbs': ['get']}]}",
		 "rules cannot apply to both regular resources and non-resource URLs"},
		{CLUSTERROLES, "{'metadata': {'name': 'x'}, 'aggregationRule': {'clusterRoleSelectors': [{}]}}",
		 "a selector without conditions would select every role"},
		{BINDINGS, "{'metadata': {'name': 'x'}}", "roleRef: Required value"},
		{BINDINGS, "{'metadata': {'name': 'x'}, 'roleRef': {'kind': 'Node', 'name': 'x'}}", "roleRef.kind"},
		{CLUSTERBINDINGS, "{'metadata': {'name': 'x'}, 'roleRef': {'kind': 'Role', 'name': 'x'}}",
		 "roleRef.kind"},
		{CLUSTERBINDINGS,
		 "{'metadata': {'name': 'x'}, 'roleRef': {'kind': 'ClusterRole', 'name': 'x'}, 'subjects': [{'kind': "
		 "'ServiceAccount', 'name': 'x'}]}",
		 "subjects[0].namespace: Required value"},
		{BINDINGS,
		 "{'metadata': {'name': 'x'}, 'roleRef': {'kind': 'ClusterRole', 'name': 'x'}, 'subjects': [{'kind': 'User', "
		 "'name': 'x', 'apiGroup': 'y'}]}",
		 "subjects[0].apiGroup: Unsupported value: \"y\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *text = message(served_expect(s, 422, "POST", cases[i].path, cases[i].body));
		if (!strstr(text, cases[i].message))
			fail_msg("case %zu: %s", i, text);
	}
	served_expect(s, 201, "POST", BINDINGS,
		      "{'metadata': {'name': 'x'}, 'roleRef': {'kind': 'ClusterRole', 'name': 'view'}}");
	assert_non_null(strstr(message(served_patch(s, 422, BINDINGS "/x", "{'roleRef': {'name': 'edit'}}")),
			       "cannot change roleRef"));
}

#define READS "'rules': [{'apiGroups': [''], 'resources': ['configmaps'], 'verbs': ['get', 'list']}]"
#define READS_SECRETS "'rules': [{'apiGroups': [''], 'resources': ['secrets', 'nodes'], 'verbs': ['get']}]"

static void test_escalation(void **state)
{
	struct served *s = *state;

	give(s, BINDINGS, "ClusterRole", "admin", "bob");
	be(s, "bob");
	served_expect(s, 201, "POST", ROLES, "{'metadata': {'name': 'mine'}, " READS "}");
	assert_string_equal(
		message(served_expect(s, 403, "POST", ROLES, "{'metadata': {'name': 'more'}, " READS_SECRETS "}")),
		"roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"bob\" (groups=[\"system:authenticated\"]) is "
		"attempting to grant RBAC permissions not currently held:\n"
		"{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\"]}");
	served_call_as(s, "PATCH", ROLES "/mine", "{" READS_SECRETS "}", "application/merge-patch+json", NULL);
	assert_int_equal(s->status, 403);
	served_call_as(s, "PATCH", ROLES "/new?fieldManager=m", "{'metadata': {'name': 'new'}, " READS_SECRETS "}",
		       "application/apply-patch+yaml", NULL);
	assert_int_equal(s->status, 403);
	/* Bindings: to what one holds, and not to more; a role that is not there might come to be anything. */
	served_expect(
		s, 201, "POST", BINDINGS,
		"{'metadata': {'name': 'ok'}, 'roleRef': {'kind': 'ClusterRole', 'name': 'edit'}, 'subjects': [{'kind': "
		"'User', 'name': 'eve'}]}");
	served_expect(
		s, 403, "POST", BINDINGS,
		"{'metadata': {'name': 'no'}, 'roleRef': {'kind': 'ClusterRole', 'name': 'cluster-admin'}, 'subjects': "
		"[{'kind': 'User', 'name': 'bob'}]}");
	served_expect(s, 404, "POST", BINDINGS,
		      "{'metadata': {'name': 'no'}, 'roleRef': {'kind': 'Role', 'name': 'later'}}");
	served_expect(s, 403, "POST", CLUSTERBINDINGS,
		      "{'metadata': {'name': 'no'}, 'roleRef': {'kind': 'ClusterRole', 'name': 'view'}}");
	/* `bind` on one role, `escalate` on another. */
	be(s, NULL);
	served_expect(
		s, 201, "POST", ROLES,
		"{'metadata': {'name': 'trusted'}, 'rules': [{'apiGroups': ['rbac.authorization.k8s.io'], 'resources': "
		"['clusterroles'], 'resourceNames': ['cluster-admin'], 'verbs': ['bind']}, {'apiGroups': "
		"['rbac.authorization.k8s.io'], 'resources': ['roles'], 'resourceNames': ['more'], 'verbs': ['escalate']}]}");
	give(s, BINDINGS, "Role", "trusted", "bob");
	be(s, "bob");
	served_expect(s, 201, "POST", ROLES, "{'metadata': {'name': 'more'}, " READS_SECRETS "}");
	served_expect(s, 403, "POST", ROLES, "{'metadata': {'name': 'evenmore'}, " READS_SECRETS "}");
	served_expect(
		s, 201, "POST", BINDINGS,
		"{'metadata': {'name': 'yes'}, 'roleRef': {'kind': 'ClusterRole', 'name': 'cluster-admin'}, 'subjects': "
		"[{'kind': 'User', 'name': 'carol'}]}");
	be(s, "carol");
	served_expect(s, 200, "GET", "/api/v1/namespaces/default/secrets", NULL);
	served_expect(s, 403, "GET", "/api/v1/secrets", NULL);
}

/* Who may write ClusterRoles but holds little cannot reach more by labels or aggregation. */
static void test_escalation_by_aggregation(void **state)
{
	struct served *s = *state;

	served_expect(
		s, 201, "POST", CLUSTERROLES,
		"{'metadata': {'name': 'keeper'}, 'rules': [{'apiGroups': ['rbac.authorization.k8s.io'], 'resources': "
		"['clusterroles'], 'verbs': ['create', 'get', 'patch', 'delete']}, {'apiGroups': [''], 'resources': "
		"['configmaps'], 'verbs': ['get', 'list']}]}");
	give(s, CLUSTERBINDINGS, "ClusterRole", "keeper", "kim");
	be(s, "kim");
	served_expect(s, 201, "POST", CLUSTERROLES, "{'metadata': {'name': 'fine'}, " READS "}");
	served_expect(
		s, 403, "POST", CLUSTERROLES,
		"{'metadata': {'name': 'all'}, 'aggregationRule': {'clusterRoleSelectors': [{'matchLabels': {'a': 'b'}}]}}");
	served_call_as(s, "PATCH", CLUSTERROLES "/cluster-admin",
		       "{'metadata': {'labels': {'rbac.authorization.k8s.io/aggregate-to-view': 'true'}}}",
		       "application/merge-patch+json", NULL);
	assert_int_equal(s->status, 403);
	served_patch(s, 200, CLUSTERROLES "/fine", "{'metadata': {'labels': {'a': 'b'}}}");
	served_expect(s, 200, "DELETE", CLUSTERROLES "/fine", NULL);
}

static void test_nodes_write_their_own(void **state)
{
	struct served *s = *state;

	served_hello(s);
	served_expect(s, 201, "POST", "/api/v1/nodes", "{'metadata': {'name': 'other'}}");
	s->token = NODE_A;
	served_expect(s, 201, "POST", "/api/v1/nodes", "{'metadata': {'name': 'a'}}");
	served_expect(s, 403, "POST", "/api/v1/nodes", "{'metadata': {'name': 'b'}}");
	served_expect(s, 403, "GET", "/api/v1/nodes/other", NULL);
	served_expect(s, 201, "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
		      "{'metadata': {'name': 'a'}}");
	served_expect(s, 403, "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
		      "{'metadata': {'name': 'other'}}");
	served_patch(s, 403, INSTANCES "/hello.u1/status", "{'status': {'phase': 'Ready'}}");
	s->token = ADMIN;
	served_expect(s, 201, "POST", INSTANCES "/hello.u1/binding",
		      "{'target': {'kind': 'Node', 'name': 'a'}, 'revision': 'hello-1'}");
	s->token = NODE_A;
	served_patch(s, 200, INSTANCES "/hello.u1/status", "{'status': {'phase': 'Starting'}}");
	served_patch(s, 403, INSTANCES "/hello.u1", "{'spec': {'state': 'Stopped'}}");
	served_patch(s, 403, INSTANCES "/hello.u1", "{'metadata': {'labels': {'x': 'y'}}}");
	served_patch(s, 200, INSTANCES "/hello.u1", "{'metadata': {'finalizers': []}}");
	served_expect(s, 200, "GET", "/apis/berth.dev/v1/instances?fieldSelector=spec.nodeName%3Da", NULL);
	served_expect(s, 403, "GET", "/apis/berth.dev/v1/instances", NULL);
	served_expect(s, 403, "GET", "/apis/berth.dev/v1/instances?fieldSelector=spec.nodeName%3Db", NULL);
	served_expect(s, 403, "GET", "/apis/berth.dev/v1/instances?fieldSelector=spec.nodeName%21%3Db", NULL);
}

static bool can(struct served *s, const char *attributes)
{
	struct json *v = served_expect(s, 201, "POST", SSAR, arena_printf(s->arena, "{'spec': {%s}}", attributes));

	return json_bool_or(json_in(v, "status", "allowed"), false);
}

static void test_reviews(void **state)
{
	struct served *s = *state;
	struct json *v;

	give(s, BINDINGS, "ClusterRole", "view", "jane");
	be(s, "jane");
	assert_true(can(s, "'resourceAttributes': {'verb': 'list', 'resource': 'configmaps', 'namespace': 'default'}"));
	assert_false(can(s, "'resourceAttributes': {'verb': 'list', 'resource': 'configmaps'}"));
	assert_false(can(s, "'resourceAttributes': {'verb': 'list', 'resource': 'secrets', 'namespace': 'default'}"));
	assert_true(can(s, "'resourceAttributes': {'verb': 'get', 'group': 'berth.dev', 'resource': 'instances', "
			   "'subresource': 'log', 'namespace': 'default'}"));
	assert_true(can(s, "'nonResourceAttributes': {'verb': 'get', 'path': '/apis'}"));
	assert_false(can(s, "'nonResourceAttributes': {'verb': 'get', 'path': '/metrics'}"));
	served_expect(s, 400, "POST", SSAR, "{'spec': {}}");
	served_expect(s, 400, "POST", SSAR, "{'spec': {'resourceAttributes': {}, 'nonResourceAttributes': {}}}");
	served_expect(s, 400, "POST", SSAR, "{'kind': 'ConfigMap'}");
	served_expect(s, 403, "POST", SAR, "{'spec': {'user': 'x', 'resourceAttributes': {'verb': 'get'}}}");
	v = served_expect(s, 201, "POST", SSRR, "{'spec': {'namespace': 'default'}}");
	assert_false(json_bool_or(json_in(v, "status", "incomplete"), true));
	assert_true(json_count(json_in(v, "status", "resourceRules")) >= 3);
	assert_true(json_count(json_in(v, "status", "nonResourceRules")) >= 1);
	s->as_group = "devs";
	s->as_group_too = "ops";
	v = json_in(served_expect(s, 201, "POST", WHOAMI, "{}"), "status", "userInfo");
	assert_string_equal(json_str(json_get(v, "username")), "jane");
	assert_int_equal(json_count(json_get(v, "groups")), 3);
	be(s, NULL);
	v = served_expect(s, 201, "POST", SAR,
			  "{'spec': {'user': 'jane', 'resourceAttributes': {'verb': 'get', 'resource': 'configmaps', "
			  "'namespace': 'default'}}}");
	assert_true(json_bool_or(json_in(v, "status", "allowed"), false));
	v = served_expect(
		s, 201, "POST", SAR,
		"{'spec': {'groups': ['system:masters'], 'nonResourceAttributes': {'verb': 'get', 'path': '/x'}}}");
	assert_true(json_bool_or(json_in(v, "status", "allowed"), false));
	served_expect(s, 400, "POST", SAR, "{'spec': {'resourceAttributes': {'verb': 'get'}}}");
	v = served_expect(s, 201, "POST", SSRR, "{}");
	assert_string_equal(
		json_str(json_item(json_get(json_item(json_in(v, "status", "resourceRules"), 0), "verbs"), 0)), "*");
	served_expect(s, 405, "GET", WHOAMI, NULL);
}

static void test_impersonation(void **state)
{
	struct served *s = *state;

	s->token = SCHEDULER;
	be(s, "jane");
	assert_string_equal(
		message(served_expect(s, 403, "GET", CONFIGMAPS, NULL)),
		"users \"jane\" is forbidden: User \"berth-scheduler\" cannot impersonate resource \"users\" in API group "
		"\"\" at the cluster scope");
	s->token = ADMIN;
	be(s, NULL);
	served_expect(
		s, 201, "POST", CLUSTERROLES,
		"{'metadata': {'name': 'actor'}, 'rules': [{'apiGroups': [''], 'resources': ['users'], 'resourceNames': "
		"['jane'], 'verbs': ['impersonate']}, {'apiGroups': [''], 'resources': ['groups'], 'resourceNames': ['devs'], "
		"'verbs': ['impersonate']}]}");
	give(s, CLUSTERBINDINGS, "ClusterRole", "actor", "berth-scheduler");
	s->token = SCHEDULER;
	be(s, "jane");
	served_expect(s, 201, "POST", WHOAMI, "{}");
	s->as_group = "devs";
	served_expect(s, 201, "POST", WHOAMI, "{}");
	s->as_group_too = "system:masters"; /* every group is looked at, not only the first */
	served_expect(s, 403, "POST", WHOAMI, "{}");
	be(s, "joe");
	served_expect(s, 403, "POST", WHOAMI, "{}");
	be(s, "system:serviceaccount:default:ci");
	assert_non_null(strstr(
		message(served_expect(s, 403, "POST", WHOAMI, "{}")),
		"cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"default\""));
	be(s, NULL);
	s->as_group = "devs";
	served_expect(s, 400, "POST", WHOAMI, "{}");
	/* An anonymous caller is nobody else. */
	s->token = NULL;
	be(s, "jane");
	served_expect(s, 401, "POST", WHOAMI, "{}");
}

static const char *token_of(struct served *s, const char *request)
{
	return json_str(json_in(served_expect(s, 201, "POST", ACCOUNTS "/ci/token", request), "status", "token"));
}

static void test_account_tokens(void **state)
{
	struct served *s = *state;

	served_expect(s, 404, "POST", ACCOUNTS "/ci/token", "{}");
	served_expect(s, 201, "POST", ACCOUNTS, "{'metadata': {'name': 'ci'}}");
	served_expect(s, 422, "POST", ACCOUNTS "/ci/token", "{'spec': {'expirationSeconds': 599}}");
	served_expect(s, 422, "POST", ACCOUNTS "/ci/token", "{'spec': {'expirationSeconds': 4294967297}}");
	served_expect(s, 422, "POST", ACCOUNTS "/ci/token", "{'spec': {'boundObjectRef': {'kind': 'Secret'}}}");
	const char *token = token_of(s,
				     "{'spec': {'expirationSeconds': 600, 'boundObjectRef': null, 'audiences': null}}");
	const char *foreign = token_of(s, "{'spec': {'audiences': ['vault']}}");
	served_expect(
		s, 201, "POST", BINDINGS,
		"{'metadata': {'name': 'ci'}, 'roleRef': {'kind': 'ClusterRole', 'name': 'view'}, 'subjects': [{'kind': "
		"'ServiceAccount', 'name': 'ci'}]}");
	s->token = token;
	served_expect(s, 200, "GET", CONFIGMAPS, NULL);
	served_expect(s, 403, "POST", ACCOUNTS "/ci/token", "{}");
	struct json *who = json_in(served_expect(s, 201, "POST", WHOAMI, "{}"), "status", "userInfo");
	assert_string_equal(json_str(json_get(who, "username")), "system:serviceaccount:default:ci");
	assert_int_equal(json_count(json_get(who, "groups")), 3);
	s->token = foreign;
	served_expect(s, 401, "GET", CONFIGMAPS, NULL);
	s->token = ADMIN;
	struct json *v = served_expect(s, 201, "POST", TOKENREVIEWS,
				       arena_printf(s->arena, "{'spec': {'token': '%s'}}", token));
	assert_true(json_bool_or(json_in(v, "status", "authenticated"), false));
	assert_string_equal(json_str(json_in(v, "status", "user", "username")), "system:serviceaccount:default:ci");
	v = served_expect(s, 201, "POST", TOKENREVIEWS, "{'spec': {'token': 'x'}}");
	assert_false(json_bool_or(json_in(v, "status", "authenticated"), true));
	v = served_expect(s, 201, "POST", TOKENREVIEWS,
			  arena_printf(s->arena, "{'spec': {'token': '%s', 'audiences': ['vault']}}", token));
	assert_false(json_bool_or(json_in(v, "status", "authenticated"), true));
	/* The token ends with its account. */
	served_expect(s, 200, "DELETE", ACCOUNTS "/ci", NULL);
	served_expect(s, 201, "POST", ACCOUNTS, "{'metadata': {'name': 'ci'}}");
	s->token = token;
	served_expect(s, 401, "GET", CONFIGMAPS, NULL);
}

#define SERVER_TEST(f) cmocka_unit_test_setup_teardown(f, served_setup, served_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVER_TEST(test_refusals),
		SERVER_TEST(test_validation),
		SERVER_TEST(test_escalation),
		SERVER_TEST(test_escalation_by_aggregation),
		SERVER_TEST(test_nodes_write_their_own),
		SERVER_TEST(test_reviews),
		SERVER_TEST(test_impersonation),
		SERVER_TEST(test_account_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
