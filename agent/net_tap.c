/*
 * net_tap.c - taps: made, configured and removed with the kernel's own calls, no tools.
 *
 * A tap is persistent: it outlives the agent and QEMU, and goes away with net_tap_remove() alone. It stays down until
 * its rules are loaded.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "agent/net.h"
#include "lib/fsutil.h"

#define TAP_PREFIX "bt"
#define TAP_NAME_LEN 10
#define FORWARDING "/proc/sys/net/ipv4/ip_forward"

void net_tap_name(const char *uid, char out[NET_TAP_MAX])
{
	snprintf(out, NET_TAP_MAX, TAP_PREFIX "%.8s", uid);
}

static int write_setting(const char *path, const char *value, struct error *e)
{
	_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return error_set_errno(e, errno, "%s", path);
	return 0;
}

static int attach(const char *tap, int *ret_fd, struct error *e)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(e, errno, "/dev/net/tun (modprobe tun)");
	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", tap);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		int err = errno;
		close(fd);
		return error_set_errno(e, err, "tap %s", tap);
	}
	*ret_fd = fd;
	return 0;
}

static int write_alias(const char *tap, const char *owner, struct error *e)
{
	char path[96], alias[96];

	snprintf(path, sizeof(path), "/sys/class/net/%s/ifalias", tap);
	snprintf(alias, sizeof(alias), "berth:%s", owner);
	return write_setting(path, alias, e);
}

/* The VM sees the gateway's address answer, and no other one of this host. No IPv6: there are no rules for it. */
static int write_settings(const char *tap, struct error *e)
{
	static const struct {
		const char *family, *name, *value;
		bool optional;
	} settings[] = {
		{"ipv4", "arp_ignore", "1", false},	  {"ipv4", "rp_filter", "1", false},
		{"ipv4", "accept_redirects", "0", false}, {"ipv4", "send_redirects", "0", false},
		{"ipv6", "disable_ipv6", "1", true}, /* a kernel may have none */
	};
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", settings[i].family, tap, settings[i].name);
		if (write_setting(path, settings[i].value, e) < 0 && !(settings[i].optional && access(path, F_OK) < 0))
			return -E_IO;
	}
	return 0;
}

int net_tap_create(const char *tap, const char *owner, struct error *e)
{
	_close_ int fd = -1;
	int r = net_tap_remove(tap, e);

	if (r < 0 || (r = attach(tap, &fd, e)) < 0)
		return r;
	/* The alias comes first: a crash before TUNSETPERSIST leaves nothing, one after it leaves a tap that has an
	 * owner. */
	if ((r = write_alias(tap, owner, e)) < 0 || (r = write_settings(tap, e)) < 0)
		return r;
	return ioctl(fd, TUNSETPERSIST, 1) < 0 ? error_set_errno(e, errno, "tap %s", tap) : 0;
}

static void set_address(struct sockaddr *out, const char *address)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};

	inet_pton(AF_INET, address, &sin.sin_addr);
	memcpy(out, &sin, sizeof(sin));
}

static int configure(int s, unsigned long request, const char *tap, const char *address, const char *what,
		     struct error *e)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", tap);
	set_address(&ifr.ifr_addr, address);
	return ioctl(s, request, &ifr) < 0 ? error_set_errno(e, errno, "%s of tap %s", what, tap) : 0;
}

static int bring_up(int s, const char *tap, struct error *e)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", tap);
	if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		return error_set_errno(e, errno, "tap %s", tap);
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
	return ioctl(s, SIOCSIFFLAGS, &ifr) < 0 ? error_set_errno(e, errno, "tap %s", tap) : 0;
}

/* The first packet need not wait for an ARP answer, and the VM cannot answer for another address. */
static int set_neighbour(int s, const char *tap, const char *address, const char *mac, struct error *e)
{
	struct arpreq req = {.arp_flags = ATF_PERM | ATF_COM, .arp_ha = {.sa_family = ARPHRD_ETHER}};
	unsigned m[6];

	if (sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6)
		return error_set(e, E_INVALID, "%s is not a MAC address", mac);
	for (int i = 0; i < 6; i++)
		req.arp_ha.sa_data[i] = (char)m[i];
	set_address(&req.arp_pa, address);
	snprintf(req.arp_dev, sizeof(req.arp_dev), "%s", tap);
	return ioctl(s, SIOCSARP, &req) < 0 ? error_set_errno(e, errno, "neighbour %s on tap %s", address, tap) : 0;
}

static int add_route(int s, const char *tap, const char *address, struct error *e)
{
	char dev[NET_TAP_MAX];
	struct rtentry rt = {.rt_flags = RTF_UP | RTF_HOST, .rt_dev = dev};

	snprintf(dev, sizeof(dev), "%s", tap);
	set_address(&rt.rt_dst, address);
	if (ioctl(s, SIOCADDRT, &rt) < 0 && errno != EEXIST)
		return error_set_errno(e, errno, "route to %s through tap %s", address, tap);
	return 0;
}

int net_tap_up(const char *tap, const char *address, const char *mac, struct error *e)
{
	_close_ int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (s < 0)
		return error_set_errno(e, errno, "socket");
	if ((r = configure(s, SIOCSIFADDR, tap, NET_GATEWAY, "address", e)) < 0 ||
	    (r = configure(s, SIOCSIFNETMASK, tap, "255.255.255.255", "netmask", e)) < 0 ||
	    (r = configure(s, SIOCSIFBRDADDR, tap, "0.0.0.0", "broadcast address", e)) < 0 ||
	    (r = bring_up(s, tap, e)) < 0 || (r = set_neighbour(s, tap, address, mac, e)) < 0)
		return r;
	return add_route(s, tap, address, e);
}

bool net_tap_exists(const char *tap)
{
	return if_nametoindex(tap) != 0;
}

int net_tap_remove(const char *tap, struct error *e)
{
	_close_ int fd = -1;

	if (!net_tap_exists(tap))
		return 0;
	int r = attach(tap, &fd, e);
	if (r < 0)
		return r;
	return ioctl(fd, TUNSETPERSIST, 0) < 0 ? error_set_errno(e, errno, "tap %s", tap) : 0;
}

static bool is_owned(const char *tap, const char *owner)
{
	char path[300], want[96];
	_buf_ alias = BUF_INIT(256);

	if (!str_starts(tap, TAP_PREFIX) || strlen(tap) != TAP_NAME_LEN)
		return false;
	snprintf(path, sizeof(path), "/sys/class/net/%s/ifalias", tap);
	snprintf(want, sizeof(want), "berth:%s\n", owner);
	return file_read(path, &alias, NULL) == 0 && alias.data && streq(alias.data, want);
}

int net_tap_list(const char *owner, struct arena *a, const char ***ret, size_t *ret_count, struct error *e)
{
	size_t n = 0, cap = 0;
	const char **taps = NULL;
	DIR *d = opendir("/sys/class/net");

	if (!d)
		return error_set_errno(e, errno, "/sys/class/net");
	for (struct dirent *entry; (entry = readdir(d));) {
		if (!is_owned(entry->d_name, owner))
			continue;
		if (n == cap) {
			cap = cap ? cap * 2 : 16;
			const char **more = arena_alloc(a, cap * sizeof(*more));
			if (n)
				memcpy(more, taps, n * sizeof(*more));
			taps = more;
		}
		taps[n++] = arena_strdup(a, entry->d_name);
	}
	closedir(d);
	*ret = taps;
	*ret_count = n;
	return 0;
}

int net_forwarding_enable(bool *ret_changed, struct error *e)
{
	_buf_ now = BUF_INIT(64);
	int r = file_read(FORWARDING, &now, e);

	if (r < 0)
		return r;
	bool changed = !now.data || now.data[0] != '1';
	if (changed && (r = write_setting(FORWARDING, "1", e)) < 0)
		return r;
	*ret_changed = changed;
	return 0;
}

int net_forwarding_disable(struct error *e)
{
	return write_setting(FORWARDING, "0", e);
}
