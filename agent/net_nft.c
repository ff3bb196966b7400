/*
 * net_nft.c - the packet rules as nft(8) text, and their loading.
 *
 * The rules name sets; a VM is three set elements. Adding, then deleting an element in one transaction removes it
 * whether it was there or not.
 */
#include "agent/command.h"
#include "agent/net.h"

/* Source: IANA IPv4 Special-Purpose Address Registry, and multicast. A VM's internet is what is in none of these. */
static const char *const special_ranges[] = {
	"0.0.0.0/8",	 "10.0.0.0/8",	    "100.64.0.0/10",  "127.0.0.0/8",	"169.254.0.0/16",
	"172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
};

static void add_set(struct buf *b, const char *name, const char *type, const char *const *items, size_t count)
{
	buf_addf(b, "\tset %s {\n\t\ttype %s\n", name, type);
	if (count) {
		buf_adds(b, "\t\telements = { ");
		for (size_t i = 0; i < count; i++)
			buf_addf(b, "%s%s", i ? ", " : "", items[i]);
		buf_adds(b, " }\n");
	}
	buf_adds(b, "\t}\n");
}

static void add_vm_sets(struct buf *b, const struct net_vm *vms, size_t count)
{
	_buf_ taps = BUF_INIT(1U << 20);
	_buf_ sources = BUF_INIT(1U << 20);
	_buf_ internet = BUF_INIT(1U << 20);

	for (size_t i = 0; i < count; i++) {
		buf_addf(&taps, "%s\"%s\"", taps.len ? ", " : "", vms[i].tap);
		buf_addf(&sources, "%s\"%s\" . %s", sources.len ? ", " : "", vms[i].tap, vms[i].address);
		if (vms[i].internet)
			buf_addf(&internet, "%s\"%s\"", internet.len ? ", " : "", vms[i].tap);
	}
	add_set(b, "taps", "ifname", (const char *const *)&taps.data, taps.len > 0);
	add_set(b, "sources", "ifname . ipv4_addr", (const char *const *)&sources.data, sources.len > 0);
	add_set(b, "internet", "ifname", (const char *const *)&internet.data, internet.len > 0);
}

/* Chains that VM traffic is sent to; each ends with a verdict. */
static void add_vm_chains(struct buf *b, uint32_t gateway_uid)
{
	buf_addf(b,
		 "\tchain forward_to_vm {\n"
		 "\t\tiifname @taps drop comment \"VM to VM\"\n"
		 "\t\tct state established,related accept\n"
		 "\t\tip saddr @gateways accept\n"
		 "\t\tdrop\n"
		 "\t}\n"
		 "\tchain host_to_vm {\n"
		 "\t\tct state established,related accept\n"
		 "\t\tmeta skuid %u accept comment \"the gateway's HAProxy\"\n"
		 "\t\tdrop\n"
		 "\t}\n"
		 "\tchain check_source {\n"
		 "\t\tmeta nfproto != ipv4 drop\n"
		 "\t\tiifname . ip saddr != @sources drop comment \"not the VM's own address\"\n"
		 "\t}\n"
		 "\tchain vm_to_host {\n"
		 "\t\tjump check_source\n"
		 "\t\tct state established,related accept\n"
		 "\t\tdrop\n"
		 "\t}\n"
		 "\tchain vm_to_world {\n"
		 "\t\tjump check_source\n"
		 "\t\tct state established,related accept\n"
		 "\t\tiifname != @internet drop comment \"egress.internet is false\"\n"
		 "\t\tip daddr @dns meta l4proto { tcp, udp } th dport 53 accept\n"
		 "\t\tip daddr @special drop\n"
		 "\t\taccept\n"
		 "\t}\n",
		 gateway_uid);
}

void net_nft_table(const struct net_rules *r, const struct net_vm *vms, size_t count, struct buf *out)
{
	/* Delete needs the table to exist. */
	buf_addf(out, "add table inet %s\ndelete table inet %s\ntable inet %s {\n", r->table, r->table, r->table);
	add_vm_sets(out, vms, count);
	add_set(out, "gateways", "ipv4_addr", r->gateways, r->gateway_count);
	add_set(out, "dns", "ipv4_addr", r->dns, r->dns_count);
	add_set(out, "special", "ipv4_addr\n\t\tflags interval", special_ranges, ARRAY_SIZE(special_ranges));
	add_vm_chains(out, r->gateway_uid);
	buf_adds(out, "\tchain forward {\n"
		      "\t\ttype filter hook forward priority filter; policy accept;\n"
		      "\t\toifname @taps goto forward_to_vm\n"
		      "\t\tiifname @taps goto vm_to_world\n"
		      "\t}\n"
		      "\tchain input {\n"
		      "\t\ttype filter hook input priority filter; policy accept;\n"
		      "\t\tiifname @taps goto vm_to_host\n"
		      "\t}\n"
		      "\tchain output {\n"
		      "\t\ttype filter hook output priority filter; policy accept;\n"
		      "\t\toifname @taps goto host_to_vm\n"
		      "\t}\n"
		      "\tchain postrouting {\n"
		      "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
		      "\t\tiifname @taps oifname != @taps masquerade\n"
		      "\t}\n"
		      "}\n");
}

static void change(const char *verb, const char *table, const struct net_vm *vm, struct buf *out)
{
	buf_addf(out, "%s element inet %s taps { \"%s\" }\n", verb, table, vm->tap);
	buf_addf(out, "%s element inet %s sources { \"%s\" . %s }\n", verb, table, vm->tap, vm->address);
	if (vm->internet)
		buf_addf(out, "%s element inet %s internet { \"%s\" }\n", verb, table, vm->tap);
}

void net_nft_add(const char *table, const struct net_vm *vm, struct buf *out)
{
	change("add", table, vm, out);
}

void net_nft_remove(const char *table, const struct net_vm *vm, struct buf *out)
{
	struct net_vm all = *vm;

	all.internet = true; /* whatever it was */
	change("add", table, &all, out);
	change("delete", table, &all, out);
}

void net_nft_gateways(const char *table, const char *const *gateways, size_t count, struct buf *out)
{
	buf_addf(out, "flush set inet %s gateways\n", table);
	for (size_t i = 0; i < count; i++)
		buf_addf(out, "add element inet %s gateways { %s }\n", table, gateways[i]);
}

void net_nft_delete(const char *table, struct buf *out)
{
	buf_addf(out, "add table inet %s\ndelete table inet %s\n", table, table);
}

bool net_nft_exists(const char *table)
{
	const char *argv[] = {"nft", "-t", "list", "table", "inet", table, NULL};

	return command_run(argv, NULL, 0, NULL) == 0;
}

int net_nft_load(const struct buf *text, struct error *e)
{
	static const char *const argv[] = {"nft", "-f", "-", NULL};
	int r = text->over ? error_set(e, E_TOO_LARGE, "the rules are too long")
			   : command_run(argv, text->data, text->len, e);

	return r < 0 ? error_prefix(e, "packet rules") : 0;
}
