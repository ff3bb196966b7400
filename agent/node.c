/*
 * node.c - registration, heartbeat, status.
 */
#include "agent/node.h"

#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "agent/port.h"
#include "agent/record.h"
#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"

#define STATUS_PERIOD_MS 300000
#define SOON_MS 150
#define RETRY_MS 1000

static struct metric heartbeats = METRIC_COUNTER("berth_agent_heartbeats_total", "Lease renewals", "result");

struct condition {
	const char *type;
	bool value;
	int64_t since;
};

struct node {
	struct agent *agent;
	uv_timer_t heartbeat, soon;
	bool registered, status_in_flight, status_again, lease_in_flight;
	char *sent;	 /* status last acknowledged */
	int64_t sent_at; /* by the clock that never jumps */
	struct condition ready, hardware;
};

static void write_status(struct node *n);
static void registration(struct node *n);

/* ---- what the status is ---- */

static int64_t memory_total(void)
{
	return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

static int64_t disk_total(const char *path)
{
	struct statvfs v;

	return statvfs(path, &v) == 0 ? (int64_t)(v.f_blocks * v.f_frsize) : 0;
}

static void add_resources(struct arena *a, struct json *status, const char *key, int64_t milli_cpu, int64_t memory,
			  int64_t disk)
{
	struct json *o = json_set(a, status, key, json_object(a));

	json_set_str(a, o, "cpu",
		     arena_printf(a, milli_cpu % 1000 ? "%lldm" : "%lld",
				  (long long)(milli_cpu % 1000 ? milli_cpu : milli_cpu / 1000)));
	json_set_str(a, o, "memory", arena_printf(a, "%lldKi", (long long)(memory / 1024)));
	json_set_str(a, o, "ephemeral-storage", arena_printf(a, "%lldKi", (long long)(disk / 1024)));
}

static int64_t at_least_zero(int64_t v)
{
	return v > 0 ? v : 0;
}

static void add_capacity(struct node *n, struct arena *a, struct json *status)
{
	const struct agent_config *cfg = n->agent->cfg;
	int64_t cpu = sysconf(_SC_NPROCESSORS_ONLN) * 1000, memory = memory_total(), disk = disk_total(cfg->state_dir);

	add_resources(a, status, "capacity", cpu, memory, disk);
	add_resources(a, status, "allocatable", at_least_zero(cpu - cfg->reserve_cpu_milli),
		      at_least_zero(memory - cfg->reserve_memory), at_least_zero(disk - cfg->reserve_disk));
}

static void add_address(struct arena *a, struct json *list, const char *type, const char *address)
{
	struct json *o = json_append(a, list, json_object(a));

	json_set_str(a, o, "type", type);
	json_set_str(a, o, "address", address);
}

static const char *os_image(struct arena *a)
{
	_buf_ text = BUF_INIT(16384);
	const char *p, *end;

	if (file_read("/etc/os-release", &text, NULL) < 0 || !text.data || !(p = strstr(text.data, "PRETTY_NAME=\"")))
		return "Linux";
	p += strlen("PRETTY_NAME=\"");
	end = strchr(p, '"');
	return end ? arena_strndup(a, p, (size_t)(end - p)) : "Linux";
}

static const char *machine_id(struct arena *a)
{
	_buf_ text = BUF_INIT(256);

	if (file_read("/etc/machine-id", &text, NULL) < 0 || !text.data)
		return "";
	return arena_strndup(a, text.data, strcspn(text.data, "\n"));
}

static void add_info(struct node *n, struct arena *a, struct json *status)
{
	struct json *o = json_set(a, status, "nodeInfo", json_object(a));
	struct utsname u;

	uname(&u);
	json_set_str(a, o, "machineID", machine_id(a));
	json_set_str(a, o, "systemUUID", n->agent->owner);
	json_set_str(a, o, "bootID", record_host_boot_id());
	json_set_str(a, o, "kernelVersion", u.release);
	json_set_str(a, o, "osImage", os_image(a));
	json_set_str(a, o, "operatingSystem", "linux");
	json_set_str(a, o, "architecture", streq(u.machine, "x86_64") ? "amd64" : u.machine);
	json_set_str(a, o, "containerRuntimeVersion",
		     arena_printf(a, "libvirt://%s+qemu-%s", n->agent->libvirt_version, n->agent->qemu_version));
	json_set_str(a, o, "kubeletVersion", "berth-" BERTH_VERSION);
	json_set_str(a, o, "kubeProxyVersion", "");
}

static void add_condition(struct arena *a, struct json *list, struct condition *c, bool value, const char *reason,
			  const char *message)
{
	struct json *o = json_append(a, list, json_object(a));
	char text[TIME_TEXT_MAX];

	if (!c->since || c->value != value)
		c->since = time_now_ms();
	c->value = value;
	json_set_str(a, o, "type", c->type);
	json_set_str(a, o, "status", value ? "True" : "False");
	json_set_str(a, o, "reason", reason);
	json_set_str(a, o, "message", message);
	json_set_str(a, o, "lastTransitionTime", time_format(c->since, text));
}

static void add_conditions(struct node *n, struct arena *a, struct json *status)
{
	const struct agent *g = n->agent;
	struct json *list = json_set(a, status, "conditions", json_array(a));
	bool probing = g->accel == ACCEL_UNKNOWN;

	if (!g->hypervisor_up)
		add_condition(a, list, &n->ready, false, "HypervisorUnavailable", g->hypervisor_reason);
	else if (!g->inventoried)
		add_condition(a, list, &n->ready, false, "TakingStock", "the VMs on this host are being listed");
	else if (probing)
		add_condition(a, list, &n->ready, false, "ProbingHardware",
			      "a VM is being booted to see whether KVM works here");
	else
		add_condition(a, list, &n->ready, true, "AgentReady", "the agent runs VMs");
	add_condition(a, list, &n->hardware, g->accel == ACCEL_USE_KVM,
		      probing			  ? "Probing"
		      : g->accel == ACCEL_USE_KVM ? "KVM"
						  : "TCG",
		      probing ? "not known yet" : g->accel_reason);
}

static struct json *build_status(struct node *n, struct arena *a)
{
	struct json *s = json_object(a);
	struct json *addresses = json_set(a, s, "addresses", json_array(a));

	add_capacity(n, a, s);
	add_address(a, addresses, "InternalIP", n->agent->cfg->address);
	add_address(a, addresses, "Hostname", n->agent->cfg->node_name);
	json_set_int(a, json_ensure_object(a, json_ensure_object(a, s, "daemonEndpoints"), "kubeletEndpoint"), "Port",
		     port_number(n->agent->port));
	add_info(n, a, s);
	add_conditions(n, a, s);
	json_set(a, s, "images", image_list_json(n->agent->images, a));
	json_set(a, s, "prefetch", image_prefetch_json(n->agent->images, a));
	return s;
}

/* ---- calls ---- */

static void on_soon(uv_timer_t *t)
{
	struct node *n = t->data;

	if (n->registered)
		write_status(n);
	else
		registration(n);
}

static void again_in(struct node *n, uint64_t ms)
{
	if (!uv_is_active((uv_handle_t *)&n->soon))
		uv_timer_start(&n->soon, on_soon, ms, 0);
}

void node_changed(struct node *n)
{
	if (n)
		again_in(n, SOON_MS);
}

struct status_call {
	struct node *node;
	char *text;
};

static void on_status_written(void *user, int err, _unused_ const struct json *object, const struct error *e)
{
	struct status_call *c = user;
	struct node *n = c->node;

	n->status_in_flight = false;
	if (err == 0) {
		free(n->sent);
		n->sent = steal(&c->text);
		n->sent_at = time_mono_ms();
		if (n->status_again)
			node_changed(n);
	} else {
		log_warn("node status not written", "error", e->text, NULL);
		if (err == -E_NOT_FOUND)
			n->registered = false; /* somebody deleted the Node: make it anew */
		again_in(n, RETRY_MS);
	}
	free(c->text);
	free(c);
}

static void write_status(struct node *n)
{
	_arena_ a = arena_new();

	if (n->status_in_flight) {
		n->status_again = true;
		return;
	}
	n->status_again = false;
	struct json *status = build_status(n, a);
	const char *text = json_to_string(a, status);
	if (streq(n->sent, text) && time_mono_ms() - n->sent_at < STATUS_PERIOD_MS)
		return;
	struct json *body = json_object(a);
	json_set(a, body, "status", status);
	struct status_call *c = xcalloc(1, sizeof(*c));
	c->node = n;
	c->text = xstrdup(text);
	n->status_in_flight = true;
	const struct kube_call call = {.method = "PATCH",
				       .path = kube_path(a, &KUBE_NODES, NULL, n->agent->cfg->node_name, "status"),
				       .patch = KUBE_PATCH_MERGE,
				       .body = body,
				       .timeout_ms = 15000};
	kube_start(n->agent->kube, &call, on_status_written, c);
}

static struct json *node_object(struct node *n, struct arena *a)
{
	const struct agent_config *cfg = n->agent->cfg;
	struct json *o = json_object(a), *metadata = json_ensure_object(a, o, "metadata");
	struct json *labels = json_ensure_object(a, metadata, "labels"), *spec = json_ensure_object(a, o, "spec");

	json_set_str(a, o, "apiVersion", "v1");
	json_set_str(a, o, "kind", "Node");
	json_set_str(a, metadata, "name", cfg->node_name);
	json_set_str(a, labels, "topology.kubernetes.io/zone", cfg->location);
	json_set_str(a, labels, "kubernetes.io/hostname", cfg->node_name);
	json_set_str(a, labels, "kubernetes.io/os", "linux");
	json_set_str(a, labels, "kubernetes.io/arch", "amd64");
	json_set_str(a, spec, "podCIDR", cfg->vm_cidr_text);
	return o;
}

static void on_registered(void *user, int err, _unused_ const struct json *object, const struct error *e)
{
	struct node *n = user;

	if (err && err != -E_ALREADY_EXISTS) {
		log_warn("node not registered", "node", n->agent->cfg->node_name, "error", e->text, NULL);
		again_in(n, RETRY_MS);
		return;
	}
	n->registered = true;
	free(steal(&n->sent));
	log_info("node registered", "node", n->agent->cfg->node_name, "location", n->agent->cfg->location, NULL);
	write_status(n);
}

static void on_patched(void *user, int err, const struct json *object, const struct error *e)
{
	struct node *n = user;
	_arena_ a = arena_new();

	if (err != -E_NOT_FOUND) {
		on_registered(user, err, object, e);
		return;
	}
	const struct kube_call call = {.method = "POST",
				       .path = kube_path(a, &KUBE_NODES, NULL, NULL, NULL),
				       .body = node_object(n, a),
				       .timeout_ms = 15000};
	kube_start(n->agent->kube, &call, on_registered, n);
}

/* Brings labels and range of a Node that exists up to date; one that does not is made. */
static void registration(struct node *n)
{
	_arena_ a = arena_new();
	const struct kube_call call = {.method = "PATCH",
				       .path = kube_path(a, &KUBE_NODES, NULL, n->agent->cfg->node_name, NULL),
				       .patch = KUBE_PATCH_MERGE,
				       .body = node_object(n, a),
				       .timeout_ms = 15000};

	kube_start(n->agent->kube, &call, on_patched, n);
}

/* ---- lease ---- */

static struct json *lease_object(struct node *n, struct arena *a)
{
	struct json *o = json_object(a), *metadata = json_ensure_object(a, o, "metadata"),
		    *spec = json_ensure_object(a, o, "spec");
	char now[TIME_TEXT_MAX];

	json_set_str(a, o, "apiVersion", "coordination.k8s.io/v1");
	json_set_str(a, o, "kind", "Lease");
	json_set_str(a, metadata, "name", n->agent->cfg->node_name);
	json_set_str(a, metadata, "namespace", "kube-node-lease");
	json_set_str(a, spec, "holderIdentity", n->agent->cfg->node_name);
	json_set_int(a, spec, "leaseDurationSeconds", NODE_LEASE_SECONDS);
	json_set_str(a, spec, "renewTime", time_format_micro(time_now_ms(), now));
	return o;
}

static void on_renewed(void *user, int err, _unused_ const struct json *object, const struct error *e)
{
	struct node *n = user;

	n->lease_in_flight = false;
	metric_add(&heartbeats, err ? "failed" : "ok", 1);
	if (err)
		log_warn("lease not renewed", "error", e->text, NULL);
}

static void on_lease_patched(void *user, int err, const struct json *object, const struct error *e)
{
	struct node *n = user;
	_arena_ a = arena_new();

	if (err != -E_NOT_FOUND) {
		on_renewed(user, err, object, e);
		return;
	}
	const struct kube_call call = {.method = "POST",
				       .path = kube_path(a, &KUBE_LEASES, "kube-node-lease", NULL, NULL),
				       .body = lease_object(n, a),
				       .timeout_ms = NODE_HEARTBEAT_MS - 1000};
	kube_start(n->agent->kube, &call, on_renewed, n);
}

static void on_heartbeat(uv_timer_t *t)
{
	struct node *n = t->data;
	_arena_ a = arena_new();

	if (n->lease_in_flight)
		return;
	n->lease_in_flight = true;
	const struct kube_call call = {
		.method = "PATCH",
		.path = kube_path(a, &KUBE_LEASES, "kube-node-lease", n->agent->cfg->node_name, NULL),
		.patch = KUBE_PATCH_MERGE,
		.body = lease_object(n, a),
		.timeout_ms = NODE_HEARTBEAT_MS - 1000};
	kube_start(n->agent->kube, &call, on_lease_patched, n);
	node_changed(n);
}

struct node *node_start(struct agent *g)
{
	struct node *n = xcalloc(1, sizeof(*n));

	n->agent = g;
	n->ready.type = "Ready";
	n->hardware.type = "HardwareVirtualization";
	uv_timer_init(g->loop, &n->heartbeat);
	uv_timer_init(g->loop, &n->soon);
	n->heartbeat.data = n->soon.data = n;
	uv_timer_start(&n->heartbeat, on_heartbeat, 0, NODE_HEARTBEAT_MS);
	again_in(n, 0);
	return n;
}
