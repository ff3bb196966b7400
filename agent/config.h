/*
 * config.h - what the command line says, checked once, read-only afterwards.
 *
 * Ownership: strings point into argv or live as long as the process. Any file of the agent may read it; config.c alone
 * fills it.
 */
#ifndef BERTH_AGENT_CONFIG_H
#define BERTH_AGENT_CONFIG_H

#include "lib/registry.h"

enum agent_accel { ACCEL_AUTO, ACCEL_KVM, ACCEL_TCG };

#define CONFIG_DNS_MAX 3
#define CONFIG_ADDRESS_TEXT_MAX 16

struct agent_config {
	const char *kubeconfig, *node_name, *location, *state_dir, *vm_cidr_text, *listen, *address, *hypervisor;
	const char *tls_dir, *tls_cert, *tls_key, *tls_ca;
	const char *accel_text, *kernel, *initrd, *gateway_user, *reserve_cpu_text, *nft_table, *log_level_text;
	struct option_list dns_text, gateway_addresses;
	struct registry_options registry;
	int64_t reserve_memory, reserve_disk;

	/* worked out from the above */
	enum agent_accel accel;
	uint32_t cidr_base; /* host byte order */
	unsigned cidr_bits;
	uint32_t gateway_uid;
	int64_t reserve_cpu_milli;
	char dns[CONFIG_DNS_MAX][CONFIG_ADDRESS_TEXT_MAX];
	size_t dns_count;
};

/* Parses and checks the flags of the daemon; exits with 2 and a message when they are wrong. */
void config_parse_or_exit(struct agent_config *cfg, int argc, char **argv);
/* The same for `berth-agent cleanup`. */
void config_parse_cleanup_or_exit(struct agent_config *cfg, int argc, char **argv);

/* "10.88.0.0/16" → base and prefix length. Errors: E_INVALID. */
int config_parse_cidr(const char *text, uint32_t *ret_base, unsigned *ret_bits, struct error *e);
/* The IPv4 name servers of a resolv.conf text that a VM could reach (no loopback addresses). */
size_t config_parse_resolv(const char *text, char out[CONFIG_DNS_MAX][CONFIG_ADDRESS_TEXT_MAX]);

#endif
