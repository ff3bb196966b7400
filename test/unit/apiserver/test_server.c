/*
 * test_server.c - a whole apiserver over HTTP: who may call, the verbs and their errors, subresources, a restart.
 */
#include "test/unit/apiserver/server_fixture.h"
#include <setjmp.h>

#include <cmocka.h>

#define META(o, member) json_in((o), "metadata", member)

static const char *reason(const struct json *status)
{
	return json_str_or(json_get(status, "reason"), "");
}

static const char *message(const struct json *status)
{
	return json_str_or(json_get(status, "message"), "");
}

static void test_authentication(void **state)
{
	struct served *s = *state;

	s->token = NULL;
	assert_string_equal(reason(served_expect(s, 401, "GET", CONFIGMAPS, NULL)), "Unauthorized");
	served_expect(s, 200, "GET", "/livez", NULL);
	served_expect(s, 200, "GET", "/readyz?verbose", NULL);
	served_expect(s, 200, "GET", "/version/", NULL);
	served_expect(s, 401, "GET", "/metrics", NULL);
	s->token = "wrong";
	served_expect(s, 401, "GET", "/livez", NULL);
	s->token = SCHEDULER;
	assert_string_equal(
		message(served_expect(s, 403, "POST", CONFIGMAPS, "{}")),
		"configmaps is forbidden: User \"berth-scheduler\" cannot create resource \"configmaps\" in API group \"\" in "
		"the namespace \"default\"");
	assert_string_equal(
		message(served_expect(s, 403, "GET", "/api/v1/services", NULL)),
		"services is forbidden: User \"berth-scheduler\" cannot list resource \"services\" in API group \"\" at the "
		"cluster scope");
	s->token = NODE_A;
	served_expect(s, 201, "POST", "/api/v1/nodes", "{'metadata': {'name': 'a'}}");
	served_expect(s, 403, "POST", "/api/v1/nodes", "{'metadata': {'name': 'b'}}");
	s->token = ADMIN;
	served_expect(s, 404, "GET", "/api/v1/nodes/b", NULL);
}

/* A node reads the Secrets that Images name, one by one, and no others. */
static void test_secrets_of_nodes(void **state)
{
	static const char secret[] = "/api/v1/namespaces/default/secrets/pull", image[] = "/apis/berth.dev/v1/images";
	static const char other[] = "/api/v1/namespaces/other/secrets/pull";
	struct served *s = *state;

	served_expect(s, 201, "POST", "/api/v1/namespaces", "{'metadata':{'name':'other'}}");
	served_expect(s, 201, "POST", "/api/v1/namespaces/default/secrets", "{'metadata':{'name':'pull'}}");
	served_expect(s, 201, "POST", "/api/v1/namespaces/other/secrets", "{'metadata':{'name':'pull'}}");
	served_expect(s, 201, "POST", "/api/v1/namespaces/default/secrets", "{'metadata':{'name':'private'}}");
	s->token = NODE_A;
	served_expect(s, 403, "GET", secret, NULL);
	s->token = ADMIN;
	served_expect(
		s, 201, "POST", image,
		"{'metadata':{'name':'i','labels':{'about':'private'}},'spec':{'reference':'r/x@sha256:0','digest':'sha256:"
		"0000000000000000000000000000000000000000000000000000000000000000',"
		"'pullSecrets':[{'namespace':'default','name':'pull'}]}}");
	s->token = NODE_A;
	served_expect(s, 200, "GET", secret, NULL);
	served_expect(s, 403, "GET", other, NULL);
	served_expect(s, 403, "GET", "/api/v1/namespaces/default/secrets/private", NULL);
	assert_string_equal(
		message(served_expect(s, 403, "GET", "/api/v1/namespaces/default/secrets", NULL)),
		"secrets is forbidden: User \"system:node:a\" cannot list resource \"secrets\" in API group "
		"\"\" in the namespace \"default\"");
	served_expect(s, 403, "GET", "/api/v1/namespaces/default/secrets/pull?watch=true", NULL);
	served_expect(s, 403, "PUT", secret, "{'metadata':{'name':'pull'}}");
	s->token = ADMIN;
	served_patch(s, 200, "/apis/berth.dev/v1/images/i", "{'spec':{'pullSecrets':null}}");
	s->token = NODE_A;
	served_expect(s, 403, "GET", secret, NULL);
}

static void test_create_get_delete(void **state)
{
	struct served *s = *state;
	struct json *made = served_expect(s, 201, "POST", CONFIGMAPS,
					  "{'metadata': {'name': 'x', 'uid': 'mine'}, 'data': {'a': 'b'}}");

	assert_string_equal(json_str(json_get(made, "kind")), "ConfigMap");
	assert_string_not_equal(json_str(META(made, "uid")), "mine");
	assert_true(json_equal(served_expect(s, 200, "GET", CONFIGMAPS "/x", NULL), made));
	assert_string_equal(message(served_expect(s, 409, "POST", CONFIGMAPS, "{'metadata': {'name': 'x'}}")),
			    "configmaps \"x\" already exists");
	struct json *gone = served_expect(s, 200, "DELETE", CONFIGMAPS "/x", NULL);
	assert_string_equal(json_str(json_get(gone, "status")), "Success");
	assert_true(json_equal(json_in(gone, "details", "uid"), META(made, "uid")));
	gone = served_expect(s, 404, "GET", CONFIGMAPS "/x", NULL);
	assert_string_equal(message(gone), "configmaps \"x\" not found");
	assert_string_equal(json_str(json_in(gone, "details", "kind")), "configmaps");
	served_expect(s, 404, "DELETE", CONFIGMAPS "/x", NULL);
}

static void test_bad_requests(void **state)
{
	static const struct {
		int status;
		const char *method, *path, *body, *reason;
	} cases[] = {
		{400, "POST", CONFIGMAPS, "{'metadata': ", "BadRequest"},
		{400, "POST", CONFIGMAPS, "", "BadRequest"},
		{400, "POST", CONFIGMAPS, "[]", "BadRequest"},
		{400, "POST", CONFIGMAPS, "{'kind': 'Secret', 'metadata': {'name': 'x'}}", "BadRequest"},
		{400, "POST", CONFIGMAPS, "{'apiVersion': 'v2', 'metadata': {'name': 'x'}}", "BadRequest"},
		{400, "POST", CONFIGMAPS, "{'metadata': {'name': 'x', 'namespace': 'other'}}", "BadRequest"},
		{400, "POST", CONFIGMAPS, "{'metadata': {'name': 'x', 'resourceVersion': '1'}}", "BadRequest"},
		{400, "POST", CONFIGMAPS "?dryRun=Some", "{'metadata': {'name': 'x'}}", "BadRequest"},
		{400, "POST", CONFIGMAPS "?fieldValidation=Hard", "{'metadata': {'name': 'x'}}", "BadRequest"},
		{400, "GET", CONFIGMAPS "?limit=many", NULL, "BadRequest"},
		{400, "GET", CONFIGMAPS "?timeout=soon", NULL, "BadRequest"},
		{400, "GET", CONFIGMAPS "?continue=nonsense", NULL, "BadRequest"},
		{400, "GET", CONFIGMAPS "?resourceVersion=x", NULL, "BadRequest"},
		{422, "GET", CONFIGMAPS "?resourceVersionMatch=Exact", NULL, "Invalid"},
		{504, "GET", CONFIGMAPS "?resourceVersion=999999", NULL, "Timeout"},
		{422, "POST", CONFIGMAPS, "{'metadata': {}}", "Invalid"},
		{422, "POST", CONFIGMAPS, "{'metadata': {'name': 'X Y'}}", "Invalid"},
		{404, "POST", "/api/v1/namespaces/none/configmaps", "{'metadata': {'name': 'x'}}", "NotFound"},
		{404, "GET", "/api/v1/namespaces/default/services", NULL, "NotFound"},
		{404, "GET", "/nothing", NULL, "NotFound"},
		{404, "GET", CONFIGMAPS "/x/scale", NULL, "NotFound"},
		{405, "PUT", CONFIGMAPS, "{}", "MethodNotAllowed"},
		{405, "POST", "/api/v1/configmaps", "{}", "MethodNotAllowed"},
		{405, "DELETE", INSTANCES "/x/status", NULL, "MethodNotAllowed"},
		{405, "GET", INSTANCES "/x/binding", NULL, "MethodNotAllowed"},
	};
	struct served *s = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(
			reason(served_expect(s, cases[i].status, cases[i].method, cases[i].path, cases[i].body)),
			cases[i].reason);
	served_call_as(s, "POST", CONFIGMAPS, "x", "text/plain", NULL);
	assert_int_equal(s->status, 415);
	served_call_as(s, "GET", CONFIGMAPS, NULL, NULL, "text/html");
	assert_int_equal(s->status, 406);
	served_call_as(s, "PATCH", CONFIGMAPS "/x", "{}", "application/json", NULL);
	assert_int_equal(s->status, 415);
}

static void test_unknown_fields(void **state)
{
	struct served *s = *state;
	const char *body = "{'metadata': {'name': 'x'}, 'spec': {'image': 'a', 'colour': 'red'}}";

	assert_string_equal(
		message(served_expect(s, 400, "POST", CONTAINERS "?fieldValidation=Strict", body)),
		"Container in version \"v1\" cannot be handled as a Container: strict decoding error: unknown field "
		"\"spec.colour\"");
	struct json *made = served_expect(s, 201, "POST", CONTAINERS, body);
	assert_null(json_in(made, "spec", "colour"));
	assert_string_equal(http_response_header(&s->response, "Warning"),
			    "299 - \"unknown field \\\"spec.colour\\\"\"");
	assert_string_equal(
		message(served_expect(s, 400, "POST", CONTAINERS "?fieldValidation=Strict",
				      "{'metadata': {'name': 'y'}, 'spec': {'image': 'a', 'image': 'b'}}")),
		"Container in version \"v1\" cannot be handled as a Container: strict decoding error: duplicate field "
		"\"spec.image\"");
}

static void test_yaml_and_generated_names(void **state)
{
	struct served *s = *state;

	served_call_as(s, "POST", CONFIGMAPS, "metadata:\n  name: fromyaml\ndata:\n  k: v\n", "application/yaml", NULL);
	assert_int_equal(s->status, 201);
	struct json *made = served_expect(s, 201, "POST", CONFIGMAPS, "{'metadata': {'generateName': 'gen-'}}");
	const char *name = json_str(META(made, "name"));
	assert_true(str_starts(name, "gen-"));
	assert_int_equal(strlen(name), 9);
}

static void test_update_and_conflict(void **state)
{
	struct served *s = *state;

	served_hello(s);
	struct json *o = served_expect(s, 200, "GET", CONTAINERS "/hello", NULL);
	const char *version = json_str(META(o, "resourceVersion"));
	assert_int_equal(json_int_or(META(o, "generation"), 0), 1);
	o = served_patch(s, 200, CONTAINERS "/hello", "{'metadata': {'labels': {'a': 'b'}}}");
	assert_int_equal(json_int_or(META(o, "generation"), 0), 1); /* labels make no generation */
	o = served_patch(s, 200, CONTAINERS "/hello", "{'spec': {'maxInstances': 3}}");
	assert_int_equal(json_int_or(META(o, "generation"), 0), 2);
	const char *newest = json_str(META(o, "resourceVersion"));
	o = served_patch(s, 200, CONTAINERS "/hello", "{'spec': {'maxInstances': 3}}");
	assert_string_equal(json_str(META(o, "resourceVersion")), newest); /* no change, no revision */
	o = served_patch(s, 409, CONTAINERS "/hello",
			 arena_printf(s->arena, "{'metadata': {'resourceVersion': '%s'}, 'spec': {'maxInstances': 4}}",
				      version));
	assert_string_equal(message(o),
			    "Operation cannot be fulfilled on containers.berth.dev \"hello\": the object has been "
			    "modified; please apply your changes to the latest version and try again");
	served_expect(s, 422, "PUT", CONTAINERS "/hello", "{'metadata': {'name': 'hello'}, 'spec': {'image': 'b'}}");
	served_expect(s, 200, "PUT", CONTAINERS "/hello",
		      arena_printf(s->arena,
				   "{'metadata': {'name': 'hello', 'resourceVersion': '%s'}, 'spec': {'image': 'b'}}",
				   newest));
	served_expect(s, 404, "PUT", CONTAINERS "/none", "{'metadata': {'name': 'none'}, 'spec': {'image': 'b'}}");
}

static void test_status_subresource(void **state)
{
	struct served *s = *state;

	served_hello(s);
	struct json *o = served_patch(
		s, 200, INSTANCES "/hello.u1/status",
		"{'status': {'phase': 'Asleep'}, 'spec': {'state': 'Stopped'}, 'metadata': {'labels': {'a': 'b'}}}");
	assert_string_equal(json_str(json_in(o, "status", "phase")), "Asleep");
	assert_string_equal(json_str(json_in(o, "spec", "state")), "Running");
	assert_null(json_in(o, "metadata", "labels", "a"));
	assert_int_equal(json_int_or(META(o, "generation"), 0), 1);
	o = served_patch(s, 200, INSTANCES "/hello.u1", "{'status': {'phase': 'Ready'}}");
	assert_string_equal(json_str(json_in(o, "status", "phase")), "Asleep");
	o = served_expect(s, 200, "GET", INSTANCES "/hello.u1/status", NULL);
	assert_string_equal(json_str(json_in(o, "status", "phase")), "Asleep");
}

static void test_dry_run(void **state)
{
	struct served *s = *state;
	struct json *o = served_expect(s, 201, "POST", CONFIGMAPS "?dryRun=All", "{'metadata': {'name': 'x'}}");

	assert_non_null(META(o, "uid"));
	assert_null(META(o, "resourceVersion"));
	served_expect(s, 404, "GET", CONFIGMAPS "/x", NULL);
	served_expect(s, 201, "POST", CONFIGMAPS, "{'metadata': {'name': 'x'}}");
	o = served_patch(s, 200, CONFIGMAPS "/x?dryRun=All", "{'data': {'a': 'b'}}");
	assert_string_equal(json_str(json_in(o, "data", "a")), "b");
	served_expect(s, 200, "DELETE", CONFIGMAPS "/x", "{'dryRun': ['All']}");
	o = served_expect(s, 200, "GET", CONFIGMAPS "/x", NULL);
	assert_null(json_get(o, "data"));
}

static void test_lists_are_consistent_across_pages(void **state)
{
	struct served *s = *state;

	for (int i = 0; i < 5; i++)
		served_expect(
			s, 201, "POST", CONFIGMAPS,
			arena_printf(s->arena, "{'metadata': {'name': 'n%d', 'labels': {'odd': '%d'}}}", i, i % 2));
	struct json *page = served_expect(s, 200, "GET", CONFIGMAPS "?limit=2", NULL);
	const char *version = json_str(META(page, "resourceVersion")), *token = json_str(META(page, "continue"));
	assert_int_equal(json_count(json_get(page, "items")), 2);
	assert_int_equal(json_int_or(META(page, "remainingItemCount"), 0), 3);
	served_expect(s, 200, "DELETE", CONFIGMAPS "/n3", NULL);
	served_expect(s, 201, "POST", CONFIGMAPS, "{'metadata': {'name': 'n2a'}}");
	page = served_expect(s, 200, "GET", arena_printf(s->arena, CONFIGMAPS "?limit=9&continue=%s", token), NULL);
	assert_string_equal(json_str(META(page, "resourceVersion")), version);
	assert_null(META(page, "continue"));
	assert_int_equal(json_count(json_get(page, "items")), 3);
	assert_string_equal(json_str(META(json_item(json_get(page, "items"), 1), "name")), "n3");
	page = served_expect(s, 200, "GET", CONFIGMAPS "?labelSelector=odd%3D1", NULL);
	assert_int_equal(json_count(json_get(page, "items")), 1);
	page = served_expect(s, 200, "GET", CONFIGMAPS "?fieldSelector=metadata.name%3Dn4", NULL);
	assert_int_equal(json_count(json_get(page, "items")), 1);
	page = served_expect(
		s, 200, "GET",
		arena_printf(s->arena, CONFIGMAPS "?resourceVersion=%s&resourceVersionMatch=Exact", version), NULL);
	assert_int_equal(json_count(json_get(page, "items")), 5);
}

static void test_delete_preconditions_and_finalizers(void **state)
{
	struct served *s = *state;

	served_expect(s, 201, "POST", CONFIGMAPS, "{'metadata': {'name': 'x', 'finalizers': ['a.b/c']}}");
	served_expect(s, 409, "DELETE", CONFIGMAPS "/x", "{'preconditions': {'uid': 'other'}}");
	served_expect(s, 409, "DELETE", CONFIGMAPS "/x", "{'preconditions': {'resourceVersion': '1'}}");
	served_expect(s, 422, "DELETE", CONFIGMAPS "/x", "{'propagationPolicy': 'Sometimes'}");
	struct json *o = served_expect(s, 200, "DELETE", CONFIGMAPS "/x", NULL);
	assert_non_null(META(o, "deletionTimestamp"));
	served_patch(s, 422, CONFIGMAPS "/x", "{'metadata': {'finalizers': ['a.b/c', 'd.e/f']}}");
	served_patch(s, 200, CONFIGMAPS "/x", "{'metadata': {'finalizers': null}}");
	served_expect(s, 404, "GET", CONFIGMAPS "/x", NULL);
}

static void test_deletecollection(void **state)
{
	struct served *s = *state;

	served_expect(s, 201, "POST", CONFIGMAPS, "{'metadata': {'name': 'x', 'labels': {'a': '1'}}}");
	served_expect(s, 201, "POST", CONFIGMAPS, "{'metadata': {'name': 'y', 'labels': {'a': '2'}}}");
	struct json *list = served_expect(s, 200, "DELETE", CONFIGMAPS "?labelSelector=a%3D1", NULL);
	assert_int_equal(json_count(json_get(list, "items")), 1);
	served_expect(s, 404, "GET", CONFIGMAPS "/x", NULL);
	served_expect(s, 200, "GET", CONFIGMAPS "/y", NULL);
}

static void test_scale(void **state)
{
	struct served *s = *state;

	served_hello(s);
	struct json *o = served_expect(s, 200, "GET", CONTAINERS "/hello/scale", NULL);
	assert_string_equal(json_str(json_get(o, "kind")), "Scale");
	assert_int_equal(json_int_or(json_in(o, "spec", "replicas"), 0), 20);
	o = served_patch(s, 200, CONTAINERS "/hello/scale", "{'spec': {'replicas': 5}}");
	assert_int_equal(json_int_or(json_in(o, "spec", "replicas"), 0), 5);
	o = served_expect(s, 200, "GET", CONTAINERS "/hello", NULL);
	assert_int_equal(json_int_or(json_in(o, "spec", "maxInstances"), 0), 5);
	served_patch(s, 422, CONTAINERS "/hello/scale", "{'spec': {'replicas': -1}}");
	served_patch(s, 409, CONTAINERS "/hello/scale",
		     "{'metadata': {'resourceVersion': '1'}, 'spec': {'replicas': 6}}");
}

#define BIND(node, revision) "{'target': {'kind': 'Node', 'name': '" node "'}, 'revision': '" revision "'}"

static void test_binding(void **state)
{
	struct served *s = *state;

	served_hello(s);
	struct json *o = served_patch(s, 422, INSTANCES "/hello.u1", "{'spec': {'nodeName': 'n1'}}");
	assert_string_equal(reason(o), "Invalid");
	served_expect(s, 400, "POST", INSTANCES "/hello.u1/binding", "{'revision': 'hello-1'}");
	served_expect(s, 404, "POST", INSTANCES "/hello.u1/binding", BIND("n2", "hello-1"));
	served_expect(s, 404, "POST", INSTANCES "/hello.u1/binding", BIND("n1", "hello-2"));
	served_expect(s, 404, "POST", INSTANCES "/none/binding", BIND("n1", "hello-1"));
	/* The answer is the Instance as bound: the scheduler counts it from there on. */
	struct json *bound = served_expect(s, 201, "POST", INSTANCES "/hello.u1/binding", BIND("n1", "hello-1"));
	o = served_expect(s, 200, "GET", INSTANCES "/hello.u1", NULL);
	assert_true(json_equal(bound, o));
	assert_string_equal(json_str(json_in(o, "spec", "nodeName")), "n1");
	assert_string_equal(json_str(json_in(o, "spec", "revision")), "hello-1");
	assert_int_equal(json_int_or(json_in(o, "spec", "vmGeneration"), 0), 1);
	assert_string_equal(json_str(json_in(o, "status", "phase")), "Scheduled");
	assert_string_equal(json_str(json_in(o, "status", "location")), "fra");
	served_expect(s, 409, "POST", INSTANCES "/hello.u1/binding", BIND("n1", "hello-1")); /* not free */
	served_patch(s, 200, INSTANCES "/hello.u1/status", "{'status': {'phase': 'Asleep'}}");
	served_patch(s, 200, INSTANCES "/hello.u1", "{'spec': {'state': 'Asleep'}}");
	served_expect(s, 409, "POST", INSTANCES "/hello.u1/binding", BIND("n1", "hello-1")); /* does not want to run */
	served_patch(s, 200, INSTANCES "/hello.u1", "{'spec': {'state': 'Running'}}");
	served_expect(s, 201, "POST", INSTANCES "/hello.u1/binding", BIND("n1", "hello-1"));
	o = served_expect(s, 200, "GET", INSTANCES "/hello.u1", NULL);
	assert_int_equal(json_int_or(json_in(o, "spec", "vmGeneration"), 0), 2);
}

static void test_instance_admission(void **state)
{
	struct served *s = *state;

	served_hello(s);
	struct json *o = served_expect(s, 200, "GET", INSTANCES "/hello.u1", NULL);
	assert_string_equal(json_str(json_get(json_in(o, "metadata", "labels"), "berth.dev/container")), "hello");
	assert_string_equal(json_str(json_item(META(o, "finalizers"), 0)), "berth.dev/vm");
	served_expect(s, 409, "POST", INSTANCES, "{'spec': {'containerName': 'hello', 'id': 'u1'}}");
	served_expect(s, 422, "POST", INSTANCES,
		      "{'metadata': {'name': 'x'}, 'spec': {'containerName': 'hello', 'id': 'u2'}}");
	served_expect(s, 422, "POST", INSTANCES, "{'spec': {'containerName': 'none', 'id': 'u2'}}");
	served_expect(s, 422, "POST", INSTANCES, "{'spec': {'containerName': 'hello'}}");
	served_patch(s, 422, INSTANCES "/hello.u1", "{'spec': {'id': 'u2'}}");
}

static void test_table_and_partial(void **state)
{
	struct served *s = *state;
	const char *table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

	served_hello(s);
	struct json *o = served_call_as(s, "GET", INSTANCES, NULL, NULL, table);
	assert_string_equal(json_str(json_get(o, "kind")), "Table");
	assert_int_equal(json_count(json_get(o, "rows")), 1);
	o = served_call_as(s, "GET", INSTANCES "/hello.u1", NULL, NULL, table);
	assert_string_equal(json_str(json_in(json_item(json_get(o, "rows"), 0), "object", "kind")),
			    "PartialObjectMetadata");
	o = served_call_as(s, "GET", INSTANCES, NULL, NULL,
			   "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json");
	assert_string_equal(json_str(json_get(o, "kind")), "PartialObjectMetadataList");
	assert_null(json_get(json_item(json_get(o, "items"), 0), "spec"));
}

static void test_restart_keeps_everything(void **state)
{
	struct served *s = *state;

	served_hello(s);
	struct json *before = served_expect(s, 200, "GET", "/apis/berth.dev/v1/instances", NULL);
	served_restart(s);
	assert_true(json_equal(served_expect(s, 200, "GET", "/apis/berth.dev/v1/instances", NULL), before));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, served_setup, served_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_authentication),
		TEST(test_secrets_of_nodes),
		TEST(test_create_get_delete),
		TEST(test_bad_requests),
		TEST(test_unknown_fields),
		TEST(test_yaml_and_generated_names),
		TEST(test_update_and_conflict),
		TEST(test_status_subresource),
		TEST(test_dry_run),
		TEST(test_lists_are_consistent_across_pages),
		TEST(test_delete_preconditions_and_finalizers),
		TEST(test_deletecollection),
		TEST(test_scale),
		TEST(test_binding),
		TEST(test_instance_admission),
		TEST(test_table_and_partial),
		TEST(test_restart_keeps_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
