/*
 * json_read.c - JSON trees: reading and comparing them; see json.h. Knows nothing of JSON's text.
 */
#include "lib/json_private.h"
#include "lib/strmap.h"

#include <math.h>

/* ---- reading ---- */

enum json_type json_type(const struct json *v)
{
	return v ? (enum json_type)v->type : JSON_NULL;
}

const char *json_type_name(enum json_type t)
{
	static const char *const names[] = {"null", "boolean", "integer", "number", "string", "array", "object"};

	return names[t];
}

struct json_member *json_map_find(const struct json_map *m, const char *key)
{
	if (!m->index) {
		for (uint32_t i = 0; i < m->base.count; i++)
			if (strcmp(m->members[i].key, key) == 0)
				return &m->members[i];
		return NULL;
	}
	uint32_t mask = m->index_size - 1;

	for (uint32_t at = (uint32_t)strmap_hash(key) & mask; m->index[at]; at = (at + 1) & mask) {
		struct json_member *member = &m->members[m->index[at] - 1];

		if (strcmp(member->key, key) == 0)
			return member;
	}
	return NULL;
}

struct json *json_get(const struct json *object, const char *key)
{
	const struct json_member *m = json_is(object, JSON_OBJECT) ? json_map_find(JSON_AS(json_map, object), key)
								   : NULL;

	return m ? m->value : NULL;
}

struct json *json_in_(const struct json *object, ...)
{
	struct json *v = NULL;
	const char *key;
	va_list ap;

	va_start(ap, object);
	while ((key = va_arg(ap, const char *)))
		object = v = json_get(object, key);
	va_end(ap);
	return v;
}

const char *json_str_or(const struct json *v, const char *otherwise)
{
	return json_is(v, JSON_STRING) ? JSON_AS(json_text, v)->text : otherwise;
}

const char *json_str(const struct json *v)
{
	return json_str_or(v, NULL);
}

size_t json_strlen(const struct json *v)
{
	return json_is(v, JSON_STRING) ? v->count : 0;
}

int64_t json_int_or(const struct json *v, int64_t otherwise)
{
	return json_is(v, JSON_INT) ? JSON_AS(json_integer, v)->value : otherwise;
}

double json_real_or(const struct json *v, double otherwise)
{
	if (json_is(v, JSON_INT))
		return (double)JSON_AS(json_integer, v)->value;
	return json_is(v, JSON_REAL) ? JSON_AS(json_number, v)->value : otherwise;
}

int64_t json_whole_or(const struct json *v, int64_t otherwise)
{
	double d = json_real_or(v, 0);

	if (!json_is(v, JSON_REAL))
		return json_int_or(v, otherwise);
	/* 2^63 is the first double that no int64_t reaches. */
	return d >= 0x1p63 ? INT64_MAX : d < -0x1p63 ? INT64_MIN : (int64_t)d;
}

bool json_bool_or(const struct json *v, bool otherwise)
{
	return json_is(v, JSON_BOOL) ? v->flag : otherwise;
}

size_t json_count(const struct json *v)
{
	return json_is(v, JSON_ARRAY) || json_is(v, JSON_OBJECT) ? v->count : 0;
}

struct json *json_item(const struct json *v, size_t i)
{
	if (i >= json_count(v))
		return NULL;
	return v->type == JSON_ARRAY ? JSON_AS(json_list, v)->items[i] : JSON_AS(json_map, v)->members[i].value;
}

const char *json_key(const struct json *object, size_t i)
{
	return json_is(object, JSON_OBJECT) && i < object->count ? JSON_AS(json_map, object)->members[i].key : "";
}

/* ---- comparing ---- */

static bool is_number(const struct json *v)
{
	return v->type == JSON_INT || v->type == JSON_REAL;
}

static bool same_double(double a, double b)
{
	return !(a < b) && !(a > b);
}

static bool equal_numbers(const struct json *a, const struct json *b)
{
	if (a->type == JSON_INT && b->type == JSON_INT)
		return JSON_AS(json_integer, a)->value == JSON_AS(json_integer, b)->value;
	if (a->type == JSON_REAL && b->type == JSON_REAL) {
		const struct json_number *x = JSON_AS(json_number, a), *y = JSON_AS(json_number, b);

		/* Whole numbers beyond 64 bits may differ though their doubles do not. */
		if (!strpbrk(x->text, ".eE") && !strpbrk(y->text, ".eE"))
			return strcmp(x->text, y->text) == 0;
		return same_double(x->value, y->value);
	}
	const struct json *real = a->type == JSON_REAL ? a : b, *whole = real == a ? b : a;
	double d = JSON_AS(json_number, real)->value;

	/* Within the range of int64_t the comparison is exact. */
	if (!(d >= -0x1p63 && d < 0x1p63))
		return false;
	return same_double(d, floor(d)) && (int64_t)d == JSON_AS(json_integer, whole)->value;
}

static bool equal_lists(const struct json_list *a, const struct json_list *b)
{
	for (uint32_t i = 0; i < a->base.count; i++)
		if (!json_equal(a->items[i], b->items[i]))
			return false;
	return true;
}

static bool equal_maps(const struct json_map *a, const struct json_map *b)
{
	for (uint32_t i = 0; i < a->base.count; i++) {
		/* A member that is null differs from one that is not there. Most often the order is the same. */
		const struct json_member *m = &b->members[i];

		if (strcmp(m->key, a->members[i].key) != 0)
			m = json_map_find(b, a->members[i].key);
		if (!m || !json_equal(a->members[i].value, m->value))
			return false;
	}
	return true;
}

bool json_equal(const struct json *a, const struct json *b)
{
	if (a == b)
		return true;
	if (!a || !b)
		return false;
	if (is_number(a) && is_number(b))
		return equal_numbers(a, b);
	if (a->type != b->type || a->count != b->count)
		return false;
	switch ((enum json_type)a->type) {
	case JSON_BOOL:
		return a->flag == b->flag;
	case JSON_STRING:
		return memcmp(JSON_AS(json_text, a)->text, JSON_AS(json_text, b)->text, a->count) == 0;
	case JSON_ARRAY:
		return equal_lists(JSON_AS(json_list, a), JSON_AS(json_list, b));
	case JSON_OBJECT:
		return equal_maps(JSON_AS(json_map, a), JSON_AS(json_map, b));
	default:
		return true;
	}
}
