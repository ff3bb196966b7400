/*
 * clients.c - networks and the Locations they are near; see clients.h.
 */
#include "gateway/clients.h"

#include "lib/strmap.h"

#include <arpa/inet.h>

struct nets {
	char *location;
	struct client_net *nets;
	size_t count;
};

struct clients {
	struct strmap *locations; /* name → struct nets */
};

int client_net_parse(const char *text, struct client_net *ret, struct error *e)
{
	struct client_net net = {.bits = 128};
	const char *slash = strchr(text, '/');
	char address[INET6_ADDRSTRLEN];
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned most = 128;
	char *end = NULL;

	if (len >= sizeof(address))
		return error_set(e, E_BAD_REQUEST, "\"%s\" is not an address or network", text);
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, net.address + 12) == 1) {
		net.address[10] = net.address[11] = 0xff;
		most = 32;
	} else if (inet_pton(AF_INET6, address, net.address) != 1) {
		return error_set(e, E_BAD_REQUEST, "\"%s\" is not an address or network, like 10.0.0.0/8", text);
	}
	if (slash) {
		unsigned long bits = slash[1] >= '0' && slash[1] <= '9' ? strtoul(slash + 1, &end, 10) : 129;

		if (bits > most || !end || *end)
			return error_set(e, E_BAD_REQUEST, "\"%s\": the prefix length has to lie between 0 and %u",
					 text, most);
		net.bits = 128 - most + (unsigned)bits;
	}
	*ret = net;
	return 0;
}

bool client_net_has(const struct client_net *net, const struct client_net *a)
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	if (memcmp(net->address, a->address, whole) != 0)
		return false;
	return !rest || (net->address[whole] ^ a->address[whole]) >> (8 - rest) == 0;
}

struct clients *clients_new(void)
{
	struct clients *c = xcalloc(1, sizeof(*c));

	c->locations = strmap_new();
	return c;
}

static void nets_free(struct nets *n)
{
	if (!n)
		return;
	free(n->location);
	free(n->nets);
	free(n);
}

void clients_free(struct clients *c)
{
	void *v;

	if (!c)
		return;
	for (size_t pos = 0; strmap_next(c->locations, &pos, NULL, &v);)
		nets_free(v);
	strmap_free(c->locations);
	free(c);
}

void clients_remove(struct clients *c, const char *location)
{
	nets_free(strmap_remove(c->locations, location));
}

int clients_put(struct clients *c, const struct json *location, struct error *e)
{
	const struct json *list = json_in(location, "spec", "clientCIDRs");
	const char *name = json_str_or(json_in(location, "metadata", "name"), "");
	struct nets *n = xcalloc(1, sizeof(*n));
	int r = 0;

	n->location = xstrdup(name);
	n->nets = xcalloc(json_count(list) + 1, sizeof(*n->nets));
	for (size_t i = 0; i < json_count(list); i++)
		if (client_net_parse(json_str_or(json_item(list, i), ""), &n->nets[n->count], e))
			r = -E_BAD_REQUEST;
		else
			n->count++;
	clients_remove(c, name);
	strmap_put(c->locations, name, n);
	return r;
}

const char *clients_find(const struct clients *c, const char *address)
{
	const char *best = NULL;
	unsigned bits = 0;
	struct client_net a;
	void *v;

	if (client_net_parse(address, &a, NULL))
		return NULL;
	for (size_t pos = 0; strmap_next(c->locations, &pos, NULL, &v);) {
		const struct nets *n = v;

		for (size_t i = 0; i < n->count; i++) {
			if (!client_net_has(&n->nets[i], &a) || (best && n->nets[i].bits < bits) ||
			    (best && n->nets[i].bits == bits && strcmp(n->location, best) >= 0))
				continue;
			best = n->location;
			bits = n->nets[i].bits;
		}
	}
	return best;
}
