/*
 * net.h - the network of VMs: one routed tap each, one nftables table for all, one address range.
 *
 * net_tap.c makes taps, net_nft.c writes rule texts (pure) and loads them, net_address.c hands out addresses (pure).
 * Tap and rule functions block shortly and run on worker threads. A tap carries the owner in its alias, so that a
 * restarted agent finds what it left behind.
 *
 * The packet rules, docs/agent.md "Network": into a VM only from the gateway's user or a gateway's address; out of a VM
 * only from its own address, only to the internet (no private, link-local or special range) and to the resolvers
 * offered to it; nothing to this host or to another VM.
 */
#ifndef BERTH_AGENT_NET_H
#define BERTH_AGENT_NET_H

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/error.h"

#define NET_GATEWAY "169.254.1.1" /* the host's end of every tap */
#define NET_TAP_MAX 16
#define NET_ADDRESS_MAX 16

/* "bt<first 8 hex digits of the uid>" */
void net_tap_name(const char *uid, char out[NET_TAP_MAX]);

/* Makes the tap down, with its alias and settings, after removing an old one of that name. */
int net_tap_create(const char *tap, const char *owner, struct error *e);
/* Gives it the gateway's address, brings it up, and routes the VM's address to it. After the rules are loaded. */
int net_tap_up(const char *tap, const char *address, const char *mac, struct error *e);
bool net_tap_exists(const char *tap);
/* No error when there is none. */
int net_tap_remove(const char *tap, struct error *e);
/* The taps of that owner. */
int net_tap_list(const char *owner, struct arena *a, const char ***ret, size_t *ret_count, struct error *e);
/* Lets this host forward IPv4. *ret_changed: it did not before. */
int net_forwarding_enable(bool *ret_changed, struct error *e);
int net_forwarding_disable(struct error *e);

struct net_rules {
	const char *table; /* of family inet */
	uint32_t gateway_uid;
	const char *const *gateways; /* addresses */
	size_t gateway_count;
	const char *const *dns;
	size_t dns_count;
};
struct net_vm {
	const char *tap, *address;
	bool internet;
};
/* The whole table with these VMs, replacing what is there, in one transaction. */
void net_nft_table(const struct net_rules *r, const struct net_vm *vms, size_t count, struct buf *out);
/* One VM more / less; both may be repeated. */
void net_nft_add(const char *table, const struct net_vm *vm, struct buf *out);
void net_nft_remove(const char *table, const struct net_vm *vm, struct buf *out);
/* These gateways' addresses in place of those let in so far. */
void net_nft_gateways(const char *table, const char *const *gateways, size_t count, struct buf *out);
/* The table itself; it may be missing. */
void net_nft_delete(const char *table, struct buf *out);
bool net_nft_exists(const char *table);
/* Loads a text. */
int net_nft_load(const struct buf *text, struct error *e);

struct net_addresses;
struct net_addresses *net_addresses_new(uint32_t base, unsigned bits);
void net_addresses_free(struct net_addresses *p); /* NULL-safe */
/* The next free one, going round the whole range before any is used again. Errors: E_TOO_MANY. */
int net_address_take(struct net_addresses *p, char out[NET_ADDRESS_MAX], struct error *e);
/* Marks one as used (found again after a restart); false when outside the range or used already. */
bool net_address_claim(struct net_addresses *p, const char *address);
void net_address_release(struct net_addresses *p, const char *address);

#endif
