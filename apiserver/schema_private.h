/*
 * schema_private.h - what schema_fill.c and schema_validate.c share.
 */
#ifndef BERTH_APISERVER_SCHEMA_PRIVATE_H
#define BERTH_APISERVER_SCHEMA_PRIVATE_H

#include "lib/buf.h"

#define SCHEMA_PATH_MAX 8192

/* The way from the root to a value, kept on the stack and written out only when something is found. */
struct schema_place {
	const struct schema_place *up; /* NULL: directly below the root */
	const char *name;	       /* NULL: an item */
	size_t index;
};

/* "spec.ports[0].name"; nothing for NULL, the root. */
void schema_place_write(const struct schema_place *p, struct buf *out);

#endif
