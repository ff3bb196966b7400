/*
 * kind.c - one kind from one document in CRD form; see kind.h. The table itself is kind_table.c's.
 */
#include "apiserver/kind.h"

#include "apiserver/jsonpath.h"
#include "apiserver/kind_private.h"
#include "apiserver/schema.h"
#include "lib/naming.h"

#define SUBRESOURCES_ANNOTATION "berth.dev/subresources"
#define VERBS_ANNOTATION "berth.dev/verbs" /* "create" alone is known; without it a kind has all verbs */

static const char *const *string_list(struct arena *a, const struct json *v)
{
	size_t n = 0;
	const char **list = arena_alloc(a, (json_count(v) + 1) * sizeof(*list));

	for (size_t i = 0; i < json_count(v); i++)
		if (json_str(json_item(v, i)))
			list[n++] = json_str(json_item(v, i));
	list[n] = NULL;
	return list;
}

/* Splits at a separator, in a copy. */
static const char *const *split(struct arena *a, const char *text, char separator)
{
	const char **list;
	char *copy = arena_strdup(a, text);
	size_t n = 0, room = 2;

	for (const char *p = text; *p; p++)
		room += *p == separator;
	list = arena_calloc(a, room * sizeof(*list));
	for (char *p = copy, *next; p; p = next) {
		next = strchr(p, separator);
		if (next)
			*next++ = '\0';
		if (*p)
			list[n++] = p;
	}
	return list;
}

/* "binding=create exec=create,get" */
static void load_subresources(struct arena *a, const struct json *crd, struct kind *k)
{
	const char *text = json_str_or(json_in(crd, "metadata", "annotations", SUBRESOURCES_ANNOTATION), "");
	const char *const *words = split(a, text, ' ');
	struct kind_subresource *list;
	size_t n = 0;

	while (words[n])
		n++;
	list = arena_calloc(a, (n + 1) * sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		const char *equals = strchr(words[i], '=');

		list[i].name = equals ? arena_strndup(a, words[i], (size_t)(equals - words[i])) : words[i];
		list[i].verbs = split(a, equals ? equals + 1 : "get", ',');
	}
	k->subresources = list;
	k->subresource_count = n;
}

static int load_columns(struct arena *a, const struct json *list, struct kind *k, struct error *e)
{
	static const char *const age[][2] = {
		{"name", "Age"},
		{"type", "date"},
		{"jsonPath", ".metadata.creationTimestamp"},
		{"description", "Time since creation."},
	};
	struct kind_column *columns;
	int rc;

	if (json_count(list) == 0) {
		struct json *column = json_object(a), *only = json_array(a);

		for (size_t i = 0; i < ARRAY_SIZE(age); i++)
			json_set_str(a, column, age[i][0], age[i][1]);
		list = only;
		json_append(a, only, column);
	}
	columns = arena_calloc(a, json_count(list) * sizeof(*columns));
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *from = json_item(list, i);
		struct kind_column *c = &columns[i];

		c->name = json_str_or(json_get(from, "name"), "");
		c->type = json_str_or(json_get(from, "type"), "string");
		c->format = json_str_or(json_get(from, "format"), "");
		c->description = json_str_or(json_get(from, "description"), "");
		c->path = json_str_or(json_get(from, "jsonPath"), "");
		c->priority = json_int_or(json_get(from, "priority"), 0);
		if (*c->path != '@' && (rc = jsonpath_compile(a, c->path, &c->compiled, e)) < 0)
			return error_prefix(e, "column %s", c->name);
	}
	k->columns = columns;
	k->column_count = json_count(list);
	return 0;
}

static const char *without_dot(const char *path)
{
	return path && *path == '.' ? path + 1 : path;
}

static const char *const *load_selectable(struct arena *a, const struct json *fields)
{
	const char **list = arena_calloc(a, (json_count(fields) + 1) * sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; i < json_count(fields); i++) {
		const char *path = json_str(json_get(json_item(fields, i), "jsonPath"));

		if (path)
			list[n++] = without_dot(path);
	}
	return list;
}

/* "berth.dev" → "dev.berth.v1.", "" → "io.k8s.api.core.v1.", "coordination.k8s.io" → "io.k8s.api.coordination.v1." */
static const char *openapi_name(struct arena *a, const struct kind *k)
{
	const char *const *parts;
	const char *reversed = NULL;

	if (!*k->group)
		return arena_printf(a, "io.k8s.api.core.%s.%s", k->version, k->kind);
	if (str_ends(k->group, ".k8s.io"))
		return arena_printf(a, "io.k8s.api.%.*s.%s.%s", (int)strcspn(k->group, "."), k->group, k->version,
				    k->kind);
	parts = split(a, k->group, '.');
	for (; *parts; parts++)
		reversed = reversed ? arena_printf(a, "%s.%s", *parts, reversed) : *parts;
	return arena_printf(a, "%s.%s.%s", reversed, k->version, k->kind);
}

/* The root schema with ObjectMeta filled in; a CRD may narrow metadata.name. */
static int load_schema(struct arena *a, const struct json *root, struct kind *k, struct error *e)
{
	const struct json *name = json_in(root, "properties", "metadata", "properties", "name");
	struct json *meta = json_clone(a, json_get(kind_shared_schemas(), KIND_OBJECT_META)), *whole;

	if (!json_is(root, JSON_OBJECT))
		return error_set(e, E_INVALID, "schema.openAPIV3Schema is missing");
	for (size_t i = 0; json_is(name, JSON_OBJECT) && i < json_count(name); i++)
		json_set(a, json_in(meta, "properties", "name"), json_key(name, i), json_item(name, i));
	whole = json_clone(a, root);
	json_set(a, json_ensure_object(a, whole, "properties"), "metadata", meta);
	k->openapi_schema = root;
	return schema_compile(a, whole, &k->schema, e);
}

static int load_names(struct arena *a, const struct json *spec, struct kind *k, struct error *e)
{
	const struct json *names = json_get(spec, "names");

	k->group = json_str(json_get(spec, "group"));
	k->kind = json_str(json_get(names, "kind"));
	k->plural = json_str(json_get(names, "plural"));
	if (!k->group || !k->kind || !k->plural || !name_is_label(k->plural))
		return error_set(e, E_INVALID, "spec.group, spec.names.kind and spec.names.plural are needed");
	k->singular = json_str_or(json_get(names, "singular"), k->plural);
	k->list_kind = json_str_or(json_get(names, "listKind"), arena_printf(a, "%sList", k->kind));
	k->short_names = string_list(a, json_get(names, "shortNames"));
	k->categories = string_list(a, json_get(names, "categories"));
	k->namespaced = streq(json_str(json_get(spec, "scope")), "Namespaced");
	k->core = !*k->group || str_ends(k->group, ".k8s.io");
	return 0;
}

static const struct json *served_version(const struct json *spec)
{
	const struct json *versions = json_get(spec, "versions");

	for (size_t i = 0; i < json_count(versions); i++)
		if (json_bool_or(json_get(json_item(versions, i), "served"), false))
			return json_item(versions, i);
	return NULL;
}

int kind_load(struct arena *a, const struct json *crd, struct kind **ret, struct error *e)
{
	const struct json *spec = json_get(crd, "spec"), *version = served_version(spec), *sub, *scale;
	struct kind *k = arena_calloc(a, sizeof(*k));
	int rc;

	if ((rc = load_names(a, spec, k, e)) < 0)
		return rc;
	k->version = json_str(json_get(version, "name"));
	if (!k->version)
		return error_set(e, E_INVALID, "spec.versions has none that is served");
	k->api_version = *k->group ? arena_printf(a, "%s/%s", k->group, k->version) : k->version;
	k->openapi_name = openapi_name(a, k);
	sub = json_get(version, "subresources");
	scale = json_get(sub, "scale");
	k->has_status = json_get(sub, "status") != NULL;
	k->has_scale = scale != NULL;
	k->scale_spec_path = without_dot(json_str(json_get(scale, "specReplicasPath")));
	k->scale_status_path = without_dot(json_str(json_get(scale, "statusReplicasPath")));
	k->scale_selector_path = without_dot(json_str(json_get(scale, "labelSelectorPath")));
	k->selectable = load_selectable(a, json_get(version, "selectableFields"));
	load_subresources(a, crd, k);
	k->create_only = streq(json_str(json_in(crd, "metadata", "annotations", VERBS_ANNOTATION)), "create");
	if ((rc = load_columns(a, json_get(version, "additionalPrinterColumns"), k, e)) < 0)
		return rc;
	if ((rc = load_schema(a, json_in(version, "schema", "openAPIV3Schema"), k, e)) < 0)
		return error_prefix(e, "%s", k->kind);
	*ret = k;
	return 0;
}
