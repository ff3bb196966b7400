/*
 * patch_merge.c - JSON merge patch (RFC 7386); see patch.h.
 */
#include "apiserver/patch.h"

/* A copy of a patch that meets nothing: its nulls are gone. */
static struct json *without_nulls(struct arena *a, const struct json *patch)
{
	struct json *v;

	if (!json_is(patch, JSON_OBJECT))
		return json_clone(a, patch);
	v = json_object(a);
	for (size_t i = 0; i < json_count(patch); i++)
		if (!json_is(json_item(patch, i), JSON_NULL))
			json_set(a, v, json_key(patch, i), without_nulls(a, json_item(patch, i)));
	return v;
}

static bool is_not_removed(void *patch, const char *key, _unused_ struct json *value)
{
	return !json_is(json_get(patch, key), JSON_NULL);
}

static void merge(struct arena *a, struct json *target, const struct json *patch)
{
	json_filter(target, is_not_removed, (void *)patch);

	for (size_t i = 0; i < json_count(patch); i++) {
		const char *key = json_key(patch, i);
		const struct json *value = json_item(patch, i);
		struct json *old = json_get(target, key);

		if (json_is(value, JSON_NULL))
			continue;
		if (json_is(value, JSON_OBJECT) && json_is(old, JSON_OBJECT))
			merge(a, old, value);
		else
			json_set(a, target, key, without_nulls(a, value));
	}
}

int patch_merge(struct arena *a, const struct json *doc, const struct json *patch, struct json **ret, struct error *e)
{
	struct json *v;

	if (!json_is(patch, JSON_OBJECT))
		return error_set(e, E_BAD_REQUEST, "a merge patch has to be an object, not %s",
				 json_type_name(json_type(patch)));
	v = json_is(doc, JSON_OBJECT) ? json_clone(a, doc) : json_object(a);
	merge(a, v, patch);
	*ret = v;
	return 0;
}
