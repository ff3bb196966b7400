/*
 * meta.c - the rules of ObjectMeta; see meta.h.
 */
#include "apiserver/meta.h"
#include "apiserver/status.h"
#include "lib/codec.h"
#include "lib/naming.h"
#include "lib/units.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#define QUALIFIED_NAME_MAX 63
#define LABEL_VALUE_MAX 63
#define PATH_MAX_TEXT 320

static const struct {
	const char *name;
	enum json_type type;
} members[] = {
	{"name", JSON_STRING},
	{"generateName", JSON_STRING},
	{"namespace", JSON_STRING},
	{"selfLink", JSON_STRING},
	{"uid", JSON_STRING},
	{"resourceVersion", JSON_STRING},
	{"generation", JSON_INT},
	{"creationTimestamp", JSON_STRING},
	{"deletionTimestamp", JSON_STRING},
	{"deletionGracePeriodSeconds", JSON_INT},
	{"labels", JSON_OBJECT},
	{"annotations", JSON_OBJECT},
	{"ownerReferences", JSON_ARRAY},
	{"finalizers", JSON_ARRAY},
	{"managedFields", JSON_ARRAY},
};

struct json *meta_of(struct arena *a, struct json *obj)
{
	return json_ensure_object(a, obj, "metadata");
}

void meta_prune(struct arena *a, struct json *obj, struct json *unknown)
{
	struct json *meta = json_get(obj, "metadata");

	for (size_t i = json_count(meta); json_is(meta, JSON_OBJECT) && i-- > 0;) {
		const char *key = json_key(meta, i);
		bool known = false;
		for (size_t m = 0; m < ARRAY_SIZE(members); m++)
			known = known || streq(members[m].name, key);
		if (!known && unknown)
			json_append(a, unknown, json_stringf(a, "unknown field \"metadata.%s\"", key));
		if (!known || json_type(json_item(meta, i)) == JSON_NULL)
			json_unset(meta, key);
	}
}

/* ---- validation ---- */

/* Letters, digits, '-', '_', '.', beginning and ending with a letter or digit. */
static bool is_token(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("-_.", s[i]))
			return false;
	return n > 0 && isalnum((unsigned char)s[0]) && isalnum((unsigned char)s[n - 1]);
}

/* [DNS subdomain/]token */
static bool is_qualified_name(const char *s)
{
	const char *slash = strchr(s, '/');
	char prefix[254];

	if (slash) {
		size_t n = (size_t)(slash - s);
		if (n >= sizeof(prefix))
			return false;
		memcpy(prefix, s, n);
		prefix[n] = '\0';
		if (!name_is_subdomain(prefix))
			return false;
		s = slash + 1;
	}
	return strlen(s) <= QUALIFIED_NAME_MAX && is_token(s, strlen(s));
}

static const char qualified_rule[] =
	"name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
	"character (e.g. 'MyName', or 'my.name', or '123-abc'), at most 63 characters, with an optional DNS subdomain prefix "
	"and '/' (e.g. 'example.com/MyName')";

static void validate_types(struct arena *a, const struct json *meta, struct json *causes)
{
	char field[PATH_MAX_TEXT];

	for (size_t m = 0; m < ARRAY_SIZE(members); m++) {
		const struct json *v = json_get(meta, members[m].name);
		if (!v || json_type(v) == members[m].type)
			continue;
		snprintf(field, sizeof(field), "metadata.%s", members[m].name);
		cause_add(a, causes, "FieldValueTypeInvalid", field,
			  "Invalid value: \"%s\": must be of type %s: \"%s\"", json_type_name(json_type(v)),
			  json_type_name(members[m].type), json_type_name(json_type(v)));
	}
}

#define SEGMENT_MAX 253

/* Roles and bindings: whatever can stand in a path. Source: k8s.io/apimachinery pkg/api/validation/path. */
static bool name_is_segment(const char *name)
{
	return !streq(name, ".") && !streq(name, "..") && !strpbrk(name, "/%") && strlen(name) <= SEGMENT_MAX;
}

static void validate_name(struct arena *a, const struct kind *k, const struct json *meta, struct json *causes)
{
	const char *name = json_str_or(json_get(meta, "name"), "");
	bool label = streq(k->plural, "namespaces");

	if (!*name)
		cause_add(a, causes, "FieldValueRequired", "metadata.name",
			  "Required value: name or generateName is required");
	else if (label && !name_is_label(name))
		cause_add(
			a, causes, "FieldValueInvalid", "metadata.name",
			"Invalid value: \"%s\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
			"'-', and must start and end with an alphanumeric character, at most 63 characters",
			name);
	else if (streq(k->group, "rbac.authorization.k8s.io")) {
		if (!name_is_segment(name))
			cause_add(
				a, causes, "FieldValueInvalid", "metadata.name",
				"Invalid value: \"%s\": may not be '.' or '..' nor contain '/' or '%%', at most %d characters",
				name, SEGMENT_MAX);
	} else if (!label && !name_is_subdomain(name))
		cause_add(
			a, causes, "FieldValueInvalid", "metadata.name",
			"Invalid value: \"%s\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
			"characters, '-' or '.', and must start and end with an alphanumeric character, at most 253 characters",
			name);
}

static void validate_labels(struct arena *a, const struct json *labels, struct json *causes)
{
	for (size_t i = 0; i < json_count(labels); i++) {
		const char *key = json_key(labels, i), *value = json_str(json_item(labels, i));
		if (!is_qualified_name(key))
			cause_add(a, causes, "FieldValueInvalid", "metadata.labels", "Invalid value: \"%s\": %s", key,
				  qualified_rule);
		if (!value)
			cause_add(a, causes, "FieldValueTypeInvalid", "metadata.labels",
				  "Invalid value: \"%s\": the value must be a string", key);
		else if (strlen(value) > LABEL_VALUE_MAX || (*value && !is_token(value, strlen(value))))
			cause_add(
				a, causes, "FieldValueInvalid", "metadata.labels",
				"Invalid value: \"%s\": a valid label must be an empty string or consist of alphanumeric "
				"characters, '-', '_' or '.', and must start and end with an alphanumeric character, at most 63 "
				"characters",
				value);
	}
}

static void validate_annotations(struct arena *a, const struct json *annotations, struct json *causes)
{
	size_t total = 0;

	for (size_t i = 0; i < json_count(annotations); i++) {
		const char *key = json_key(annotations, i);
		total += strlen(key) + json_strlen(json_item(annotations, i));
		if (!is_qualified_name(key))
			cause_add(a, causes, "FieldValueInvalid", "metadata.annotations", "Invalid value: \"%s\": %s",
				  key, qualified_rule);
		if (!json_str(json_item(annotations, i)))
			cause_add(a, causes, "FieldValueTypeInvalid", "metadata.annotations",
				  "Invalid value: \"%s\": the value must be a string", key);
	}
	if (total > META_ANNOTATIONS_MAX)
		cause_add(a, causes, "FieldValueTooLong", "metadata.annotations",
			  "Too long: may not be more than %u bytes", META_ANNOTATIONS_MAX);
}

static void validate_finalizers(struct arena *a, const struct json *finalizers, struct json *causes)
{
	for (size_t i = 0; i < json_count(finalizers); i++) {
		const char *s = json_str_or(json_item(finalizers, i), "");
		bool standard = streq(s, META_FINALIZER_FOREGROUND) || streq(s, META_FINALIZER_ORPHAN);
		if (!standard && !(is_qualified_name(s) && strchr(s, '/')))
			cause_add(
				a, causes, "FieldValueInvalid", "metadata.finalizers",
				"Invalid value: \"%s\": name is neither a standard finalizer name nor is it fully qualified",
				s);
	}
}

static void validate_owners(struct arena *a, const struct json *owners, struct json *causes)
{
	static const char *const required[] = {"apiVersion", "kind", "name", "uid"};
	size_t controllers = 0;
	char field[PATH_MAX_TEXT];

	for (size_t i = 0; i < json_count(owners); i++) {
		const struct json *owner = json_item(owners, i);
		for (size_t r = 0; r < ARRAY_SIZE(required); r++) {
			if (*json_str_or(json_get(owner, required[r]), ""))
				continue;
			snprintf(field, sizeof(field), "metadata.ownerReferences[%zu].%s", i, required[r]);
			cause_add(a, causes, "FieldValueInvalid", field, "Invalid value: \"\": must not be empty");
		}
		if (json_bool_or(json_get(owner, "controller"), false))
			controllers++;
	}
	if (controllers > 1)
		cause_add(a, causes, "FieldValueInvalid", "metadata.ownerReferences",
			  "Invalid value: %zu: Only one reference can have Controller set to true", controllers);
}

void meta_validate(struct arena *a, const struct kind *k, const struct json *obj, struct json *causes)
{
	const struct json *meta = json_get(obj, "metadata");
	size_t before = json_count(causes);

	validate_types(a, meta, causes);
	if (json_count(causes) > before)
		return;
	validate_name(a, k, meta, causes);
	validate_labels(a, json_get(meta, "labels"), causes);
	validate_annotations(a, json_get(meta, "annotations"), causes);
	validate_finalizers(a, json_get(meta, "finalizers"), causes);
	validate_owners(a, json_get(meta, "ownerReferences"), causes);
}

void meta_validate_update(struct arena *a, const struct json *live, const struct json *obj, struct json *causes)
{
	static const char *const fixed[] = {"name", "namespace"};
	char field[PATH_MAX_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		const char *was = json_str_or(json_in(live, "metadata", fixed[i]), "");
		const char *now = json_str_or(json_in(obj, "metadata", fixed[i]), "");
		if (streq(was, now))
			continue;
		snprintf(field, sizeof(field), "metadata.%s", fixed[i]);
		cause_add(a, causes, "FieldValueInvalid", field, "Invalid value: \"%s\": field is immutable", now);
	}
	if (!json_in(live, "metadata", "deletionTimestamp"))
		return;
	const struct json *finalizers = json_in(obj, "metadata", "finalizers");
	for (size_t i = 0; i < json_count(finalizers); i++) {
		const char *finalizer = json_str_or(json_item(finalizers, i), "");
		if (!meta_has_finalizer(live, finalizer))
			cause_add(
				a, causes, "FieldValueForbidden", "metadata.finalizers",
				"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
				"[]string{\"%s\"}",
				finalizer);
	}
}

/* ---- what the server says ---- */

/* Generations count changes of our own kinds; most core kinds have none. */
static bool has_generation(const struct kind *k)
{
	return !k->core;
}

void meta_create(struct arena *a, const struct kind *k, struct json *obj, int64_t now_ms)
{
	static const char *const servers[] = {"selfLink", "resourceVersion", "deletionTimestamp",
					      "deletionGracePeriodSeconds", "generation"};
	struct json *meta = meta_of(a, obj);
	char uid[UUID_TEXT_MAX], now[TIME_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(servers); i++)
		json_unset(meta, servers[i]);
	uuid_generate_text(uid);
	json_set_str(a, meta, "uid", uid);
	json_set_str(a, meta, "creationTimestamp", time_format(now_ms, now));
	if (has_generation(k))
		json_set_int(a, meta, "generation", 1);
	if (!k->namespaced)
		json_unset(meta, "namespace");
}

void meta_keep_system(struct arena *a, const struct json *live, struct json *obj)
{
	static const char *const kept[] = {
		"uid",	       "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds",
		"generateName"};
	struct json *meta = meta_of(a, obj);

	json_unset(meta, "selfLink");
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		struct json *was = json_in(live, "metadata", kept[i]);
		if (was)
			json_set(a, meta, kept[i], was);
		else
			json_unset(meta, kept[i]);
	}
}

void meta_raise_generation(struct arena *a, const struct kind *k, struct json *obj)
{
	struct json *meta = meta_of(a, obj);

	if (has_generation(k))
		json_set_int(a, meta, "generation", json_int_or(json_get(meta, "generation"), 0) + 1);
}

void meta_terminate(struct arena *a, const struct kind *k, struct json *obj, int64_t now_ms)
{
	struct json *meta = meta_of(a, obj);
	char now[TIME_TEXT_MAX];

	json_set_str(a, meta, "deletionTimestamp", time_format(now_ms, now));
	json_set_int(a, meta, "deletionGracePeriodSeconds", 0);
	meta_raise_generation(a, k, obj);
}

/* ---- finalizers ---- */

static size_t find_finalizer(const struct json *list, const char *finalizer)
{
	for (size_t i = 0; i < json_count(list); i++)
		if (streq(json_str(json_item(list, i)), finalizer))
			return i;
	return SIZE_MAX;
}

bool meta_has_finalizer(const struct json *obj, const char *finalizer)
{
	return find_finalizer(json_in(obj, "metadata", "finalizers"), finalizer) != SIZE_MAX;
}

void meta_add_finalizer(struct arena *a, struct json *obj, const char *finalizer)
{
	if (!meta_has_finalizer(obj, finalizer))
		json_append(a, json_ensure_array(a, meta_of(a, obj), "finalizers"), json_string(a, finalizer));
}

bool meta_remove_finalizer(struct json *obj, const char *finalizer)
{
	struct json *list = json_in(obj, "metadata", "finalizers");
	size_t at = find_finalizer(list, finalizer);

	if (at == SIZE_MAX)
		return false;
	json_remove_item(list, at);
	if (json_count(list) == 0)
		json_unset(json_get(obj, "metadata"), "finalizers");
	return true;
}
