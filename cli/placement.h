/*
 * placement.h - why an Instance is where it is, or nowhere, told from its object alone. Pure.
 *
 * Everything returned lives in the arena or in the Instance.
 */
#ifndef BERTH_CLI_PLACEMENT_H
#define BERTH_CLI_PLACEMENT_H

#include "cli/table.h"

/* {instance, namespace, container, phase, node, location, origin, originFrom, verdict, candidates, omitted}; members
 * that are not known are missing. Each candidate has the verdict "chosen", "feasible", or the reason against it. */
struct json *placement_report(struct arena *a, const struct json *instance);
/* One row a candidate of a report. */
struct table *placement_table(struct arena *a, const struct json *report);
/* One sentence: where it runs, or why it does not and what to do. */
const char *placement_verdict(struct arena *a, const struct json *instance);
/* It shall run and does not: what why-not lists of a Container's Instances. */
bool placement_is_waiting(const struct json *instance);

#endif
