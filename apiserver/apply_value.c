/*
 * apply_value.c - see apply_value.h. Source: sigs.k8s.io/structured-merge-diff/typed (merge.go, remove.go).
 */
#include "apiserver/apply_value.h"

#include "lib/strmap.h"

/* ---- merging ---- */

static struct json *merge_members(struct arena *a, const struct schema *s, const struct json *live,
				  const struct json *applied)
{
	struct json *v = json_object(a);

	for (size_t i = 0; i < json_count(live); i++)
		json_set(a, v, json_key(live, i), json_item(live, i));
	for (size_t i = 0; i < json_count(applied); i++) {
		const char *name = json_key(applied, i);

		json_set(a, v, name,
			 apply_value_merge(a, s ? schema_member(s, name) : NULL, json_get(live, name),
					   json_item(applied, i)));
	}
	return v;
}

static size_t index_of(const char **elements, size_t count, const char *element)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(elements[i], element) == 0)
			return i;
	return SIZE_MAX;
}

/* The applied order counts; items that only live has stay behind those they were behind. */
static struct json *merge_items(struct arena *a, const struct schema *s, const struct json *live,
				const struct json *applied)
{
	const char **left = field_item_elements(a, s, live), **right = field_item_elements(a, s, applied);
	size_t nl = json_count(live), nr = json_count(applied), l = 0;
	struct json *v = json_array(a);

	for (size_t r = 0; r < nr; r++) {
		size_t partner = index_of(left, nl, right[r]);

		if (partner != SIZE_MAX)
			for (; l < partner; l++)
				if (index_of(right, nr, left[l]) == SIZE_MAX)
					json_append(a, v, json_item(live, l));
		json_append(a, v,
			    apply_value_merge(a, s->items, partner == SIZE_MAX ? NULL : json_item(live, partner),
					      json_item(applied, r)));
	}
	for (; l < nl; l++)
		if (index_of(right, nr, left[l]) == SIZE_MAX)
			json_append(a, v, json_item(live, l));
	return v;
}

struct json *apply_value_merge(struct arena *a, const struct schema *s, const struct json *live,
			       const struct json *applied)
{
	enum field_form form = field_form_of(s, applied);

	if (live && field_form_of(s, live) != form)
		live = NULL;
	if (form == FIELD_MEMBERS)
		return merge_members(a, s, live, applied);
	if (form == FIELD_ITEMS)
		return merge_items(a, s, live, applied);
	return json_clone(a, applied);
}

/* ---- removing ---- */

/* What is left of one child; NULL when it goes. */
static struct json *remaining(struct arena *a, const struct schema *s, struct json *child, const char *element,
			      const struct field_set *gone, const struct field_set *keep)
{
	const struct field_set *here = fields_find(gone, element), *kept = fields_find(keep, element);

	if (!here)
		return child;
	if (here->member && (!kept || fields_empty(kept)))
		return NULL;
	if (field_form_of(s, child) == FIELD_LEAF)
		return here->member && !kept->member ? NULL : child;
	return apply_value_remove(a, s, child, here, kept);
}

struct json *apply_value_remove(struct arena *a, const struct schema *s, struct json *v, const struct field_set *gone,
				const struct field_set *keep)
{
	enum field_form form = field_form_of(s, v);
	struct json *left, *child;

	if (form == FIELD_LEAF || gone->count == 0)
		return v;
	left = form == FIELD_MEMBERS ? json_object(a) : json_array(a);
	for (size_t i = 0; i < json_count(v); i++) {
		if (form == FIELD_MEMBERS) {
			const char *name = json_key(v, i);

			child = remaining(a, s ? schema_member(s, name) : NULL, json_item(v, i),
					  arena_printf(a, "f:%s", name), gone, keep);
			if (child)
				json_set(a, left, name, child);
		} else {
			child = remaining(a, s->items, json_item(v, i), field_item_element(a, s, json_item(v, i)), gone,
					  keep);
			if (child)
				json_append(a, left, child);
		}
	}
	return json_count(left) || json_count(v) == 0 ? left : NULL;
}

/* ---- conflicts ---- */

struct field_set *apply_value_conflicts(struct arena *a, const struct schema *s, const struct json *live,
					const struct json *applied, const struct field_set *mine,
					const struct field_set *theirs)
{
	struct field_set *both = fields_new(a);
	struct field_view left = field_view_of(a, s, live), right = field_view_of(a, s, applied);

	both->element = mine->element;
	/* An item being there is no conflict, and neither is a value that both want. */
	both->member = mine->member && theirs->member && mine->element[0] == 'f' && mine->count == 0 &&
		       !json_equal(live, applied);
	for (size_t i = 0; i < mine->count; i++) {
		const char *element = mine->children[i]->element;
		const struct field_set *other = fields_find(theirs, element);
		struct field_set *child;

		if (!other)
			continue;
		child = apply_value_conflicts(a, field_schema(s, element), field_view_get(&left, element),
					      field_view_get(&right, element), mine->children[i], other);
		if (child->member || child->count) {
			struct field_set *place = fields_child(a, both, element, true);

			*place = *child;
		}
	}
	return both;
}

/* ---- checking ---- */

static int check_items(struct arena *a, const struct schema *s, const struct json *v, struct error *e)
{
	const char **elements = field_item_elements(a, s, v);
	struct strmap *seen = strmap_new();
	int rc = 0;

	for (size_t i = 0; i < json_count(v) && rc == 0; i++) {
		const struct json *item = json_item(v, i);

		if (s->list == SCHEMA_LIST_MAP && !json_is(item, JSON_OBJECT))
			rc = error_set(e, E_BAD_REQUEST, "%s[%zu] has to be an object", s->name, i);
		else if (strmap_put(seen, elements[i], seen))
			rc = error_set(e, E_BAD_REQUEST, "%s: duplicate entries for key %s", s->name, elements[i] + 2);
		else
			rc = apply_value_check(a, s->items, item, e);
	}
	strmap_free(seen);
	return rc;
}

int apply_value_check(struct arena *a, const struct schema *s, const struct json *v, struct error *e)
{
	enum field_form form = field_form_of(s, v);
	int rc;

	if (!s || form == FIELD_LEAF)
		return 0;
	if (form == FIELD_ITEMS)
		return check_items(a, s, v, e);
	for (size_t i = 0; i < json_count(v); i++)
		if ((rc = apply_value_check(a, schema_member(s, json_key(v, i)), json_item(v, i), e)) < 0)
			return rc;
	return 0;
}
