/*
 * openapi_schemas.c - the schemas of kinds for OpenAPI v3, and both schemas and paths turned into Swagger 2.0.
 *
 * Swagger 2.0 says less, and old kubectls read it strictly: no properties beside x-kubernetes-preserve-unknown-fields,
 * no defaults, no type beside nullable or int-or-string.
 */
#include "apiserver/openapi_private.h"

struct json *openapi_ref(struct arena *a, const char *name)
{
	struct json *v = json_object(a);

	json_set(a, v, "$ref", json_stringf(a, OPENAPI_V3_PREFIX "%s", name));
	return v;
}

/* allOf around the reference lets a description stand beside it. */
static struct json *described_ref(struct arena *a, const char *name, const char *description)
{
	struct json *v = json_object(a);

	json_set_str(a, v, "description", description);
	json_append(a, json_ensure_array(a, v, "allOf"), openapi_ref(a, name));
	return v;
}

static struct json *gvk_list(struct arena *a, const struct kind *k, const char *kind)
{
	struct json *list = json_array(a), *v = json_append(a, list, json_object(a));

	json_set_str(a, v, "group", k->group);
	json_set_str(a, v, "version", k->version);
	json_set_str(a, v, "kind", kind);
	return list;
}

static struct json *text_schema(struct arena *a, const char *description)
{
	struct json *v = json_object(a);

	json_set_str(a, v, "description", description);
	json_set_str(a, v, "type", "string");
	return v;
}

static void add_list_schema(struct arena *a, const struct kind *k, struct json *schemas)
{
	struct json *v = json_object(a), *properties = json_object(a), *items = json_object(a);

	json_set(a, v, "description", json_stringf(a, "%s is a list of %s", k->list_kind, k->kind));
	json_set_str(a, v, "type", "object");
	json_append(a, json_ensure_array(a, v, "required"), json_string(a, "items"));
	json_set(a, properties, "apiVersion", text_schema(a, "Version of the schema of this object."));
	json_set_str(a, items, "description", "The objects.");
	json_set_str(a, items, "type", "array");
	json_set(a, items, "items", openapi_ref(a, k->openapi_name));
	json_set(a, properties, "items", items);
	json_set(a, properties, "kind", text_schema(a, "Kind of this object."));
	json_set(a, properties, "metadata", described_ref(a, OPENAPI_META "ListMeta", "About the list."));
	json_set(a, v, "properties", properties);
	json_set(a, v, "x-kubernetes-group-version-kind", gvk_list(a, k, k->list_kind));
	json_set(a, schemas, arena_printf(a, "%sList", k->openapi_name), v);
}

void openapi_kind_schemas(struct arena *a, const struct kind *k, struct json *schemas)
{
	struct json *v = json_clone(a, k->openapi_schema);

	json_set(a, json_ensure_object(a, v, "properties"), "metadata",
		 described_ref(a, OPENAPI_META "ObjectMeta",
			       "Name, labels, and what the server keeps about the object."));
	json_set(a, v, "x-kubernetes-group-version-kind", gvk_list(a, k, k->kind));
	json_set(a, schemas, k->openapi_name, v);
	add_list_schema(a, k, schemas);
}

/* ---- Swagger 2.0 ---- */

static struct json *v2_ref(struct arena *a, const struct json *ref)
{
	struct json *v = json_object(a);

	json_set(a, v, "$ref",
		 json_stringf(a, OPENAPI_V2_PREFIX "%s", json_str_or(ref, "") + strlen(OPENAPI_V3_PREFIX)));
	return v;
}

static bool v2_leaves_out(const struct json *v3, const char *key)
{
	static const char *const always[] = {"default", "nullable", "anyOf", "x-kubernetes-validations"};
	bool open = json_bool_or(json_get(v3, "x-kubernetes-preserve-unknown-fields"), false);
	bool loose = json_bool_or(json_get(v3, "nullable"), false) ||
		     json_bool_or(json_get(v3, "x-kubernetes-int-or-string"), false);

	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		if (streq(always[i], key))
			return true;
	if (loose && (streq(key, "type") || streq(key, "items") || streq(key, "properties")))
		return true;
	return open && (streq(key, "properties") || streq(key, "items"));
}

static struct json *v2_properties(struct arena *a, const struct json *v3)
{
	struct json *v = json_object(a);

	for (size_t i = 0; i < json_count(v3); i++)
		json_set(a, v, json_key(v3, i), openapi_v2_schema(a, json_item(v3, i)));
	return v;
}

struct json *openapi_v2_schema(struct arena *a, const struct json *v3)
{
	struct json *v;

	if (json_get(v3, "$ref"))
		return v2_ref(a, json_get(v3, "$ref"));
	if (json_get(v3, "allOf")) /* a reference with a description: Swagger 2.0 has the reference alone */
		return v2_ref(a, json_get(json_item(json_get(v3, "allOf"), 0), "$ref"));
	v = json_object(a);
	for (size_t i = 0; i < json_count(v3); i++) {
		const char *key = json_key(v3, i);
		const struct json *value = json_item(v3, i);

		if (v2_leaves_out(v3, key))
			continue;
		if (streq(key, "properties"))
			json_set(a, v, key, v2_properties(a, value));
		else if ((streq(key, "items") || streq(key, "additionalProperties")) && json_is(value, JSON_OBJECT))
			json_set(a, v, key, openapi_v2_schema(a, value));
		else
			json_set(a, v, key, json_clone(a, value));
	}
	return v;
}

static const struct json *any_content(const struct json *body)
{
	return json_get(json_item(json_get(body, "content"), 0), "schema");
}

static struct json *v2_parameters(struct arena *a, const struct json *v3, const struct json *body)
{
	struct json *list = json_array(a), *p;

	if (body) {
		p = json_append(a, list, json_object(a));
		json_set_str(a, p, "name", "body");
		json_set_str(a, p, "in", "body");
		if (json_bool_or(json_get(body, "required"), false))
			json_set_bool(a, p, "required", true);
		json_set(a, p, "schema", openapi_v2_schema(a, any_content(body)));
	}
	for (size_t i = 0; i < json_count(v3); i++) {
		const struct json *from = json_item(v3, i);

		p = json_append(a, list, json_object(a));
		for (size_t k = 0; k < json_count(from); k++)
			if (!streq(json_key(from, k), "schema"))
				json_set(a, p, json_key(from, k), json_item(from, k));
		json_set(a, p, "type", json_in(from, "schema", "type"));
		json_set_bool(a, p, "uniqueItems", true);
	}
	return list;
}

static struct json *v2_responses(struct arena *a, const struct json *v3)
{
	struct json *all = json_object(a);

	for (size_t i = 0; i < json_count(v3); i++) {
		struct json *r = json_set(a, all, json_key(v3, i), json_object(a));
		const struct json *schema = any_content(json_item(v3, i));

		json_set(a, r, "description", json_get(json_item(v3, i), "description"));
		if (schema)
			json_set(a, r, "schema", openapi_v2_schema(a, schema));
	}
	return all;
}

static struct json *v2_operation(struct arena *a, const struct json *v3)
{
	struct json *v = json_object(a);
	const struct json *body = json_get(v3, "requestBody"), *types = json_get(body, "content");

	for (size_t i = 0; i < json_count(v3); i++) {
		const char *key = json_key(v3, i);

		if (!streq(key, "parameters") && !streq(key, "requestBody") && !streq(key, "responses"))
			json_set(a, v, key, json_item(v3, i));
	}
	for (size_t i = 0; i < json_count(types); i++)
		json_append(a, json_ensure_array(a, v, "consumes"), json_string(a, json_key(types, i)));
	json_append(a, json_ensure_array(a, v, "produces"), json_string(a, "application/json"));
	json_set(a, v, "parameters", v2_parameters(a, json_get(v3, "parameters"), body));
	json_set(a, v, "responses", v2_responses(a, json_get(v3, "responses")));
	return v;
}

struct json *openapi_v2_path_item(struct arena *a, const struct json *v3)
{
	struct json *v = json_object(a);

	for (size_t i = 0; i < json_count(v3); i++) {
		const char *key = json_key(v3, i);

		if (streq(key, "parameters"))
			json_set(a, v, key, v2_parameters(a, json_item(v3, i), NULL));
		else
			json_set(a, v, key, v2_operation(a, json_item(v3, i)));
	}
	return v;
}
