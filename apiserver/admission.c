/*
 * admission.c - rules of single kinds; see admission.h. One row per kind in `rules`.
 */
#include "apiserver/admission.h"
#include "apiserver/meta.h"
#include "apiserver/status.h"
#include "lib/codec.h"
#include "lib/naming.h"

#define LABEL_CONTAINER "berth.dev/container"
#define FINALIZER_VM "berth.dev/vm"
#define SECRET_VALUE_MAX (1024U * 1024)

/* Fields of an Instance that only POST …/binding may change. */
static const char *const binding_fields[] = {"nodeName", "revision", "vmGeneration"};

static bool is_berth(const struct kind *k, const char *plural)
{
	return streq(k->group, "berth.dev") && streq(k->plural, plural);
}

static bool is_core(const struct kind *k, const char *plural)
{
	return *k->group == '\0' && streq(k->plural, plural);
}

bool admission_ends_elsewhere(const struct kind *k)
{
	return is_core(k, "namespaces");
}

int admission_delete(const struct kind *k, const char *name, struct error *e)
{
	static const char *const kept[] = {"default", "kube-system", "kube-node-lease"};

	for (size_t i = 0; is_core(k, "namespaces") && i < ARRAY_SIZE(kept); i++)
		if (streq(kept[i], name))
			return error_forbidden(e, k, name, "this namespace may not be deleted");
	return 0;
}

/* ---- namespaces of new objects ---- */

int admission_namespace(struct write_rules *w, const char *name, struct error *e)
{
	const struct kind *namespaces = kind_find("", "v1", "namespaces");

	if (!w->kind->namespaced || !namespaces)
		return 0;
	_object_ ns = cache_get(w->cache, namespaces, w->ns);
	if (!ns)
		return error_not_found(e, namespaces, w->ns);
	if (ns->terminating)
		return error_forbidden(
			e, w->kind, name,
			arena_printf(w->arena,
				     "unable to create new content in namespace %s because it is being terminated",
				     w->ns));
	return 0;
}

/* ---- Instance ---- */

static int instance_expected_name(struct write_rules *w, const struct json *obj, char **ret)
{
	const char *container = json_str(json_in(obj, "spec", "containerName")),
		   *id = json_str(json_in(obj, "spec", "id"));
	struct error why;

	if (!container || !id)
		return 0; /* the schema says so in its own words */
	int code = instance_name(w->arena, container, id, ret, &why);
	if (code < 0)
		cause_add(w->arena, w->causes, "FieldValueInvalid", "spec.id", "Invalid value: %s", why.text);
	return code;
}

int admission_default_name(struct write_rules *w, struct json *obj, struct error *e)
{
	char *name = NULL;

	(void)e;
	if (is_berth(w->kind, "instances") && instance_expected_name(w, obj, &name) == 0)
		json_set_str(w->arena, meta_of(w->arena, obj), "name", name);
	return 0;
}

static void instance_create(struct write_rules *w, struct json *obj)
{
	struct json *meta = meta_of(w->arena, obj), *spec = json_get(obj, "spec");
	const char *container = json_str(json_get(spec, "containerName")),
		   *name = json_str_or(json_get(meta, "name"), "");
	const struct kind *containers = kind_find("berth.dev", "v1", "containers");
	char *expected = NULL;

	if (container && containers) {
		_object_ found = cache_get(w->cache, containers, object_key(w->arena, containers, w->ns, container));
		if (!found)
			cause_add(w->arena, w->causes, "FieldValueNotFound", "spec.containerName", "Not found: \"%s\"",
				  container);
		json_set_str(w->arena, json_ensure_object(w->arena, meta, "labels"), LABEL_CONTAINER, container);
	}
	if (instance_expected_name(w, obj, &expected) == 0 && expected && !streq(name, expected))
		cause_add(
			w->arena, w->causes, "FieldValueInvalid", "metadata.name",
			"Invalid value: \"%s\": the Instance of this containerName and id is named \"%s\"; use that or leave the "
			"name out",
			name, expected);
	for (size_t i = 0; i < ARRAY_SIZE(binding_fields); i++)
		json_unset(spec, binding_fields[i]);
	meta_add_finalizer(w->arena, obj, FINALIZER_VM);
}

static void instance_update(struct write_rules *w, const struct json *live, struct json *next)
{
	for (size_t i = 0; i < ARRAY_SIZE(binding_fields); i++) {
		const struct json *was = json_in(live, "spec", binding_fields[i]),
				  *now = json_in(next, "spec", binding_fields[i]);
		if (was == now || (was && now && json_equal(was, now)))
			continue;
		cause_add(w->arena, w->causes, "FieldValueForbidden",
			  arena_printf(w->arena, "spec.%s", binding_fields[i]),
			  "Forbidden: only POST to the binding subresource changes this field");
	}
	const char *container = json_str(json_in(live, "spec", "containerName"));
	if (container)
		json_set_str(w->arena, json_ensure_object(w->arena, meta_of(w->arena, next), "labels"), LABEL_CONTAINER,
			     container);
}

/* ---- Namespace ---- */

static void namespace_create(struct write_rules *w, struct json *obj)
{
	struct json *meta = meta_of(w->arena, obj);
	struct json *finalizers = json_array(w->arena);

	json_append(w->arena, finalizers, json_string(w->arena, "kubernetes"));
	json_set(w->arena, json_ensure_object(w->arena, obj, "spec"), "finalizers", finalizers);
	json_set_str(w->arena, json_ensure_object(w->arena, obj, "status"), "phase", "Active");
	json_set_str(w->arena, json_ensure_object(w->arena, meta, "labels"), "kubernetes.io/metadata.name",
		     json_str(json_get(meta, "name")));
}

static void namespace_update(struct write_rules *w, const struct json *live, struct json *next)
{
	struct json *finalizers = json_in(live, "spec", "finalizers");

	if (finalizers)
		json_set(w->arena, json_ensure_object(w->arena, next, "spec"), "finalizers",
			 json_clone(w->arena, finalizers));
}

/* ---- Secret ---- */

/* stringData is data in plain text, for writing only. */
static void secret_write(struct write_rules *w, struct json *obj)
{
	struct json *plain = json_get(obj, "stringData");

	for (size_t i = 0; i < json_count(plain); i++) {
		const struct json *value = json_item(plain, i);
		_buf_ encoded = BUF_INIT(2 * SECRET_VALUE_MAX);
		if (!json_is(value, JSON_STRING))
			continue;
		base64_encode(json_str(value), json_strlen(value), &encoded);
		if (encoded.over)
			cause_add(w->arena, w->causes, "FieldValueTooLong", "stringData",
				  "Too long: may not be more than %u bytes", SECRET_VALUE_MAX);
		json_set(w->arena, json_ensure_object(w->arena, obj, "data"), json_key(plain, i),
			 json_stringn(w->arena, encoded.data ? encoded.data : "", encoded.len));
	}
	json_unset(obj, "stringData");
}

static void secret_create(struct write_rules *w, struct json *obj)
{
	secret_write(w, obj);
	if (!*json_str_or(json_get(obj, "type"), ""))
		json_set_str(w->arena, obj, "type", "Opaque");
}

static void secret_update(struct write_rules *w, const struct json *live, struct json *next)
{
	secret_write(w, next);
	if (!*json_str_or(json_get(next, "type"), ""))
		json_set_str(w->arena, next, "type", json_str(json_get(live, "type")));
}

/* ---- table ---- */

static const struct rule {
	const char *group, *plural;
	void (*create)(struct write_rules *w, struct json *obj);
	void (*update)(struct write_rules *w, const struct json *live, struct json *next);
} rules[] = {
	{"berth.dev", "instances", instance_create, instance_update},
	{"", "namespaces", namespace_create, namespace_update},
	{"", "secrets", secret_create, secret_update},
	{"rbac.authorization.k8s.io", "roles", admission_role_create, admission_role_update},
	{"rbac.authorization.k8s.io", "clusterroles", admission_role_create, admission_role_update},
	{"rbac.authorization.k8s.io", "rolebindings", admission_binding_create, admission_binding_update},
	{"rbac.authorization.k8s.io", "clusterrolebindings", admission_binding_create, admission_binding_update},
};

static const struct rule *rule_of(const struct kind *k)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (streq(rules[i].group, k->group) && streq(rules[i].plural, k->plural))
			return &rules[i];
	return NULL;
}

static int refused(struct write_rules *w, const struct json *obj, struct error *e)
{
	if (json_count(w->causes) == 0)
		return 0;
	return error_invalid(e, w->kind, json_str_or(json_in(obj, "metadata", "name"), ""), w->causes);
}

int admission_create(struct write_rules *w, struct json *obj, struct error *e)
{
	const struct rule *rule = rule_of(w->kind);

	if (rule)
		rule->create(w, obj);
	return refused(w, obj, e);
}

int admission_update(struct write_rules *w, const struct json *live, struct json *next, struct error *e)
{
	const struct rule *rule = rule_of(w->kind);

	if (rule && !*w->sub)
		rule->update(w, live, next);
	return refused(w, next, e);
}
