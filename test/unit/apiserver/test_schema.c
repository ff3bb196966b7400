/*
 * test_schema.c - pruning, defaults and validation, on small schemas and on the real kinds.
 */
#include "test/unit/apiserver/text_fixture.h"

#include "apiserver/schema.h"

/* Faults as "field: message" lines. */
static const char *faults(const struct kind *k, const struct json *obj, const struct json *old)
{
	struct json *causes = json_array(text_arena);
	const char *all = "";
	size_t count = schema_validate(text_arena, k, obj, old, causes);

	assert_int_equal(count, json_count(causes));
	for (size_t i = 0; i < json_count(causes); i++) {
		const struct json *c = json_item(causes, i);

		all = arena_printf(text_arena, "%s%s%s: %s", all, i ? " | " : "", json_str(json_get(c, "field")),
				   json_str(json_get(c, "message")));
	}
	return all;
}

/* A schema for member "v" of the root, a value for it, and the faults that follow. */
static void test_validate(void **state)
{
	static const struct {
		const char *schema, *value, *faults;
	} cases[] = {
		{"{'type':'integer'}", "1", ""},
		{"{'type':'integer'}", "1.0", ""},
		{"{'type':'integer'}", "1.5",
		 "v: Invalid value: \"number\": v in body must be of type integer: \"number\""},
		{"{'type':'integer'}", "'1'",
		 "v: Invalid value: \"string\": v in body must be of type integer: \"string\""},
		{"{'type':'integer','minimum':0}", "-1",
		 "v: Invalid value: -1: v in body should be greater than or equal to 0"},
		{"{'type':'integer','minimum':0}", "0", ""},
		{"{'type':'integer','minimum':0,'exclusiveMinimum':true}", "0",
		 "v: Invalid value: 0: v in body should be greater than 0"},
		{"{'type':'integer','maximum':10}", "11",
		 "v: Invalid value: 11: v in body should be less than or equal to 10"},
		{"{'type':'integer','maximum':10,'exclusiveMaximum':true}", "10",
		 "v: Invalid value: 10: v in body should be less than 10"},
		{"{'type':'integer','multipleOf':5}", "12",
		 "v: Invalid value: 12: v in body should be a multiple of 5"},
		{"{'type':'integer','format':'int32'}", "3000000000",
		 "v: Invalid value: 3000000000: v in body must be of type int32: \"3000000000\""},
		{"{'type':'number','maximum':90}", "90.5",
		 "v: Invalid value: 90.5: v in body should be less than or equal to 90"},
		{"{'type':'number'}", "1", ""},
		{"{'type':'boolean'}", "true", ""},
		{"{'type':'boolean'}", "'true'",
		 "v: Invalid value: \"string\": v in body must be of type boolean: \"string\""},
		{"{'type':'string'}", "null", "v: Invalid value: \"null\": v in body must be of type string: \"null\""},
		{"{'type':'string','nullable':true}", "null", ""},
		{"{'type':'string','maxLength':3}", "'abcd'", "v: Too long: may not be more than 3 bytes"},
		{"{'type':'string','maxLength':3}", "'äöü'", ""},
		{"{'type':'string','minLength':2}", "'ä'",
		 "v: Invalid value: \"ä\": v in body should be at least 2 chars long"},
		{"{'type':'string','pattern':'^[a-z]+$'}", "'ab'", ""},
		{"{'type':'string','pattern':'^[a-z]+$'}", "'aB'",
		 "v: Invalid value: \"aB\": v in body should match '^[a-z]+$'"},
		{"{'type':'string','pattern':'^[a-z]+$'}", "'a\\u0000'",
		 "v: Invalid value: \"a\\u0000\": v in body should match '^[a-z]+$'"},
		{"{'type':'string','enum':['a','b']}", "'a'", ""},
		{"{'type':'string','enum':['a','b']}", "'x'",
		 "v: Unsupported value: \"x\": supported values: \"a\", \"b\""},
		{"{'type':'string','format':'date-time'}", "'2026-01-02T03:04:05Z'", ""},
		{"{'type':'string','format':'date-time'}", "'yesterday'",
		 "v: Invalid value: \"yesterday\": v in body must be of type date-time: \"yesterday\""},
		{"{'type':'string','format':'byte'}", "'aGVsbG8='", ""},
		{"{'type':'string','format':'byte'}", "'*'",
		 "v: Invalid value: \"*\": v in body must be of type byte: \"*\""},
		{"{'x-kubernetes-int-or-string':true}", "1", ""},
		{"{'x-kubernetes-int-or-string':true}", "'1'", ""},
		{"{'x-kubernetes-int-or-string':true}", "0.5",
		 "v: Invalid value: \"number\": v in body must be of type integer or string: \"number\""},
		{"{'x-kubernetes-int-or-string':true,'anyOf':[{'type':'integer'},{'type':'string'}]}", "1", ""},
		{"{'x-kubernetes-preserve-unknown-fields':true}", "{'any':[1,{}]}", ""},
		{"{'type':'array','items':{'type':'integer'}}", "{}",
		 "v: Invalid value: \"object\": v in body must be of type array: \"object\""},
		{"{'type':'array','items':{'type':'integer'}}", "[1,'x',true]",
		 "v[1]: Invalid value: \"string\": v[1] in body must be of type integer: \"string\" | "
		 "v[2]: Invalid value: \"boolean\": v[2] in body must be of type integer: \"boolean\""},
		{"{'type':'array','maxItems':1,'items':{'type':'integer'}}", "[1,2]",
		 "v: Too many: 2: must have at most 1 items"},
		{"{'type':'array','minItems':1,'items':{'type':'integer'}}", "[]",
		 "v: Invalid value: \"array\": v in body should have at least 1 items"},
		{"{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'}}", "['a','b','a']",
		 "v[2]: Duplicate value: \"a\""},
		{"{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['n'],'items':{'type':'object',"
		 "'properties':{'n':{'type':'integer'},'x':{'type':'string'}}}}",
		 "[{'n':1,'x':'a'},{'n':2},{'n':1}]", "v[2]: Duplicate value: {\"n\":1}"},
		{"{'type':'object','required':['a','b'],'properties':{'a':{'type':'string'},'b':{'type':'string'}}}",
		 "{'b':'x'}", "v.a: Required value"},
		{"{'type':'object','maxProperties':1,'additionalProperties':{'type':'string'}}", "{'a':'1','b':2}",
		 "v: Too many: 2: must have at most 1 items | "
		 "v.b: Invalid value: \"integer\": v.b in body must be of type string: \"integer\""},
		{"{'type':'object','minProperties':1,'additionalProperties':{'type':'string'}}", "{}",
		 "v: Invalid value: \"object\": v in body should have at least 1 properties"},
		{"{'type':'string','x-kubernetes-validations':[{'rule':'duration(self) <= duration(\\u002715m\\u0027)',"
		 "'message':'too long'}]}",
		 "'15m1s'", "v: Invalid value: \"15m1s\": too long"},
		{"{'type':'array','items':{'type':'integer'},'x-kubernetes-validations':[{'rule':'self.isSorted()',"
		 "'message':'unsorted'}]}",
		 "[10,5]", "v: Invalid value: \"array\": unsorted"},
		{"{'type':'object','properties':{'a':{'type':'string'},'b':{'type':'string'},'c':{'type':'string'}},"
		 "'x-kubernetes-validations':[{'rule':'[has(self.a), has(self.b), has(self.c)].exists_one(x, x)',"
		 "'message':'one of a, b, c'}]}",
		 "{'a':'','c':''}", "v: Invalid value: \"object\": one of a, b, c"},
		{"{'type':'object','properties':{'a':{'type':'string'},'b':{'type':'string'}},"
		 "'x-kubernetes-validations':[{'rule':'!(has(self.a) && has(self.b))','message':'not both'}]}",
		 "{'a':'','b':''}", "v: Invalid value: \"object\": not both"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *schema = arena_printf(text_arena, "{'type':'object','properties':{'v':%s}}",
						  cases[i].schema);
		const struct kind *k = text_kind_of(schema);
		const char *have = faults(k, text_json(arena_printf(text_arena, "{'v':%s}", cases[i].value)), NULL);

		if (strcmp(have, cases[i].faults) != 0)
			fail_msg("%s with %s:\n have %s\n want %s", cases[i].schema, cases[i].value, have,
				 cases[i].faults);
	}
}

static void test_long_list_duplicates(void **state)
{
	const struct kind *k = text_kind_of(
		"{'type':'object','properties':{'v':{'type':'array','x-kubernetes-list-type':'set',"
		"'items':{'type':'integer'}}}}");
	struct json *obj = text_json("{'v':[]}"), *list = json_get(obj, "v");

	(void)state;
	for (int i = 0; i < 500; i++)
		json_append(text_arena, list, json_int(text_arena, i));
	assert_string_equal(faults(k, obj, NULL), "");
	json_append(text_arena, list, json_int(text_arena, 77));
	assert_string_equal(faults(k, obj, NULL), "v[500]: Duplicate value: 77");
}

static void test_faults_are_bounded(void **state)
{
	const struct kind *k = text_kind_of(
		"{'type':'object','properties':{'v':{'type':'array','items':{'type':'integer'}}}}");
	struct json *obj = text_json("{'v':[]}"), *causes = json_array(text_arena);

	(void)state;
	for (int i = 0; i < 1000; i++)
		json_append(text_arena, json_get(obj, "v"), json_string(text_arena, "x"));
	assert_int_equal(schema_validate(text_arena, k, obj, NULL, causes), 100);
}

static void test_bad_schemas(void **state)
{
	static const struct {
		const char *schema, *error;
	} cases[] = {
		{"{'type':'objekt'}", "unknown type \"objekt\""},
		{"{'type':'object','propertys':{}}", "unknown or unsupported keyword \"propertys\""},
		{"{'type':'object','properties':{'a':{}}}", "a: type is missing"},
		{"{'type':'object','properties':{'a':{'type':'array'}}}", "a: items is missing"},
		{"{'type':'object','required':['x'],'properties':{}}", "required field \"x\" is not in properties"},
		{"{'type':'object','properties':{'a':{'type':'string','pattern':'('}}}",
		 "a: pattern \"(\": Unmatched ( or \\("},
		{"{'type':'object','oneOf':[]}", "unknown or unsupported keyword \"oneOf\""},
		{"{'type':'string','x-kubernetes-validations':[{'rule':'self.size() < 3'}]}",
		 "validation rule \"self.size() < 3\" is not one of the forms this server understands"},
		{"{'type':'array','items':{'type':'string'},'x-kubernetes-list-type':'map'}",
		 "x-kubernetes-list-type map needs x-kubernetes-list-map-keys and items"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct schema *s;
		struct error e = {0};

		assert_int_equal(schema_compile(text_arena, text_json(cases[i].schema), &s, &e), -E_INVALID);
		assert_string_equal(e.text, cases[i].error);
	}
}

static void test_prune(void **state)
{
	const struct kind *k = text_kind("containers");
	struct json *unknown = json_array(text_arena);
	struct json *obj = text_json(
		"{'apiVersion':'berth.dev/v1','kind':'Container','metadata':{'name':'a','odd':1},'extra':1,"
		"'spec':{'image':'i','imag':'x','ports':[{'containerPort':80,'prot':'TCP'}],'args':null,"
		"'resources':{'vcpu':1,'gpu':{'a':1}},'env':[{'name':'A','value':null}]},"
		"'status':{'conditions':null}}");

	(void)state;
	schema_prune(text_arena, k, obj, unknown);
	text_assert("unknown", unknown,
		    "['unknown field 'extra'','unknown field 'spec.imag'','unknown field 'spec.ports[0].prot'',"
		    "'unknown field 'spec.resources.gpu'']");
	text_assert(
		"pruned", obj,
		"{'apiVersion':'berth.dev/v1','kind':'Container','metadata':{'name':'a','odd':1},'spec':{'image':'i',"
		"'ports':[{'containerPort':80}],'resources':{'vcpu':1},'env':[{'name':'A'}]},'status':{}}");
}

static void test_prune_open(void **state)
{
	const struct kind *k = text_kind_of(
		"{'type':'object','properties':{'v':{'type':'object',"
		"'x-kubernetes-preserve-unknown-fields':true,'properties':{'known':{'type':'object',"
		"'properties':{'a':{'type':'string'}}}}},'m':{'type':'object',"
		"'additionalProperties':{'type':'string'}}}}");
	struct json *obj = text_json("{'v':{'free':{'b':null},'known':{'a':'x','b':'y'}},'m':{'x':'1','y':null}}");

	(void)state;
	schema_prune(text_arena, k, obj, NULL);
	text_assert("pruned", obj, "{'v':{'free':{'b':null},'known':{'a':'x'}},'m':{'x':'1'}}");
}

static void test_default(void **state)
{
	struct json *obj = text_json("{'metadata':{'name':'a','labels':{}},'spec':{'image':'i','env':[{'name':'A'}],"
				     "'readiness':{'httpGet':{}},'rollout':{'kind':'None'}}}");

	(void)state;
	schema_default(text_arena, text_kind("containers"), obj);
	text_assert(
		"container", obj,
		"{'metadata':{'name':'a','labels':{}},'spec':{'image':'i','env':[{'name':'A','value':''}],"
		"'readiness':{'httpGet':{'path':'/'},'periodSeconds':1,'timeoutSeconds':1,'failureThreshold':3},"
		"'rollout':{'kind':'None','stepPercentage':[10,100],'activeGracePeriod':'0s'},'instanceType':'lite',"
		"'maxInstances':20,'restartPolicy':'OnFailure','sleepAfter':'10m','sleepMode':'Stop','terminationGracePeriod':'15m',"
		"'egress':{'internet':true}}}");
	assert_string_equal(faults(text_kind("containers"), obj, NULL), "");
}

static void test_container(void **state)
{
	static const struct {
		const char *spec, *faults;
	} cases[] = {
		{"{}", "spec.image: Required value"},
		{"{'image':'a b'}", "spec.image: Invalid value: \"a b\": spec.image in body should match "
				    "'^[A-Za-z0-9][-A-Za-z0-9._:/@]*$'"},
		{"{'image':'i','maxInstances':-1}",
		 "spec.maxInstances: Invalid value: -1: spec.maxInstances in body should be greater than or equal to 0"},
		{"{'image':'i','instanceType':'huge'}",
		 "spec.instanceType: Unsupported value: \"huge\": supported values: \"lite\", \"basic\", \"standard-1\", "
		 "\"standard-2\", \"standard-3\", \"standard-4\""},
		{"{'image':'i','terminationGracePeriod':'16m'}",
		 "spec.terminationGracePeriod: Invalid value: \"16m\": must be at most 15m"},
		{"{'image':'i','terminationGracePeriod':'900s'}", ""},
		{"{'image':'i','sleepAfter':'0s'}", ""},
		{"{'image':'i','sleepAfter':'1h30m'}", ""},
		{"{'image':'i','sleepAfter':'-1s'}",
		 "spec.sleepAfter: Invalid value: \"-1s\": spec.sleepAfter in body should match "
		 "'^(0|([0-9]+(\\.[0-9]+)?(ms|s|m|h))+)$'"},
		{"{'image':'i','resources':{'vcpu':'0.25','memory':'512Mi','disk':'4G'}}", ""},
		{"{'image':'i','resources':{'vcpu':2,'memory':'512Mi'}}", "spec.resources.disk: Required value"},
		{"{'image':'i','rollout':{'stepPercentage':[50,10]}}",
		 "spec.rollout.stepPercentage: Invalid value: \"array\": must be in ascending order"},
		{"{'image':'i','ports':[{'containerPort':80},{'containerPort':80}]}",
		 "spec.ports[1]: Duplicate value: {\"containerPort\":80}"},
		{"{'image':'i','readiness':{'httpGet':{},'tcpSocket':{}}}",
		 "spec.readiness: Invalid value: \"object\": httpGet and tcpSocket exclude each other"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json *obj = text_json(
			arena_printf(text_arena, "{'metadata':{'name':'a'},'spec':%s}", cases[i].spec));
		const char *have = faults(text_kind("containers"), obj, NULL);

		if (strcmp(have, cases[i].faults) != 0)
			fail_msg("%s:\n have %s\n want %s", cases[i].spec, have, cases[i].faults);
	}
	assert_string_equal(
		faults(text_kind("containers"), text_json("{'metadata':{'name':'a.b'},'spec':{'image':'i'}}"), NULL),
		"metadata.name: Invalid value: \"a.b\": metadata.name in body should match "
		"'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'");
}

static void test_immutable(void **state)
{
	static const struct {
		const char *plural, *old, *obj, *faults;
	} cases[] = {
		{"instances", "{'spec':{'containerName':'a','id':'1'}}",
		 "{'spec':{'containerName':'a','id':'1','state':'Running'}}", ""},
		{"instances", "{'spec':{'containerName':'a','id':'1'}}", "{'spec':{'containerName':'a','id':'2'}}",
		 "spec.id: Invalid value: \"2\": field is immutable"},
		{"revisions",
		 "{'spec':{'containerName':'a','number':1,'image':'i','imageDigest':'sha256:"
		 "0000000000000000000000000000000000000000000000000000000000000000'}}",
		 "{'spec':{'containerName':'a','number':2,'image':'i','imageDigest':'sha256:"
		 "0000000000000000000000000000000000000000000000000000000000000000'}}",
		 "spec: Invalid value: \"object\": field is immutable"},
		{"secrets", "{'type':'Opaque'}", "{'type':'other'}",
		 "type: Invalid value: \"other\": field is immutable"},
		{"configmaps", "{'data':{'a':'1'},'immutable':true}", "{'data':{'a':'2'},'immutable':true}",
		 ": Invalid value: \"object\": field is immutable when `immutable` is set"},
		{"configmaps", "{'data':{'a':'1'}}", "{'data':{'a':'2'}}", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct kind *k = text_kind(cases[i].plural);

		assert_string_equal(faults(k, text_json(cases[i].old), NULL), "");
		assert_string_equal(faults(k, text_json(cases[i].obj), text_json(cases[i].old)), cases[i].faults);
	}
}

static void test_route(void **state)
{
	const struct kind *k = text_kind("routes");
	struct json *obj = text_json(
		"{'spec':{'rules':[{'matches':[{'path':{'value':'/hello'}}],'backend':{'container':'hello',"
		"'instance':{'pathSegment':2}}}]}}");

	(void)state;
	schema_default(text_arena, k, obj);
	text_assert("defaults", obj,
		    "{'spec':{'rules':[{'matches':[{'path':{'value':'/hello'}}],'backend':{'container':'hello',"
		    "'instance':{'pathSegment':2}}}]}}");
	assert_string_equal(faults(k, obj, NULL), "");
	json_set_str(text_arena, json_in(json_item(json_in(obj, "spec", "rules"), 0), "backend", "instance"), "header",
		     "X-Id");
	assert_string_equal(faults(k, obj, NULL), "spec.rules[0].backend.instance: Invalid value: \"object\": "
						  "exactly one of pathSegment, header and fixed has to be given");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEXT_TEST(test_validate),
		TEXT_TEST(test_long_list_duplicates),
		TEXT_TEST(test_faults_are_bounded),
		TEXT_TEST(test_bad_schemas),
		TEXT_TEST(test_prune),
		TEXT_TEST(test_prune_open),
		TEXT_TEST(test_default),
		TEXT_TEST(test_container),
		TEXT_TEST(test_immutable),
		TEXT_TEST(test_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
