/*
 * test_table.c - columns and rows of custom and standard kinds, and JSONPath.
 */
#include "test/unit/apiserver/text_fixture.h"

#include "apiserver/jsonpath.h"
#include "apiserver/table.h"

#define NOW 1767323045000LL /* 2026-01-02T03:04:05Z */

static const char *cells(const char *plural, const char *object)
{
	_buf_ out = BUF_INIT(1U << 20);
	struct json *row;

	table_row(text_arena, text_kind(plural), text_json(object), NULL, 0, TABLE_NONE, NOW, &out);
	assert_int_equal(json_parse(text_arena, out.data, out.len, NULL, &row, NULL), 0);
	assert_true(json_is(json_get(row, "object"), JSON_NULL));
	return text_of(json_get(row, "cells"));
}

static void test_rows(void **state)
{
	static const struct {
		const char *plural, *object, *cells;
	} cases[] = {
		{"containers",
		 "{'metadata':{'name':'a','creationTimestamp':'2026-01-02T03:00:00Z'},'spec':{'image':'i','maxInstances':20,"
		 "'instanceType':'lite'},'status':{'instances':{'running':2,'ready':1,'asleep':7},'updatedRevision':'a-1'}}",
		 "['a','i','lite',20,2,1,7,'a-1',null,null,'4m5s']"},
		{"routes",
		 "{'metadata':{'name':'r'},'spec':{'hostnames':['a.example','b.example'],'rules':[{'matches':[{'path':{"
		 "'value':'/x'}}],'backend':{'container':'c'}}]},'status':{'conditions':[{'type':'Other','status':'False'},"
		 "{'type':'Accepted','status':'True'}]}}",
		 "['r','['a.example','b.example']','/x','c','True',null,null]"},
		{"routes", "{'metadata':{'name':'r'},'spec':{'rules':[{}]}}", "['r',null,null,null,null,null,null]"},
		{"locations",
		 "{'metadata':{'name':'l'},'spec':{'region':'WEUR','latitude':50.5,'longitude':8},'status':{'nodes':'x'}}",
		 "['l','WEUR',null,50.5,8,null,null,null]"},
		{"nodes",
		 "{'metadata':{'name':'n','labels':{'node-role.kubernetes.io/b':'','node-role.kubernetes.io/a':'',"
		 "'topology.kubernetes.io/zone':'fra'}},'spec':{'unschedulable':true},'status':{'conditions':[{'type':'Ready',"
		 "'status':'True'}],'addresses':[{'type':'InternalIP','address':'10.0.0.1'}],'nodeInfo':{"
		 "'kubeletVersion':'v0.1.0','osImage':'Debian','kernelVersion':'6.1'}}}",
		 "['n','Ready,SchedulingDisabled','a,b',null,'v0.1.0','10.0.0.1','<none>','Debian','6.1','<unknown>','fra']"},
		{"nodes", "{'metadata':{'name':'n'},'status':{'conditions':[{'type':'Ready','status':'Unknown'}]}}",
		 "['n','NotReady','<none>',null,null,'<none>','<none>','<unknown>','<unknown>','<unknown>','<none>']"},
		{"nodes", "{'metadata':{'name':'n'}}",
		 "['n','Unknown','<none>',null,null,'<none>','<none>','<unknown>','<unknown>','<unknown>','<none>']"},
		{"events",
		 "{'metadata':{'name':'e'},'type':'Warning','reason':'Failed','message':'m','count':3,'involvedObject':{"
		 "'kind':'Instance','name':'i-1'},'source':{'component':'agent','host':'n1'},"
		 "'firstTimestamp':'2026-01-02T02:04:05Z','lastTimestamp':'2026-01-02T03:03:35Z'}",
		 "['30s','Warning','Failed','instance/i-1',null,'agent, n1','m','60m','3','e']"},
		{"events",
		 "{'metadata':{'name':'e'},'involvedObject':{},'reportingComponent':'x','eventTime':'2026-01-02T03:03:05Z',"
		 "'series':{'count':9,'lastObservedTime':'2026-01-02T03:04:00.123456Z'}}",
		 "['4s',null,null,'/',null,'x',null,'60s','9','e']"},
		{"events", "{'metadata':{'name':'e'},'involvedObject':{'kind':'A','name':'b'}}",
		 "['<unknown>',null,null,'a/b',null,'',null,'<unknown>','1','e']"},
		{"configmaps", "{'metadata':{'name':'c'},'data':{'a':'1','b':'2'},'binaryData':{'c':''}}",
		 "['c','3',null]"},
		{"secrets", "{'metadata':{'name':'s'},'type':'Opaque'}", "['s','Opaque','0',null]"},
		{"namespaces", "{'metadata':{'name':'n','creationTimestamp':'rubbish'},'status':{'phase':'Active'}}",
		 "['n','Active','<invalid>']"},
		{"leases", "{'metadata':{'name':'n'},'spec':{'holderIdentity':'h'}}", "['n','h',null]"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *have = cells(cases[i].plural, cases[i].object);

		if (strcmp(have, cases[i].cells) != 0)
			fail_msg("%s:\n have %s\n want %s", cases[i].object, have, cases[i].cells);
	}
}

static void test_columns(void **state)
{
	_buf_ out = BUF_INIT(1U << 20);
	struct json *columns;

	(void)state;
	table_columns(text_kind("locations"), &out);
	assert_int_equal(json_parse(text_arena, out.data, out.len, NULL, &columns, NULL), 0);
	text_assert("first", json_item(columns, 0),
		    "{'name':'Name','type':'string','format':'name','description':'Name of the object.','priority':0}");
	text_assert("second", json_item(columns, 1),
		    "{'name':'Region','type':'string','format':'','description':'Part of the world.','priority':0}");
	for (size_t i = 0; i < kind_count(); i++) { /* as many cells as columns, for every kind */
		struct json *row;

		buf_reset(&out);
		table_columns(kind_at(i), &out);
		assert_int_equal(json_parse(text_arena, out.data, out.len, NULL, &columns, NULL), 0);
		buf_reset(&out);
		table_row(text_arena, kind_at(i), text_json("{'metadata':{'name':'x'}}"), NULL, 0, TABLE_NONE, NOW,
			  &out);
		assert_int_equal(json_parse(text_arena, out.data, out.len, NULL, &row, NULL), 0);
		assert_int_equal(json_count(columns), json_count(json_get(row, "cells")));
	}
}

static void test_include(void **state)
{
	const char *text = "{\"metadata\":{\"name\":\"c\",\"labels\":{\"a\":\"b\"}},\"data\":{}}";
	static const struct {
		enum table_include include;
		const char *row;
	} cases[] = {
		{TABLE_NONE, "{\"cells\":[\"c\",\"0\",null],\"object\":null}"},
		{TABLE_METADATA,
		 "{\"cells\":[\"c\",\"0\",null],\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":"
		 "\"meta.k8s.io/v1\",\"metadata\":{\"name\":\"c\",\"labels\":{\"a\":\"b\"}}}}"},
		{TABLE_OBJECT,
		 "{\"cells\":[\"c\",\"0\",null],\"object\":{\"metadata\":{\"name\":\"c\",\"labels\":{\"a\":\"b\"}},"
		 "\"data\":{}}}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_buf_ out = BUF_INIT(1U << 20);

		table_row(text_arena, text_kind("configmaps"), text_json(text), text, strlen(text), cases[i].include,
			  NOW, &out);
		assert_string_equal(out.data, cases[i].row);
	}
}

static void test_jsonpath(void **state)
{
	static const struct {
		const char *path, *first; /* first NULL: not a path */
	} cases[] = {
		{".a", "{'b':[1,2,{'c':'x'}],'d.e':true}"},
		{".a.b[1]", "2"},
		{".a.b[-1].c", "'x'"},
		{".a.b[7]", "(nothing)"},
		{".a['d.e']", "true"},
		{".a.d\\.e", "true"},
		{".a.b[*]", "1"},
		{".list[?(@.t==\"y\")].v", "2"},
		{".list[?(@.t=='y')].v", "2"},
		{".list[?(@.v==3)].t", "'z'"},
		{".list[?(@.t!=\"x\")].v", "2"},
		{".list[?(@.t == \"none\")].v", "(nothing)"},
		{".list[?(@.deep.er==true)].v", "4"},
		{".missing.b", "(nothing)"},
		{"", NULL},
		{"a", NULL},
		{".", NULL},
		{".a[", NULL},
		{".a[x]", NULL},
		{".a['x", NULL},
		{".a[?(@.b)]", NULL},
		{".a[?(@.b==)]", NULL},
		{".a[?(b==1)]", NULL},
		{".a b", NULL},
		{".a[1", NULL},
	};
	const struct json *doc = text_json(
		"{'a':{'b':[1,2,{'c':'x'}],'d.e':true},'list':[{'t':'x','v':1},{'t':'y','v':2},"
		"{'t':'z','v':3},{'deep':{'er':true},'v':4}]}");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct jsonpath *p;
		struct error e = {0};
		int rc = jsonpath_compile(text_arena, cases[i].path, &p, &e);

		if (!cases[i].first)
			assert_int_equal(rc, -E_INVALID);
		else if (rc < 0)
			fail_msg("%s", e.text);
		else
			text_assert(cases[i].path, jsonpath_first(p, doc), cases[i].first);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEXT_TEST(test_rows),
		TEXT_TEST(test_columns),
		TEXT_TEST(test_include),
		TEXT_TEST(test_jsonpath),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
