/*
 * patch_strategic.c - Kubernetes' strategic merge patch; see patch.h.
 *
 * A list merges by key when its schema has x-kubernetes-patch-strategy "merge", else it is replaced. Directives are
 * members that begin with "$": $patch (merge, replace, delete), $retainKeys, $deleteFromPrimitiveList/<name>, and
 * $setElementOrder/<name>, which only states an order and is left out.
 */
#include "apiserver/patch.h"

#include "apiserver/schema.h"

#define DELETE_FROM "$deleteFromPrimitiveList/"

struct merger {
	struct arena *arena;
	struct error *e;
};

static int merge_objects(struct merger *m, const struct schema *s, struct json *target, const struct json *patch);

static bool is_merge_list(const struct schema *s)
{
	return s && s->patch_strategy && strstr(s->patch_strategy, "merge");
}

/* A copy of a patch that meets nothing: without nulls, directives, and items to delete. */
static struct json *plain(struct arena *a, const struct json *patch)
{
	struct json *v;

	if (json_is(patch, JSON_ARRAY)) {
		v = json_array(a);
		for (size_t i = 0; i < json_count(patch); i++)
			if (!json_get(json_item(patch, i), "$patch"))
				json_append(a, v, plain(a, json_item(patch, i)));
		return v;
	}
	if (!json_is(patch, JSON_OBJECT))
		return json_clone(a, patch);
	v = json_object(a);
	for (size_t i = 0; i < json_count(patch); i++)
		if (*json_key(patch, i) != '$' && !json_is(json_item(patch, i), JSON_NULL))
			json_set(a, v, json_key(patch, i), plain(a, json_item(patch, i)));
	return v;
}

static size_t find_item(const struct json *list, const char *key, const struct json *value)
{
	for (size_t i = 0; i < json_count(list); i++)
		if (json_equal(key ? json_get(json_item(list, i), key) : json_item(list, i), value))
			return i;
	return SIZE_MAX;
}

static int unknown_directive(struct merger *m, const char *directive)
{
	return error_set(m->e, E_BAD_REQUEST, "unknown patch directive \"%s\"; known are replace, delete and merge",
			 directive);
}

/* One item of a list of objects that merges by key. */
static int merge_item(struct merger *m, const struct schema *s, struct json *list, const struct json *item)
{
	const char *directive = json_str_or(json_get(item, "$patch"), "merge");
	const struct json *key = json_get(item, s->patch_merge_key);
	size_t at;

	if (!json_is(item, JSON_OBJECT) || !key)
		return error_set(m->e, E_BAD_REQUEST, "item of %s does not contain declared merge key: %s", s->name,
				 s->patch_merge_key);
	at = find_item(list, s->patch_merge_key, key);
	if (streq(directive, "delete")) {
		if (at != SIZE_MAX)
			json_remove_item(list, at);
		return 0;
	}
	if (streq(directive, "merge") && at != SIZE_MAX && json_is(json_item(list, at), JSON_OBJECT))
		return merge_objects(m, s->items, json_item(list, at), item);
	if (!streq(directive, "merge") && !streq(directive, "replace"))
		return unknown_directive(m, directive);
	if (at != SIZE_MAX)
		json_replace_item(list, at, plain(m->arena, item));
	else
		json_append(m->arena, list, plain(m->arena, item));
	return 0;
}

/* {"$patch": "replace"} among the items: the others are the whole new list. */
static bool replaces_all(const struct json *patch)
{
	for (size_t i = 0; i < json_count(patch); i++)
		if (streq(json_str(json_get(json_item(patch, i), "$patch")), "replace") &&
		    json_count(json_item(patch, i)) == 1)
			return true;
	return false;
}

static int merge_lists(struct merger *m, const struct schema *s, struct json *target, const char *name,
		       const struct json *patch)
{
	struct json *list = json_get(target, name);
	int rc;

	if (!is_merge_list(s) || !json_is(list, JSON_ARRAY) || replaces_all(patch)) {
		json_set(m->arena, target, name, plain(m->arena, patch));
		return 0;
	}
	for (size_t i = 0; i < json_count(patch); i++) {
		const struct json *item = json_item(patch, i);

		if (s->patch_merge_key) {
			if ((rc = merge_item(m, s, list, item)) < 0)
				return rc;
		} else if (find_item(list, NULL, item) == SIZE_MAX) {
			json_append(m->arena, list, json_clone(m->arena, item));
		}
	}
	return 0;
}

static void delete_from_list(struct json *target, const char *name, const struct json *values)
{
	struct json *list = json_get(target, name);

	for (size_t i = 0; i < json_count(values); i++) {
		size_t at;

		while ((at = find_item(list, NULL, json_item(values, i))) != SIZE_MAX)
			json_remove_item(list, at);
	}
	if (json_is(list, JSON_ARRAY) && json_count(list) == 0)
		json_unset(target, name);
}

static void clear(struct json *object)
{
	while (json_count(object))
		json_remove_item(object, json_count(object) - 1);
}

static int retain_keys(struct merger *m, struct json *target, const struct json *keys)
{
	if (!json_is(keys, JSON_ARRAY))
		return error_set(m->e, E_BAD_REQUEST, "$retainKeys has to be a list of names");
	for (size_t i = 0; i < json_count(target);) {
		bool keep = false;

		for (size_t k = 0; k < json_count(keys) && !keep; k++)
			keep = streq(json_str(json_item(keys, k)), json_key(target, i));
		if (keep)
			i++;
		else
			json_remove_item(target, i);
	}
	return 0;
}

/* $patch of an object. *ret_done: nothing else of the patch is to be merged. */
static int object_directive(struct merger *m, struct json *target, const struct json *patch, bool *ret_done)
{
	const char *directive = json_str(json_get(patch, "$patch"));

	*ret_done = false;
	if (!directive || streq(directive, "merge"))
		return 0;
	if (!streq(directive, "replace") && !streq(directive, "delete"))
		return unknown_directive(m, directive);
	clear(target);
	*ret_done = streq(directive, "delete");
	return 0;
}

static int merge_member(struct merger *m, const struct schema *s, struct json *target, const char *name,
			const struct json *value)
{
	struct json *old = json_get(target, name);

	if (json_is(value, JSON_NULL)) {
		json_unset(target, name);
		return 0;
	}
	if (json_is(value, JSON_ARRAY))
		return merge_lists(m, s, target, name, value);
	if (!json_is(value, JSON_OBJECT)) {
		json_set(m->arena, target, name, json_clone(m->arena, value));
		return 0;
	}
	if (!json_is(old, JSON_OBJECT))
		old = json_set(m->arena, target, name, json_object(m->arena));
	return merge_objects(m, s, old, value);
}

static int merge_objects(struct merger *m, const struct schema *s, struct json *target, const struct json *patch)
{
	bool done;
	int rc;

	if ((rc = object_directive(m, target, patch, &done)) < 0 || done)
		return rc;
	if (json_get(patch, "$retainKeys") && (rc = retain_keys(m, target, json_get(patch, "$retainKeys"))) < 0)
		return rc;
	for (size_t i = 0; i < json_count(patch); i++)
		if (str_starts(json_key(patch, i), DELETE_FROM))
			delete_from_list(target, json_key(patch, i) + strlen(DELETE_FROM), json_item(patch, i));
	for (size_t i = 0; i < json_count(patch); i++) {
		const char *name = json_key(patch, i);

		if (*name == '$')
			continue;
		if ((rc = merge_member(m, s ? schema_member(s, name) : NULL, target, name, json_item(patch, i))) < 0)
			return rc;
	}
	return 0;
}

int patch_strategic(struct arena *a, const struct kind *k, const struct json *doc, const struct json *patch,
		    struct json **ret, struct error *e)
{
	struct merger m = {a, e};
	struct json *v;
	int rc;

	if (!k->core)
		return error_set(
			e, E_UNSUPPORTED_MEDIA,
			"the body of the request was in an unknown format - accepted media types include: "
			"application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
	if (!json_is(patch, JSON_OBJECT))
		return error_set(e, E_BAD_REQUEST, "a strategic merge patch has to be an object, not %s",
				 json_type_name(json_type(patch)));
	v = json_is(doc, JSON_OBJECT) ? json_clone(a, doc) : json_object(a);
	if ((rc = merge_objects(&m, k->schema, v, patch)) < 0)
		return rc;
	*ret = v;
	return 0;
}
