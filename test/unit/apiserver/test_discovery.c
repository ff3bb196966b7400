/*
 * test_discovery.c - discovery documents, and the choice among them by Accept header.
 */
#include "test/unit/apiserver/text_fixture.h"

#include "apiserver/accept.h"
#include "apiserver/discovery.h"

#define AGGREGATED "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
#define AGGREGATED_BETA "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"

static const struct document *document(const char *path, const char *accept)
{
	const struct document *d = NULL;
	struct error e = {0};

	if (discovery_init(&e) < 0 || discovery_get(path, accept, &d, &e) < 0)
		fail_msg("%s: %s", path, e.text);
	return d;
}

static struct json *tree(const char *path, const char *accept)
{
	const struct document *d = document(path, accept);
	struct json *v;

	assert_int_equal(json_parse(text_arena, chunk_data(d->body), chunk_len(d->body), NULL, &v, NULL), 0);
	return v;
}

static const struct json *named(const struct json *list, const char *key, const char *name)
{
	for (size_t i = 0; i < json_count(list); i++)
		if (streq(json_str(json_get(json_item(list, i), key)), name))
			return json_item(list, i);
	fail_msg("no %s", name);
	return NULL;
}

static void test_legacy(void **state)
{
	static const char *const group_names[] = {"authentication.k8s.io", "authorization.k8s.io", "berth.dev",
						  "coordination.k8s.io", "rbac.authorization.k8s.io"};
	struct json *v = tree("/apis/berth.dev/v1", NULL);
	const struct json *list = json_get(v, "resources");

	(void)state;
	text_assert("/api", tree("/api", "application/json, */*"),
		    "{'kind':'APIVersions','versions':['v1'],'serverAddressByClientCIDRs':[]}");
	const struct json *groups = json_get(tree("/apis", NULL), "groups");
	assert_int_equal(json_count(groups), ARRAY_SIZE(group_names));
	for (size_t i = 0; i < ARRAY_SIZE(group_names); i++)
		assert_string_equal(json_str(json_get(json_item(groups, i), "name")), group_names[i]);
	text_assert(
		"group", named(groups, "name", "berth.dev"),
		"{'name':'berth.dev','versions':[{'groupVersion':'berth.dev/v1','version':'v1'}],'preferredVersion':"
		"{'groupVersion':'berth.dev/v1','version':'v1'}}");
	text_assert(
		"/apis/berth.dev", tree("/apis/berth.dev", NULL),
		"{'kind':'APIGroup','apiVersion':'v1','name':'berth.dev','versions':[{'groupVersion':'berth.dev/v1',"
		"'version':'v1'}],'preferredVersion':{'groupVersion':'berth.dev/v1','version':'v1'}}");
	assert_string_equal(json_str(json_get(v, "groupVersion")), "berth.dev/v1");
	text_assert(
		"containers", named(list, "name", "containers"),
		"{'name':'containers','singularName':'container','namespaced':true,'kind':'Container','verbs':['create','delete',"
		"'deletecollection','get','list','patch','update','watch'],'shortNames':['ct'],'categories':['all','berth']}");
	text_assert(
		"containers/status", named(list, "name", "containers/status"),
		"{'name':'containers/status','singularName':'','namespaced':true,'kind':'Container','verbs':['get','patch',"
		"'update']}");
	text_assert(
		"containers/scale", named(list, "name", "containers/scale"),
		"{'name':'containers/scale','singularName':'','namespaced':true,'group':'autoscaling','version':'v1','kind':"
		"'Scale','verbs':['get','patch','update']}");
	text_assert(
		"instances/binding", named(list, "name", "instances/binding"),
		"{'name':'instances/binding','singularName':'','namespaced':true,'kind':'Instance','verbs':['create']}");
	assert_int_equal(json_count(json_get(tree("/api/v1", NULL), "resources")), 9);
	text_assert(
		"serviceaccounts/token",
		named(json_get(tree("/api/v1", NULL), "resources"), "name", "serviceaccounts/token"),
		"{'name':'serviceaccounts/token','singularName':'','namespaced':true,'group':'authentication.k8s.io',"
		"'version':'v1','kind':'TokenRequest','verbs':['create']}");
	list = json_get(tree("/apis/authorization.k8s.io/v1", NULL), "resources");
	text_assert(
		"selfsubjectaccessreviews", named(list, "name", "selfsubjectaccessreviews"),
		"{'name':'selfsubjectaccessreviews','singularName':'selfsubjectaccessreview','namespaced':false,'kind':"
		"'SelfSubjectAccessReview','verbs':['create']}");
}

static void test_aggregated(void **state)
{
	struct json *v = tree("/apis", AGGREGATED ",application/json");
	const struct json *group = json_item(json_get(v, "items"), 2),
			  *version = json_item(json_get(group, "versions"), 0);

	(void)state;
	assert_string_equal(document("/apis", AGGREGATED)->content_type, AGGREGATED);
	assert_string_equal(document("/apis", AGGREGATED_BETA ",application/json")->content_type, AGGREGATED_BETA);
	assert_string_equal(document("/apis", AGGREGATED ";profile=nopeer," AGGREGATED_BETA)->content_type, AGGREGATED);
	assert_string_equal(json_str(json_get(v, "apiVersion")), "apidiscovery.k8s.io/v2");
	text_assert("group", json_get(group, "metadata"), "{'name':'berth.dev'}");
	text_assert(
		"containers", named(json_get(version, "resources"), "resource", "containers"),
		"{'resource':'containers','responseKind':{'group':'berth.dev','version':'v1','kind':'Container'},'scope':"
		"'Namespaced','singularResource':'container','verbs':['create','delete','deletecollection','get','list','patch',"
		"'update','watch'],'shortNames':['ct'],'categories':['all','berth'],'subresources':[{'subresource':'status',"
		"'responseKind':{'group':'berth.dev','version':'v1','kind':'Container'},'verbs':['get','patch','update']},{"
		"'subresource':'scale','responseKind':{'group':'autoscaling','version':'v1','kind':'Scale'},'verbs':['get','patch',"
		"'update']}]}");
	v = tree("/api", AGGREGATED);
	assert_int_equal(json_count(json_get(v, "items")), 1);
	text_assert("core", json_get(json_item(json_get(v, "items"), 0), "metadata"), "{}");
}

static void test_get(void **state)
{
	const struct document *d;

	(void)state;
	assert_int_equal(discovery_get("/apis/none", NULL, &d, NULL), -E_NOT_FOUND);
	assert_int_equal(discovery_get("/apis", "text/html", &d, NULL), -E_NOT_ACCEPTABLE);
	assert_ptr_equal(document("/apis", NULL), document("/apis", "*/*"));
	assert_string_not_equal(document("/apis", NULL)->etag, document("/apis", AGGREGATED)->etag);
	assert_int_equal(strlen(document("/apis", NULL)->etag), 66);
}

static void test_accept(void **state)
{
	static const char *const offers[] = {"application/json", "application/json;as=Table;v=v1", "application/x-pb"};
	static const struct {
		const char *accept;
		int chosen;
	} cases[] = {
		{NULL, 0},
		{"", 0},
		{"*/*", 0},
		{"application/*", 0},
		{"application/json", 0},
		{"Application/JSON", 0},
		{"application/json;q=0.5", 0},
		{"application/x-pb", 2},
		{"application/x-pb, application/json", 2},
		{"application/json;as=Table;v=v1", 1},
		{"application/json; v=v1 ;as=Table;g=x", -1},
		{"application/json;v=v1;as=table", 1},
		{"application/json;as=Other,application/x-pb", 2},
		{"application/json;as=Other", -1},
		{"text/html", -1},
		{"text/html,*/*;q=0.1", 0},
		{" , ,", 0},
		{"json", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int chosen = accept_choose(cases[i].accept, offers, ARRAY_SIZE(offers), 0);

		if (chosen != cases[i].chosen)
			fail_msg("%s: %d, not %d", cases[i].accept, chosen, cases[i].chosen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEXT_TEST(test_legacy),
		TEXT_TEST(test_aggregated),
		TEXT_TEST(test_get),
		TEXT_TEST(test_accept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
