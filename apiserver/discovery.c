/*
 * discovery.c - building the discovery documents; see discovery.h.
 */
#include "apiserver/discovery.h"

#include "apiserver/document.h"
#include "apiserver/openapi.h"

#define DISCOVERY_BYTES_MAX (4U * 1024 * 1024)
#define TYPE_JSON "application/json"
#define TYPE_AGGREGATED(v) "application/json;g=apidiscovery.k8s.io;v=" v ";as=APIGroupDiscoveryList"

static struct document_set documents;

static const char *const kind_verbs[] = {"create", "delete", "deletecollection", "get", "list", "patch", "update",
					 "watch",  NULL};
static const char *const question_verbs[] = {"create", NULL};
static const char *const part_verbs[] = {"get", "patch", "update", NULL};

/* A subresource as discovery names it. */
struct part {
	const char *name, *group, *version, *kind;
	const char *const *verbs;
};

/* The i-th subresource of a kind: status, scale, then its own. False past the end. */
static bool part_at(const struct kind *k, size_t i, struct part *ret)
{
	*ret = (struct part){"status", k->group, k->version, k->kind, part_verbs};
	if (k->has_status && i-- == 0)
		return true;
	*ret = (struct part){"scale", "autoscaling", "v1", "Scale", part_verbs};
	if (k->has_scale && i-- == 0)
		return true;
	if (i >= k->subresource_count)
		return false;
	if (streq(k->subresources[i].name, "token")) {
		*ret = (struct part){"token", "authentication.k8s.io", "v1", "TokenRequest", k->subresources[i].verbs};
		return true;
	}
	*ret = (struct part){k->subresources[i].name, k->group, k->version, k->kind, k->subresources[i].verbs};
	return true;
}

static const char *const *verbs_of(const struct kind *k)
{
	return k->create_only ? question_verbs : kind_verbs;
}

static struct json *strings(struct arena *a, const char *const *list)
{
	struct json *array = json_array(a);

	for (; *list; list++)
		json_append(a, array, json_string(a, *list));
	return array;
}

static void set_names(struct arena *a, struct json *to, const struct kind *k)
{
	if (*k->short_names)
		json_set(a, to, "shortNames", strings(a, k->short_names));
	if (*k->categories)
		json_set(a, to, "categories", strings(a, k->categories));
}

static void add_tree(struct document_set *set, const char *path, const char *content_type, const struct json *tree)
{
	struct buf text = BUF_INIT(DISCOVERY_BYTES_MAX);

	json_write(tree, JSON_COMPACT, &text);
	document_add(set, path, NULL, content_type, &text);
}

/* ---- legacy ---- */

static struct json *typed(struct arena *a, const char *kind, const char *api_version)
{
	struct json *v = json_object(a);

	json_set_str(a, v, "kind", kind);
	json_set_str(a, v, "apiVersion", api_version);
	return v;
}

static void add_resource(struct arena *a, struct json *list, const struct kind *k)
{
	struct json *r = json_append(a, list, json_object(a));
	struct part part;

	json_set_str(a, r, "name", k->plural);
	json_set_str(a, r, "singularName", k->singular);
	json_set_bool(a, r, "namespaced", k->namespaced);
	json_set_str(a, r, "kind", k->kind);
	json_set(a, r, "verbs", strings(a, verbs_of(k)));
	set_names(a, r, k);
	for (size_t i = 0; part_at(k, i, &part); i++) {
		r = json_append(a, list, json_object(a));
		json_set(a, r, "name", json_stringf(a, "%s/%s", k->plural, part.name));
		json_set_str(a, r, "singularName", "");
		json_set_bool(a, r, "namespaced", k->namespaced);
		if (!streq(part.group, k->group)) {
			json_set_str(a, r, "group", part.group);
			json_set_str(a, r, "version", part.version);
		}
		json_set_str(a, r, "kind", part.kind);
		json_set(a, r, "verbs", strings(a, part.verbs));
	}
}

/* /api/v1 or /apis/<group>/<version> */
static void add_resource_list(struct arena *a, const struct kind *first)
{
	struct json *doc = typed(a, "APIResourceList", "v1"), *list;

	json_set_str(a, doc, "groupVersion", first->api_version);
	list = json_ensure_array(a, doc, "resources");
	for (size_t i = first->index; i < kind_count() && streq(kind_at(i)->api_version, first->api_version); i++)
		add_resource(a, list, kind_at(i));
	add_tree(&documents, arena_printf(a, "%s/%s", *first->group ? "/apis" : "/api", first->api_version), TYPE_JSON,
		 doc);
}

static struct json *group_entry(struct arena *a, const struct kind *first)
{
	struct json *group = json_object(a), *version = json_object(a);

	json_set_str(a, version, "groupVersion", first->api_version);
	json_set_str(a, version, "version", first->version);
	json_set_str(a, group, "name", first->group);
	json_append(a, json_ensure_array(a, group, "versions"), version);
	json_set(a, group, "preferredVersion", version);
	return group;
}

static void add_group(struct arena *a, const struct kind *first)
{
	struct json *doc = typed(a, "APIGroup", "v1"), *entry = group_entry(a, first);

	for (size_t i = 0; i < json_count(entry); i++)
		json_set(a, doc, json_key(entry, i), json_item(entry, i));
	add_tree(&documents, arena_printf(a, "/apis/%s", first->group), TYPE_JSON, doc);
}

static bool is_first_of_group(size_t i)
{
	return i == 0 || !streq(kind_at(i)->api_version, kind_at(i - 1)->api_version);
}

static void add_legacy(struct arena *a)
{
	struct json *groups = typed(a, "APIGroupList", "v1"), *core = json_object(a);

	json_set_str(a, core, "kind", "APIVersions");
	json_append(a, json_ensure_array(a, core, "versions"), json_string(a, "v1"));
	json_ensure_array(a, core, "serverAddressByClientCIDRs");
	json_ensure_array(a, groups, "groups");
	for (size_t i = 0; i < kind_count(); i++) {
		const struct kind *k = kind_at(i);

		if (!is_first_of_group(i))
			continue;
		add_resource_list(a, k);
		if (!*k->group)
			continue;
		add_group(a, k);
		json_append(a, json_get(groups, "groups"), group_entry(a, k));
	}
	add_tree(&documents, "/api", TYPE_JSON, core);
	add_tree(&documents, "/apis", TYPE_JSON, groups);
}

/* ---- aggregated ---- */

static struct json *response_kind(struct arena *a, const char *group, const char *version, const char *kind)
{
	struct json *v = json_object(a);

	json_set_str(a, v, "group", group);
	json_set_str(a, v, "version", version);
	json_set_str(a, v, "kind", kind);
	return v;
}

static struct json *aggregated_resource(struct arena *a, const struct kind *k)
{
	struct json *r = json_object(a), *sub;
	struct part part;

	json_set_str(a, r, "resource", k->plural);
	json_set(a, r, "responseKind", response_kind(a, k->group, k->version, k->kind));
	json_set_str(a, r, "scope", k->namespaced ? "Namespaced" : "Cluster");
	json_set_str(a, r, "singularResource", k->singular);
	json_set(a, r, "verbs", strings(a, verbs_of(k)));
	set_names(a, r, k);
	for (size_t i = 0; part_at(k, i, &part); i++) {
		sub = json_append(a, json_ensure_array(a, r, "subresources"), json_object(a));
		json_set_str(a, sub, "subresource", part.name);
		json_set(a, sub, "responseKind", response_kind(a, part.group, part.version, part.kind));
		json_set(a, sub, "verbs", strings(a, part.verbs));
	}
	return r;
}

static struct json *aggregated_group(struct arena *a, const struct kind *first)
{
	struct json *item = json_object(a), *version = json_object(a), *meta = json_ensure_object(a, item, "metadata");

	if (*first->group)
		json_set_str(a, meta, "name", first->group);
	json_append(a, json_ensure_array(a, item, "versions"), version);
	json_set_str(a, version, "version", first->version);
	json_set_str(a, version, "freshness", "Current");
	json_ensure_array(a, version, "resources");
	for (size_t i = first->index; i < kind_count() && streq(kind_at(i)->api_version, first->api_version); i++)
		json_append(a, json_get(version, "resources"), aggregated_resource(a, kind_at(i)));
	return item;
}

static void add_aggregated(struct arena *a, const char *path, bool core, const char *content_type,
			   const char *api_version)
{
	struct json *doc = typed(a, "APIGroupDiscoveryList", api_version);

	json_ensure_object(a, doc, "metadata");
	json_ensure_array(a, doc, "items");
	for (size_t i = 0; i < kind_count(); i++)
		if (is_first_of_group(i) && !*kind_at(i)->group == core)
			json_append(a, json_get(doc, "items"), aggregated_group(a, kind_at(i)));
	add_tree(&documents, path, content_type, doc);
}

int discovery_init(struct error *e)
{
	_arena_ a = arena_new();

	if (documents.count > 0)
		return 0;
	add_legacy(a);
	add_aggregated(a, "/api", true, TYPE_AGGREGATED("v2"), "apidiscovery.k8s.io/v2");
	add_aggregated(a, "/apis", false, TYPE_AGGREGATED("v2"), "apidiscovery.k8s.io/v2");
	add_aggregated(a, "/api", true, TYPE_AGGREGATED("v2beta1"), "apidiscovery.k8s.io/v2beta1");
	add_aggregated(a, "/apis", false, TYPE_AGGREGATED("v2beta1"), "apidiscovery.k8s.io/v2beta1");
	return openapi_init(e);
}

int discovery_get(const char *path, const char *accept, const struct document **ret, struct error *e)
{
	return document_find(&documents, path, accept, ret, e);
}
