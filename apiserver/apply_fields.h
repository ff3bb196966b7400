/*
 * apply_fields.h - sets of fields, as managedFields holds them, and how they relate to objects.
 *
 * A set is a tree of path elements: "f:name" for a member, `k:{"name":"a"}` for an item of a list of type map, `v:"x"`
 * for an item of a set. A node is a member of the set itself when `member` is true. Children are sorted, so sets are
 * written alike and compared fast. Source: sigs.k8s.io/structured-merge-diff/fieldpath. Everything lives in the
 * caller's arena.
 *
 * Used by apply.c and apply_value.c alone.
 */
#ifndef BERTH_APISERVER_APPLY_FIELDS_H
#define BERTH_APISERVER_APPLY_FIELDS_H

#include "apiserver/schema.h"

struct field_set {
	const char *element; /* "" for the root */
	bool member;
	struct field_set **children;
	size_t count, room;
};

struct field_set *fields_new(struct arena *a);
/* The child of that element; made when missing if make is true, else NULL. set may be NULL without make. */
struct field_set *fields_child(struct arena *a, struct field_set *set, const char *element, bool make);
const struct field_set *fields_find(const struct field_set *set, const char *element);
bool fields_empty(const struct field_set *set);
bool fields_equal(const struct field_set *x, const struct field_set *y);
struct field_set *fields_union(struct arena *a, const struct field_set *x, const struct field_set *y);
struct field_set *fields_minus(struct arena *a, const struct field_set *x, const struct field_set *y);

/* From and to FieldsV1. What is not an element is left out. */
struct field_set *fields_parse(struct arena *a, const struct json *v1);
struct json *fields_json(struct arena *a, const struct field_set *set);

/* How a value is owned: as one, by members, or by items. A NULL schema says nothing: lists are one, objects are not. */
enum field_form { FIELD_LEAF, FIELD_MEMBERS, FIELD_ITEMS };
enum field_form field_form_of(const struct schema *s, const struct json *v);
/* The element of an item of a list that is owned by items. */
const char *field_item_element(struct arena *a, const struct schema *list, const struct json *item);
/* The elements of all items, in order. */
const char **field_item_elements(struct arena *a, const struct schema *list, const struct json *v);
/* Where an element leads. */
const struct schema *field_schema(const struct schema *s, const char *element);
/* A value, ready to be asked for many elements. */
struct field_view {
	enum field_form form;
	const struct json *v;
	const char **elements; /* FIELD_ITEMS: of the items, in order */
};
struct field_view field_view_of(struct arena *a, const struct schema *s, const struct json *v);
struct json *field_view_get(const struct field_view *view, const char *element);

/* All that the value holds: its leaves, items, and empty objects. */
struct field_set *fields_of(struct arena *a, const struct schema *s, const struct json *v);
/* What of now is new or has another value than in old (may be NULL). */
struct field_set *fields_changed(struct arena *a, const struct schema *s, const struct json *old,
				 const struct json *now);
/* The part of the set that exists in the value. */
struct field_set *fields_existing(struct arena *a, const struct schema *s, const struct json *v,
				  const struct field_set *set);

#endif
