/*
 * gateway.h - the parts of berth-gateway and how they hear of each other.
 *
 *     informers ──► instances ──► maps ──► HAProxy (runtime)
 *         │             ├──────► resolver ◄── HAProxy (berth.lua)
 *         │             └──────► sleeper ──► HAProxy (activity)
 *         └──► routes ──► haproxy.cfg, maps ──► HAProxy (process)
 *
 * Ownership: borrows configuration, loop and client. Runs on the loop's thread.
 */
#ifndef BERTH_GATEWAY_GATEWAY_H
#define BERTH_GATEWAY_GATEWAY_H

#include "gateway/config.h"
#include "lib/kube.h"

struct gateway;
int gateway_start(uv_loop_t *loop, const struct gateway_config *cfg, struct kube *kube, struct gateway **ret,
		  struct error *e);
/* Ends HAProxy softly, then calls done. */
void gateway_drain(struct gateway *g, void (*done)(void *user), void *user);
/* Leaves HAProxy as it is. The loop has to run on until nothing is left in it. */
void gateway_stop(struct gateway *g);

#endif
