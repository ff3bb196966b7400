/*
 * table.h - text tables: the server's Table objects, and own ones.
 */
#ifndef BERTH_CLI_TABLE_H
#define BERTH_CLI_TABLE_H

#include "cli/cli.h"

struct table {
	struct arena *arena;
	const char **cells; /* row by row */
	size_t columns, rows, room;
};

/* headers: NULL-terminated. */
void table_init(struct table *t, struct arena *a, const char *const *headers);
/* One row: as many strings as columns; NULL cells print as "-". */
void table_row(struct table *t, const char *const *cells);
/* Aligned, three spaces apart; the header row bold when colour is set; without it when with_header is false. */
void table_print(const struct table *t, bool colour, bool with_header);

/* A server Table (meta.k8s.io/v1). wide: columns of priority above 0 too; with_namespace adds a first column; prefix
 * (may be NULL) goes before every name, "container.berth.dev/". Appends nothing for an empty table. */
struct table *table_of_server(struct arena *a, const struct json *object, bool wide, bool with_namespace);

#endif
