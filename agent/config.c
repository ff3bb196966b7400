/*
 * config.c - the agent's flags: the table, their defaults, and the checks that need more than a type.
 */
#include "agent/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>

#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/units.h"

#define SUMMARY                                                                                                \
	"Makes this host's VMs match the Instances bound to it.\n\n"                                           \
	"berth-agent --kubeconfig FILE --node-name NAME --location NAME --kernel FILE --initrd FILE [flags]\n" \
	"berth-agent cleanup --state-dir DIR\n"                                                                \
	"berth-agent image pull REFERENCE | list | verify --state-dir DIR\n"
#define CLEANUP_SUMMARY "Removes every VM, tap, packet rule and disk that an agent with this state folder made."

/* VMs are kept from each other across hosts by the rule that private ranges are no internet (net_nft.c). */
static bool is_private(uint32_t base, unsigned bits)
{
	static const struct {
		uint32_t base;
		unsigned bits;
	} ranges[] = {{0x0a000000, 8}, {0xac100000, 12}, {0xc0a80000, 16}, {0x64400000, 10}};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (bits >= ranges[i].bits && (base ^ ranges[i].base) >> (32 - ranges[i].bits) == 0)
			return true;
	return false;
}

int config_parse_cidr(const char *text, uint32_t *ret_base, unsigned *ret_bits, struct error *e)
{
	char address[CONFIG_ADDRESS_TEXT_MAX];
	struct in_addr in;
	unsigned bits;
	int end = 0;

	if (sscanf(text, "%15[0-9.]/%2u%n", address, &bits, &end) != 2 || text[end] ||
	    inet_pton(AF_INET, address, &in) != 1)
		return error_set(e, E_INVALID, "%s is not an IPv4 range such as 10.88.0.0/16", text);
	if (bits < 12 || bits > 29)
		return error_set(e, E_INVALID, "the range %s must have a prefix length from 12 to 29", text);
	uint32_t base = ntohl(in.s_addr);
	if (base & (UINT32_MAX >> bits))
		return error_set(e, E_INVALID, "%s has host bits set: write the first address of the range", text);
	if (!is_private(base, bits))
		return error_set(e, E_INVALID,
				 "the range %s must be private: in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or "
				 "100.64.0.0/10",
				 text);
	*ret_base = base;
	*ret_bits = bits;
	return 0;
}

size_t config_parse_resolv(const char *text, char out[CONFIG_DNS_MAX][CONFIG_ADDRESS_TEXT_MAX])
{
	size_t n = 0;

	for (const char *line = text; line && n < CONFIG_DNS_MAX; line = strchr(line, '\n')) {
		char address[CONFIG_ADDRESS_TEXT_MAX];
		struct in_addr in;

		line += *line == '\n';
		if (sscanf(line, "nameserver %15[0-9.]", address) == 1 && inet_pton(AF_INET, address, &in) == 1 &&
		    ntohl(in.s_addr) >> 24 != 127)
			memcpy(out[n++], address, sizeof(address));
	}
	return n;
}

static int resolve_dns(struct agent_config *cfg, struct error *e)
{
	_buf_ text = BUF_INIT(65536);
	struct in_addr in;

	if (!cfg->dns_text.count) {
		if (file_read("/etc/resolv.conf", &text, NULL) == 0)
			cfg->dns_count = config_parse_resolv(text.data ? text.data : "", cfg->dns);
		return 0;
	}
	if (cfg->dns_text.count > CONFIG_DNS_MAX)
		return error_set(e, E_BAD_REQUEST, "--dns: at most %d resolvers", CONFIG_DNS_MAX);
	for (size_t i = 0; i < cfg->dns_text.count; i++) {
		if (inet_pton(AF_INET, cfg->dns_text.items[i], &in) != 1)
			return error_set(e, E_BAD_REQUEST, "--dns: %s is not an IPv4 address", cfg->dns_text.items[i]);
		inet_ntop(AF_INET, &in, cfg->dns[i], CONFIG_ADDRESS_TEXT_MAX);
	}
	cfg->dns_count = cfg->dns_text.count;
	return 0;
}

static int resolve_user(const char *user, uint32_t *ret, struct error *e)
{
	const struct passwd *p = getpwnam(user);
	char *end;
	unsigned long uid = strtoul(user, &end, 10);

	if (!p && (*end || !*user))
		return error_set(
			e, E_BAD_REQUEST,
			"--gateway-user: there is no user %s here; give the user the gateway's HAProxy runs as", user);
	*ret = p ? (uint32_t)p->pw_uid : (uint32_t)uid;
	return 0;
}

static int require(const char *flag, const char *value, struct error *e)
{
	return value && *value ? 0 : error_set(e, E_BAD_REQUEST, "--%s is missing", flag);
}

static int require_file(const char *flag, const char *path, struct error *e)
{
	if (require(flag, path, e))
		return -E_BAD_REQUEST;
	return access(path, R_OK) == 0 ? 0 : error_set(e, E_BAD_REQUEST, "--%s: cannot read %s", flag, path);
}

/* libvirtd and QEMU have their own working folder, so every path given to them is made absolute. */
static int make_absolute(const char *flag, const char **path, struct error *e)
{
	char *full = realpath(*path, NULL);
	if (!full)
		return error_set_errno(e, errno, "--%s: %s", flag, *path);
	*path = full;
	return 0;
}

static int check_gateway_addresses(const struct agent_config *cfg, struct error *e)
{
	struct in_addr in;

	for (size_t i = 0; i < cfg->gateway_addresses.count; i++)
		if (inet_pton(AF_INET, cfg->gateway_addresses.items[i], &in) != 1)
			return error_set(e, E_BAD_REQUEST, "--gateway-address: %s is not an IPv4 address",
					 cfg->gateway_addresses.items[i]);
	return 0;
}

static int check_names(const struct agent_config *cfg, struct error *e)
{
	struct in_addr in;

	if (require("node-name", cfg->node_name, e) || require("location", cfg->location, e) ||
	    require("listen", cfg->listen, e))
		return -E_BAD_REQUEST;
	if (inet_pton(AF_INET, cfg->address, &in) != 1)
		return error_set(e, E_BAD_REQUEST, "--address: %s is not an IPv4 address", cfg->address);
	if (!*cfg->nft_table || strlen(cfg->nft_table) > 32 ||
	    strspn(cfg->nft_table, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(cfg->nft_table))
		return error_set(e, E_BAD_REQUEST, "--nft-table: %s is not a table name (a-z, 0-9, _)", cfg->nft_table);
	return check_gateway_addresses(cfg, e);
}

static void tls_defaults(struct agent_config *cfg)
{
	if (!cfg->tls_dir)
		return;
	if (!cfg->tls_cert)
		cfg->tls_cert = xasprintf("%s/serving.crt", cfg->tls_dir);
	if (!cfg->tls_key)
		cfg->tls_key = xasprintf("%s/serving.key", cfg->tls_dir);
	if (!cfg->tls_ca)
		cfg->tls_ca = xasprintf("%s/ca.crt", cfg->tls_dir);
}

static int check(struct agent_config *cfg, struct error *e)
{
	static const struct {
		const char *name;
		enum agent_accel accel;
	} accels[] = {{"auto", ACCEL_AUTO}, {"kvm", ACCEL_KVM}, {"tcg", ACCEL_TCG}};
	enum log_level level;
	size_t i;
	int r;

	if (!log_level_parse(cfg->log_level_text, &level))
		return error_set(e, E_BAD_REQUEST, "--log-level: %s is none of debug, info, warn, error",
				 cfg->log_level_text);
	log_init("agent", level);
	for (i = 0; i < ARRAY_SIZE(accels) && !streq(accels[i].name, cfg->accel_text); i++)
		;
	if (i == ARRAY_SIZE(accels))
		return error_set(e, E_BAD_REQUEST, "--accel: %s is none of auto, kvm, tcg", cfg->accel_text);
	cfg->accel = accels[i].accel;
	tls_defaults(cfg);
	if (check_names(cfg, e) || require_file("kernel", cfg->kernel, e) || require_file("initrd", cfg->initrd, e) ||
	    require_file("tls-cert", cfg->tls_cert, e) || require_file("tls-key", cfg->tls_key, e) ||
	    require_file("tls-ca", cfg->tls_ca, e))
		return -E_BAD_REQUEST;
	r = config_parse_cidr(cfg->vm_cidr_text, &cfg->cidr_base, &cfg->cidr_bits, e);
	if (r < 0)
		return error_prefix(e, "--vm-cidr");
	r = quantity_parse_milli(cfg->reserve_cpu_text, &cfg->reserve_cpu_milli, e);
	if (r < 0)
		return error_prefix(e, "--reserve-cpu");
	if (registry_options_check(&cfg->registry, e) || resolve_user(cfg->gateway_user, &cfg->gateway_uid, e) ||
	    resolve_dns(cfg, e) || dir_make(cfg->state_dir, 0711, e) ||
	    make_absolute("state-dir", &cfg->state_dir, e) || make_absolute("kernel", &cfg->kernel, e) ||
	    make_absolute("initrd", &cfg->initrd, e))
		return -E_BAD_REQUEST;
	return 0;
}

static void set_defaults(struct agent_config *cfg)
{
	*cfg = (struct agent_config){
		.state_dir = "/var/lib/berth/agent",
		.vm_cidr_text = "10.88.0.0/16",
		.listen = "0.0.0.0:10250",
		.address = "127.0.0.1",
		.hypervisor = "qemu:///system",
		.accel_text = "auto",
		.gateway_user = "haproxy",
		.reserve_cpu_text = "0",
		.reserve_memory = INT64_C(512) << 20,
		.reserve_disk = INT64_C(1) << 30,
		.nft_table = "berth",
		.log_level_text = "info",
	};
}

static void die_usage(const struct error *e)
{
	fprintf(stderr, "berth-agent: %s\nSee berth-agent --help\n", e->text);
	exit(2);
}

void config_parse_or_exit(struct agent_config *cfg, int argc, char **argv)
{
	struct error e = {0};

	set_defaults(cfg);
	const struct option_spec specs[] = {
		{"kubeconfig", 0, OPT_STRING, &cfg->kubeconfig, "FILE",
		 "How to reach the apiserver (default as kubectl)"},
		{"node-name", 0, OPT_STRING, &cfg->node_name, "NAME", "Name of this host's Node object"},
		{"location", 0, OPT_STRING, &cfg->location, "NAME", "Location this host belongs to"},
		{"state-dir", 's', OPT_STRING, &cfg->state_dir, "DIR",
		 "Images, disks, logs (default /var/lib/berth/agent)"},
		{"address", 0, OPT_STRING, &cfg->address, "IP",
		 "Address of the node port for the apiserver (default 127.0.0.1)"},
		{"listen", 0, OPT_STRING, &cfg->listen, "IP:PORT",
		 "Where the node port listens (default 0.0.0.0:10250)"},
		{"tls-dir", 0, OPT_STRING, &cfg->tls_dir, "DIR", "Folder with serving.crt, serving.key, ca.crt"},
		{"tls-cert", 0, OPT_STRING, &cfg->tls_cert, "FILE", "Certificate of the node port, PEM"},
		{"tls-key", 0, OPT_STRING, &cfg->tls_key, "FILE", "Its key, PEM"},
		{"tls-ca", 0, OPT_STRING, &cfg->tls_ca, "FILE", "CA whose clients may call the node port, PEM"},
		{"kernel", 0, OPT_STRING, &cfg->kernel, "FILE", "Guest kernel (vmlinux)"},
		{"initrd", 0, OPT_STRING, &cfg->initrd, "FILE", "Guest initramfs"},
		{"hypervisor", 0, OPT_STRING, &cfg->hypervisor, "URI", "libvirt connection (default qemu:///system)"},
		{"accel", 0, OPT_STRING, &cfg->accel_text, "auto|kvm|tcg",
		 "auto boots a probe VM to prove KVM (default auto)"},
		{"vm-cidr", 0, OPT_STRING, &cfg->vm_cidr_text, "CIDR", "Addresses for VMs (default 10.88.0.0/16)"},
		{"dns", 0, OPT_LIST, &cfg->dns_text, "IP", "Resolver offered to VMs (default from /etc/resolv.conf)"},
		{"gateway-user", 0, OPT_STRING, &cfg->gateway_user, "USER",
		 "Local user that may reach VMs (default haproxy)"},
		{"gateway-address", 0, OPT_LIST, &cfg->gateway_addresses, "IP", "Address of a gateway on another host"},
		REGISTRY_OPTION_SPECS(cfg->registry),
		{"reserve-cpu", 0, OPT_STRING, &cfg->reserve_cpu_text, "CPU", "Not offered to instances (default 0)"},
		{"reserve-memory", 0, OPT_QUANTITY, &cfg->reserve_memory, "BYTES",
		 "Not offered to instances (default 512Mi)"},
		{"reserve-disk", 0, OPT_QUANTITY, &cfg->reserve_disk, "BYTES",
		 "Not offered to instances (default 1Gi)"},
		{"nft-table", 0, OPT_STRING, &cfg->nft_table, "NAME", "nftables table of family inet (default berth)"},
		{"log-level", 0, OPT_STRING, &cfg->log_level_text, "LEVEL",
		 "debug, info, warn or error (default info)"},
		{0}};
	options_parse_or_exit("berth-agent", SUMMARY, specs, argc, argv);
	if (check(cfg, &e))
		die_usage(&e);
}

void config_parse_cleanup_or_exit(struct agent_config *cfg, int argc, char **argv)
{
	struct error e = {0};

	set_defaults(cfg);
	const struct option_spec specs[] = {
		{"state-dir", 's', OPT_STRING, &cfg->state_dir, "DIR", "State folder of the agent to clean up after"},
		{"hypervisor", 0, OPT_STRING, &cfg->hypervisor, "URI", "libvirt connection (default qemu:///system)"},
		{"nft-table", 0, OPT_STRING, &cfg->nft_table, "NAME", "nftables table of family inet (default berth)"},
		{0}};
	options_parse_or_exit("berth-agent cleanup", CLEANUP_SUMMARY, specs, argc, argv);
	log_init("agent", LOG_INFO);
	if (access(cfg->state_dir, F_OK) == 0 && make_absolute("state-dir", &cfg->state_dir, &e))
		die_usage(&e);
}
