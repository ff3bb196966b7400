/*
 * gateways.h - the addresses of gateways, which alone are let in to VMs from other hosts.
 *
 * They are those of --gateway-address and those that gateways report in Location.status.gateways, of all Locations. The
 * set in the packet rules follows the watch. The list is also kept in --state-dir/gateways: an agent that starts while
 * the apiserver is away lets in whom it let in before.
 *
 * Runs on the loop's thread; rules are loaded by a worker. Called by agent.c and stock.c.
 */
#ifndef BERTH_AGENT_GATEWAYS_H
#define BERTH_AGENT_GATEWAYS_H

#include "agent/agent.h"

#define GATEWAYS_MAX 4096 /* addresses; more are left out, with a warning */

/* Reads the list of last time and begins to watch Locations. */
struct gateways *gateways_start(struct agent *g);
/* The addresses that have to be let in now; they stay valid until the loop runs again. */
const char *const *gateways_now(const struct gateways *p, size_t *ret_count);
/* The table of packet rules was made with gateways_now() and may be changed from now on. */
void gateways_loaded(struct gateways *p);

/* Sorts the list and drops what is no IPv4 address of one host, what lies in the VMs' own range, and repetitions;
 * returns how many are left. Pure. */
size_t gateways_tidy(const char **list, size_t count, uint32_t cidr_base, unsigned cidr_bits);

#endif
