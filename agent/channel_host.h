/*
 * channel_host.h - the agent's end of a guest channel: QEMU's unix socket, kept connected, frames in and out.
 *
 * The guest is not trusted: a frame that is malformed ends the connection, and each such end doubles the pause before
 * the next one. Runs on the loop's thread. Ownership: the caller owns it; no callback comes after channel_host_close().
 */
#ifndef BERTH_AGENT_CHANNEL_HOST_H
#define BERTH_AGENT_CHANNEL_HOST_H

#include <uv.h>

#include "lib/base.h"
#include "lib/channel.h"

struct channel_events {
	/* The first HELLO of a connection comes before any other frame is passed on; later ones are passed on too. */
	void (*frame)(void *user, const struct channel_frame *f, bool first_hello);
	/* The connection is gone; it is tried again. */
	void (*lost)(void *user);
};

struct channel_host;
/* Connects, again and again until the socket is there. attach: the guest may have been running for long; it is asked
 * for a HELLO every second until it answers. */
struct channel_host *channel_host_open(uv_loop_t *loop, const char *path, bool attach,
				       const struct channel_events *events, void *user);
void channel_host_close(struct channel_host *c); /* NULL-safe */
/* Queues one frame made with channel_end(). False when there is no connection or the guest does not read. */
bool channel_host_send(struct channel_host *c, const uint8_t *frame, size_t len);
/* HELLO has come over the present connection. */
bool channel_host_ready(const struct channel_host *c);

#endif
