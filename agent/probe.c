/*
 * probe.c - boots kernel and initramfs under KVM to the guest's HELLO, against a deadline.
 */
#include "agent/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/record.h"
#include "lib/channel.h"
#include "lib/codec.h"
#include "lib/fsutil.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/units.h"

#define PROBE_MEMORY (INT64_C(128) << 20)

static void set(struct probe_result *r, bool kvm, const char *reason)
{
	r->kvm = kvm;
	snprintf(r->reason, sizeof(r->reason), "%s", reason);
}

static const char *cache_path(struct arena *a, const struct agent_config *cfg)
{
	return arena_printf(a, "%s/kvm.json", cfg->state_dir);
}

static bool load(const struct agent_config *cfg, const char *qemu_version, struct probe_result *ret)
{
	_arena_ a = arena_new();
	_buf_ text = BUF_INIT(4096);
	struct json *o = NULL;

	if (file_read(cache_path(a, cfg), &text, NULL) < 0 || json_parse(a, text.data, text.len, NULL, &o, NULL) < 0 ||
	    !streq(json_str(json_get(o, "hostBootId")), record_host_boot_id()) ||
	    !streq(json_str(json_get(o, "qemuVersion")), qemu_version))
		return false;
	set(ret, json_bool_or(json_get(o, "kvm"), false), json_str_or(json_get(o, "reason"), ""));
	return true;
}

static void save(const struct agent_config *cfg, const char *qemu_version, const struct probe_result *r)
{
	_arena_ a = arena_new();
	struct json *o = json_object(a);
	_buf_ text = BUF_INIT(4096);
	struct error e = {0};

	json_set_str(a, o, "hostBootId", record_host_boot_id());
	json_set_str(a, o, "qemuVersion", qemu_version);
	json_set_bool(a, o, "kvm", r->kvm);
	json_set_str(a, o, "reason", r->reason);
	json_write(o, JSON_PRETTY, &text);
	if (file_write_atomic(cache_path(a, cfg), text.data, text.len, 0644, &e) < 0)
		log_warn("the result of the KVM probe could not be kept", "error", e.text, NULL);
}

static int connect_to(const char *path, int64_t deadline)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	while (time_mono_ms() < deadline) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
			return fd;
		if (fd >= 0)
			close(fd);
		usleep(20000);
	}
	return -1;
}

static bool wait_for_hello(const char *path, int64_t deadline)
{
	_free_ struct channel_reader *reader = xcalloc(1, sizeof(*reader));
	_close_ int fd = connect_to(path, deadline);
	struct channel_frame f;

	while (fd >= 0) {
		int64_t left = deadline - time_mono_ms();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		size_t room;
		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return false;
		uint8_t *space = channel_reader_space(reader, &room);
		ssize_t n = read(fd, space, room);
		if (n <= 0)
			return false;
		channel_reader_added(reader, (size_t)n);
		int r = channel_reader_next(reader, &f);
		if (r != 0)
			return r == 1 && f.type == CHANNEL_HELLO;
	}
	return false;
}

static void boot(const struct agent_config *cfg, struct vm_host *vms, const char *owner, struct probe_result *ret)
{
	_arena_ a = arena_new();
	_buf_ xml = BUF_INIT(65536);
	char uid[UUID_TEXT_MAX], domain[VM_NAME_MAX];
	struct error e = {0};

	uuid_generate_text(uid);
	const struct vm_spec spec = {
		.id = {.owner = owner, .ns = "", .name = "kvm-probe", .uid = uid, .generation = 1},
		.kvm = true,
		.kernel = cfg->kernel,
		.initrd = cfg->initrd,
		.socket = arena_printf(a, "%s/run/probe.sock", cfg->state_dir),
		.console = arena_printf(a, "%s/run/probe-console.log", cfg->state_dir),
		.memory = PROBE_MEMORY,
		.milli_vcpu = 1000,
	};
	vm_name(uid, 1, domain);
	unlink(spec.socket);
	domain_xml(&spec, &xml);
	if (vm_host_create(vms, xml.data, &e) < 0) {
		for (char *p = e.text; *p; p++)
			if (*p == '\n')
				*p = ' ';
		set(ret, false, arena_printf(a, "a probe VM does not start with KVM: %.180s", e.text));
	} else if (!wait_for_hello(spec.socket, time_mono_ms() + PROBE_LIMIT_MS)) {
		set(ret, false,
		    arena_printf(a, "a probe VM started with KVM but did not boot within %d s", PROBE_LIMIT_MS / 1000));
	} else {
		set(ret, true, "a probe VM booted with KVM");
	}
	if (vm_host_destroy(vms, domain, &e) < 0)
		log_warn("the probe VM could not be removed", "domain", domain, "error", e.text, NULL);
	unlink(spec.socket);
	unlink(spec.console);
}

void probe_run(const struct agent_config *cfg, struct vm_host *vms, const char *owner, const char *qemu_version,
	       struct probe_result *ret)
{
	if (cfg->accel == ACCEL_KVM) {
		set(ret, true, "--accel kvm: not probed");
		return;
	}
	if (cfg->accel == ACCEL_TCG) {
		set(ret, false, "--accel tcg");
		return;
	}
	if (load(cfg, qemu_version, ret))
		return;
	_close_ int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		set(ret, false, errno == ENOENT ? "this host has no /dev/kvm" : "/dev/kvm cannot be opened");
		return;
	}
	boot(cfg, vms, owner, ret);
	save(cfg, qemu_version, ret);
}
