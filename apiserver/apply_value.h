/*
 * apply_value.h - what applying does to values: merging one in, taking fields out, finding conflicts.
 *
 * Used by apply.c alone.
 */
#ifndef BERTH_APISERVER_APPLY_VALUE_H
#define BERTH_APISERVER_APPLY_VALUE_H

#include "apiserver/apply_fields.h"

/* live with applied merged into it, as the schema's list and map types say. Shares nodes with both. */
struct json *apply_value_merge(struct arena *a, const struct schema *s, const struct json *live,
			       const struct json *applied);
/* v without the members of gone; an item goes as a whole unless keep has something in it. Containers that become empty
 * by that go too: NULL when nothing is left. Shares nodes with v. */
struct json *apply_value_remove(struct arena *a, const struct schema *s, struct json *v, const struct field_set *gone,
				const struct field_set *keep);
/* The fields of both sets whose values differ. */
struct field_set *apply_value_conflicts(struct arena *a, const struct schema *s, const struct json *live,
					const struct json *applied, const struct field_set *mine,
					const struct field_set *theirs);
/* Lists of type map or set with two items that are the same, or items without their keys. E_BAD_REQUEST. */
int apply_value_check(struct arena *a, const struct schema *s, const struct json *v, struct error *e);

#endif
