/*
 * net_address.c - which addresses of the node's range are in use.
 *
 * Pure. The search goes on behind the address given last and begins at a random place, so that an address rests as long
 * as possible before another VM gets it: maps and caches of its old owner are gone by then.
 */
#include <arpa/inet.h>

#include "agent/net.h"
#include "lib/codec.h"

struct net_addresses {
	uint32_t base, count, next;
	uint8_t *used;
};

struct net_addresses *net_addresses_new(uint32_t base, unsigned bits)
{
	struct net_addresses *p = xcalloc(1, sizeof(*p));

	p->base = base;
	p->count = UINT32_C(1) << (32 - bits);
	p->used = xcalloc(p->count / 8 + 1, 1);
	random_bytes(&p->next, sizeof(p->next));
	p->next %= p->count;
	return p;
}

void net_addresses_free(struct net_addresses *p)
{
	if (!p)
		return;
	free(p->used);
	free(p);
}

static bool is_used(const struct net_addresses *p, uint32_t i)
{
	return p->used[i / 8] >> (i % 8) & 1;
}

/* The first and last address of a range have a meaning for some hosts. */
static bool is_special(const struct net_addresses *p, uint32_t i)
{
	return i == 0 || i == p->count - 1;
}

int net_address_take(struct net_addresses *p, char out[NET_ADDRESS_MAX], struct error *e)
{
	for (uint32_t tried = 0; tried < p->count; tried++) {
		uint32_t i = p->next;
		p->next = (p->next + 1) % p->count;
		if (is_special(p, i) || is_used(p, i))
			continue;
		p->used[i / 8] = (uint8_t)(p->used[i / 8] | 1U << (i % 8));
		struct in_addr in = {.s_addr = htonl(p->base + i)};
		inet_ntop(AF_INET, &in, out, NET_ADDRESS_MAX);
		return 0;
	}
	return error_set(e, E_TOO_MANY, "all %u addresses of --vm-cidr are in use", p->count - 2);
}

static bool index_of(const struct net_addresses *p, const char *address, uint32_t *ret)
{
	struct in_addr in;

	if (!address || inet_pton(AF_INET, address, &in) != 1)
		return false;
	*ret = ntohl(in.s_addr) - p->base;
	return *ret < p->count && !is_special(p, *ret);
}

bool net_address_claim(struct net_addresses *p, const char *address)
{
	uint32_t i;

	if (!index_of(p, address, &i) || is_used(p, i))
		return false;
	p->used[i / 8] = (uint8_t)(p->used[i / 8] | 1U << (i % 8));
	return true;
}

void net_address_release(struct net_addresses *p, const char *address)
{
	uint32_t i;

	if (index_of(p, address, &i))
		p->used[i / 8] = (uint8_t)(p->used[i / 8] & ~(1U << (i % 8)));
}
