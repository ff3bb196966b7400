/*
 * config.h - what an operator tells one gateway, and where its files lie.
 *
 * Ownership: strings point into argv or into the arena given to gateway_config_finish(); both live as long as the
 * process.
 *
 * Used by all of gateway/.
 */
#ifndef BERTH_GATEWAY_CONFIG_H
#define BERTH_GATEWAY_CONFIG_H

#include "lib/arena.h"
#include "lib/error.h"
#include "lib/options.h"

struct gateway_config {
	/* flags */
	const char *kubeconfig, *location, *name, *listen, *url, *address, *state_dir, *haproxy, *metrics_listen,
		*haproxy_metrics_listen, *log_level;
	struct option_list trusted_proxies; /* networks whose X-Forwarded-For is believed */
	int64_t wake_timeout_ms;	    /* how long a request waits for its instance */
	int64_t drain_timeout_ms;	    /* how long requests may finish after SIGTERM */
	int64_t max_waiting;		    /* requests held at a time */
	int64_t threads;		    /* of HAProxy, 0: one per core */
	/* derived */
	const char *run_dir; /* sockets */
	const char *config_file, *candidate_file, *lua_file, *log_file, *pid_file, *lock_file;
	const char *map_dir;
	const char *master_socket, *admin_socket, *resolver_socket, *again_socket;
	const char *user; /* HAProxy's, NULL when this process is not root and cannot change it */
	uid_t uid;
	gid_t gid;
};

/* The defaults of the flags. */
void gateway_config_init(struct gateway_config *c);
/* Checks the flags and derives the rest. Errors: E_BAD_REQUEST naming the flag. */
int gateway_config_finish(struct gateway_config *c, struct arena *a, struct error *e);
/* Only the paths below state_dir, for `berth-gateway stop`. */
int gateway_config_paths(struct gateway_config *c, struct arena *a, struct error *e);
/* HAProxy binds to the address for every connection to a VM: it must be this host's. Errors: E_BAD_REQUEST. */
int gateway_config_check_address(const struct gateway_config *c, struct error *e);
/* Makes the folders, closed to everybody but the owner and HAProxy's user. */
int gateway_config_make_dirs(const struct gateway_config *c, struct error *e);

#endif
