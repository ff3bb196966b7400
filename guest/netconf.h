/*
 * netconf.h - the guest's network: one address, one gateway that is not in the address's network, names.
 *
 * The host routes a single address to the guest's interface; the gateway is a link-local address that exists only
 * between the two. All functions return 0 or a negative errno. Called by machine.c and boot.c.
 */
#ifndef BERTH_GUEST_NETCONF_H
#define BERTH_GUEST_NETCONF_H

#include <netinet/in.h>

#include "lib/base.h"

struct netconf_address {
	struct in_addr address, mask;
};

/* "10.88.0.5/32" or without a length, which then is 32; false for anything else. */
bool netconf_parse(const char *text, struct netconf_address *ret);
int netconf_loopback(void);
/* Gives eth0 its address and, when gateway is not NULL, the routes. Applying the same again changes nothing. */
int netconf_apply(const struct netconf_address *address, const struct in_addr *gateway);
/* Host name, /etc/hostname, /etc/hosts and /etc/resolv.conf. dns are `count` texts of addresses; others are left out.
 */
int netconf_names(const char *hostname, const char *address, const char *const *dns, size_t count);

#endif
