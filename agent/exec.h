/*
 * exec.h - exec sessions: a WebSocket of the node port on one side, a stream of the guest channel on the other.
 *
 * Speaks v5.channel.k8s.io and v4.channel.k8s.io. Everything runs on the loop's thread but exec_handle(), which the
 * node port calls on its own and which hands over. Flow control reaches from end to end: a client that does not read
 * stops the program in the guest, a program that does not read stops the client.
 */
#ifndef BERTH_AGENT_EXEC_H
#define BERTH_AGENT_EXEC_H

#include "agent/instance.h"
#include "lib/httpd.h"

/* Answers GET …/exec, on the loop's thread. */
void exec_handle(struct agent *g, struct httpd_request *r, const char *ns, const char *name);
/* A frame of an exec stream. */
void exec_frame(struct instance *i, const struct channel_frame *f);
/* The channel broke or is closed: the guest has ended all sessions. */
void exec_channel_lost(struct instance *i);

/* The Status that ends a session, as Kubernetes spells it, in JSON. For tests. */
void exec_status(int64_t code, int64_t sig, const char *text, struct buf *out);

#endif
