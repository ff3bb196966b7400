/*
 * test_render.c - what an Accept header gets, and the text of lists, events and bookmarks.
 */
#include "apiserver/render.h"
#include "test/unit/apiserver/core_fixture.h"
#include <setjmp.h>

#include <cmocka.h>

#define KUBECTL_TABLE \
	"application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"

static void test_negotiation(void **state)
{
	static const struct {
		const char *accept, *include;
		int code;
		enum form form;
	} cases[] = {
		{NULL, NULL, 0, FORM_OBJECT},
		{"", NULL, 0, FORM_OBJECT},
		{"*/*", NULL, 0, FORM_OBJECT},
		{"application/json, */*", NULL, 0, FORM_OBJECT},
		{"application/vnd.kubernetes.protobuf,application/json", NULL, 0, FORM_OBJECT},
		{KUBECTL_TABLE, NULL, 0, FORM_TABLE_METADATA},
		{KUBECTL_TABLE, "Object", 0, FORM_TABLE_OBJECT},
		{KUBECTL_TABLE, "None", 0, FORM_TABLE_NONE},
		{"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,"
		 "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
		 NULL, 0, FORM_PARTIAL},
		{"application/json;q=0.5", NULL, 0, FORM_OBJECT},
		{"text/html", NULL, -E_NOT_ACCEPTABLE, FORM_OBJECT},
		{"application/vnd.kubernetes.protobuf", NULL, -E_NOT_ACCEPTABLE, FORM_OBJECT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum form form = FORM_COUNT;
		if (form_negotiate(cases[i].accept, cases[i].include, &form, NULL) != cases[i].code ||
		    (cases[i].code == 0 && form != cases[i].form))
			fail_msg("case %zu: %d", i, (int)form);
	}
}

static void assert_text(struct buf *out, const char *expected)
{
	for (char *p = out->data; *p; p++)
		if (*p == '"')
			*p = '\'';
	assert_string_equal(out->data, expected);
	buf_reset(out);
}

static void test_text(void **state)
{
	struct core *c = *state;
	const struct kind *k = core_kind("configmaps");
	struct cache_query q = {.filter = {.kind = k}, .limit = 1};
	struct cache_page page;
	_buf_ out = BUF_INIT(65536);
	struct render_list list = {.kind = k, .page = &page, .continue_token = "TOKEN"};

	core_put(c, k, core_configmap(c->arena, "a", "x", NULL, "1"), 0);
	core_put(c, k, core_configmap(c->arena, "a", "y", NULL, "2"), 0);
	assert_int_equal(cache_list(c->server.cache, &q, &page, NULL), 0);
	render_list(FORM_OBJECT, &list, 0, &out);
	assert_text(
		&out,
		"{'kind':'ConfigMapList','apiVersion':'v1','metadata':{'resourceVersion':'2','continue':'TOKEN',"
		"'remainingItemCount':1},'items':[{'kind':'ConfigMap','apiVersion':'v1','metadata':{'resourceVersion':"
		"'1','name':'x','namespace':'a','uid':'uid-a-x'},'data':{'value':'1'}}]}");
	render_event(FORM_OBJECT, EVENT_DELETED, page.items[0], 0, &out);
	assert_text(
		&out,
		"{'type':'DELETED','object':{'kind':'ConfigMap','apiVersion':'v1','metadata':{'resourceVersion':'1',"
		"'name':'x','namespace':'a','uid':'uid-a-x'},'data':{'value':'1'}}}\n");
	render_bookmark(FORM_OBJECT, core_kind("instances"), 12, true, &out);
	assert_text(&out, "{'type':'BOOKMARK','object':{'kind':'Instance','apiVersion':'berth.dev/v1','metadata':"
			  "{'resourceVersion':'12','annotations':{'k8s.io/initial-events-end':'true'}}}}\n");
	cache_page_clear(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test_setup_teardown(test_text, core_setup, core_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
