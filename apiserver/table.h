/*
 * table.h - objects as rows for people: meta.k8s.io/v1 Table, and objects cut down to their metadata.
 *
 * Columns come from the kind's additionalPrinterColumns; the first is Name unless the kind brings its own. What the
 * standard kinds compute (node status, roles, counts, …) is a small table of functions, named "@function" in the spec.
 * Pure functions. Used by render.c.
 */
#ifndef BERTH_APISERVER_TABLE_H
#define BERTH_APISERVER_TABLE_H

#include "apiserver/kind.h"

enum table_include { TABLE_METADATA, TABLE_OBJECT, TABLE_NONE };

/* Appends the JSON array of column definitions. */
void table_columns(const struct kind *k, struct buf *out);
/* Appends one row, {"cells":[…],"object":…}. obj_text is the object's JSON text, used as it is for TABLE_OBJECT. */
void table_row(struct arena *a, const struct kind *k, const struct json *obj, const char *obj_text, size_t obj_len,
	       enum table_include inc, int64_t now_ms, struct buf *out);
/* Appends {"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":…}. */
void partial_object(struct arena *a, const struct json *obj, struct buf *out);

#endif
