/*
 * test_patch.c - JSON Patch with the examples of RFC 6902's appendix, merge patch with those of RFC 7386's, strategic
 * merge with what kubectl sends.
 */
#include "test/unit/apiserver/text_fixture.h"

#include "apiserver/patch.h"

struct patch_case {
	const char *doc, *patch, *result; /* result NULL: an error … */
	int code;			  /* … of this code */
};

typedef int patch_function(const struct json *doc, const struct json *patch, struct json **ret, struct error *e);

static void run(const struct patch_case *cases, size_t count, patch_function *f)
{
	for (size_t i = 0; i < count; i++) {
		const struct patch_case *c = &cases[i];
		struct json *doc = text_json(c->doc), *patch = text_json(c->patch), *result = NULL;
		struct error e = {0};
		int rc = f(doc, patch, &result, &e);

		if (c->result ? rc != 0 : rc != -c->code)
			fail_msg("%s with %s: %d, %s", c->doc, c->patch, rc, e.text);
		if (c->result)
			text_assert(arena_printf(text_arena, "%s with %s", c->doc, c->patch), result, c->result);
		/* neither input was changed */
		text_assert("doc", doc, text_of(text_json(c->doc)));
		text_assert("patch", patch, text_of(text_json(c->patch)));
	}
}

static int json_patch(const struct json *doc, const struct json *patch, struct json **ret, struct error *e)
{
	return patch_json(text_arena, doc, patch, ret, e);
}

static void test_json(void **state)
{
	static const struct patch_case cases[] = {
		{"{'foo':'bar'}", "[{'op':'add','path':'/baz','value':'qux'}]", "{'foo':'bar','baz':'qux'}", 0},
		{"{'foo':['bar','baz']}", "[{'op':'add','path':'/foo/1','value':'qux'}]", "{'foo':['bar','qux','baz']}",
		 0},
		{"{'baz':'qux','foo':'bar'}", "[{'op':'remove','path':'/baz'}]", "{'foo':'bar'}", 0},
		{"{'foo':['bar','qux','baz']}", "[{'op':'remove','path':'/foo/1'}]", "{'foo':['bar','baz']}", 0},
		{"{'baz':'qux','foo':'bar'}", "[{'op':'replace','path':'/baz','value':'boo'}]",
		 "{'baz':'boo','foo':'bar'}", 0},
		{"{'foo':{'bar':'baz','waldo':'fred'},'qux':{'corge':'grault'}}",
		 "[{'op':'move','from':'/foo/waldo','path':'/qux/thud'}]",
		 "{'foo':{'bar':'baz'},'qux':{'corge':'grault','thud':'fred'}}", 0},
		{"{'foo':['all','grass','cows','eat']}", "[{'op':'move','from':'/foo/1','path':'/foo/3'}]",
		 "{'foo':['all','cows','eat','grass']}", 0},
		{"{'baz':'qux','foo':['a',2,'c']}",
		 "[{'op':'test','path':'/baz','value':'qux'},{'op':'test','path':'/foo/1','value':2}]",
		 "{'baz':'qux','foo':['a',2,'c']}", 0},
		{"{'baz':'qux'}", "[{'op':'test','path':'/baz','value':'bar'}]", NULL, E_INVALID},
		{"{'foo':'bar'}", "[{'op':'add','path':'/child','value':{'grandchild':{}}}]",
		 "{'foo':'bar','child':{'grandchild':{}}}", 0},
		{"{'foo':'bar'}", "[{'op':'add','path':'/baz','value':'qux','xyz':123}]", "{'foo':'bar','baz':'qux'}",
		 0},
		{"{'foo':'bar'}", "[{'op':'add','path':'/baz/bat','value':'qux'}]", NULL, E_INVALID},
		{"{'/':9,'~1':10}", "[{'op':'test','path':'/~01','value':10}]", "{'/':9,'~1':10}", 0},
		{"{'/':9,'~1':10}", "[{'op':'test','path':'/~01','value':'10'}]", NULL, E_INVALID},
		{"{'foo':['bar']}", "[{'op':'add','path':'/foo/-','value':['abc','def']}]",
		 "{'foo':['bar',['abc','def']]}", 0},
		{"{'a':1}", "[{'op':'copy','from':'/a','path':'/b'}]", "{'a':1,'b':1}", 0},
		{"{'a':1}", "[{'op':'replace','path':'','value':[]}]", "[]", 0},
		{"{'a':[1]}", "[{'op':'add','path':'/a/2','value':1}]", NULL, E_INVALID},
		{"{'a':[1]}", "[{'op':'add','path':'/a/01','value':1}]", NULL, E_INVALID},
		{"{'a':[1]}", "[{'op':'remove','path':'/a/-'}]", NULL, E_INVALID},
		{"{'a':1}", "[{'op':'remove','path':'/b'}]", NULL, E_INVALID},
		{"{'a':1}", "[{'op':'replace','path':'/b','value':1}]", NULL, E_INVALID},
		{"{'a':1}", "[{'op':'remove','path':''}]", NULL, E_INVALID},
		{"{'a':{}}", "[{'op':'move','from':'/a','path':'/a/b'}]", NULL, E_INVALID},
		{"{'a':1}", "[{'op':'add','path':'b','value':1}]", NULL, E_BAD_REQUEST},
		{"{'a':1}", "[{'op':'add','path':'/b~2','value':1}]", NULL, E_BAD_REQUEST},
		{"{'a':1}", "[{'op':'frob','path':'/b','value':1}]", NULL, E_BAD_REQUEST},
		{"{'a':1}", "[{'op':'add','path':'/b'}]", NULL, E_BAD_REQUEST},
		{"{'a':1}", "[{'op':'add','value':1}]", NULL, E_BAD_REQUEST},
		{"{'a':1}", "[{'op':'copy','path':'/b'}]", NULL, E_BAD_REQUEST},
		{"{'a':1}", "{'op':'remove','path':'/a'}", NULL, E_BAD_REQUEST},
		{"{'a':1}", "[7]", NULL, E_BAD_REQUEST},
	};

	(void)state;
	run(cases, ARRAY_SIZE(cases), json_patch);
}

static void test_json_limits(void **state)
{
	struct json *ops = json_array(text_arena), *one = text_json("{'op':'test','path':'/a','value':1}"), *result;
	struct json *doc = text_json("{'a':1}");
	struct error e = {0};

	(void)state;
	for (int i = 0; i < PATCH_OPERATIONS_MAX; i++)
		json_append(text_arena, ops, one);
	assert_int_equal(patch_json(text_arena, doc, ops, &result, &e), 0);
	json_append(text_arena, ops, one);
	assert_int_equal(patch_json(text_arena, doc, ops, &result, &e), -E_TOO_LARGE);

	/* each copy doubles the document: it must end at the limit, not with the memory */
	ops = json_array(text_arena);
	for (int i = 0; i < 40; i++)
		json_append(text_arena, ops,
			    text_json(arena_printf(text_arena, "{'op':'copy','from':'/a','path':'/a/k%d'}", i)));
	assert_int_equal(patch_json(text_arena, text_json("{'a':{'x':'0123456789'}}"), ops, &result, &e), -E_TOO_LARGE);
}

static int merge_patch(const struct json *doc, const struct json *patch, struct json **ret, struct error *e)
{
	return patch_merge(text_arena, doc, patch, ret, e);
}

static void test_merge(void **state)
{
	static const struct patch_case cases[] = {
		{"{'a':'b'}", "{'a':'c'}", "{'a':'c'}", 0},
		{"{'a':'b'}", "{'b':'c'}", "{'a':'b','b':'c'}", 0},
		{"{'a':'b'}", "{'a':null}", "{}", 0},
		{"{'a':'b','b':'c'}", "{'a':null}", "{'b':'c'}", 0},
		{"{'a':['b']}", "{'a':'c'}", "{'a':'c'}", 0},
		{"{'a':'c'}", "{'a':['b']}", "{'a':['b']}", 0},
		{"{'a':{'b':'c'}}", "{'a':{'b':'d','c':null}}", "{'a':{'b':'d'}}", 0},
		{"{'a':[{'b':'c'}]}", "{'a':[1]}", "{'a':[1]}", 0},
		{"{'e':null}", "{'a':1}", "{'e':null,'a':1}", 0},
		{"[1,2]", "{'a':'b','c':null}", "{'a':'b'}", 0},
		{"{}", "{'a':{'bb':{'ccc':null}}}", "{'a':{'bb':{}}}", 0},
		{"{'a':'foo'}", "['c']", NULL, E_BAD_REQUEST},
		{"{'a':'foo'}", "null", NULL, E_BAD_REQUEST},
	};

	(void)state;
	run(cases, ARRAY_SIZE(cases), merge_patch);
}

static int strategic_patch(const struct json *doc, const struct json *patch, struct json **ret, struct error *e)
{
	return patch_strategic(text_arena, text_kind("nodes"), doc, patch, ret, e);
}

static void test_strategic(void **state)
{
	static const struct patch_case cases[] = {
		/* cordon */
		{"{'spec':{'podCIDR':'x'}}", "{'spec':{'unschedulable':true}}",
		 "{'spec':{'podCIDR':'x','unschedulable':true}}", 0},
		{"{'spec':{'unschedulable':true}}", "{'spec':{'unschedulable':null}}", "{'spec':{}}", 0},
		/* taints have no merge key: they are replaced */
		{"{'spec':{'taints':[{'key':'a','effect':'NoSchedule'}]}}",
		 "{'spec':{'taints':[{'key':'b','effect':'NoExecute'}]}}",
		 "{'spec':{'taints':[{'key':'b','effect':'NoExecute'}]}}", 0},
		/* conditions merge by type, also with the order kubectl states */
		{"{'status':{'conditions':[{'type':'Ready','status':'True','reason':'a'},{'type':'X','status':'True'}]}}",
		 "{'status':{'$setElementOrder/conditions':[{'type':'Ready'}],'conditions':[{'type':'Ready','status':'False'},"
		 "{'type':'New','status':'True'}]}}",
		 "{'status':{'conditions':[{'type':'Ready','status':'False','reason':'a'},{'type':'X','status':'True'},"
		 "{'type':'New','status':'True'}]}}",
		 0},
		{"{'status':{'conditions':[{'type':'Ready'},{'type':'X'}]}}",
		 "{'status':{'conditions':[{'type':'X','$patch':'delete'}]}}",
		 "{'status':{'conditions':[{'type':'Ready'}]}}", 0},
		{"{'status':{'conditions':[{'type':'Ready','status':'True'}]}}",
		 "{'status':{'conditions':[{'type':'Ready','$patch':'replace','reason':'x'}]}}",
		 "{'status':{'conditions':[{'type':'Ready','reason':'x'}]}}", 0},
		{"{'status':{'conditions':[{'type':'Ready'}]}}",
		 "{'status':{'conditions':[{'$patch':'replace'},{'type':'X'}]}}",
		 "{'status':{'conditions':[{'type':'X'}]}}", 0},
		/* primitive lists */
		{"{'metadata':{'finalizers':['a','b']}}", "{'metadata':{'finalizers':['c','a']}}",
		 "{'metadata':{'finalizers':['a','b','c']}}", 0},
		{"{'metadata':{'finalizers':['a','b']}}", "{'metadata':{'$deleteFromPrimitiveList/finalizers':['a']}}",
		 "{'metadata':{'finalizers':['b']}}", 0},
		/* whole objects */
		{"{'metadata':{'labels':{'a':'1','b':'2'}}}", "{'metadata':{'labels':{'$patch':'replace','c':'3'}}}",
		 "{'metadata':{'labels':{'c':'3'}}}", 0},
		{"{'metadata':{'labels':{'a':'1'}}}", "{'metadata':{'labels':{'$patch':'delete'}}}",
		 "{'metadata':{'labels':{}}}", 0},
		{"{'spec':{'a':'1','b':'2'}}", "{'spec':{'$retainKeys':['b','c'],'c':'3'}}",
		 "{'spec':{'b':'2','c':'3'}}", 0},
		{"{}", "{'spec':{'a':null,'b':{'c':null,'d':1}}}", "{'spec':{'b':{'d':1}}}", 0},
		/* faults */
		{"{'status':{'conditions':[]}}", "{'status':{'conditions':[{'status':'True'}]}}", NULL, E_BAD_REQUEST},
		{"{'spec':{}}", "{'spec':{'$patch':'frob'}}", NULL, E_BAD_REQUEST},
		{"{'spec':{}}", "{'spec':{'$retainKeys':'a'}}", NULL, E_BAD_REQUEST},
		{"{'spec':{}}", "[]", NULL, E_BAD_REQUEST},
	};
	struct json *result;
	struct error e = {0};

	(void)state;
	run(cases, ARRAY_SIZE(cases), strategic_patch);
	assert_int_equal(
		patch_strategic(text_arena, text_kind("containers"), text_json("{}"), text_json("{}"), &result, &e),
		-E_UNSUPPORTED_MEDIA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEXT_TEST(test_json),
		TEXT_TEST(test_json_limits),
		TEXT_TEST(test_merge),
		TEXT_TEST(test_strategic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
