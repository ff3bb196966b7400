/*
 * maps_private.h - what maps.c (instances) and maps_routes.c share; nobody else includes it.
 */
#ifndef BERTH_GATEWAY_MAPS_PRIVATE_H
#define BERTH_GATEWAY_MAPS_PRIVATE_H

#include "gateway/maps.h"

#define MAPS_TICK_MS 1000
#define MAPS_FILE_MAX (1U << 30)

enum { MAP_HOSTS, MAP_SUFFIXES, MAP_EXACT, MAP_PREFIX, MAP_COUNT };

struct route_map_state {
	char *file;
	char *wanted;  /* lines */
	char *written; /* what the file holds */
	char *applied; /* what HAProxy has, NULL: unknown */
};

struct maps {
	const struct gateway_config *cfg;
	struct runtime *rt;
	const struct instance_table *instances;
	char *instances_file;
	struct strmap *applied; /* key → address, malloc()ed: what HAProxy will have once it has read all commands */
	struct strmap *touched; /* keys to look at */
	struct strmap *changed; /* keys that changed while the map is being read back */
	uv_timer_t flush_timer, tick;
	int closed;
	bool up, known, verifying, verify_soon;
	int verify_in;		 /* ticks */
	unsigned life, asked_in; /* counts workers; the one that was asked to show its map */
	/* routes */
	struct route_map_state routes[MAP_COUNT];
	void (*routes_served)(void *user);
	void *user;
	bool sync_wanted; /* HAProxy has the shape of the wanted routes */
	bool told;	  /* routes_served() was called for the wanted routes */
	int sending;	  /* the map whose transaction is under way, -1: none */
	char *sent;	  /* its lines */
	bool send_failed;
};

void maps_routes_init(struct maps *m);
void maps_routes_free(struct maps *m);
int maps_routes_write(struct maps *m, struct error *e);
void maps_routes_up(struct maps *m, bool fresh);
void maps_retry_routes(struct maps *m);

#endif
