/*
 * schema_validate.c - checking objects against their schema; see schema.h.
 *
 * Texts are those of k8s.io/kube-openapi/pkg/validation/errors wrapped by
 * k8s.io/apimachinery/pkg/util/validation/field. Nothing is formatted or allocated unless there is a fault.
 */
#include "apiserver/schema.h"

#include "apiserver/schema_private.h"
#include "apiserver/schema_rules.h"
#include "lib/codec.h"
#include "lib/strmap.h"
#include "lib/units.h"

#include <math.h>

#define CAUSES_MAX 100
#define LINEAR_UNTIL 16 /* lists longer than this are searched for duplicates with a map */

struct check {
	struct arena *arena;
	struct json *causes;
	size_t count;
};

static const char *place_text(struct check *c, const struct schema_place *p)
{
	_buf_ path = BUF_INIT(SCHEMA_PATH_MAX);

	schema_place_write(p, &path);
	return arena_strdup(c->arena, path.len ? path.data : "");
}

static void fault(struct check *c, const struct schema_place *p, const char *reason, const char *message)
{
	struct json *cause;

	if (c->count >= CAUSES_MAX)
		return;
	c->count++;
	cause = json_object(c->arena);
	json_set_str(c->arena, cause, "reason", reason);
	json_set_str(c->arena, cause, "message", message);
	json_set_str(c->arena, cause, "field", place_text(c, p));
	json_append(c->arena, c->causes, cause);
}

/* `Invalid value: <value>: <path> in body <what>`. Collections are named by their type only. */
static _printf_(4, 5) void fault_value(struct check *c, const struct schema_place *p, const struct json *v,
				       const char *fmt, ...)
{
	bool scalar = json_type(v) != JSON_OBJECT && json_type(v) != JSON_ARRAY;
	_buf_ text = BUF_INIT(JSON_MAX_BYTES);
	va_list ap;

	buf_addf(&text, "Invalid value: ");
	if (scalar)
		json_write(v, JSON_COMPACT, &text);
	else
		buf_addf(&text, "\"%s\"", json_type_name(json_type(v)));
	buf_addf(&text, ": ");
	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	fault(c, p, "FieldValueInvalid", text.data);
}

static void fault_type(struct check *c, const struct schema_place *p, const struct json *v, const char *wanted)
{
	const char *have = json_type_name(json_type(v));

	fault(c, p, "FieldValueTypeInvalid",
	      arena_printf(c->arena, "Invalid value: \"%s\": %s in body must be of type %s: \"%s\"", have,
			   place_text(c, p), wanted, have));
}

/* ---- scalars ---- */

static const char *number_text(struct check *c, const struct json *number)
{
	return json_to_string(c->arena, number);
}

static void check_number(struct check *c, const struct schema *s, const struct json *v, const struct schema_place *p)
{
	double d = json_real_or(v, 0), m;

	if (s->format_id == SCHEMA_FORMAT_INT32 && (d > INT32_MAX || d < INT32_MIN))
		fault_value(c, p, v, "%s in body must be of type int32: \"%s\"", place_text(c, p), number_text(c, v));
	if (s->minimum) {
		m = json_real_or(s->minimum, 0);
		if (d < m || (s->exclusive_minimum && d <= m))
			fault_value(c, p, v, "%s in body should be greater than %s%s", place_text(c, p),
				    s->exclusive_minimum ? "" : "or equal to ", number_text(c, s->minimum));
	}
	if (s->maximum) {
		m = json_real_or(s->maximum, 0);
		if (d > m || (s->exclusive_maximum && d >= m))
			fault_value(c, p, v, "%s in body should be less than %s%s", place_text(c, p),
				    s->exclusive_maximum ? "" : "or equal to ", number_text(c, s->maximum));
	}
	if (s->multiple_of) {
		m = json_real_or(s->multiple_of, 1);
		if (m > 0 && fmod(d, m) != 0)
			fault_value(c, p, v, "%s in body should be a multiple of %s", place_text(c, p),
				    number_text(c, s->multiple_of));
	}
}

static int64_t character_count(const char *s, size_t len)
{
	int64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)s[i] & 0xC0) != 0x80;
	return n;
}

static bool format_is_valid(enum schema_format format, const char *s, size_t len)
{
	int64_t ms;

	if (format == SCHEMA_FORMAT_DATE_TIME)
		return time_parse(s, &ms, NULL) == 0;
	if (format == SCHEMA_FORMAT_BYTE) {
		_buf_ bytes = BUF_INIT(JSON_MAX_BYTES);

		return base64_decode(s, len, &bytes, NULL) == 0;
	}
	return true;
}

static void check_string(struct check *c, const struct schema *s, const struct json *v, const struct schema_place *p)
{
	const char *text = json_str(v);
	size_t len = json_strlen(v);

	if (s->max_length >= 0 && (int64_t)len > s->max_length && character_count(text, len) > s->max_length)
		fault(c, p, "FieldValueTooLong",
		      arena_printf(c->arena, "Too long: may not be more than %lld bytes", (long long)s->max_length));
	if (s->min_length > 0 && character_count(text, len) < s->min_length)
		fault_value(c, p, v, "%s in body should be at least %lld chars long", place_text(c, p),
			    (long long)s->min_length);
	if (s->regex) {
		regmatch_t range = {.rm_so = 0, .rm_eo = (regoff_t)len};

		if (regexec(s->regex, text, 0, &range, REG_STARTEND) != 0)
			fault_value(c, p, v, "%s in body should match '%s'", place_text(c, p), s->pattern);
	}
	if (s->format_id != SCHEMA_FORMAT_NONE && !format_is_valid(s->format_id, text, len))
		fault_value(c, p, v, "%s in body must be of type %s: %s", place_text(c, p), s->format,
			    json_to_string(c->arena, v));
}

static void check_enum(struct check *c, const struct schema *s, const struct json *v, const struct schema_place *p)
{
	_buf_ text = BUF_INIT(JSON_MAX_BYTES);

	for (size_t i = 0; i < json_count(s->enumeration); i++)
		if (json_equal(json_item(s->enumeration, i), v))
			return;
	buf_adds(&text, "Unsupported value: ");
	json_write(v, JSON_COMPACT, &text);
	buf_adds(&text, ": supported values: ");
	for (size_t i = 0; i < json_count(s->enumeration); i++) {
		buf_adds(&text, i ? ", " : "");
		json_write(json_item(s->enumeration, i), JSON_COMPACT, &text);
	}
	fault(c, p, "FieldValueNotSupported", text.data);
}

/* ---- collections ---- */

static void check_value(struct check *c, const struct schema *s, const struct json *v, const struct json *old,
			const struct schema_place *p);

static bool same_keys(const struct schema *s, const struct json *a, const struct json *b)
{
	for (const char *const *k = s->list_keys; *k; k++)
		if (!json_equal(json_get(a, *k), json_get(b, *k)))
			return false;
	return true;
}

/* What makes an item of a set or map the item it is, as JSON. */
static const struct json *identity(struct check *c, const struct schema *s, const struct json *item)
{
	struct json *keys;

	if (s->list == SCHEMA_LIST_SET)
		return item;
	keys = json_object(c->arena);
	for (const char *const *k = s->list_keys; *k; k++)
		if (json_get(item, *k))
			json_set(c->arena, keys, *k, json_get(item, *k));
	return keys;
}

static void fault_duplicate(struct check *c, const struct schema *s, const struct json *item, size_t i,
			    const struct schema_place *up)
{
	fault(c, &(struct schema_place){up, NULL, i}, "FieldValueDuplicate",
	      arena_printf(c->arena, "Duplicate value: %s", json_to_string(c->arena, identity(c, s, item))));
}

static void check_unique(struct check *c, const struct schema *s, const struct json *v, const struct schema_place *p)
{
	size_t n = json_count(v);
	struct strmap *seen;

	if (n <= LINEAR_UNTIL) {
		for (size_t i = 1; i < n; i++)
			for (size_t k = 0; k < i; k++) {
				const struct json *x = json_item(v, i), *y = json_item(v, k);

				if (s->list == SCHEMA_LIST_SET ? !json_equal(x, y) : !same_keys(s, x, y))
					continue;
				fault_duplicate(c, s, x, i, p);
				break;
			}
		return;
	}
	seen = strmap_new();
	for (size_t i = 0; i < n; i++) {
		const struct json *item = json_item(v, i);

		if (strmap_put(seen, json_to_string(c->arena, identity(c, s, item)), c))
			fault_duplicate(c, s, item, i, p);
	}
	strmap_free(seen);
}

/* The item of the old list that the item corresponds to: only lists of type map have such. */
static const struct json *old_item(const struct schema *s, const struct json *old, const struct json *item)
{
	if (s->list != SCHEMA_LIST_MAP)
		return NULL;
	for (size_t i = 0; i < json_count(old); i++)
		if (same_keys(s, json_item(old, i), item))
			return json_item(old, i);
	return NULL;
}

static void check_array(struct check *c, const struct schema *s, const struct json *v, const struct json *old,
			const struct schema_place *p)
{
	int64_t n = (int64_t)json_count(v);

	if (s->max_items >= 0 && n > s->max_items)
		fault(c, p, "FieldValueTooMany",
		      arena_printf(c->arena, "Too many: %lld: must have at most %lld items", (long long)n,
				   (long long)s->max_items));
	if (s->min_items >= 0 && n < s->min_items)
		fault_value(c, p, v, "%s in body should have at least %lld items", place_text(c, p),
			    (long long)s->min_items);
	if (s->list != SCHEMA_LIST_ATOMIC)
		check_unique(c, s, v, p);
	for (size_t i = 0; s->items && i < (size_t)n && c->count < CAUSES_MAX; i++) {
		const struct json *item = json_item(v, i);

		check_value(c, s->items, item, s->items->has_old_rules ? old_item(s, old, item) : NULL,
			    &(struct schema_place){p, NULL, i});
	}
}

static void check_required(struct check *c, const struct schema *s, const struct json *v, const struct schema_place *p)
{
	for (size_t i = 0; i < s->required_count; i++) {
		const char *name = s->properties[s->required[i]].name;

		if (!json_get(v, name))
			fault(c, &(struct schema_place){p, name, 0}, "FieldValueRequired", "Required value");
	}
}

static void check_object(struct check *c, const struct schema *s, const struct json *v, const struct json *old,
			 const struct schema_place *p)
{
	int64_t n = (int64_t)json_count(v);

	if (s->max_properties >= 0 && n > s->max_properties)
		fault(c, p, "FieldValueTooMany",
		      arena_printf(c->arena, "Too many: %lld: must have at most %lld items", (long long)n,
				   (long long)s->max_properties));
	if (s->min_properties >= 0 && n < s->min_properties)
		fault_value(c, p, v, "%s in body should have at least %lld properties", place_text(c, p),
			    (long long)s->min_properties);
	check_required(c, s, v, p);
	for (size_t i = 0; i < (size_t)n && c->count < CAUSES_MAX; i++) {
		const char *name = json_key(v, i);
		const struct schema *member = schema_member(s, name);

		if (member && !(!p && strcmp(name, "metadata") == 0))
			check_value(c, member, json_item(v, i), member->has_old_rules ? json_get(old, name) : NULL,
				    &(struct schema_place){p, name, 0});
	}
}

/* ---- all together ---- */

/* The type the schema wants, when the value is not of it; NULL when it is. */
static const char *wrong_type(const struct schema *s, const struct json *v)
{
	enum json_type t = json_type(v);
	double d = json_real_or(v, 0);

	if (s->int_or_string)
		return t == JSON_INT || t == JSON_STRING ? NULL : "integer or string";
	switch (s->type) {
	case SCHEMA_ANY:
		return NULL;
	case SCHEMA_BOOLEAN:
		return t == JSON_BOOL ? NULL : "boolean";
	case SCHEMA_INTEGER: /* 1.0 counts, as in Kubernetes */
		return t == JSON_INT || (t == JSON_REAL && fabs(d) < 9007199254740992.0 && floor(d) == d) ? NULL
													  : "integer";
	case SCHEMA_NUMBER:
		return t == JSON_INT || t == JSON_REAL ? NULL : "number";
	case SCHEMA_STRING:
		return t == JSON_STRING ? NULL : "string";
	case SCHEMA_ARRAY:
		return t == JSON_ARRAY ? NULL : "array";
	case SCHEMA_OBJECT:
		return t == JSON_OBJECT ? NULL : "object";
	}
	return NULL;
}

static void check_rules(struct check *c, const struct schema *s, const struct json *v, const struct json *old,
			const struct schema_place *p)
{
	for (size_t i = 0; i < s->rule_count; i++) {
		const struct schema_rule *r = &s->rules[i];

		if (schema_rule_needs_old(r) && !old)
			continue;
		if (!schema_rule_holds(r, v, old))
			fault_value(c, p, v, "%s", r->message);
	}
}

static void check_value(struct check *c, const struct schema *s, const struct json *v, const struct json *old,
			const struct schema_place *p)
{
	const char *wanted;
	size_t before = c->count;

	if (s->nullable && json_is(v, JSON_NULL))
		return;
	wanted = wrong_type(s, v);
	if (wanted) {
		fault_type(c, p, v, wanted);
		return;
	}
	switch (json_type(v)) {
	case JSON_INT:
	case JSON_REAL:
		check_number(c, s, v, p);
		break;
	case JSON_STRING:
		check_string(c, s, v, p);
		break;
	case JSON_ARRAY:
		check_array(c, s, v, old, p);
		break;
	case JSON_OBJECT:
		check_object(c, s, v, old, p);
		break;
	case JSON_NULL:
	case JSON_BOOL:
		break;
	}
	if (s->enumeration)
		check_enum(c, s, v, p);
	if (c->count == before)
		check_rules(c, s, v, old, p);
}

/* A CRD may narrow the name; everything else of metadata is meta.c's. */
static void check_name(struct check *c, const struct schema *root, const struct json *obj)
{
	const struct schema *meta = schema_member(root, "metadata");
	const struct json *name = json_in(obj, "metadata", "name");

	if (meta && json_is(name, JSON_STRING))
		check_value(c, schema_member(meta, "name"), name, NULL,
			    &(struct schema_place){&(struct schema_place){NULL, "metadata", 0}, "name", 0});
}

size_t schema_validate(struct arena *a, const struct kind *k, const struct json *obj, const struct json *old,
		       struct json *causes)
{
	struct check c = {a, causes, 0};

	check_name(&c, k->schema, obj);
	check_value(&c, k->schema, obj, old, NULL);
	return c.count;
}
