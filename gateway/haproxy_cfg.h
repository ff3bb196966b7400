/*
 * haproxy_cfg.h - writes haproxy.cfg from the settings of a gateway and the shape of its Routes. Pure.
 *
 * The text is the whole configuration: two equal texts configure equal processes, so a reload is needed exactly when it
 * changes. Routes and addresses are map files beside it and change while HAProxy runs (docs/gateway.md).
 *
 * Used by haproxy_process.c and by tests.
 */
#ifndef BERTH_GATEWAY_HAPROXY_CFG_H
#define BERTH_GATEWAY_HAPROXY_CFG_H

#include "gateway/route.h"

/* Length of the keys of the table "activity": longer ones share an entry, which keeps them awake together. */
#define HAPROXY_ACTIVITY_KEY_MAX 255
/* How long an entry outlives its last request. */
#define HAPROXY_ACTIVITY_EXPIRE_MS (3600 * 1000)

struct haproxy_settings {
	const char *listen;	    /* ADDR:PORT */
	const char *metrics_listen; /* ADDR:PORT of HAProxy's own exporter, NULL: none */
	const char *source;	    /* address that requests to VMs come from, NULL: as routed */
	const char *user;	    /* NULL: as started */
	const char *map_dir, *lua_file, *lua_digest;
	const char *admin_socket, *resolver_socket, *again_socket;
	const char *const *trusted_proxies; /* networks */
	size_t trusted_proxy_count;
	int64_t wake_timeout_ms;
	int64_t threads; /* 0: HAProxy's choice */
	int64_t max_connections;
};

void haproxy_cfg_write(const struct haproxy_settings *s, const struct route_shape *shape, struct buf *out);

#endif
