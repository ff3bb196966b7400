/*
 * prepare.c - the rules of writing; see prepare.h.
 */
#include "apiserver/prepare.h"
#include "apiserver/admission.h"
#include "apiserver/apply.h"
#include "apiserver/meta.h"
#include "apiserver/schema.h"
#include "apiserver/status.h"
#include "lib/codec.h"
#include <stdio.h>

#define GENERATED_SUFFIX 5
#define GENERATED_BASE_MAX 58 /* so that name and suffix fit a DNS label */

int prepare_identity(struct write_rules *w, struct json *obj, struct error *e)
{
	const char *wanted = w->kind->api_version;

	if (!json_is(obj, JSON_OBJECT))
		return error_set(e, E_BAD_REQUEST, "the body must be an object of kind %s, not %s %s", w->kind->kind,
				 json_type(obj) == JSON_ARRAY || json_type(obj) == JSON_INT ? "an" : "a",
				 json_type_name(json_type(obj)));
	const char *version = json_str_or(json_get(obj, "apiVersion"), ""),
		   *kind = json_str_or(json_get(obj, "kind"), "");
	if (*version && !streq(version, wanted))
		return error_set(e, E_BAD_REQUEST,
				 "the API version in the data (%s) does not match the expected API version (%s)",
				 version, wanted);
	if (*kind && !streq(kind, w->kind->kind))
		return error_set(e, E_BAD_REQUEST, "%s in version \"%s\" cannot be handled as a %s", kind,
				 w->kind->version, w->kind->kind);
	json_set_str(w->arena, obj, "apiVersion", wanted);
	json_set_str(w->arena, obj, "kind", w->kind->kind);
	struct json *meta = meta_of(w->arena, obj);
	const char *ns = json_str_or(json_get(meta, "namespace"), "");
	if (w->kind->namespaced && *ns && !streq(ns, w->ns))
		return error_set(e, E_BAD_REQUEST,
				 "the namespace of the provided object does not match the namespace sent on"
				 " the request");
	if (w->kind->namespaced)
		json_set_str(w->arena, meta, "namespace", w->ns);
	else
		json_unset(meta, "namespace");
	const char *name = json_str_or(json_get(meta, "name"), "");
	if (*w->name && *name && !streq(name, w->name))
		return error_set(e, E_BAD_REQUEST,
				 "the name of the object (%s) does not match the name on the URL (%s)", name, w->name);
	if (*w->name)
		json_set_str(w->arena, meta, "name", w->name);
	return 0;
}

int prepare_fields(struct write_rules *w, struct json *obj, struct error *e)
{
	meta_prune(w->arena, obj, w->unknown);
	schema_prune(w->arena, w->kind, obj, w->unknown);
	if (w->validation != FIELDS_STRICT || json_count(w->unknown) == 0)
		return 0;
	_buf_ text = BUF_INIT(ERROR_TEXT_MAX);
	for (size_t i = 0; i < json_count(w->unknown); i++)
		buf_addf(&text, "%s%s", i ? ", " : "", json_str(json_item(w->unknown, i)));
	return error_set(e, E_BAD_REQUEST, "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
			 w->kind->kind, w->kind->version, w->kind->kind, text.data);
}

/* ---- is it different ---- */

/* Every member but those in skip is equal. */
static bool members_equal(const struct json *a, const struct json *b, const char *const *skip)
{
	const struct json *sides[] = {a, b};

	for (size_t side = 0; side < 2; side++) {
		for (size_t i = 0; i < json_count(sides[side]); i++) {
			const char *key = json_key(sides[side], i);
			bool skipped = false;
			for (size_t s = 0; skip[s]; s++)
				skipped = skipped || streq(skip[s], key);
			const struct json *other = json_get(sides[!side], key);
			if (!skipped && (!other || (side == 0 && !json_equal(json_item(a, i), other))))
				return false;
		}
	}
	return true;
}

static bool managers_equal(const struct json *a, const struct json *b)
{
	static const char *const skip[] = {"time", NULL};

	if (json_count(a) != json_count(b))
		return false;
	for (size_t i = 0; i < json_count(a); i++)
		if (!members_equal(json_item(a, i), json_item(b, i), skip))
			return false;
	return true;
}

/* Nothing that would be worth a revision: times of managers do not count. */
static bool is_unchanged(const struct json *live, const struct json *next)
{
	static const char *const skip[] = {"metadata", NULL};
	static const char *const skip_meta[] = {"resourceVersion", "managedFields", NULL};
	const struct json *was = json_get(live, "metadata"), *now = json_get(next, "metadata");

	return members_equal(live, next, skip) && members_equal(was, now, skip_meta) &&
	       managers_equal(json_get(was, "managedFields"), json_get(now, "managedFields"));
}

static bool is_new_generation(const struct kind *k, const struct json *live, const struct json *next)
{
	static const char *const skip[] = {"metadata", NULL}, *const skip_status[] = {"metadata", "status", NULL};

	return !members_equal(live, next, k->has_status ? skip_status : skip);
}

/* ---- common ends ---- */

static void update_managers(struct write_rules *w, const struct json *live, struct json *next)
{
	struct apply_request request = {
		.kind = w->kind, .manager = w->manager, .subresource = w->sub, .now_ms = w->now_ms};

	if (!w->apply)
		apply_update_managed(w->arena, &request, live, next);
}

static int validate(struct write_rules *w, const struct json *live, struct json *obj, struct error *e)
{
	meta_validate(w->arena, w->kind, obj, w->causes);
	if (live)
		meta_validate_update(w->arena, live, obj, w->causes);
	schema_validate(w->arena, w->kind, obj, live, w->causes);
	if (json_count(w->causes) == 0)
		return 0;
	return error_invalid(e, w->kind, json_str_or(json_in(obj, "metadata", "name"), ""), w->causes);
}

int prepare_store(struct write_rules *w, struct change *ch, const struct json *live, struct json *next, struct error *e)
{
	w->causes = json_array(w->arena);
	meta_keep_system(w->arena, live, next);
	schema_default(w->arena, w->kind, next);
	int code = validate(w, live, next, e);
	if (code < 0)
		return code;
	if (is_new_generation(w->kind, live, next))
		meta_raise_generation(w->arena, w->kind, next);
	update_managers(w, live, next);
	ch->next = next;
	bool gone = json_in(next, "metadata", "deletionTimestamp") &&
		    !json_count(json_in(next, "metadata", "finalizers")) && !admission_ends_elsewhere(w->kind);
	ch->action = gone ? CHANGE_REMOVE : is_unchanged(live, next) ? CHANGE_NONE : CHANGE_PUT;
	return 0;
}

/* ---- create ---- */

static int choose_name(struct write_rules *w, struct json *obj, struct error *e)
{
	struct json *meta = meta_of(w->arena, obj);
	const char *base = json_str_or(json_get(meta, "generateName"), "");
	char suffix[GENERATED_SUFFIX + 1];

	if (*json_str_or(json_get(meta, "name"), ""))
		return 0;
	if (!*base)
		return admission_default_name(w, obj, e);
	random_name(suffix, GENERATED_SUFFIX);
	json_set(w->arena, meta, "name", json_stringf(w->arena, "%.*s%s", GENERATED_BASE_MAX, base, suffix));
	return 0;
}

int prepare_create(struct write_rules *w, struct json *obj, struct error *e)
{
	w->causes = json_array(w->arena);
	if (*json_str_or(json_in(obj, "metadata", "resourceVersion"), ""))
		return error_set(e, E_BAD_REQUEST, "resourceVersion should not be set on objects to be created");
	int code = choose_name(w, obj, e);
	if (code < 0)
		return code;
	if (w->kind->has_status)
		json_unset(obj, "status");
	code = admission_namespace(w, json_str_or(json_in(obj, "metadata", "name"), ""), e);
	if (code < 0)
		return code;
	meta_create(w->arena, w->kind, obj, w->now_ms);
	schema_default(w->arena, w->kind, obj);
	code = admission_create(w, obj, e);
	if (code < 0)
		return code;
	code = validate(w, NULL, obj, e);
	if (code < 0)
		return code;
	update_managers(w, NULL, obj);
	return 0;
}

/* ---- update ---- */

static int check_preconditions(struct write_rules *w, const struct json *live, const struct json *obj, bool put,
			       struct error *e)
{
	const char *name = json_str_or(json_in(live, "metadata", "name"), "");
	const char *version = json_str_or(json_in(obj, "metadata", "resourceVersion"), "");
	const char *uid = json_str_or(json_in(obj, "metadata", "uid"), "");
	const char *live_uid = json_str_or(json_in(live, "metadata", "uid"), "");

	if (put && !*version && !w->kind->core) {
		w->causes = json_array(w->arena);
		cause_add(w->arena, w->causes, "FieldValueInvalid", "metadata.resourceVersion",
			  "Invalid value: 0x0: must be specified for an update");
		return error_invalid(e, w->kind, name, w->causes);
	}
	if (*uid && !streq(uid, live_uid)) {
		char why[160];
		snprintf(why, sizeof(why), "Precondition failed: UID in precondition: %.48s, UID in object meta: %s",
			 uid, live_uid);
		return error_conflict(e, w->kind, name, why);
	}
	if (*version && !streq(version, json_str(json_in(live, "metadata", "resourceVersion"))))
		return error_modified(e, w->kind, name);
	return 0;
}

/* The tree that a write to the object itself, or to /status, leads to. */
static struct json *next_state(struct write_rules *w, const struct json *live, struct json *obj)
{
	bool status = streq(w->sub, "status");

	if (!w->kind->has_status)
		return obj;
	struct json *next = status ? json_clone(w->arena, live) : obj, *from = json_get(status ? obj : live, "status");
	if (from)
		json_set(w->arena, next, "status", json_clone(w->arena, from));
	else
		json_unset(next, "status");
	struct json *managers = json_in(obj, "metadata", "managedFields");
	if (status && managers)
		json_set(w->arena, meta_of(w->arena, next), "managedFields", managers);
	return next;
}

int prepare_update(struct write_rules *w, struct change *ch, const struct json *live, struct json *obj, bool put,
		   struct error *e)
{
	int code = check_preconditions(w, live, obj, put, e);

	if (code < 0)
		return code;
	code = prepare_fields(w, obj, e);
	if (code < 0)
		return code;
	struct json *next = next_state(w, live, obj);
	w->causes = json_array(w->arena);
	code = admission_update(w, live, next, e);
	if (code < 0)
		return code;
	return prepare_store(w, ch, live, next, e);
}
