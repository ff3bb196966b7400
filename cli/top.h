/*
 * top.h - a node's statistics of an instance as a row of `berthctl top`.
 */
#ifndef BERTH_CLI_TOP_H
#define BERTH_CLI_TOP_H

#include "lib/json.h"

#define TOP_INSTANCE_COLUMNS 7
extern const char *const top_instance_columns[TOP_INSTANCE_COLUMNS + 1]; /* headers, NULL-terminated */
/* stats: what agent/port_stats.c says of the instance. Cells that are not known are NULL. */
void top_instance_row(struct arena *a, const char *name, const struct json *stats,
		      const char *ret[TOP_INSTANCE_COLUMNS]);

#endif
