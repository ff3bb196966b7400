/*
 * stock.h - what runs on this host already, and the packet rules as a whole.
 *
 * Runs on the loop's thread; the listing is done by a worker. Called by agent.c.
 */
#ifndef BERTH_AGENT_STOCK_H
#define BERTH_AGENT_STOCK_H

#include "agent/agent.h"

/* Connects to libvirt and compares; tries again until it answers. Nothing while one is under way. */
void stock_take(struct agent *g);
/* Restores the table of rules and IPv4 forwarding when somebody took them away. */
void stock_guard_rules(struct agent *g);

#endif
