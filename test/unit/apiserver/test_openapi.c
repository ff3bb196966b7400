/*
 * test_openapi.c - OpenAPI documents: one small one whole as a golden file, and what kubectl looks for in all of them.
 */
#include "test/unit/apiserver/text_fixture.h"
#include "test/unit/golden.h"

#include "apiserver/openapi.h"
#include "apiserver/openapi_private.h"
#include "lib/codec.h"
#include "lib/yaml.h"

#define GROUP_DOCUMENT "/openapi/v3/apis/berth.dev/v1"
#define PROTOBUF_ACCEPT "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
#define PROTOBUF_TYPE "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

static struct json *tree(const char *path)
{
	const struct document *d = NULL;
	struct json *v = NULL;
	struct error e = {0};
	/* the documents are larger than a request may be */
	struct json_options opt = {.max_bytes = 64U << 20};

	if (openapi_init(&e) < 0 || openapi_get(path, "application/json", &d, &e) < 0 ||
	    json_parse(text_arena, chunk_data(d->body), chunk_len(d->body), &opt, &v, &e) < 0)
		fail_msg("%s: %s", path, e.text);
	assert_string_equal(d->content_type, "application/json");
	return v;
}

static void assert_golden_yaml(const char *file, const struct json *v)
{
	_buf_ text = BUF_INIT(64U << 20);

	yaml_write(v, &text);
	assert_golden(file, text.data);
}

static void test_golden(void **state)
{
	struct json *doc = tree("/openapi/v3/apis/coordination.k8s.io/v1"), *v2 = tree("/openapi/v2"), *part;

	(void)state;
	json_unset(json_get(doc, "info"), "version");
	assert_golden_yaml("openapi/v3-coordination.yaml", doc);
	part = json_object(text_arena);
	json_set(text_arena, part, "lease",
		 json_in(v2, "paths", "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"));
	json_set(text_arena, part, "Container", json_in(v2, "definitions", "dev.berth.v1.Container"));
	assert_golden_yaml("openapi/v2-parts.yaml", part);
	part = json_in(tree(GROUP_DOCUMENT), "components", "schemas", "dev.berth.v1.Route");
	assert_golden_yaml("openapi/v3-route.yaml", part);
}

/* kubectl 1.27 and newer: every PATCH of the kind declares fieldValidation, dryRun and force. */
static void test_patch_parameters(void **state)
{
	static const char *const documents[] = {"/openapi/v3/api/v1", GROUP_DOCUMENT,
						"/openapi/v3/apis/coordination.k8s.io/v1"};
	size_t patches = 0;

	(void)state;
	for (size_t d = 0; d < ARRAY_SIZE(documents); d++) {
		const struct json *paths = json_get(tree(documents[d]), "paths");

		for (size_t i = 0; i < json_count(paths); i++) {
			const struct json *patch = json_get(json_item(paths, i), "patch");
			const char *text = text_of(json_get(patch, "parameters"));

			if (!patch)
				continue;
			patches++;
			assert_non_null(strstr(text, "'name':'fieldValidation'"));
			assert_non_null(strstr(text, "'name':'dryRun'"));
			assert_non_null(strstr(text, "'name':'force'"));
			assert_true(json_is(json_get(patch, "x-kubernetes-group-version-kind"), JSON_OBJECT));
		}
	}
	/* one per kind, status and scale */
	assert_int_equal(patches, 13 + 7 + 1);
}

static void check_refs(const struct json *v, const char *prefix, const struct json *schemas)
{
	const char *ref = json_str(json_get(v, "$ref"));

	if (ref && (!str_starts(ref, prefix) || !json_get(schemas, ref + strlen(prefix))))
		fail_msg("%s leads nowhere", ref);
	for (size_t i = 0; i < json_count(v); i++)
		check_refs(json_item(v, i), prefix, schemas);
}

/* operationIds are unique within a document: generators of clients need that. */
static void check_operation_ids(const struct json *paths)
{
	struct json *seen = json_object(text_arena);

	for (size_t i = 0; i < json_count(paths); i++)
		for (size_t k = 0; k < json_count(json_item(paths, i)); k++) {
			const char *id = json_str(json_get(json_item(json_item(paths, i), k), "operationId"));

			if (!id)
				continue;
			if (json_get(seen, id))
				fail_msg("operationId %s twice", id);
			json_set_bool(text_arena, seen, id, true);
		}
}

static void test_consistent(void **state)
{
	struct json *index = json_get(tree("/openapi/v3"), "paths"), *doc;

	(void)state;
	assert_int_equal(json_count(index), 6);
	for (size_t i = 0; i < json_count(index); i++) {
		const char *url = json_str(json_get(json_item(index, i), "serverRelativeURL"));

		assert_true(str_starts(url, arena_printf(text_arena, "/openapi/v3/%s?hash=", json_key(index, i))));
		doc = tree(arena_strndup(text_arena, url, strcspn(url, "?")));
		check_refs(doc, OPENAPI_V3_PREFIX, json_in(doc, "components", "schemas"));
		check_operation_ids(json_get(doc, "paths"));
	}
	doc = tree("/openapi/v2");
	check_refs(doc, OPENAPI_V2_PREFIX, json_get(doc, "definitions"));
	check_operation_ids(json_get(doc, "paths"));
	assert_non_null(json_in(doc, "definitions", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
	text_assert("metadata", json_in(doc, "definitions", "dev.berth.v1.Container", "properties", "metadata"),
		    "{'$ref':'#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'}");
}

static void test_v2_schema(void **state)
{
	static const struct {
		const char *v3, *v2;
	} cases[] = {
		{"{'type':'string','default':'x','description':'d'}", "{'type':'string','description':'d'}"},
		{"{'type':'string','nullable':true,'format':'date-time'}", "{'format':'date-time'}"},
		{"{'x-kubernetes-int-or-string':true}", "{'x-kubernetes-int-or-string':true}"},
		{"{'type':'object','x-kubernetes-preserve-unknown-fields':true,'properties':{'a':{'type':'string'}}}",
		 "{'type':'object','x-kubernetes-preserve-unknown-fields':true}"},
		{"{'description':'d','allOf':[{'$ref':'#/components/schemas/x'}]}", "{'$ref':'#/definitions/x'}"},
		{"{'type':'array','items':{'type':'integer','default':1},'x-kubernetes-validations':[]}",
		 "{'type':'array','items':{'type':'integer'}}"},
		{"{'type':'object','additionalProperties':{'type':'string','default':''}}",
		 "{'type':'object','additionalProperties':{'type':'string'}}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		text_assert(cases[i].v3, openapi_v2_schema(text_arena, text_json(cases[i].v3)), cases[i].v2);
}

/* The bytes, by hand from the field numbers of OpenAPIv2.proto. */
static void test_protobuf(void **state)
{
	static const char wanted[] = "\x0a\x03"
				     "2.0" /* 1 swagger */
				     "\x12\x07"
				     "\x0a\x01T"
				     "\x12\x02v1" /* 2 info {1 title, 2 version} */
				     "\x42\x00"	  /* 8 paths */
				     "\x4a\x20"	  /* 9 definitions */
				     "\x0a\x1e"
				     "\x0a\x01X" /* 1 NamedSchema {1 name, 2 Schema … */
				     "\x12\x19"
				     "\x9a\x01\x01"
				     "a" /* … {19 required, */
				     "\xb2\x01\x08"
				     "\x0a\x06object" /* 22 type, */
				     "\xca\x01\x07"
				     "\x0a\x05" /* 25 properties {1 NamedSchema … */
				     "\x0a\x01"
				     "a"
				     "\x12\x00"; /* … {1 name, 2 Schema}}} */
	struct json *doc = text_json(
		"{'swagger':'2.0','info':{'title':'T','version':'v1'},'paths':{},'definitions':{'X':{"
		"'type':'object','required':['a'],'properties':{'a':{}}}}}");
	_buf_ out = BUF_INIT(4096);
	const struct document *d;
	char *hex[2] = {arena_calloc(text_arena, 256), arena_calloc(text_arena, 256)};

	(void)state;
	openapi_v2_protobuf(doc, &out);
	hex_encode(out.data, out.len, hex[0]);
	hex_encode(wanted, sizeof(wanted) - 1, hex[1]);
	assert_string_equal(hex[0], hex[1]);
	assert_int_equal(openapi_init(NULL), 0);
	assert_int_equal(openapi_get("/openapi/v2", PROTOBUF_ACCEPT, &d, NULL), 0);
	assert_string_equal(d->content_type, PROTOBUF_TYPE);
	assert_memory_equal(chunk_data(d->body),
			    "\x0a\x03"
			    "2.0",
			    5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEXT_TEST(test_golden),	   TEXT_TEST(test_patch_parameters), TEXT_TEST(test_consistent),
		TEXT_TEST(test_v2_schema), TEXT_TEST(test_protobuf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
