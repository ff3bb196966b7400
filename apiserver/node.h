/*
 * node.h - calls to the nodes' own ports on behalf of clients: log, exec, signal and stats of Instances.
 *
 * Each call has a thread of its own while it lasts, at most NODE_CALLS_MAX of them. The node is found through the
 * Instance's node name and the Node's status (address, port); it is verified against our CA, and knows us by our client
 * certificate.
 */
#ifndef BERTH_APISERVER_NODE_H
#define BERTH_APISERVER_NODE_H

#include "apiserver/call.h"

#define NODE_CALLS_MAX 512

/* Waits until no call is under way; call after HTTP has stopped. */
void node_calls_wait(void);

/* ---- shared by node.c and node_exec.c ---- */

struct node_call {
	struct arena *arena; /* outlives the request, which ends with its answer */
	struct call *call;   /* until answered */
	struct http_tls tls;
	const char *url, *method, *sub, *ns, *name;
};
/* For the call's own thread, at its end. */
void node_call_free(struct node_call *n);
/* The thread of an exec: answers the call. */
void node_exec_run(struct node_call *n);

#endif
