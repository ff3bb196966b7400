/*
 * resolver.h - answers HAProxy's question "where is this ID?", and wakes what sleeps.
 *
 * Serves the protocol of berth.lua on a Unix socket that only HAProxy's user may open. All requests for one key share
 * one waker: it makes or changes the Instance once, waits for the watch to say Ready, and answers them all. A request
 * waits --wake-timeout at most; a client that goes away gives up its place; a request that is not answered with an
 * address gets a status, a reason and, where trying again makes sense, Retry-After. Never is one left without an
 * answer.
 *
 * While the apiserver is away, writes are tried again until the deadline; addresses known already are answered.
 *
 * Ownership: options are copied, what they point to is borrowed. Runs on the loop's thread.
 */
#ifndef BERTH_GATEWAY_RESOLVER_H
#define BERTH_GATEWAY_RESOLVER_H

#include "gateway/instance.h"
#include "lib/kube.h"

struct resolver_options {
	uv_loop_t *loop;
	struct kube *kube;
	const struct instance_table *instances;
	const char *socket_path;
	uid_t uid; /* owner of the socket, when chown is set */
	gid_t gid;
	bool chown;
	const char *location; /* spec.origin of what it wakes */
	/* The Location near a client's address, or NULL; itself NULL when addresses tell nothing. */
	const char *(*near)(void *user, const char *client);
	int64_t wake_timeout_ms;
	int64_t max_waiting, max_waiting_per_key;
	/* The world: true once the caches are complete; the Container, or NULL. */
	bool (*synced)(void *user);
	const struct json *(*container)(void *user, const char *ns, const char *name);
	/* A write of ours was answered: the record's min_version has risen. */
	void (*written)(void *user, struct instance *i);
	void *user;
};

struct resolver;
/* Listens. Errors: E_IO. */
int resolver_start(const struct resolver_options *opt, struct resolver **ret, struct error *e);
void resolver_stop(struct resolver *r); /* NULL-safe; whoever still waits sees the connection close and asks again */

/* The record of that key was put, changed or removed. */
void resolver_instance_changed(struct resolver *r, const char *key);
/* A Container changed, or the caches became complete. */
void resolver_world_changed(struct resolver *r);
size_t resolver_waiting(const struct resolver *r);

#endif
