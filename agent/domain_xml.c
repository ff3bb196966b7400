/*
 * domain_xml.c - a VM as a libvirt domain: written from a struct vm_spec, its metadata read back.
 *
 * Pure. Direct kernel boot, no firmware menus, no devices that a container has no use for.
 */
#include <inttypes.h>
#include <stdio.h>

#include "agent/vm.h"
#include "lib/codec.h"

/* What a boot can skip, it skips; docs/guest.md has the reasons and the milliseconds. Those for one CPU only, and for
 * emulation only, come behind. */
#define KERNEL_CMDLINE \
	"console=ttyS0 quiet panic=-1 cryptomgr.notests no_timer_check tsc=reliable 8250.nr_uarts=1 lsm=landlock,yama"
#define KERNEL_CMDLINE_ONE_CPU " noreplace-smp"
#define KERNEL_CMDLINE_ONE_CPU_TCG " nolapic_timer"
/* A firmware that does nothing but load the kernel. */
#define FIRMWARE "/usr/share/qemu/qboot.rom"

/* The least that x86-64-v2 programs need, and RDRAND: each further feature costs an emulated kernel time. */
static const char *const tcg_features[] = {"ssse3", "sse4.1", "sse4.2", "popcnt", "cx16", "lahf_lm", "rdrand"};

/* All devices sit on the root bus, because each further bus costs the kernel time. */
enum slot { SLOT_SERIAL = 1, SLOT_IMAGE, SLOT_DISK, SLOT_NETWORK };

void vm_name(const char *uid, int64_t generation, char out[VM_NAME_MAX])
{
	snprintf(out, VM_NAME_MAX, VM_NAME_PREFIX "%.8s-g%" PRId64, uid, generation);
}

void vm_mac(const char *uid, char out[18])
{
	char hex[SHA256_HEX_MAX];

	sha256_hex(uid, strlen(uid), hex);
	snprintf(out, 18, "52:54:%.2s:%.2s:%.2s:%.2s", hex, hex + 2, hex + 4, hex + 6);
}

unsigned vm_cpu_count(int64_t milli_vcpu)
{
	return milli_vcpu <= 1000 ? 1 : (unsigned)((milli_vcpu + 999) / 1000);
}

int64_t vm_cpu_quota_us(int64_t milli_vcpu)
{
	int64_t quota = VM_CPU_PERIOD_US * milli_vcpu / 1000 / vm_cpu_count(milli_vcpu);

	return quota < 1000 ? 1000 : quota; /* the least that Linux takes */
}

static void add_escaped(struct buf *b, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			buf_adds(b, "&amp;");
			break;
		case '<':
			buf_adds(b, "&lt;");
			break;
		case '>':
			buf_adds(b, "&gt;");
			break;
		case '\'':
			buf_adds(b, "&apos;");
			break;
		case '"':
			buf_adds(b, "&quot;");
			break;
		default:
			buf_addc(b, *s);
		}
	}
}

static void add_attribute(struct buf *b, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(b, " %s='", name);
	add_escaped(b, value);
	buf_addc(b, '\'');
}

static void add_element(struct buf *b, const char *indent, const char *name, const char *text)
{
	buf_addf(b, "%s<%s>", indent, name);
	add_escaped(b, text);
	buf_addf(b, "</%s>\n", name);
}

static void add_metadata(struct buf *b, const struct vm_identity *id)
{
	char generation[24];

	snprintf(generation, sizeof(generation), "%" PRId64, id->generation);
	buf_adds(b, "  <metadata>\n    <berth:instance xmlns:berth='" VM_METADATA_URI "'");
	add_attribute(b, "owner", id->owner);
	add_attribute(b, "namespace", id->ns);
	add_attribute(b, "name", id->name);
	add_attribute(b, "uid", id->uid);
	add_attribute(b, "generation", generation);
	add_attribute(b, "revision", id->revision);
	add_attribute(b, "address", id->address);
	add_attribute(b, "tap", id->tap);
	buf_adds(b, "/>\n  </metadata>\n");
}

static void add_slot(struct buf *b, enum slot slot)
{
	buf_addf(b, "      <address type='pci' domain='0' bus='0' slot='%d' function='0'/>\n", slot);
}

static void add_disk(struct buf *b, const char *path, const char *target, bool shared)
{
	buf_addf(b, "    <disk type='file' device='disk'>\n      <driver name='qemu' type='raw' %s/>\n",
		 shared ? "cache='writeback' io='threads'" : "cache='unsafe' io='threads' discard='unmap'");
	buf_adds(b, "      <source");
	add_attribute(b, "file", path);
	/* The shared image belongs to no VM: its owner stays. */
	buf_adds(b, shared ? ">\n        <seclabel model='dac' relabel='no'/>\n      </source>\n" : "/>\n");
	buf_addf(b, "      <target dev='%s' bus='virtio'/>\n%s", target,
		 shared ? "      <readonly/>\n      <shareable/>\n" : "");
	add_slot(b, shared ? SLOT_IMAGE : SLOT_DISK);
	buf_adds(b, "    </disk>\n");
}

static void add_interface(struct buf *b, const struct vm_identity *id)
{
	char mac[18];

	vm_mac(id->uid, mac);
	buf_adds(b, "    <interface type='ethernet'>\n      <target");
	add_attribute(b, "dev", id->tap);
	buf_addf(
		b,
		" managed='no'/>\n      <mac address='%s'/>\n      <model type='virtio'/>\n      <rom enabled='no'/>\n",
		mac);
	add_slot(b, SLOT_NETWORK);
	buf_adds(b, "    </interface>\n");
}

static void add_devices(struct buf *b, const struct vm_spec *s)
{
	buf_adds(b, "  <devices>\n    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n"
		    "    <controller type='pci' index='0' model='pcie-root'/>\n"
		    "    <controller type='usb' model='none'/>\n"
		    "    <controller type='virtio-serial' index='0' ports='2'>\n");
	add_slot(b, SLOT_SERIAL);
	buf_adds(b, "    </controller>\n");
	if (s->image)
		add_disk(b, s->image, "vda", true);
	if (s->disk)
		add_disk(b, s->disk, "vdb", false);
	if (s->id.tap)
		add_interface(b, &s->id);
	buf_adds(b, "    <channel type='unix'>\n      <source mode='bind'");
	add_attribute(b, "path", s->socket);
	buf_adds(b, "/>\n      <target type='virtio' name='dev.berth.0'/>\n    </channel>\n"
		    "    <serial type='file'>\n      <source");
	add_attribute(b, "path", s->console);
	buf_adds(b, "/>\n      <target port='0'/>\n    </serial>\n    <audio id='1' type='none'/>\n"
		    "    <memballoon model='none'/>\n  </devices>\n");
}

static void add_boot(struct buf *b, const struct vm_spec *s)
{
	bool one_cpu = vm_cpu_count(s->milli_vcpu) == 1;

	buf_adds(b, "  <os>\n    <type arch='x86_64' machine='q35'>hvm</type>\n"
		    "    <loader readonly='yes' type='rom'>" FIRMWARE "</loader>\n");
	add_element(b, "    ", "kernel", s->kernel);
	add_element(b, "    ", "initrd", s->initrd);
	buf_addf(b, "    <cmdline>%s%s%s</cmdline>\n  </os>\n", KERNEL_CMDLINE, one_cpu ? KERNEL_CMDLINE_ONE_CPU : "",
		 one_cpu && !s->kvm ? KERNEL_CMDLINE_ONE_CPU_TCG : "");
}

static void add_cpu(struct buf *b, bool kvm)
{
	if (kvm) {
		buf_adds(b, "  <cpu mode='host-passthrough' check='none'/>\n");
		return;
	}
	buf_adds(b, "  <cpu mode='custom' match='exact' check='none'>\n    <model fallback='forbid'>qemu64</model>\n");
	for (size_t i = 0; i < ARRAY_SIZE(tcg_features); i++)
		buf_addf(b, "    <feature policy='require' name='%s'/>\n", tcg_features[i]);
	buf_adds(b, "  </cpu>\n");
}

static void add_cputune(struct buf *b, int64_t milli_vcpu)
{
	int64_t shares = milli_vcpu * 1024 / 1000, boot_milli = (int64_t)vm_cpu_count(milli_vcpu) * 1000;

	buf_addf(b,
		 "  <cputune>\n    <shares>%" PRId64 "</shares>\n    <period>%d</period>\n    <quota>%" PRId64
		 "</quota>\n"
		 "  </cputune>\n",
		 shares < 2 ? 2 : shares, VM_CPU_PERIOD_US, vm_cpu_quota_us(boot_milli));
}

void domain_xml(const struct vm_spec *s, struct buf *out)
{
	char name[VM_NAME_MAX];

	vm_name(s->id.uid, s->id.generation, name);
	buf_addf(out, "<domain type='%s'>\n", s->kvm ? "kvm" : "qemu");
	add_element(out, "  ", "name", name);
	add_element(out, "  ", "uuid", s->id.uid);
	add_metadata(out, &s->id);
	buf_addf(out, "  <memory unit='KiB'>%" PRId64 "</memory>\n  <vcpu>%u</vcpu>\n", s->memory / 1024,
		 vm_cpu_count(s->milli_vcpu));
	add_cputune(out, s->milli_vcpu);
	add_boot(out, s);
	buf_adds(out, "  <features>\n    <acpi/>\n  </features>\n");
	add_cpu(out, s->kvm);
	buf_adds(out,
		 "  <clock offset='utc'/>\n  <on_poweroff>destroy</on_poweroff>\n  <on_reboot>destroy</on_reboot>\n"
		 "  <on_crash>destroy</on_crash>\n");
	add_devices(out, s);
	buf_adds(out, "</domain>\n");
}

/* ---- reading the metadata back ---- */

static char *unescape(struct arena *a, const char *s, size_t len)
{
	static const struct {
		const char *entity;
		char c;
	} entities[] = {{"&amp;", '&'},	  {"&lt;", '<'},   {"&gt;", '>'},
			{"&apos;", '\''}, {"&quot;", '"'}, {"&#39;", '\''}};
	char *out = arena_alloc(a, len + 1), *to = out;

	while (len) {
		size_t n = 1, i;
		*to = *s;
		for (i = 0; *s == '&' && i < ARRAY_SIZE(entities); i++) {
			size_t entity_len = strlen(entities[i].entity);
			if (entity_len <= len && memcmp(s, entities[i].entity, entity_len) == 0) {
				*to = entities[i].c;
				n = entity_len;
				break;
			}
		}
		to++;
		s += n;
		len -= n;
	}
	*to = 0;
	return out;
}

/* The value of name='…' or name="…" inside a start tag, or NULL. */
static char *attribute(struct arena *a, const char *tag, const char *name)
{
	size_t name_len = strlen(name);

	for (const char *p = tag; (p = strstr(p, name)); p += name_len) {
		const char *value = p + name_len, *end;
		if (p == tag || p[-1] != ' ' || *value++ != '=' || (*value != '\'' && *value != '"'))
			continue;
		end = strchr(value + 1, *value);
		return end ? unescape(a, value + 1, (size_t)(end - value - 1)) : NULL;
	}
	return NULL;
}

int domain_xml_identity(struct arena *a, const char *xml, struct vm_identity *ret, struct error *e)
{
	const char *tag = strstr(xml, "instance "), *end = tag ? strchr(tag, '>') : NULL;
	struct vm_identity id = {0};

	if (!end)
		return error_set(e, E_INVALID, "the domain's metadata has no instance element");
	const char *head = arena_strndup(a, tag, (size_t)(end - tag));
	const char *generation = attribute(a, head, "generation");
	id.owner = attribute(a, head, "owner");
	id.ns = attribute(a, head, "namespace");
	id.name = attribute(a, head, "name");
	id.uid = attribute(a, head, "uid");
	id.revision = attribute(a, head, "revision");
	id.address = attribute(a, head, "address");
	id.tap = attribute(a, head, "tap");
	id.generation = generation ? strtoll(generation, NULL, 10) : 0;
	if (!id.owner || !id.ns || !id.name || !id.uid || strlen(id.uid) < 8 || id.generation < 1)
		return error_set(e, E_INVALID, "the domain's metadata is incomplete");
	*ret = id;
	return 0;
}
