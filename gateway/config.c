/*
 * config.c - checks flags and lays out the state folder; see config.h.
 */
#include "gateway/config.h"

#include "gateway/clients.h"
#include "lib/fsutil.h"
#include "lib/naming.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/un.h>

#define HAPROXY_USER "haproxy"

void gateway_config_init(struct gateway_config *c)
{
	*c = (struct gateway_config){.listen = "127.0.0.1:8080",
				     .haproxy = "haproxy",
				     .log_level = "info",
				     .wake_timeout_ms = 120000,
				     .drain_timeout_ms = 30000,
				     .max_waiting = 10000};
}

int gateway_config_paths(struct gateway_config *c, struct arena *a, struct error *e)
{
	if (!c->state_dir || c->state_dir[0] != '/')
		return error_set(e, E_BAD_REQUEST, "--state-dir has to name a folder, beginning with a slash");
	for (const char *p = c->state_dir; *p; p++)
		if (*p <= ' ' || strchr("\"'\\#", *p))
			return error_set(
				e, E_BAD_REQUEST,
				"--state-dir %s: no spaces, quotes, backslashes or # please, HAProxy reads it too",
				c->state_dir);
	c->run_dir = arena_printf(a, "%s/run", c->state_dir);
	c->map_dir = arena_printf(a, "%s/maps", c->state_dir);
	c->config_file = arena_printf(a, "%s/haproxy.cfg", c->state_dir);
	c->candidate_file = arena_printf(a, "%s/haproxy.cfg.candidate", c->state_dir);
	c->lua_file = arena_printf(a, "%s/berth.lua", c->state_dir);
	c->log_file = arena_printf(a, "%s/haproxy.log", c->state_dir);
	c->pid_file = arena_printf(a, "%s/haproxy.pid", c->state_dir);
	c->lock_file = arena_printf(a, "%s/gateway.pid", c->state_dir);
	c->master_socket = arena_printf(a, "%s/master.sock", c->run_dir);
	c->admin_socket = arena_printf(a, "%s/admin.sock", c->run_dir);
	c->resolver_socket = arena_printf(a, "%s/resolver.sock", c->run_dir);
	c->again_socket = arena_printf(a, "%s/again.sock", c->run_dir);
	/* HAProxy binds its sockets under a longer temporary name first. */
	if (strlen(c->resolver_socket) + sizeof(".12345678.tmp") > sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return error_set(e, E_BAD_REQUEST, "--state-dir %s is too long for the sockets below it", c->state_dir);
	return 0;
}

static int check_listen(const char *flag, const char *listen, struct error *e)
{
	const char *colon = strrchr(listen, ':');
	char *end;

	if (colon && colon > listen && strspn(listen, "0123456789abcdefABCDEF.:[]*") == strlen(listen)) {
		long port = strtol(colon + 1, &end, 10);

		if (!*end && end > colon + 1 && port > 0 && port < 65536)
			return 0;
	}
	return error_set(e, E_BAD_REQUEST, "--%s %s is not ADDR:PORT, like 127.0.0.1:8080, [::1]:8080 or *:80", flag,
			 listen);
}

/* An IPv4 address that packets can come from. */
static bool is_unicast(const char *text)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) != 1)
		return false;
	uint32_t top = ntohl(in.s_addr) >> 24;

	return top > 0 && top != 127 && top < 224;
}

/* Nodes let in what comes from this address. Where --listen names one, that is it; a gateway that listens on loopback
 * or on every address is known to its own host alone. */
static int find_address(struct gateway_config *c, struct arena *a, struct error *e)
{
	if (c->address)
		return is_unicast(c->address)
			       ? 0
			       : error_set(e, E_BAD_REQUEST,
					   "--address %s is not an IPv4 address that packets can come from",
					   c->address);
	const char *listen = arena_strndup(a, c->listen, (size_t)(strrchr(c->listen, ':') - c->listen));

	if (is_unicast(listen))
		c->address = listen;
	return 0;
}

int gateway_config_finish(struct gateway_config *c, struct arena *a, struct error *e)
{
	int r = gateway_config_paths(c, a, e);

	if (!r)
		r = check_listen("listen", c->listen, e);
	if (!r && c->haproxy_metrics_listen)
		r = check_listen("haproxy-metrics-listen", c->haproxy_metrics_listen, e);
	if (!r)
		r = find_address(c, a, e);
	if (r)
		return r;
	if (!c->location || !name_is_subdomain(c->location))
		return error_set(e, E_BAD_REQUEST, "--location has to name a Location");
	if (!c->name) {
		char host[256] = "";

		gethostname(host, sizeof(host) - 1);
		c->name = arena_strdup(a, host);
	}
	if (!name_is_subdomain(c->name))
		return error_set(e, E_BAD_REQUEST, "--name %s: lower case letters, digits, '-' and '.' only", c->name);
	if (!c->url)
		c->url = arena_printf(a, "http://%s", c->listen);
	for (size_t i = 0; i < c->trusted_proxies.count; i++) {
		struct client_net net;

		r = client_net_parse(c->trusted_proxies.items[i], &net, e);
		if (r)
			return error_prefix(e, "--trusted-proxy");
	}
	if (c->wake_timeout_ms < 1000 || c->wake_timeout_ms > 3600000)
		return error_set(e, E_BAD_REQUEST, "--wake-timeout has to lie between 1s and 1h");
	if (c->drain_timeout_ms < 0 || c->max_waiting < 1 || c->threads < 0 || c->threads > 64)
		return error_set(e, E_BAD_REQUEST, "--drain-timeout, --max-waiting or --threads is out of range");
	if (geteuid() == 0) {
		const struct passwd *pw = getpwnam(HAPROXY_USER);

		if (!pw)
			return error_set(e, E_NOT_FOUND,
					 "there is no user \"" HAPROXY_USER "\"; install the package haproxy");
		c->user = HAPROXY_USER;
		c->uid = pw->pw_uid;
		c->gid = pw->pw_gid;
	}
	return 0;
}

int gateway_config_check_address(const struct gateway_config *c, struct error *e)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!c->address)
		return 0;
	inet_pton(AF_INET, c->address, &sin.sin_addr);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&sin, sizeof(sin)) < 0)
		return error_set(e, E_BAD_REQUEST, "--address %s is not an address of this host (%s)", c->address,
				 strerror(errno));
	return 0;
}

static int make_dir(const char *path, mode_t mode, const struct gateway_config *c, struct error *e)
{
	int r = dir_make(path, mode, e);

	if (r)
		return r;
	if (chmod(path, mode) || (c->user && chown(path, 0, c->gid)))
		return error_set_errno(e, errno, "cannot set owner and mode of %s", path);
	return 0;
}

int gateway_config_make_dirs(const struct gateway_config *c, struct error *e)
{
	int r = make_dir(c->state_dir, 0711, c, e);

	if (!r)
		r = make_dir(c->run_dir, 0710, c, e);
	return r ? r : make_dir(c->map_dir, 0750, c, e);
}
