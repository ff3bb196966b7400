/*
 * netconf.c - addresses, routes and names of the guest; see netconf.h.
 *
 * Source: netdevice(7), the route ioctls of rtnetlink's predecessor: all that one address and one gateway need.
 */
#include "guest/netconf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "guest/files.h"

#define INTERFACE "eth0"

bool netconf_parse(const char *text, struct netconf_address *ret)
{
	char address[INET_ADDRSTRLEN];
	struct netconf_address parsed;
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long bits = 32;

	if (len == 0 || len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (slash) {
		char *end;

		if (slash[1] < '0' || slash[1] > '9')
			return false;
		bits = strtoul(slash + 1, &end, 10);
		if (*end || bits > 32)
			return false;
	}
	if (inet_pton(AF_INET, address, &parsed.address) != 1)
		return false;
	parsed.mask.s_addr = bits ? htonl((uint32_t)(UINT32_MAX << (32 - bits))) : 0;
	*ret = parsed;
	return true;
}

static void put_address(struct sockaddr *out, struct in_addr address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};

	memcpy(out, &in, sizeof(in));
}

static int set_up(int fd, const char *name)
{
	struct ifreq req = {0};

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFFLAGS, &req) < 0)
		return -errno;
	req.ifr_flags = (short)(req.ifr_flags | IFF_UP | IFF_RUNNING);
	return ioctl(fd, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
}

static int set_address(int fd, unsigned long what, struct in_addr address)
{
	struct ifreq req = {0};

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", INTERFACE);
	put_address(&req.ifr_addr, address);
	return ioctl(fd, what, &req) < 0 ? -errno : 0;
}

static int add_route(int fd, struct rtentry *route)
{
	char device[] = INTERFACE;

	route->rt_dev = device;
	return ioctl(fd, SIOCADDRT, route) < 0 && errno != EEXIST ? -errno : 0;
}

static int add_gateway(int fd, struct in_addr gateway)
{
	struct rtentry link = {.rt_flags = RTF_UP | RTF_HOST};
	struct rtentry all = {.rt_flags = RTF_UP | RTF_GATEWAY};
	struct in_addr any = {INADDR_ANY};
	int r;

	put_address(&link.rt_dst, gateway);
	put_address(&all.rt_dst, any);
	put_address(&all.rt_genmask, any);
	put_address(&all.rt_gateway, gateway);
	r = add_route(fd, &link);
	return r < 0 ? r : add_route(fd, &all);
}

int netconf_loopback(void)
{
	_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : set_up(fd, "lo");
}

int netconf_apply(const struct netconf_address *address, const struct in_addr *gateway)
{
	_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	/* The interface carries IPv4 only; without this the kernel would announce itself on it. Loopback keeps ::1. */
	(void)file_write("/proc/sys/net/ipv6/conf/" INTERFACE "/disable_ipv6", "1");
	r = set_address(fd, SIOCSIFADDR, address->address);
	if (r < 0)
		return r;
	r = set_address(fd, SIOCSIFNETMASK, address->mask);
	if (r < 0)
		return r;
	r = set_up(fd, INTERFACE);
	if (r < 0 || !gateway)
		return r;
	return add_gateway(fd, *gateway);
}

int netconf_names(const char *hostname, const char *address, const char *const *dns, size_t count)
{
	char text[2048];
	struct in6_addr ignored;
	size_t len = 0;
	int r, worst;

	worst = sethostname(hostname, strlen(hostname)) < 0 ? -errno : 0;
	(void)dir_make("/etc");
	snprintf(text, sizeof(text), "%s\n", hostname);
	r = file_replace("/etc/hostname", text);
	worst = r < 0 ? r : worst;
	snprintf(text, sizeof(text), "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n%s%s%s%s",
		 address, address[0] ? "\t" : "", address[0] ? hostname : "", address[0] ? "\n" : "");
	r = file_replace("/etc/hosts", text);
	worst = r < 0 ? r : worst;
	text[0] = '\0';
	for (size_t i = 0; i < count && len < sizeof(text) - 64; i++)
		if (inet_pton(AF_INET, dns[i], &ignored) == 1 || inet_pton(AF_INET6, dns[i], &ignored) == 1)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "nameserver %s\n", dns[i]);
	r = file_replace("/etc/resolv.conf", text);
	return r < 0 ? r : worst;
}
