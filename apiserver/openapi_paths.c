/*
 * openapi_paths.c - the paths of a kind for OpenAPI v3: which URLs there are, which methods they take, and with which
 * parameters. kubectl looks there for what a server can do (fieldValidation, dryRun), so every PATCH names them.
 */
#include "apiserver/openapi_private.h"

#include <ctype.h>

struct parameter {
	const char *name, *type, *description;
};

static const struct parameter list_parameters[] = {
	{"allowWatchBookmarks", "boolean", "Send BOOKMARK events in a watch."},
	{"continue", "string", "Token of the page before."},
	{"fieldSelector", "string", "Selects objects by fields."},
	{"labelSelector", "string", "Selects objects by labels."},
	{"limit", "integer", "Most objects in one page."},
	{"resourceVersion", "string", "Version to read at or to watch from."},
	{"resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."},
	{"sendInitialEvents", "boolean", "Begin a watch with the objects there are."},
	{"timeoutSeconds", "integer", "End of the watch."},
	{"watch", "boolean", "Watch for changes instead of listing."},
	{0},
};
static const struct parameter write_parameters[] = {
	{"dryRun", "string", "All: check the request without doing it."},
	{"fieldManager", "string", "Name of who writes."},
	{"fieldValidation", "string", "What to do about unknown and duplicate fields: Ignore, Warn or Strict."},
	{0},
};
static const struct parameter patch_parameters[] = {
	{"dryRun", "string", "All: check the request without doing it."},
	{"fieldManager", "string", "Name of who writes."},
	{"fieldValidation", "string", "What to do about unknown and duplicate fields: Ignore, Warn or Strict."},
	{"force", "boolean", "Take over fields of other managers, in an apply."},
	{0},
};
static const struct parameter delete_parameters[] = {
	{"dryRun", "string", "All: check the request without doing it."},
	{"gracePeriodSeconds", "integer", "Seconds until removal."},
	{"orphanDependents", "boolean", "Use propagationPolicy."},
	{"propagationPolicy", "string", "What becomes of the objects that it owns: Background, Foreground or Orphan."},
	{0},
};

enum place { PLACE_COLLECTION = 1, PLACE_ALL = 2, PLACE_OBJECT = 4, PLACE_STATUS = 8, PLACE_SCALE = 16 };
enum body { BODY_NONE, BODY_OBJECT, BODY_PATCH, BODY_DELETE };
enum answer { ANSWER_OBJECT, ANSWER_LIST, ANSWER_STATUS };

/* Every operation there is. */
static const struct operation {
	unsigned places; /* enum place */
	const char *method, *verb, *action;
	const struct parameter *parameters;
	enum body body;
	enum answer answer;
} operations[] = {
	{PLACE_COLLECTION | PLACE_ALL, "get", "list", "list", list_parameters, BODY_NONE, ANSWER_LIST},
	{PLACE_COLLECTION, "post", "create", "post", write_parameters, BODY_OBJECT, ANSWER_OBJECT},
	{PLACE_COLLECTION, "delete", "deleteCollection", "deletecollection", delete_parameters, BODY_DELETE,
	 ANSWER_STATUS},
	{PLACE_OBJECT | PLACE_STATUS | PLACE_SCALE, "get", "read", "get", NULL, BODY_NONE, ANSWER_OBJECT},
	{PLACE_OBJECT | PLACE_STATUS | PLACE_SCALE, "put", "replace", "put", write_parameters, BODY_OBJECT,
	 ANSWER_OBJECT},
	{PLACE_OBJECT, "delete", "delete", "delete", delete_parameters, BODY_DELETE, ANSWER_STATUS},
	{PLACE_OBJECT | PLACE_STATUS | PLACE_SCALE, "patch", "patch", "patch", patch_parameters, BODY_PATCH,
	 ANSWER_OBJECT},
};

static struct json *schema_of_type(struct arena *a, const char *type)
{
	struct json *schema = json_object(a);

	json_set_str(a, schema, "type", type);
	return schema;
}

static void add_parameter(struct arena *a, struct json *list, const char *in, const struct parameter *p)
{
	struct json *v = json_append(a, list, json_object(a));

	json_set_str(a, v, "name", p->name);
	json_set_str(a, v, "in", in);
	json_set_str(a, v, "description", p->description);
	if (streq(in, "path"))
		json_set_bool(a, v, "required", true);
	json_set(a, v, "schema", schema_of_type(a, p->type));
}

/* {"<type>": {"schema": {"$ref": …}}, …} */
static struct json *content(struct arena *a, const char *const *types, const char *schema)
{
	struct json *v = json_object(a);

	for (; *types; types++)
		json_set(a, json_ensure_object(a, v, *types), "schema", openapi_ref(a, schema));
	return v;
}

static void set_body(struct arena *a, const struct kind *k, enum body body, struct json *op)
{
	static const char *const object_types[] = {"application/json", "application/yaml", NULL};
	static const char *const patch_types[] = {"application/apply-patch+yaml", "application/json-patch+json",
						  "application/merge-patch+json",
						  "application/strategic-merge-patch+json", NULL};
	static const char *const custom_patch_types[] = {"application/apply-patch+yaml", "application/json-patch+json",
							 "application/merge-patch+json", NULL};
	struct json *request;

	if (body == BODY_NONE)
		return;
	request = json_ensure_object(a, op, "requestBody");
	if (body == BODY_OBJECT)
		json_set(a, request, "content", content(a, object_types, k->openapi_name));
	else if (body == BODY_DELETE)
		json_set(a, request, "content", content(a, object_types, OPENAPI_META "DeleteOptions"));
	else
		json_set(a, request, "content",
			 content(a, k->core ? patch_types : custom_patch_types, OPENAPI_META "Patch"));
	if (body != BODY_DELETE)
		json_set_bool(a, request, "required", true);
}

static void add_response(struct arena *a, struct json *responses, const char *code, const char *text,
			 const char *schema)
{
	static const char *const types[] = {"application/json", NULL};
	struct json *v = json_ensure_object(a, responses, code);

	json_set_str(a, v, "description", text);
	if (schema)
		json_set(a, v, "content", content(a, types, schema));
}

static void set_responses(struct arena *a, const struct kind *k, const struct operation *o, const char *object,
			  struct json *op)
{
	struct json *responses = json_ensure_object(a, op, "responses");
	const char *schema = o->answer == ANSWER_LIST	  ? arena_printf(a, "%sList", k->openapi_name)
			     : o->answer == ANSWER_STATUS ? OPENAPI_META "Status"
							  : object;

	add_response(a, responses, "200", "OK", schema);
	if (o->body == BODY_OBJECT || o->body == BODY_PATCH)
		add_response(a, responses, "201", "Created", schema);
	add_response(a, responses, "401", "Unauthorized", NULL);
}

/* "BerthDevV1", "CoreV1", "CoordinationV1" */
static const char *group_title(struct arena *a, const struct kind *k)
{
	size_t n = str_ends(k->group, ".k8s.io") ? strcspn(k->group, ".") : strlen(k->group);
	char *title = arena_printf(a, "%.*s.%s", (int)n, k->group, k->version), *to = title;
	bool upper = true;

	if (n == 0)
		title = to = arena_printf(a, "core.%s", k->version);
	for (const char *p = title; *p; p++) {
		if (*p == '.' || *p == '-') {
			upper = true;
			continue;
		}
		*to++ = upper ? (char)toupper((unsigned char)*p) : *p;
		upper = false;
	}
	*to = '\0';
	return title;
}

static struct json *gvk(struct arena *a, const char *group, const char *version, const char *kind)
{
	struct json *v = json_object(a);

	json_set_str(a, v, "group", group);
	json_set_str(a, v, "version", version);
	json_set_str(a, v, "kind", kind);
	return v;
}

static void add_operation(struct arena *a, const struct kind *k, const struct operation *o, enum place place,
			  struct json *item)
{
	static const char *const endings[] = {
		[PLACE_ALL] = "ForAllNamespaces",
		[PLACE_STATUS] = "Status",
		[PLACE_SCALE] = "Scale",
	};
	struct json *op = json_object(a), *parameters = json_array(a);
	const char *ending = place < ARRAY_SIZE(endings) && endings[place] ? endings[place] : "";
	const char *scope = k->namespaced && place != PLACE_ALL ? "Namespaced" : "";
	const char *object = place == PLACE_SCALE ? "io.k8s.api.autoscaling.v1.Scale" : k->openapi_name;

	json_append(a, json_ensure_array(a, op, "tags"),
		    json_string(a, *k->group ? arena_printf(a, "%s/%s", k->group, k->version) : "core_v1"));
	json_set_str(a, op, "description",
		     arena_printf(a, "%s %s%s", o->verb, k->kind, *ending ? arena_printf(a, ": %s", ending) : ""));
	json_set_str(a, op, "operationId",
		     arena_printf(a, "%s%s%s%s%s", o->verb, group_title(a, k), scope, k->kind, ending));
	for (const struct parameter *p = o->parameters; p && p->name; p++)
		add_parameter(a, parameters, "query", p);
	if (json_count(parameters))
		json_set(a, op, "parameters", parameters);
	set_body(a, k, o->body, op);
	set_responses(a, k, o, object, op);
	json_set_str(a, op, "x-kubernetes-action", o->action);
	json_set(a, op, "x-kubernetes-group-version-kind",
		 place == PLACE_SCALE ? gvk(a, "autoscaling", "v1", "Scale") : gvk(a, k->group, k->version, k->kind));
	json_set(a, item, o->method, op);
}

static void add_path(struct arena *a, const struct kind *k, enum place place, struct json *paths)
{
	static const struct parameter pretty = {"pretty", "string", "Indent the answer."};
	static const struct parameter name = {"name", "string", "Name of the object."};
	static const struct parameter ns = {"namespace", "string", "Namespace of the object."};
	const char *root = *k->group ? arena_printf(a, "/apis/%s", k->api_version) : "/api/v1";
	const char *scope = k->namespaced && place != PLACE_ALL ? "/namespaces/{namespace}" : "";
	const char *rest = place == PLACE_OBJECT   ? "/{name}"
			   : place == PLACE_STATUS ? "/{name}/status"
			   : place == PLACE_SCALE  ? "/{name}/scale"
						   : "";
	struct json *item = json_ensure_object(a, paths, arena_printf(a, "%s%s/%s%s", root, scope, k->plural, rest));
	struct json *parameters = json_array(a);

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		if (operations[i].places & place && (!k->create_only || streq(operations[i].method, "post")))
			add_operation(a, k, &operations[i], place, item);
	if (*rest)
		add_parameter(a, parameters, "path", &name);
	if (*scope)
		add_parameter(a, parameters, "path", &ns);
	add_parameter(a, parameters, "query", &pretty);
	json_set(a, item, "parameters", parameters);
}

void openapi_kind_paths(struct arena *a, const struct kind *k, struct json *paths)
{
	add_path(a, k, PLACE_COLLECTION, paths);
	if (k->create_only)
		return;
	if (k->namespaced)
		add_path(a, k, PLACE_ALL, paths);
	add_path(a, k, PLACE_OBJECT, paths);
	if (k->has_status)
		add_path(a, k, PLACE_STATUS, paths);
	if (k->has_scale)
		add_path(a, k, PLACE_SCALE, paths);
}
