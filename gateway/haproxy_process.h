/*
 * haproxy_process.h - keeps one HAProxy running with the configuration that is wanted.
 *
 * HAProxy runs in master-worker mode in a session of its own, so it serves on while berth-gateway is killed or
 * replaced; the next berth-gateway with the same state folder adopts it. A new configuration is checked first (haproxy
 * -c), then taken over without closing the listening socket: the old worker serves its connections to their end. A
 * HAProxy that dies is started again at once, with a growing pause if it dies at once every time. A configuration that
 * does not pass the check is logged and counted, and the running one stays.
 *
 * Ownership: borrows configuration and runtime, which must outlive it. Runs on the loop's thread.
 */
#ifndef BERTH_GATEWAY_HAPROXY_PROCESS_H
#define BERTH_GATEWAY_HAPROXY_PROCESS_H

#include "gateway/config.h"
#include "gateway/runtime.h"

struct haproxy_events {
	/* The map files are about to be read: write them. */
	int (*prepare)(void *user, struct error *e);
	/* A worker serves. fresh: it has read the files and counts from zero; else it was adopted as it was. */
	void (*up)(void *user, bool fresh);
	/* It has ended. */
	void (*down)(void *user);
	/* After haproxy_process_drain(): it is gone. */
	void (*gone)(void *user);
	void *user;
};

struct haproxy_process;
struct haproxy_process *haproxy_process_new(uv_loop_t *loop, const struct gateway_config *cfg, struct runtime *rt,
					    const struct haproxy_events *events);
/* Takes over the one that an earlier berth-gateway left, if it is there. */
bool haproxy_process_adopt(struct haproxy_process *h);
/* The configuration that is wanted from now on. */
void haproxy_process_apply(struct haproxy_process *h, const char *config);
/* Starts with the configuration that lies on disk, if it has this listen address; false when there is none. */
bool haproxy_process_start_from_disk(struct haproxy_process *h);
/* It serves, with the configuration that is wanted. */
bool haproxy_process_is_settled(const struct haproxy_process *h);
/* No new connections; events.gone once the last one has ended or timeout_ms have passed. */
void haproxy_process_drain(struct haproxy_process *h, int64_t timeout_ms);
void haproxy_process_free(struct haproxy_process *h); /* leaves HAProxy running */

/* The pid in the pid file, if that is a HAProxy with our configuration; else 0. */
int haproxy_process_find(const struct gateway_config *cfg);

/* What the master says about its processes. */
struct haproxy_master_state {
	int worker; /* pid of the current worker, 0: none */
	int reloads, failed_reloads;
};
bool haproxy_master_parse(const char *show_proc, struct haproxy_master_state *ret);

#endif
