/*
 * report.h - what the gateway tells the world: the Accepted condition of Routes, and its own line in its Location.
 *
 * Writes only what differs from what is there. A write that fails is tried again with the next report. Runs on the
 * loop's thread.
 */
#ifndef BERTH_GATEWAY_REPORT_H
#define BERTH_GATEWAY_REPORT_H

#include "gateway/config.h"
#include "gateway/route.h"
#include "lib/kube.h"

/* Route.status.conditions for every verdict that is news. */
void report_routes(struct kube *k, const struct route_table *t);
/* Location.status.gateways: {name, url, address, lastSeen} among those of other gateways. */
void report_location(struct kube *k, const struct gateway_config *cfg);

/* The conditions with Accepted as decided, or NULL when they say just that already. Pure. */
struct json *report_route_conditions(struct arena *a, const struct route_verdict *v, int64_t wall_now);
/* A gateway that has not reported for so long is taken off the list, and nodes let its address in no longer. */
#define REPORT_FORGET_MS (24 * 3600 * 1000LL)
/* status.gateways with our entry new, and without those that are to be forgotten. Pure. */
struct json *report_gateways(struct arena *a, const struct json *location, const struct gateway_config *cfg,
			     int64_t wall_now);

#endif
