/*
 * maps.h - keeps HAProxy's maps equal to what is wanted: instances (key → address) and routes.
 *
 * Instances change one by one; only what changed is sent, in one order with all other questions to HAProxy. Old workers
 * lose their map: the requests that still reach them are looked up at the resolver. Routes change as a whole, in one
 * transaction per map, so that no request ever sees half of them. The files that a starting worker reads are written
 * just before it starts. Once a minute, and whenever HAProxy has contradicted, the instances map is read back and put
 * right.
 *
 * Ownership: borrows everything given to maps_new(). Runs on the loop's thread.
 */
#ifndef BERTH_GATEWAY_MAPS_H
#define BERTH_GATEWAY_MAPS_H

#include "gateway/config.h"
#include "gateway/instance.h"
#include "gateway/route.h"
#include "gateway/runtime.h"

struct maps;
/* routes_served() is called each time HAProxy has the routes of the latest maps_set_routes(). */
struct maps *maps_new(uv_loop_t *loop, const struct gateway_config *cfg, struct runtime *rt,
		      const struct instance_table *instances, void (*routes_served)(void *user), void *user);
void maps_free(struct maps *m);

/* Writes all files from what is wanted now. */
int maps_write_files(struct maps *m, struct error *e);
/* A worker serves. fresh: it has read the files; else nothing is known about its maps. */
void maps_up(struct maps *m, bool fresh);
void maps_down(struct maps *m);

/* What HAProxy has is known: changes reach it at once. */
bool maps_are_known(const struct maps *m);

/* What is known about the key changed. */
void maps_touch(struct maps *m, const char *key);
/* Sends what was touched now rather than at the end of the loop's turn; what is asked afterwards comes after it. */
void maps_flush(struct maps *m);
/* The routes that are wanted; sent by maps_sync_routes(), or with the files of the next worker. */
void maps_set_routes(struct maps *m, const struct route_table *t);
/* HAProxy's configuration has the shape of the wanted routes: make its maps so. */
void maps_sync_routes(struct maps *m);

#endif
