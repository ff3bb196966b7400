/*
 * agent.c - brings the parts together: starts them, passes events on.
 *
 * Order at start: the node port, the Node, informers and the connection to libvirt all begin at once; instances are
 * acted on when the VMs that run are known and both informers have listed (agent_may_act()).
 */
#include "agent/agent.h"

#include <stdio.h>

#include "agent/gateways.h"
#include "agent/instance.h"
#include "agent/memory.h"
#include "agent/node.h"
#include "agent/port.h"
#include "agent/probe.h"
#include "agent/stock.h"
#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"

#define RESYNC_MS 30000
#define FIRST_RESYNC_MS 5000
#define STATE_DIR_MAX 80 /* sockets are below it, and a socket's address holds 107 bytes */

static struct metric vms = METRIC_GAUGE("berth_agent_vms", "VMs that run", NULL);
static struct metric suspended_vms = METRIC_GAUGE("berth_agent_suspended_vms", "VMs that are suspended", NULL);

bool agent_may_act(const struct agent *g)
{
	return g->inventoried && kube_informer_synced(g->instances) && kube_informer_synced(g->revisions);
}

const struct json *agent_revision(struct agent *g, const char *ns, const char *name)
{
	return *name ? kube_informer_get(g->revisions, ns, name) : NULL;
}

/* Syncing may remove instances, so the walk is over a copy of their uids. */
void agent_sync_all(struct agent *g)
{
	_arena_ a = arena_new();
	size_t position = 0, n = 0, count = strmap_count(g->by_uid);
	const char **uids = arena_calloc(a, (count + 1) * sizeof(*uids));
	const char *uid;
	void *value;

	while (strmap_next(g->by_uid, &position, &uid, &value))
		uids[n++] = arena_strdup(a, uid);
	for (size_t i = 0; i < n; i++) {
		struct instance *instance = strmap_get(g->by_uid, uids[i]);
		if (instance)
			instance_sync(instance);
	}
}

/* ---- libvirt's events, from its thread ---- */

struct vm_message {
	struct agent *agent;
	enum vm_event event;
	char domain[VM_NAME_MAX];
};

static void on_vm_message(void *arg)
{
	struct vm_message *m = arg;
	struct instance *i;

	if (m->event == VM_STOPPED && (i = instance_by_domain(m->agent, m->domain)))
		instance_vm_gone(i);
	if (m->event == VM_DISCONNECTED) {
		log_warn("connection to libvirt lost; VMs go on", NULL);
		m->agent->hypervisor_up = false;
		snprintf(m->agent->hypervisor_reason, sizeof(m->agent->hypervisor_reason),
			 "the connection to libvirt was lost");
		node_changed(m->agent->node);
		stock_take(m->agent);
	}
	free(m);
}

static void on_vm_event(void *user, enum vm_event ev, const char *domain)
{
	struct agent *g = user;
	struct vm_message *m = xcalloc(1, sizeof(*m));

	*m = (struct vm_message){.agent = g, .event = ev};
	if (domain)
		snprintf(m->domain, sizeof(m->domain), "%s", domain);
	post_call(g->post, on_vm_message, m);
}

/* ---- KVM ---- */

struct probe_job {
	uv_work_t req;
	struct agent *agent;
	struct probe_result result;
	char qemu[32], libvirt[32];
};

static void probe_work(uv_work_t *req)
{
	struct probe_job *j = req->data;
	struct agent *g = j->agent;

	if (vm_host_versions(g->vms, j->qemu, j->libvirt, NULL) == 0)
		probe_run(g->cfg, g->vms, g->owner, j->qemu, &j->result);
}

static void probe_done(uv_work_t *req, _unused_ int status)
{
	struct probe_job *j = req->data;
	struct agent *g = j->agent;

	g->probing = false;
	if (!j->qemu[0]) {
		free(j); /* libvirt went away: the next connection probes */
		return;
	}
	memcpy(g->qemu_version, j->qemu, sizeof(j->qemu));
	memcpy(g->libvirt_version, j->libvirt, sizeof(j->libvirt));
	g->accel = j->result.kvm ? ACCEL_USE_KVM : ACCEL_USE_TCG;
	snprintf(g->accel_reason, sizeof(g->accel_reason), "%s", j->result.reason);
	log_info("accelerator chosen", "accelerator", j->result.kvm ? "kvm" : "tcg", "reason", g->accel_reason, NULL);
	free(j);
	node_changed(g->node);
	agent_sync_all(g);
}

void agent_probe(struct agent *g)
{
	if (g->probing)
		return;
	struct probe_job *j = xcalloc(1, sizeof(*j));
	j->agent = g;
	j->req.data = j;
	g->probing = true;
	uv_queue_work(g->loop, &j->req, probe_work, probe_done);
}

/* ---- informers, images, time ---- */

static void on_instance(void *user, enum kube_event ev, const struct json *old, const struct json *obj)
{
	struct agent *g = user;

	(void)old;
	if (ev == KUBE_SYNCED)
		agent_sync_all(g);
	else if (ev == KUBE_DELETED)
		instance_vanished(g, obj);
	else
		instance_observe(g, obj);
}

static void on_revision(void *user, enum kube_event ev, const struct json *old, const struct json *obj)
{
	struct agent *g = user;
	const char *ns = json_str(json_in(obj, "metadata", "namespace")),
		   *name = json_str(json_in(obj, "metadata", "name"));

	(void)old;
	if (ev == KUBE_SYNCED) {
		agent_sync_all(g);
	} else if (ev == KUBE_ADDED) {
		_arena_ a = arena_new();
		size_t position = 0, n = 0;
		struct instance **waiting = arena_calloc(a, (strmap_count(g->by_uid) + 1) * sizeof(*waiting));
		void *value;
		while (strmap_next(g->by_uid, &position, NULL, &value)) {
			struct instance *i = value;
			const struct json *object = kube_informer_get(g->instances, i->ns, i->name);
			if (streq(i->ns, ns) &&
			    (streq(json_str(json_in(object, "spec", "revision")), name) || streq(i->vm_revision, name)))
				waiting[n++] = i;
		}
		for (size_t k = 0; k < n; k++)
			instance_sync(waiting[k]);
	}
}

static void on_image(void *user, const struct image_status *s)
{
	struct agent *g = user;

	node_changed(g->node);
	if (s->phase == IMAGE_READY || s->phase == IMAGE_FAILED)
		agent_sync_all(g);
}

static void on_resync(uv_timer_t *t)
{
	struct agent *g = t->data;
	size_t position = 0, running = 0, suspended = 0;
	void *value;

	if (!g->inventoried)
		return;
	stock_guard_rules(g);
	while (strmap_next(g->by_uid, &position, NULL, &value)) {
		suspended += instance_is_suspended(value);
		running += instance_has_vm(value) && !instance_is_suspended(value);
	}
	metric_set(&vms, NULL, (double)running);
	metric_set(&suspended_vms, NULL, (double)suspended);
	agent_sync_all(g);
	memory_trim();
}

/* ---- start ---- */

static int make_folders(struct agent *g, struct error *e)
{
	_arena_ a = arena_new();
	static const char *const folders[] = {"instances", "run", "templates"};
	int r;

	if (strlen(g->cfg->state_dir) > STATE_DIR_MAX)
		return error_set(e, E_BAD_REQUEST,
				 "--state-dir: %s is longer than %d characters: no room for sockets below it",
				 g->cfg->state_dir, STATE_DIR_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if ((r = dir_make(arena_printf(a, "%s/%s", g->cfg->state_dir, folders[i]), 0711, e)) < 0)
			return r;
	return 0;
}

/* Remembered, so that cleanup can undo it. */
static int enable_forwarding(struct agent *g, struct error *e)
{
	_arena_ a = arena_new();
	bool changed;
	int r = net_forwarding_enable(&changed, e);

	if (r < 0 || !changed)
		return r;
	return file_write_atomic(arena_printf(a, "%s/forwarding-enabled", g->cfg->state_dir), "", 0, 0644, e);
}

static int start_kube(struct agent *g, struct error *e)
{
	static struct arena *forever;
	struct kube_config kc;
	int r;

	forever = arena_new();
	if ((r = kube_config_load(forever, g->cfg->kubeconfig, NULL, &kc, e)) < 0 ||
	    (r = registry_secrets_new(&kc, "berth-agent/" BERTH_VERSION, &g->pull_secrets, e)) < 0)
		return r;
	return kube_new(&kc, g->loop, "berth-agent/" BERTH_VERSION, &g->kube, e);
}

/* On a thread of the image store. */
static int read_pull_secrets(void *user, const struct json *names, struct arena *a, struct registry_keys *ret,
			     struct error *e)
{
	struct agent *g = user;

	return registry_secrets_read(g->pull_secrets, names, a, ret, e);
}

static int start_images(struct agent *g, struct error *e)
{
	struct image_store_options opt = {.state_dir = g->cfg->state_dir,
					  .registry = g->cfg->registry,
					  .read_keys = read_pull_secrets,
					  .changed = on_image,
					  .user = g};

	return image_store_open(g->loop, &opt, &g->images, e);
}

static void start_informers(struct agent *g)
{
	static char selector[300];
	const struct kube_informer_options mine = {.field_selector = selector};

	snprintf(selector, sizeof(selector), "spec.nodeName=%s", g->cfg->node_name);
	g->revisions = kube_informer_start(g->kube, &KUBE_REVISIONS, NULL, on_revision, g);
	g->instances = kube_informer_start(g->kube, &KUBE_INSTANCES, &mine, on_instance, g);
}

int agent_start(struct agent *g, const struct agent_config *cfg, uv_loop_t *loop, struct error *e)
{
	static struct arena *forever;
	int r;

	forever = arena_new();
	*g = (struct agent){.cfg = cfg, .loop = loop};
	snprintf(g->hypervisor_reason, sizeof(g->hypervisor_reason), "not connected yet");
	g->by_uid = strmap_new();
	g->post = post_new(loop);
	g->addresses = net_addresses_new(cfg->cidr_base, cfg->cidr_bits);
	uv_timer_init(loop, &g->resync);
	uv_timer_init(loop, &g->reconnect);
	g->resync.data = g->reconnect.data = g;
	if ((r = make_folders(g, e)) < 0 || (r = record_owner(forever, cfg->state_dir, &g->owner, e)) < 0 ||
	    (r = enable_forwarding(g, e)) < 0 || (r = start_kube(g, e)) < 0 || (r = start_images(g, e)) < 0 ||
	    (r = vm_host_new(cfg->hypervisor, on_vm_event, g, &g->vms, e)) < 0 || (r = port_start(g, &g->port, e)) < 0)
		return r;
	start_informers(g);
	g->gateways = gateways_start(g);
	g->prefetch = image_prefetch_start(g->kube, g->images, cfg->location);
	g->node = node_start(g);
	stock_take(g);
	uv_timer_start(&g->resync, on_resync, FIRST_RESYNC_MS, RESYNC_MS);
	return 0;
}
