/*
 * port.h - the guest's end of the channel: a descriptor that is never waited for, frames in, a bounded queue out.
 *
 * A write to a virtio-serial port waits while no host process has its other end open, so the descriptor is non-blocking
 * and nothing is queued while the host is away. A malformed frame makes the port deaf until the host comes again. A
 * host that closes and opens its end quickly is never seen away, so two more things start the input anew:
 * PORT_PARTIAL_MS of silence within a frame or in deafness, and an ATTACH that comes alone after PORT_QUIET_MS of
 * silence. Called by machine.c and main.c; tests give it one end of a socket pair.
 */
#ifndef BERTH_GUEST_PORT_H
#define BERTH_GUEST_PORT_H

#include "lib/base.h"
#include "lib/channel.h"

#define PORT_OUT_SIZE (2U * CHANNEL_FRAME_MAX)
/* Output of processes waits in their pipes while more than this is queued, so that answers always find room. */
#define PORT_OUT_BUSY CHANNEL_FRAME_MAX
#define PORT_QUIET_MS 500U
#define PORT_PARTIAL_MS 2000U
/* After this long without taking a byte the host counts as not reading. */
#define PORT_STALL_MS 5000U

enum port_change { PORT_SAME, PORT_CONNECTED, PORT_DISCONNECTED };

struct port {
	int fd, watch; /* watch: an epoll instance, edge-triggered, to be polled in place of fd */
	bool connected;
	struct channel_reader in;
	uint64_t in_at, out_at; /* when bytes last moved */
	size_t out_len;
	uint8_t out[PORT_OUT_SIZE];
};

/* The port named CHANNEL_PORT_NAME, opened; waits for it up to wait_ms. A descriptor or a negative errno. */
int port_find(unsigned wait_ms);
/* Takes fd over. 0 or a negative errno. */
int port_init(struct port *p, int fd);
/* Looks whether the host is there. When it comes both directions start empty. */
enum port_change port_look(struct port *p, uint64_t now);
/* Reads what there is; then port_next() until it is not 1, port_done() after each frame. */
void port_fill(struct port *p, uint64_t now);
int port_next(struct port *p, struct channel_frame *ret);
void port_done(struct port *p, const struct channel_frame *f);
/* Queues one whole frame; false when there is no room or nobody is there. */
bool port_send(struct port *p, const uint8_t *frame, size_t len);
bool port_busy(const struct port *p);
/* Nobody takes what is queued: absent, or stuck for PORT_STALL_MS. */
bool port_stalled(const struct port *p, uint64_t now);
void port_flush(struct port *p, uint64_t now);

#endif
