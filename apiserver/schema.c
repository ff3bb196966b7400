/*
 * schema.c - compiling a schema from its OpenAPI form; see schema.h. What is done with it: schema_fill.c (pruning,
 * defaults) and schema_validate.c.
 *
 * Every keyword is known: one that is not in the table is refused, so that a typing error in a specification cannot
 * silently allow what it meant to forbid. Regular expressions are compiled once per text and live as long as the
 * process.
 */
#include "apiserver/schema.h"

#include "apiserver/schema_private.h"
#include "apiserver/schema_rules.h"
#include "lib/strmap.h"

#include <pthread.h>

#define PROPERTIES_MAX 4096

struct compiler {
	struct arena *arena;
	struct error *e;
};

static int compile(struct compiler *c, const char *name, const struct json *from, const struct schema **ret);

/* ---- regular expressions ---- */

static pthread_mutex_t patterns_lock = PTHREAD_MUTEX_INITIALIZER;
static struct strmap *patterns;

static const regex_t *pattern_get(const char *text, struct error *e)
{
	regex_t *re;
	int rc;

	pthread_mutex_lock(&patterns_lock);
	if (!patterns)
		patterns = strmap_new();
	re = strmap_get(patterns, text);
	if (!re) {
		re = xcalloc(1, sizeof(*re));
		rc = regcomp(re, text, REG_EXTENDED);
		if (rc != 0) {
			char why[128];

			regerror(rc, re, why, sizeof(why));
			free(re);
			re = NULL;
			error_set(e, E_INVALID, "pattern \"%s\": %s", text, why);
		} else {
			strmap_put(patterns, text, re);
		}
	}
	pthread_mutex_unlock(&patterns_lock);
	return re;
}

/* ---- keywords: one function each for what needs more than a copy ---- */

static const char *const type_names[] = {
	[SCHEMA_BOOLEAN] = "boolean", [SCHEMA_INTEGER] = "integer", [SCHEMA_NUMBER] = "number",
	[SCHEMA_STRING] = "string",   [SCHEMA_ARRAY] = "array",	    [SCHEMA_OBJECT] = "object",
};

static int set_type(struct compiler *c, struct schema *s, const struct json *v)
{
	for (size_t i = 0; i < ARRAY_SIZE(type_names); i++)
		if (streq(type_names[i], json_str(v))) {
			s->type = (enum schema_type)i;
			return 0;
		}
	return error_set(c->e, E_INVALID, "unknown type \"%s\"", json_str_or(v, "?"));
}

static uint32_t name_hash(const char *name)
{
	uint32_t h = 2166136261U; /* FNV-1a: names come from specifications, nobody gains from collisions */

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619U;
	return h;
}

static int set_properties(struct compiler *c, struct schema *s, const struct json *v)
{
	size_t n = json_count(v), size = 4;
	struct schema_property *list;
	uint16_t *slots;
	int rc;

	if (!json_is(v, JSON_OBJECT) || n > PROPERTIES_MAX)
		return error_set(c->e, E_INVALID, "properties has to be an object of at most %d members",
				 PROPERTIES_MAX);
	while (size < 2 * n)
		size *= 2;
	list = arena_calloc(c->arena, (n + 1) * sizeof(*list));
	slots = arena_calloc(c->arena, size * sizeof(*slots));
	for (size_t i = 0; i < n; i++) {
		size_t at = name_hash(json_key(v, i)) & (size - 1);

		list[i].name = json_key(v, i);
		if ((rc = compile(c, list[i].name, json_item(v, i), &list[i].schema)) < 0)
			return rc;
		while (slots[at])
			at = (at + 1) & (size - 1);
		slots[at] = (uint16_t)(i + 1);
	}
	s->properties = list;
	s->property_count = n;
	s->slots = slots;
	s->slot_mask = (uint32_t)size - 1;
	return 0;
}

static const struct schema_property *property_find(const struct schema *s, const char *name)
{
	if (!s->slots)
		return NULL;
	for (uint32_t at = name_hash(name) & s->slot_mask; s->slots[at]; at = (at + 1) & s->slot_mask)
		if (strcmp(s->properties[s->slots[at] - 1].name, name) == 0)
			return &s->properties[s->slots[at] - 1];
	return NULL;
}

const struct schema *schema_member(const struct schema *s, const char *name)
{
	const struct schema_property *p = property_find(s, name);

	return p ? p->schema : s->additional;
}

static int set_additional(struct compiler *c, struct schema *s, const struct json *v)
{
	if (json_is(v, JSON_BOOL)) {
		s->preserve_unknown = s->preserve_unknown || json_bool_or(v, false);
		return 0;
	}
	return compile(c, "*", v, &s->additional);
}

static int set_items(struct compiler *c, struct schema *s, const struct json *v)
{
	return compile(c, "[]", v, &s->items);
}

static int set_pattern(struct compiler *c, struct schema *s, const struct json *v)
{
	s->pattern = json_str_or(v, "");
	s->regex = pattern_get(s->pattern, c->e);
	return s->regex ? 0 : -E_INVALID;
}

static int set_format(struct compiler *c, struct schema *s, const struct json *v)
{
	static const struct {
		const char *name;
		enum schema_format id;
	} formats[] = {
		{"date-time", SCHEMA_FORMAT_DATE_TIME},
		{"byte", SCHEMA_FORMAT_BYTE},
		{"int32", SCHEMA_FORMAT_INT32},
	};

	(void)c;
	s->format = json_str(v);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (streq(formats[i].name, s->format))
			s->format_id = formats[i].id;
	return 0; /* formats that are not known say nothing, as in Kubernetes */
}

static int set_enum(struct compiler *c, struct schema *s, const struct json *v)
{
	if (!json_is(v, JSON_ARRAY) || json_count(v) == 0)
		return error_set(c->e, E_INVALID, "enum has to be a list of at least one value");
	s->enumeration = v;
	return 0;
}

static int set_list_type(struct compiler *c, struct schema *s, const struct json *v)
{
	static const char *const names[] = {"atomic", "set", "map"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(names[i], json_str(v))) {
			s->list = (enum schema_list)i;
			return 0;
		}
	return error_set(c->e, E_INVALID, "unknown x-kubernetes-list-type \"%s\"", json_str_or(v, "?"));
}

static int set_list_keys(struct compiler *c, struct schema *s, const struct json *v)
{
	const char **keys = arena_calloc(c->arena, (json_count(v) + 1) * sizeof(*keys));

	for (size_t i = 0; i < json_count(v); i++)
		keys[i] = json_str_or(json_item(v, i), "");
	s->list_keys = keys;
	return 0;
}

static int set_map_type(struct compiler *c, struct schema *s, const struct json *v)
{
	(void)c;
	s->map_atomic = streq(json_str(v), "atomic");
	return 0;
}

static int set_rules(struct compiler *c, struct schema *s, const struct json *v)
{
	struct schema_rule *rules = arena_calloc(c->arena, (json_count(v) + 1) * sizeof(*rules));
	int rc;

	for (size_t i = 0; i < json_count(v); i++) {
		if ((rc = schema_rule_compile(c->arena, json_item(v, i), &rules[i], c->e)) < 0)
			return rc;
		s->has_old_rules = s->has_old_rules || schema_rule_needs_old(&rules[i]);
	}
	s->rules = rules;
	s->rule_count = json_count(v);
	return 0;
}

/* x-kubernetes-int-or-string usually comes with anyOf of both types; nothing else may be said with anyOf. */
static int set_any_of(struct compiler *c, struct schema *s, const struct json *v)
{
	(void)s;
	if (json_count(v) == 2 && streq(json_str(json_get(json_item(v, 0), "type")), "integer") &&
	    streq(json_str(json_get(json_item(v, 1), "type")), "string"))
		return 0;
	return error_set(c->e, E_INVALID, "anyOf is not supported here");
}

/* What has no effect on this server. */
static int set_nothing(struct compiler *c, struct schema *s, const struct json *v)
{
	(void)c;
	(void)s;
	(void)v;
	return 0;
}

enum keyword_copy { COPY_NONE, COPY_BOOL, COPY_INT, COPY_TEXT, COPY_VALUE };

/* Sorted by what they are about; a keyword is either copied to a member of the struct, or has a function. */
static const struct keyword {
	const char *name;
	enum keyword_copy copy;
	size_t offset;
	int (*set)(struct compiler *c, struct schema *s, const struct json *v);
} keywords[] = {
	{.name = "type", .set = set_type},
	{"description", COPY_TEXT, offsetof(struct schema, description), NULL},
	{"default", COPY_VALUE, offsetof(struct schema, default_value), NULL},
	{"nullable", COPY_BOOL, offsetof(struct schema, nullable), NULL},
	{.name = "enum", .set = set_enum},
	{.name = "pattern", .set = set_pattern},
	{.name = "format", .set = set_format},
	{"minimum", COPY_VALUE, offsetof(struct schema, minimum), NULL},
	{"maximum", COPY_VALUE, offsetof(struct schema, maximum), NULL},
	{"exclusiveMinimum", COPY_BOOL, offsetof(struct schema, exclusive_minimum), NULL},
	{"exclusiveMaximum", COPY_BOOL, offsetof(struct schema, exclusive_maximum), NULL},
	{"multipleOf", COPY_VALUE, offsetof(struct schema, multiple_of), NULL},
	{"minLength", COPY_INT, offsetof(struct schema, min_length), NULL},
	{"maxLength", COPY_INT, offsetof(struct schema, max_length), NULL},
	{"minItems", COPY_INT, offsetof(struct schema, min_items), NULL},
	{"maxItems", COPY_INT, offsetof(struct schema, max_items), NULL},
	{"minProperties", COPY_INT, offsetof(struct schema, min_properties), NULL},
	{"maxProperties", COPY_INT, offsetof(struct schema, max_properties), NULL},
	{.name = "properties", .set = set_properties},
	{.name = "additionalProperties", .set = set_additional},
	{.name = "items", .set = set_items},
	{.name = "required", .set = set_nothing}, /* see set_required() */
	{.name = "anyOf", .set = set_any_of},
	{.name = "title", .set = set_nothing},
	{.name = "example", .set = set_nothing},
	{.name = "externalDocs", .set = set_nothing},
	{.name = "x-kubernetes-list-type", .set = set_list_type},
	{.name = "x-kubernetes-list-map-keys", .set = set_list_keys},
	{.name = "x-kubernetes-map-type", .set = set_map_type},
	{"x-kubernetes-int-or-string", COPY_BOOL, offsetof(struct schema, int_or_string), NULL},
	{"x-kubernetes-preserve-unknown-fields", COPY_BOOL, offsetof(struct schema, preserve_unknown), NULL},
	{"x-kubernetes-patch-merge-key", COPY_TEXT, offsetof(struct schema, patch_merge_key), NULL},
	{"x-kubernetes-patch-strategy", COPY_TEXT, offsetof(struct schema, patch_strategy), NULL},
	{.name = "x-kubernetes-validations", .set = set_rules},
};

static int apply_keyword(struct compiler *c, struct schema *s, const char *name, const struct json *v)
{
	const struct keyword *k = keywords;
	char *base = (char *)s;

	while (k < keywords + ARRAY_SIZE(keywords) && strcmp(k->name, name) != 0)
		k++;
	if (k == keywords + ARRAY_SIZE(keywords))
		return error_set(c->e, E_INVALID, "unknown or unsupported keyword \"%s\"", name);
	switch (k->copy) {
	case COPY_NONE:
		return k->set(c, s, v);
	case COPY_BOOL:
		*(bool *)(void *)(base + k->offset) = json_bool_or(v, false);
		return 0;
	case COPY_INT:
		*(int64_t *)(void *)(base + k->offset) = json_int_or(v, -1);
		return 0;
	case COPY_TEXT:
		*(const char **)(void *)(base + k->offset) = json_str(v);
		return 0;
	case COPY_VALUE:
		*(const struct json **)(void *)(base + k->offset) = v;
		return 0;
	}
	return 0;
}

static int set_required(struct compiler *c, struct schema *s, const struct json *v)
{
	uint16_t *required = arena_calloc(c->arena, (json_count(v) + 1) * sizeof(*required));

	for (size_t i = 0; i < json_count(v); i++) {
		const char *name = json_str_or(json_item(v, i), "");
		const struct schema_property *p = property_find(s, name);

		if (!p)
			return error_set(c->e, E_INVALID, "required field \"%s\" is not in properties", name);
		required[i] = (uint16_t)(p - s->properties);
	}
	s->required = required;
	s->required_count = json_count(v);
	return 0;
}

/* Passes up what is true of a child, so that walks can leave out branches where there is nothing to do. */
static void inherit(struct schema *s, const struct schema *child)
{
	if (!child)
		return;
	s->has_defaults = s->has_defaults || child->has_defaults;
	s->has_old_rules = s->has_old_rules || child->has_old_rules;
}

static int check_consistent(struct compiler *c, const struct schema *s)
{
	if (s->list == SCHEMA_LIST_MAP && (!s->list_keys || !s->list_keys[0] || !s->items))
		return error_set(c->e, E_INVALID,
				 "x-kubernetes-list-type map needs x-kubernetes-list-map-keys and items");
	if (s->type == SCHEMA_ANY && !s->int_or_string && !s->preserve_unknown)
		return error_set(c->e, E_INVALID, "type is missing");
	if (s->type == SCHEMA_ARRAY && !s->items)
		return error_set(c->e, E_INVALID, "items is missing");
	return 0;
}

static int compile(struct compiler *c, const char *name, const struct json *from, const struct schema **ret)
{
	struct schema *s = arena_calloc(c->arena, sizeof(*s));
	int rc = 0;

	s->name = name;
	s->min_length = s->max_length = s->min_items = s->max_items = s->min_properties = s->max_properties = -1;
	if (!json_is(from, JSON_OBJECT))
		rc = error_set(c->e, E_INVALID, "has to be an object");
	for (size_t i = 0; rc == 0 && i < json_count(from); i++)
		rc = apply_keyword(c, s, json_key(from, i), json_item(from, i));
	if (rc == 0)
		rc = set_required(c, s, json_get(from, "required"));
	if (rc == 0)
		rc = check_consistent(c, s);
	if (rc < 0)
		return *name ? error_prefix(c->e, "%s", name) : rc;
	s->has_defaults = s->default_value != NULL;
	for (size_t i = 0; i < s->property_count; i++)
		inherit(s, s->properties[i].schema);
	inherit(s, s->additional);
	inherit(s, s->items);
	*ret = s;
	return 0;
}

int schema_compile(struct arena *a, const struct json *openapi, const struct schema **ret, struct error *e)
{
	struct compiler c = {a, e};

	return compile(&c, "", openapi, ret);
}

void schema_place_write(const struct schema_place *p, struct buf *out)
{
	if (!p)
		return;
	schema_place_write(p->up, out);
	if (p->name)
		buf_addf(out, "%s%s", p->up ? "." : "", p->name);
	else
		buf_addf(out, "[%zu]", p->index);
}
