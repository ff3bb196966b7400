/*
 * schema_fill.c - pruning and defaulting of objects by their schema; see schema.h.
 *
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting}.
 */
#include "apiserver/schema.h"

#include "apiserver/schema_private.h"

static void report_unknown(struct arena *a, const struct schema_place *p, struct json *unknown)
{
	_buf_ path = BUF_INIT(SCHEMA_PATH_MAX);

	if (!unknown)
		return;
	schema_place_write(p, &path);
	json_append(a, unknown, json_stringf(a, "unknown field \"%s\"", path.len ? path.data : ""));
}

static bool is_system(const struct schema_place *up, const char *name)
{
	return !up && (strcmp(name, "metadata") == 0 || strcmp(name, "apiVersion") == 0 || strcmp(name, "kind") == 0);
}

struct pruning {
	struct arena *a;
	const struct schema *s;
	const struct schema_place *up;
	struct json *unknown;
};

static void prune(struct arena *a, const struct schema *s, struct json *v, const struct schema_place *up,
		  struct json *unknown);

static bool keep_member(void *user, const char *key, struct json *value)
{
	const struct pruning *p = user;
	struct schema_place here = {p->up, key, 0};
	const struct schema *member = schema_member(p->s, key);

	if (is_system(p->up, key))
		return true;
	if (!member) {
		if (!p->s->preserve_unknown)
			report_unknown(p->a, &here, p->unknown);
		return p->s->preserve_unknown;
	}
	if (json_is(value, JSON_NULL) && !member->nullable && !member->preserve_unknown)
		return false;
	prune(p->a, member, value, &here, p->unknown);
	return true;
}

static void prune(struct arena *a, const struct schema *s, struct json *v, const struct schema_place *up,
		  struct json *unknown)
{
	if (json_is(v, JSON_ARRAY) && s->items) {
		for (size_t i = 0; i < json_count(v); i++)
			prune(a, s->items, json_item(v, i), &(struct schema_place){up, NULL, i}, unknown);
		return;
	}
	if (json_is(v, JSON_OBJECT))
		json_filter(v, keep_member, &(struct pruning){a, s, up, unknown});
}

void schema_prune(struct arena *a, const struct kind *k, struct json *obj, struct json *unknown)
{
	prune(a, k->schema, obj, NULL, unknown);
}

static void fill(struct arena *a, const struct schema *s, struct json *v, bool root)
{
	if (!s->has_defaults)
		return;
	if (json_is(v, JSON_ARRAY) && s->items) {
		for (size_t i = 0; i < json_count(v); i++)
			fill(a, s->items, json_item(v, i), false);
		return;
	}
	if (!json_is(v, JSON_OBJECT))
		return;
	for (size_t i = 0; i < s->property_count; i++) {
		const struct schema *member = s->properties[i].schema;
		struct json *value;

		if (!member->has_defaults || (root && is_system(NULL, member->name)))
			continue;
		value = json_get(v, member->name);
		if ((!value || (json_is(value, JSON_NULL) && !member->nullable)) && member->default_value)
			value = json_set(a, v, member->name, json_clone(a, member->default_value));
		fill(a, member, value, false);
	}
	if (s->additional)
		for (size_t i = 0; i < json_count(v); i++)
			if (schema_member(s, json_key(v, i)) == s->additional)
				fill(a, s->additional, json_item(v, i), false);
}

void schema_default(struct arena *a, const struct kind *k, struct json *obj)
{
	fill(a, k->schema, obj, true);
}
