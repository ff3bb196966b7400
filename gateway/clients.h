/*
 * clients.h - which Location a client is near, by the networks in Location.spec.clientCIDRs. Pure.
 *
 * Ownership: the table copies what it needs of the Locations.
 */
#ifndef BERTH_GATEWAY_CLIENTS_H
#define BERTH_GATEWAY_CLIENTS_H

#include "lib/error.h"
#include "lib/json.h"

/* An IPv4 network is kept as the IPv6 one that maps it (::ffff:0:0/96). */
struct client_net {
	uint8_t address[16];
	unsigned bits;
};

/* "10.0.0.0/8", "2001:db8::/32", or one address. Errors: E_BAD_REQUEST. */
int client_net_parse(const char *text, struct client_net *ret, struct error *e);
bool client_net_has(const struct client_net *net, const struct client_net *address);

struct clients;
struct clients *clients_new(void);
void clients_free(struct clients *c); /* NULL-safe */
/* Takes over what a Location says; networks that are none are left out. Errors: E_BAD_REQUEST, naming the last of
 * those. */
int clients_put(struct clients *c, const struct json *location, struct error *e);
void clients_remove(struct clients *c, const char *location);
/* The Location with the longest network the address is in, the first by name of several; NULL: none. Valid until the
 * next change. */
const char *clients_find(const struct clients *c, const char *address);

#endif
