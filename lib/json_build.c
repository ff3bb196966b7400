/*
 * json_build.c - JSON trees: building, changing and copying them; see json.h. Knows nothing of JSON's text.
 *
 * Programming faults, such as setting a member of a value that is no object, abort: input never leads there.
 */
#include "lib/codec.h"
#include "lib/json_private.h"
#include "lib/strmap.h"

#include <math.h>
#include <stdio.h>

#define FIRST_CAPACITY 4U

static struct json_map *as_map(const struct json *v)
{
	if (!json_is(v, JSON_OBJECT))
		abort();
	return JSON_AS(json_map, v);
}

static struct json_list *as_list(const struct json *v)
{
	if (!json_is(v, JSON_ARRAY))
		abort();
	return JSON_AS(json_list, v);
}

/* ---- scalars ---- */

static void *new_value(struct arena *a, enum json_type t, size_t size)
{
	struct json *v = arena_alloc(a, size);

	*v = (struct json){.type = (uint8_t)t};
	return v;
}

struct json *json_null(struct arena *a)
{
	return new_value(a, JSON_NULL, sizeof(struct json));
}

struct json *json_bool(struct arena *a, bool b)
{
	struct json *v = new_value(a, JSON_BOOL, sizeof(*v));

	v->flag = b;
	return v;
}

struct json *json_int(struct arena *a, int64_t i)
{
	struct json_integer *v = new_value(a, JSON_INT, sizeof(*v));

	v->value = i;
	return &v->base;
}

struct json *json_number_of(struct arena *a, double d, const char *text)
{
	struct json_number *v = new_value(a, JSON_REAL, sizeof(*v));

	v->value = d;
	v->text = text;
	return &v->base;
}

struct json *json_real(struct arena *a, double d)
{
	char text[40];

	if (!isfinite(d))
		return json_null(a); /* JSON has no infinities */
	/* The shortest text that reads back the same; it stays a real number. */
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, d);
		if (!(strtod(text, NULL) < d || strtod(text, NULL) > d))
			break;
	}
	if (!strpbrk(text, ".e"))
		snprintf(text + strlen(text), 3, ".0");
	return json_number_of(a, d, arena_strdup(a, text));
}

struct json *json_text_of(struct arena *a, const char *s, size_t n)
{
	struct json_text *v = new_value(a, JSON_STRING, sizeof(*v) + n + 1);

	if (n >= UINT32_MAX)
		abort();
	if (n)
		memcpy(v->text, s, n);
	v->text[n] = '\0';
	v->base.count = (uint32_t)n;
	return &v->base;
}

/* Every byte that is not UTF-8 becomes U+FFFD, so that what is written is JSON. */
static void repair(const char *s, size_t n, struct buf *out)
{
	for (size_t at = 0; at < n;) {
		size_t good = utf8_prefix(s + at, n - at);

		buf_add(out, s + at, good);
		at += good;
		if (at < n) {
			buf_adds(out, "\xef\xbf\xbd");
			at++;
		}
	}
}

struct json *json_stringn(struct arena *a, const char *s, size_t n)
{
	if (utf8_prefix(s, n) == n)
		return json_text_of(a, s, n);
	_buf_ fixed = BUF_INIT(UINT32_MAX);

	repair(s, n, &fixed);
	return json_text_of(a, fixed.data, fixed.len);
}

struct json *json_string(struct arena *a, const char *s)
{
	return s ? json_stringn(a, s, strlen(s)) : json_null(a);
}

struct json *json_stringf(struct arena *a, const char *fmt, ...)
{
	_buf_ b = BUF_INIT(UINT32_MAX);
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	return json_stringn(a, b.data ? b.data : "", b.len);
}

/* ---- arrays and objects ---- */

struct json *json_list_adopt(struct arena *a, struct json **items, uint32_t count)
{
	struct json_list *v = new_value(a, JSON_ARRAY, sizeof(*v));

	v->base.count = v->capacity = count;
	v->items = items;
	return &v->base;
}

uint32_t json_index_size(uint32_t members)
{
	uint32_t size = 4 * JSON_INDEX_FROM;

	while (size < 2 * members)
		size *= 2;
	return size;
}

static void index_put(struct json_map *m, uint32_t i)
{
	uint32_t mask = m->index_size - 1;
	uint32_t at = (uint32_t)strmap_hash(m->members[i].key) & mask;

	while (m->index[at])
		at = (at + 1) & mask;
	m->index[at] = i + 1;
}

static void index_build(struct arena *a, struct json_map *m)
{
	m->index_size = json_index_size(m->capacity);
	m->index = arena_calloc(a, m->index_size * sizeof(uint32_t));
	for (uint32_t i = 0; i < m->base.count; i++)
		index_put(m, i);
}

struct json *json_map_adopt(struct arena *a, struct json_member *members, uint32_t count)
{
	struct json_map *m = new_value(a, JSON_OBJECT, sizeof(*m));

	m->base.count = m->capacity = count;
	m->members = members;
	m->index = NULL;
	m->index_size = 0;
	if (count > JSON_INDEX_FROM)
		index_build(a, m);
	return &m->base;
}

struct json *json_array(struct arena *a)
{
	return json_list_adopt(a, NULL, 0);
}

struct json *json_object(struct arena *a)
{
	return json_map_adopt(a, NULL, 0);
}

/* Room for one more element of the given size; returns the (moved) elements. */
static void *grow(struct arena *a, uint32_t count, uint32_t *capacity, void *elements, size_t size)
{
	if (count < *capacity)
		return elements;
	*capacity = count < FIRST_CAPACITY ? FIRST_CAPACITY : count * 2;
	void *bigger = arena_alloc(a, *capacity * size);

	if (count)
		memcpy(bigger, elements, count * size);
	return bigger;
}

struct json *json_set(struct arena *a, struct json *object, const char *key, struct json *value)
{
	struct json_map *m = as_map(object);
	uint32_t before = m->capacity;

	if (utf8_prefix(key, strlen(key)) != strlen(key))
		key = json_str(json_string(a, key));
	struct json_member *there = json_map_find(m, key);

	if (there) {
		there->value = value;
		return value;
	}
	key = arena_strdup(a, key);
	m->members = grow(a, m->base.count, &m->capacity, m->members, sizeof(*m->members));
	m->members[m->base.count++] = (struct json_member){key, value};
	if (m->index && m->capacity == before)
		index_put(m, m->base.count - 1);
	else if (m->base.count > JSON_INDEX_FROM)
		index_build(a, m);
	return value;
}

void json_set_str(struct arena *a, struct json *object, const char *key, const char *s)
{
	if (s)
		json_set(a, object, key, json_string(a, s));
}

void json_set_int(struct arena *a, struct json *object, const char *key, int64_t i)
{
	json_set(a, object, key, json_int(a, i));
}

void json_set_bool(struct arena *a, struct json *object, const char *key, bool b)
{
	json_set(a, object, key, json_bool(a, b));
}

struct json *json_ensure_object(struct arena *a, struct json *object, const char *key)
{
	struct json *v = json_get(object, key);

	return json_is(v, JSON_OBJECT) ? v : json_set(a, object, key, json_object(a));
}

struct json *json_ensure_array(struct arena *a, struct json *object, const char *key)
{
	struct json *v = json_get(object, key);

	return json_is(v, JSON_ARRAY) ? v : json_set(a, object, key, json_array(a));
}

struct json *json_append(struct arena *a, struct json *array, struct json *value)
{
	struct json_list *l = as_list(array);

	l->items = grow(a, l->base.count, &l->capacity, l->items, sizeof(struct json *));
	l->items[l->base.count++] = value;
	return value;
}

void json_insert(struct arena *a, struct json *array, size_t index, struct json *value)
{
	struct json_list *l = as_list(array);

	json_append(a, array, value);
	if (index >= l->base.count)
		return;
	memmove(l->items + index + 1, l->items + index, (l->base.count - 1 - index) * sizeof(struct json *));
	l->items[index] = value;
}

void json_replace_item(struct json *v, size_t i, struct json *value)
{
	if (i >= json_count(v))
		abort();
	if (v->type == JSON_ARRAY)
		JSON_AS(json_list, v)->items[i] = value;
	else
		JSON_AS(json_map, v)->members[i].value = value;
}

/* ---- removing ---- */

/* Takes member i out of the index, closes the gap in its probe sequence, and renumbers the members behind it. */
static void index_remove(struct json_map *m, uint32_t i)
{
	uint32_t mask = m->index_size - 1;
	uint32_t hole = (uint32_t)strmap_hash(m->members[i].key) & mask;

	while (m->index[hole] != i + 1)
		hole = (hole + 1) & mask;
	for (uint32_t at = (hole + 1) & mask; m->index[at]; at = (at + 1) & mask) {
		uint32_t home = (uint32_t)strmap_hash(m->members[m->index[at] - 1].key) & mask;

		if (((at - home) & mask) >= ((at - hole) & mask)) {
			m->index[hole] = m->index[at];
			hole = at;
		}
	}
	m->index[hole] = 0;
	if (i + 1 == m->base.count)
		return;
	for (uint32_t at = 0; at < m->index_size; at++)
		if (m->index[at] > i + 1)
			m->index[at]--;
}

void json_remove_item(struct json *v, size_t i)
{
	if (i >= json_count(v))
		return;
	size_t behind = v->count - i - 1;

	if (v->type == JSON_ARRAY) {
		struct json_list *l = JSON_AS(json_list, v);

		memmove(l->items + i, l->items + i + 1, behind * sizeof(struct json *));
	} else {
		struct json_map *m = JSON_AS(json_map, v);

		if (m->index)
			index_remove(m, (uint32_t)i);
		memmove(m->members + i, m->members + i + 1, behind * sizeof(*m->members));
	}
	v->count--;
}

bool json_unset(struct json *object, const char *key)
{
	const struct json_member *m = json_is(object, JSON_OBJECT) ? json_map_find(JSON_AS(json_map, object), key)
								   : NULL;

	if (!m)
		return false;
	json_remove_item(object, (size_t)(m - JSON_AS(json_map, object)->members));
	return true;
}

static uint32_t filter_map(struct json_map *m, bool (*keep)(void *user, const char *key, struct json *value),
			   void *user)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < m->base.count; i++)
		if (keep(user, m->members[i].key, m->members[i].value))
			m->members[kept++] = m->members[i];
	if (m->index && kept < m->base.count) {
		memset(m->index, 0, m->index_size * sizeof(*m->index));
		for (uint32_t i = 0; i < kept; i++)
			index_put(m, i);
	}
	return kept;
}

static uint32_t filter_list(struct json_list *l, bool (*keep)(void *user, const char *key, struct json *value),
			    void *user)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < l->base.count; i++)
		if (keep(user, NULL, l->items[i]))
			l->items[kept++] = l->items[i];
	return kept;
}

size_t json_filter(struct json *v, bool (*keep)(void *user, const char *key, struct json *value), void *user)
{
	size_t before = json_count(v);

	if (json_is(v, JSON_OBJECT))
		v->count = filter_map(JSON_AS(json_map, v), keep, user);
	else if (json_is(v, JSON_ARRAY))
		v->count = filter_list(JSON_AS(json_list, v), keep, user);
	return before - json_count(v);
}

/* ---- copying ---- */

static struct json *clone_list(struct arena *a, const struct json_list *l)
{
	struct json **items = arena_alloc(a, l->base.count * sizeof(struct json *));

	for (uint32_t i = 0; i < l->base.count; i++)
		items[i] = json_clone(a, l->items[i]);
	return json_list_adopt(a, items, l->base.count);
}

static struct json *clone_map(struct arena *a, const struct json_map *m)
{
	struct json_member *members = arena_alloc(a, m->base.count * sizeof(*members));

	for (uint32_t i = 0; i < m->base.count; i++) {
		members[i].key = arena_strdup(a, m->members[i].key);
		members[i].value = json_clone(a, m->members[i].value);
	}
	return json_map_adopt(a, members, m->base.count);
}

struct json *json_clone(struct arena *a, const struct json *v)
{
	if (!v)
		return NULL;
	switch ((enum json_type)v->type) {
	case JSON_BOOL:
		return json_bool(a, v->flag);
	case JSON_INT:
		return json_int(a, JSON_AS(json_integer, v)->value);
	case JSON_REAL:
		return json_number_of(a, JSON_AS(json_number, v)->value,
				      arena_strdup(a, JSON_AS(json_number, v)->text));
	case JSON_STRING:
		return json_text_of(a, JSON_AS(json_text, v)->text, v->count);
	case JSON_ARRAY:
		return clone_list(a, JSON_AS(json_list, v));
	case JSON_OBJECT:
		return clone_map(a, JSON_AS(json_map, v));
	default:
		return json_null(a);
	}
}
