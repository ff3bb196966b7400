/*
 * test_kind.c - the table of kinds: what api-spec/ has to keep to, and documents that are refused.
 */
#include "test/unit/apiserver/text_fixture.h"

#include "apiserver/schema.h"

static void test_table(void **state)
{
	static const char *const plurals[] = {
		"configmaps",
		"events",
		"namespaces",
		"nodes",
		"secrets",
		"serviceaccounts",
		"selfsubjectreviews",
		"tokenreviews",
		"selfsubjectaccessreviews",
		"selfsubjectrulesreviews",
		"subjectaccessreviews",
		"containers",
		"images",
		"instances",
		"locations",
		"revisions",
		"routes",
		"leases",
		"clusterrolebindings",
		"clusterroles",
		"rolebindings",
		"roles",
	};

	(void)state;
	assert_int_equal(kind_count(), ARRAY_SIZE(plurals));
	for (size_t i = 0; i < kind_count(); i++) {
		const struct kind *k = kind_at(i);

		assert_string_equal(k->plural, plurals[i]);
		assert_int_equal(k->index, i);
		assert_ptr_equal(kind_find(k->group, k->version, k->plural), k);
		assert_ptr_equal(kind_find_by_kind(k->group, k->version, k->kind), k);
	}
	assert_null(kind_at(kind_count()));
	assert_null(kind_find("", "v1", "containers"));
	assert_null(kind_find("berth.dev", "v2", "containers"));
	assert_true(kind_group_exists("berth.dev", NULL));
	assert_true(kind_group_exists("", "v1"));
	assert_false(kind_group_exists("berth.dev", "v2"));
}

static void test_container(void **state)
{
	const struct kind *k = text_kind("containers");

	(void)state;
	assert_string_equal(k->api_version, "berth.dev/v1");
	assert_string_equal(k->openapi_name, "dev.berth.v1.Container");
	assert_string_equal(k->list_kind, "ContainerList");
	assert_string_equal(k->short_names[0], "ct");
	assert_true(k->namespaced && k->has_status && k->has_scale && !k->core);
	assert_string_equal(k->scale_spec_path, "spec.maxInstances");
	assert_string_equal(k->scale_status_path, "status.instances.running");
	assert_null(k->scale_selector_path);
}

static void test_others(void **state)
{
	const struct kind *k = text_kind("instances");

	(void)state;
	assert_int_equal(k->subresource_count, 5);
	assert_string_equal(k->subresources[2].name, "exec");
	assert_string_equal(k->subresources[2].verbs[1], "get");
	assert_string_equal(k->selectable[0], "spec.containerName");
	k = text_kind("nodes");
	assert_true(k->core && !k->namespaced && k->has_status);
	assert_string_equal(k->openapi_name, "io.k8s.api.core.v1.Node");
	assert_string_equal(k->short_names[0], "no");
	assert_string_equal(text_kind("leases")->openapi_name, "io.k8s.api.coordination.v1.Lease");
}

/* Every field has a description: kubectl explain shows them. */
static void check_descriptions(const struct kind *k, const struct schema *s, const char *path)
{
	for (size_t i = 0; i < s->property_count; i++) {
		const struct schema *member = s->properties[i].schema;
		const char *here = arena_printf(text_arena, "%s.%s", path, member->name);

		if (strcmp(here, ".metadata") == 0)
			continue;
		if (!member->description || !*member->description)
			fail_msg("%s: %s has no description", k->kind, here);
		check_descriptions(k, member, here);
	}
	if (s->items)
		check_descriptions(k, s->items, arena_printf(text_arena, "%s[]", path));
}

static void test_descriptions(void **state)
{
	(void)state;
	for (size_t i = 0; i < kind_count(); i++) {
		assert_non_null(kind_at(i)->schema->description);
		check_descriptions(kind_at(i), kind_at(i)->schema, "");
		for (size_t c = 0; c < kind_at(i)->column_count; c++)
			assert_true(*kind_at(i)->columns[c].description);
	}
}

/* Revision.spec.template repeats fields of Container.spec; they must not drift apart. */
static void test_revision_repeats_container(void **state)
{
	const struct json *container = json_in(text_kind("containers")->openapi_schema, "properties", "spec",
					       "properties");
	const struct json *copy = json_in(text_kind("revisions")->openapi_schema, "properties", "spec", "properties",
					  "template", "properties");

	(void)state;
	assert_int_equal(json_count(copy), 12);
	for (size_t i = 0; i < json_count(copy); i++)
		if (!json_equal(json_item(copy, i), json_get(container, json_key(copy, i))))
			fail_msg("%s differs", json_key(copy, i));
}

static void test_refused(void **state)
{
	static const struct {
		const char *crd, *error;
	} cases[] = {
		{"{}", "spec.group, spec.names.kind and spec.names.plural are needed"},
		{"{'spec':{'group':'a','names':{'kind':'A','plural':'As'}}}",
		 "spec.group, spec.names.kind and spec.names.plural are needed"},
		{"{'spec':{'group':'a','names':{'kind':'A','plural':'as'},'versions':[{'name':'v1','served':false}]}}",
		 "spec.versions has none that is served"},
		{"{'spec':{'group':'a','names':{'kind':'A','plural':'as'},'versions':[{'name':'v1','served':true}]}}",
		 "A: schema.openAPIV3Schema is missing"},
		{"{'spec':{'group':'a','names':{'kind':'A','plural':'as'},'versions':[{'name':'v1','served':true,"
		 "'additionalPrinterColumns':[{'name':'X','jsonPath':'x'}]}]}}",
		 "column X: JSONPath \"x\": expected . or [ at character 1"},
		{"{'spec':{'group':'a','names':{'kind':'A','plural':'as'},'versions':[{'name':'v1','served':true,"
		 "'schema':{'openAPIV3Schema':{'type':'object','properties':{'spec':{'type':'objekt'}}}}}]}}",
		 "A: spec: unknown type \"objekt\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kind *k;
		struct error e = {0};

		assert_int_equal(kind_load(text_arena, text_json(cases[i].crd), &k, &e), -E_INVALID);
		assert_string_equal(e.text, cases[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEXT_TEST(test_table),
		TEXT_TEST(test_container),
		TEXT_TEST(test_others),
		TEXT_TEST(test_descriptions),
		TEXT_TEST(test_revision_repeats_container),
		TEXT_TEST(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
