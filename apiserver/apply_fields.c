/*
 * apply_fields.c - see apply_fields.h.
 */
#include "apiserver/apply_fields.h"

#include <stdio.h>

/* ---- sets ---- */

struct field_set *fields_new(struct arena *a)
{
	struct field_set *set = arena_calloc(a, sizeof(*set));

	set->element = "";
	return set;
}

/* Where the element is, or has to be put. */
static size_t position(const struct field_set *set, const char *element, bool *ret_found)
{
	size_t low = 0, high = set->count;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(set->children[middle]->element, element);

		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void insert(struct arena *a, struct field_set *set, size_t at, struct field_set *child)
{
	if (set->count == set->room) {
		size_t room = set->room ? 2 * set->room : 4;
		struct field_set **more = arena_alloc(a, room * sizeof(struct field_set *));

		if (set->count)
			memcpy(more, set->children, set->count * sizeof(struct field_set *));
		set->children = more;
		set->room = room;
	}
	memmove(set->children + at + 1, set->children + at, (set->count - at) * sizeof(struct field_set *));
	set->children[at] = child;
	set->count++;
}

struct field_set *fields_child(struct arena *a, struct field_set *set, const char *element, bool make)
{
	struct field_set *child;
	bool found;
	size_t at;

	if (!set)
		return NULL;
	at = position(set, element, &found);
	if (found)
		return set->children[at];
	if (!make)
		return NULL;
	child = fields_new(a);
	child->element = element;
	insert(a, set, at, child);
	return child;
}

const struct field_set *fields_find(const struct field_set *set, const char *element)
{
	bool found;
	size_t at;

	if (!set)
		return NULL;
	at = position(set, element, &found);
	return found ? set->children[at] : NULL;
}

bool fields_empty(const struct field_set *set)
{
	if (!set)
		return true;
	for (size_t i = 0; i < set->count; i++)
		if (!fields_empty(set->children[i]))
			return false;
	return !set->member;
}

bool fields_equal(const struct field_set *x, const struct field_set *y)
{
	if (x->member != y->member || x->count != y->count || strcmp(x->element, y->element) != 0)
		return false;
	for (size_t i = 0; i < x->count; i++)
		if (!fields_equal(x->children[i], y->children[i]))
			return false;
	return true;
}

/* Adds a finished child behind all others, unless it holds nothing. */
static void append(struct arena *a, struct field_set *set, struct field_set *child)
{
	if (child->member || child->count)
		insert(a, set, set->count, child);
}

struct field_set *fields_union(struct arena *a, const struct field_set *x, const struct field_set *y)
{
	struct field_set *set = fields_new(a), nothing = {.element = ""};
	size_t i = 0, k = 0;

	set->element = x->element;
	set->member = x->member || y->member;
	while (i < x->count || k < y->count) {
		int order = i == x->count   ? 1
			    : k == y->count ? -1
					    : strcmp(x->children[i]->element, y->children[k]->element);

		append(a, set,
		       order == 0  ? fields_union(a, x->children[i], y->children[k])
		       : order < 0 ? fields_union(a, x->children[i], &nothing)
				   : fields_union(a, y->children[k], &nothing));
		i += order <= 0;
		k += order >= 0;
	}
	return set;
}

struct field_set *fields_minus(struct arena *a, const struct field_set *x, const struct field_set *y)
{
	struct field_set *set = fields_new(a), nothing = {.element = ""};

	set->element = x->element;
	set->member = x->member && !y->member;
	for (size_t i = 0; i < x->count; i++) {
		const struct field_set *other = fields_find(y, x->children[i]->element);

		append(a, set, fields_minus(a, x->children[i], other ? other : &nothing));
	}
	return set;
}

/* ---- FieldsV1 ---- */

static bool is_element(const char *key)
{
	return (key[0] == 'f' || key[0] == 'k' || key[0] == 'v' || key[0] == 'i') && key[1] == ':';
}

struct field_set *fields_parse(struct arena *a, const struct json *v1)
{
	struct field_set *set = fields_new(a);

	for (size_t i = 0; i < json_count(v1); i++) {
		const char *key = json_key(v1, i);
		const struct json *inner = json_item(v1, i);
		struct field_set *child;
		bool found;
		size_t at;

		if (!is_element(key))
			continue;
		child = fields_parse(a, inner);
		child->element = key;
		child->member = json_count(inner) == 0 || json_get(inner, ".");
		at = position(set, key, &found);
		if (!found && (child->member || child->count))
			insert(a, set, at, child);
	}
	return set;
}

struct json *fields_json(struct arena *a, const struct field_set *set)
{
	struct json *v1 = json_object(a);

	if (set->member && set->count)
		json_set(a, v1, ".", json_object(a));
	for (size_t i = 0; i < set->count; i++)
		json_set(a, v1, set->children[i]->element, fields_json(a, set->children[i]));
	return v1;
}

/* ---- sets and objects ---- */

enum field_form field_form_of(const struct schema *s, const struct json *v)
{
	if (json_is(v, JSON_OBJECT))
		return s && s->map_atomic ? FIELD_LEAF : FIELD_MEMBERS;
	if (json_is(v, JSON_ARRAY))
		return s && s->list != SCHEMA_LIST_ATOMIC ? FIELD_ITEMS : FIELD_LEAF;
	return FIELD_LEAF;
}

static int compare_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

#define LIST_KEYS_MAX 16

const char *field_item_element(struct arena *a, const struct schema *list, const struct json *item)
{
	const char *keys[LIST_KEYS_MAX];
	struct json *identity = json_object(a);
	size_t n = 0;

	if (list->list == SCHEMA_LIST_SET)
		return arena_printf(a, "v:%s", json_to_string(a, item));
	for (const char *const *k = list->list_keys; *k && n < LIST_KEYS_MAX; k++)
		keys[n++] = *k;
	qsort(keys, n, sizeof(*keys), compare_text);
	for (size_t i = 0; i < n; i++) {
		const struct schema *key = schema_member(list->items, keys[i]);
		struct json *v = json_get(item, keys[i]);

		if (!v && key && key->default_value)
			v = json_clone(a, key->default_value);
		if (v)
			json_set(a, identity, keys[i], v);
	}
	return arena_printf(a, "k:%s", json_to_string(a, identity));
}

const char **field_item_elements(struct arena *a, const struct schema *list, const struct json *v)
{
	size_t n = json_count(v);
	const char **elements = arena_alloc(a, (n + 1) * sizeof(*elements));

	for (size_t i = 0; i < n; i++)
		elements[i] = field_item_element(a, list, json_item(v, i));
	return elements;
}

const struct schema *field_schema(const struct schema *s, const char *element)
{
	if (!s)
		return NULL;
	return element[0] == 'f' ? schema_member(s, element + 2) : s->items;
}

struct field_view field_view_of(struct arena *a, const struct schema *s, const struct json *v)
{
	struct field_view view = {field_form_of(s, v), v, NULL};

	if (view.form == FIELD_ITEMS)
		view.elements = field_item_elements(a, s, v);
	return view;
}

struct json *field_view_get(const struct field_view *view, const char *element)
{
	if (view->form == FIELD_MEMBERS)
		return element[0] == 'f' ? json_get(view->v, element + 2) : NULL;
	if (view->form == FIELD_ITEMS)
		for (size_t i = 0; i < json_count(view->v); i++)
			if (strcmp(view->elements[i], element) == 0)
				return json_item(view->v, i);
	return NULL;
}

static const char *member_element(struct arena *a, const char *name)
{
	return arena_printf(a, "f:%s", name);
}

/* Puts what changed into set, which stands for now itself. */
static void add_changed(struct arena *a, const struct schema *s, const struct json *old, const struct json *now,
			struct field_set *set);

static void add_changed_child(struct arena *a, const struct schema *s, const struct json *old, const struct json *now,
			      const char *element, bool is_new_item, struct field_set *set)
{
	struct field_set *child = fields_new(a);
	bool found;
	size_t at;

	child->element = element;
	child->member = is_new_item;
	add_changed(a, s, old, now, child);
	at = position(set, element, &found);
	if (!found && (child->member || child->count))
		insert(a, set, at, child);
}

static void add_changed_items(struct arena *a, const struct schema *s, const struct json *old, const struct json *now,
			      struct field_set *set)
{
	const char **elements = field_item_elements(a, s, now);
	struct field_view before = field_view_of(a, s, old);

	for (size_t i = 0; i < json_count(now); i++) {
		const struct json *partner = field_view_get(&before, elements[i]);

		if (s->list == SCHEMA_LIST_SET) {
			if (!partner)
				fields_child(a, set, elements[i], true)->member = true;
		} else {
			add_changed_child(a, s->items, partner, json_item(now, i), elements[i], !partner, set);
		}
	}
}

static void add_changed(struct arena *a, const struct schema *s, const struct json *old, const struct json *now,
			struct field_set *set)
{
	enum field_form form = field_form_of(s, now);

	if (old && field_form_of(s, old) != form)
		old = NULL;
	if (form == FIELD_LEAF || json_count(now) == 0) {
		set->member = set->member || !old || !json_equal(old, now);
		return;
	}
	if (form == FIELD_ITEMS) {
		add_changed_items(a, s, old, now, set);
		return;
	}
	for (size_t i = 0; i < json_count(now); i++) {
		const char *name = json_key(now, i);

		add_changed_child(a, s ? schema_member(s, name) : NULL, json_get(old, name), json_item(now, i),
				  member_element(a, name), false, set);
	}
}

struct field_set *fields_changed(struct arena *a, const struct schema *s, const struct json *old,
				 const struct json *now)
{
	struct field_set *set = fields_new(a);

	add_changed(a, s, old, now, set);
	set->member = false;
	return set;
}

struct field_set *fields_of(struct arena *a, const struct schema *s, const struct json *v)
{
	return fields_changed(a, s, NULL, v);
}

struct field_set *fields_existing(struct arena *a, const struct schema *s, const struct json *v,
				  const struct field_set *set)
{
	struct field_set *left = fields_new(a);
	struct field_view view = field_view_of(a, s, v);

	left->element = set->element;
	left->member = set->member;
	for (size_t i = 0; i < set->count; i++) {
		const char *element = set->children[i]->element;
		const struct json *value = field_view_get(&view, element);

		if (value)
			append(a, left, fields_existing(a, field_schema(s, element), value, set->children[i]));
	}
	return left;
}
