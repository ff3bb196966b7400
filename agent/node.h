/*
 * node.h - this host's Node object and its Lease.
 *
 * Makes the Node when it is missing, writes its status when it changed (and every 5 minutes), renews the Lease every
 * 10 seconds. Runs on the loop's thread; what fails is tried again for ever.
 */
#ifndef BERTH_AGENT_NODE_H
#define BERTH_AGENT_NODE_H

#include "agent/agent.h"

#define NODE_HEARTBEAT_MS 10000
#define NODE_LEASE_SECONDS 40

struct node;
struct node *node_start(struct agent *g);
/* Something of the status changed: it is written soon. */
void node_changed(struct node *n);

#endif
