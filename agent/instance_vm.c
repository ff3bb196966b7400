/*
 * instance_vm.c - makes and removes an instance's VM with all that belongs to it, on worker threads.
 *
 * A job gets copies of everything it needs and touches the instance only when it is back on the loop; while a job runs
 * the instance is in the stage CREATING or DESTROYING, which nothing else leaves.
 */
#include <stdio.h>

#include "agent/disk.h"
#include "agent/instance.h"
#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"

static struct metric create_seconds = METRIC_HISTOGRAM("berth_agent_vm_create_seconds", "Making a VM, by part", "part");
static struct metric failures = METRIC_COUNTER("berth_agent_vm_failures_total", "VM operations that failed",
					       "operation");

struct vm_job {
	uv_work_t req;
	struct agent *agent;
	struct arena *a;
	const char *uid, *dir, *table, *mac;
	char domain[VM_NAME_MAX];
	struct vm_spec spec;
	struct net_vm net;
	int64_t disk_bytes;
	int64_t disk_done, created; /* wall clock, ms */
	int result;
	struct error error;
};

static const char *socket_path(struct arena *a, const struct instance *i)
{
	/* Short, because a socket's address holds 107 bytes. */
	return arena_printf(a, "%s/run/%.8s.sock", i->agent->cfg->state_dir, i->uid);
}

static struct vm_job *job_new(struct instance *i)
{
	struct arena *a = arena_new();
	struct vm_job *j = xcalloc(1, sizeof(*j));
	char mac[18];

	vm_mac(i->uid, mac);
	j->req.data = j;
	j->agent = i->agent;
	j->a = a;
	j->uid = arena_strdup(a, i->uid);
	j->dir = instance_dir(i, a);
	j->table = i->agent->cfg->nft_table;
	j->mac = arena_strdup(a, mac);
	j->net = (struct net_vm){.tap = arena_strdup(a, i->tap), .address = arena_strdup(a, i->facts.address)};
	j->spec.socket = socket_path(a, i);
	snprintf(j->domain, sizeof(j->domain), "%s", i->domain);
	return j;
}

/* The instance a finished job was for; jobs keep it alive, so it is there. */
static struct instance *job_done(struct vm_job *j)
{
	struct instance *i = strmap_get(j->agent->by_uid, j->uid);

	i->job = false;
	return i;
}

static void job_free(struct vm_job *j)
{
	arena_free(j->a);
	free(j);
}

/* ---- create ---- */

static int load_rules(struct vm_job *j, void change(const char *table, const struct net_vm *vm, struct buf *out))
{
	_buf_ text = BUF_INIT(4096);

	change(j->table, &j->net, &text);
	return net_nft_load(&text, &j->error);
}

/* The rules are there before the tap is up, and the tap before the VM runs. */
static int make_network(struct vm_job *j)
{
	int r;

	if ((r = net_tap_create(j->net.tap, j->spec.id.owner, &j->error)) < 0 || (r = load_rules(j, net_nft_add)) < 0)
		return r;
	return net_tap_up(j->net.tap, j->net.address, j->mac, &j->error);
}

static void create_work(uv_work_t *req)
{
	struct vm_job *j = req->data;
	_buf_ xml = BUF_INIT(65536);
	int64_t begun = time_now_ms();

	if ((j->result = dir_make(j->dir, 0711, &j->error)) < 0 || (j->result = make_network(j)) < 0 ||
	    (j->result = disk_create(j->agent->cfg->state_dir, j->spec.disk, j->disk_bytes, &j->error)) < 0)
		return;
	unlink(j->spec.socket);
	j->disk_done = time_now_ms();
	metric_observe(&create_seconds, "disk and network", (double)(j->disk_done - begun) / 1000);
	domain_xml(&j->spec, &xml);
	j->result = xml.over ? error_set(&j->error, E_TOO_LARGE, "the VM's description is too long")
			     : vm_host_create(j->agent->vms, xml.data, &j->error);
	j->created = time_now_ms();
	metric_observe(&create_seconds, "domain", (double)(j->created - j->disk_done) / 1000);
}

static void on_created(uv_work_t *req, _unused_ int status)
{
	struct vm_job *j = req->data;
	struct instance *i = job_done(j);

	i->facts.wake.disk = j->disk_done;
	i->facts.wake.created = j->created;
	if (j->result < 0) {
		metric_add(&failures, "create", 1);
		log_error("VM could not be made", "instance", i->name, "namespace", i->ns, "error", j->error.text,
			  NULL);
		instance_set_reason(i, "VMCreateFailed", j->error.text);
		job_free(j);
		instance_note(i, EVENT_CREATE_FAILED);
		return;
	}
	log_info("VM started", "instance", i->name, "namespace", i->ns, "domain", i->domain, "address",
		 i->facts.address, NULL);
	instance_set_reason(i, "Booting", "the VM boots");
	job_free(j);
	instance_channel_open(i, false);
	instance_note(i, EVENT_CREATED);
}

static bool take_address(struct instance *i)
{
	struct error e = {0};

	if (i->address_held)
		return true;
	if (net_address_take(i->agent->addresses, i->facts.address, &e) < 0) {
		instance_set_reason(i, "NoAddress", e.text);
		return false;
	}
	i->address_held = true;
	return true;
}

static void fill_spec(struct vm_job *j, struct instance *i, const char *image)
{
	const struct agent_config *cfg = i->agent->cfg;
	const struct launch *l = &i->launch.l;

	j->spec.id = (struct vm_identity){.owner = i->agent->owner,
					  .ns = arena_strdup(j->a, i->ns),
					  .name = arena_strdup(j->a, i->name),
					  .uid = j->uid,
					  .revision = arena_strdup(j->a, i->vm_revision),
					  .generation = i->seen.generation,
					  .address = j->net.address,
					  .tap = j->net.tap};
	j->spec.kvm = i->agent->accel == ACCEL_USE_KVM;
	j->spec.kernel = cfg->kernel;
	j->spec.initrd = cfg->initrd;
	j->spec.image = arena_strdup(j->a, image);
	j->spec.disk = arena_printf(j->a, "%s/disk.img", j->dir);
	j->spec.console = arena_printf(j->a, "%s/console.log", j->dir);
	j->spec.memory = l->memory;
	j->spec.milli_vcpu = l->milli_vcpu;
	j->disk_bytes = l->disk;
	j->net.internet = l->internet;
}

void instance_vm_create(struct instance *i)
{
	struct image_status image;
	int64_t now = time_mono_ms();

	if (!image_get(i->agent->images, i->launch.l.digest, &image) || image.phase != IMAGE_READY || !take_address(i))
		return;
	reconcile_begin(&i->seen, i->want.generation, now);
	vm_name(i->uid, i->seen.generation, i->domain);
	snprintf(i->vm_revision, sizeof(i->vm_revision), "%s", i->launch.revision);
	snprintf(i->facts.revision, sizeof(i->facts.revision), "%s", i->launch.revision);
	snprintf(i->facts.digest, sizeof(i->facts.digest), "%s", i->launch.l.digest);
	instance_set_reason(i, "Creating", "the VM is being made");
	i->facts.boot_id[0] = 0;
	/* Not the start that was asked for, but one after it. */
	if (i->facts.wake.created || i->facts.wake.resumed || !i->facts.wake.seen) {
		memset(&i->facts.wake, 0, sizeof(i->facts.wake));
		i->facts.wake.seen = time_now_ms();
	}
	i->facts.wake.begun = time_now_ms();
	i->queued_since = 0;
	i->limited = i->term_pending = false;
	i->boosted_until = INT64_MAX;
	i->record.grace_ms = i->launch.l.grace_ms;
	i->record.internet = i->launch.l.internet;
	i->record.suspend = i->launch.l.suspend;
	i->record.generation = i->record.made_as = i->seen.generation;
	i->record.term_since = i->record.ready_at = 0;
	i->record.app_started = i->record.ready = i->record.resuming = false;
	i->record.started_at = time_now_ms();
	instance_save(i);

	struct vm_job *j = job_new(i);
	fill_spec(j, i, image.path);
	i->job = true;
	uv_queue_work(i->agent->loop, &j->req, create_work, on_created);
}

/* ---- destroy ---- */

static void destroy_work(uv_work_t *req)
{
	struct vm_job *j = req->data;
	_free_ char *disk = xasprintf("%s/disk.img", j->dir);

	if ((j->result = vm_host_destroy(j->agent->vms, j->domain, &j->error)) < 0 ||
	    (j->result = net_tap_remove(j->net.tap, &j->error)) < 0)
		return;
	if (*j->net.address && (j->result = load_rules(j, net_nft_remove)) < 0)
		return;
	unlink(j->spec.socket);
	unlink(disk);
}

static void on_destroyed(uv_work_t *req, _unused_ int status)
{
	struct vm_job *j = req->data;
	struct instance *i = job_done(j);
	bool failed = j->result < 0;

	if (failed) {
		metric_add(&failures, "destroy", 1);
		log_error("VM could not be removed", "instance", i->name, "namespace", i->ns, "error", j->error.text,
			  NULL);
	} else {
		if (i->address_held)
			net_address_release(i->agent->addresses, i->facts.address);
		i->address_held = false;
		i->facts.address[0] = i->facts.boot_id[0] = 0;
		log_info("VM removed", "instance", i->name, "namespace", i->ns, "domain", i->domain, NULL);
	}
	job_free(j);
	instance_note(i, failed ? EVENT_DESTROY_FAILED : EVENT_DESTROYED);
}

void instance_vm_destroy(struct instance *i)
{
	struct vm_job *j = job_new(i);

	instance_channel_close(i);
	reconcile_note(&i->seen, EVENT_DESTROYING, time_mono_ms());
	i->job = true;
	uv_queue_work(i->agent->loop, &j->req, destroy_work, on_destroyed);
}

void instance_vm_gone(struct instance *i)
{
	if (!instance_has_vm(i) || i->seen.stage == STAGE_CREATING)
		return;
	log_warn("VM ended by itself", "instance", i->name, "namespace", i->ns, "domain", i->domain, NULL);
	if (i->seen.stage == STAGE_RUNNING || i->seen.stage == STAGE_TERMINATING || i->seen.stage == STAGE_KILLING) {
		i->facts.last_exit.any = true;
		i->facts.last_exit.code = 0;
		i->facts.last_exit.signal = 9;
		i->facts.last_exit.reason = "VMStopped";
		i->facts.last_exit.time = time_now_ms();
	}
	instance_set_reason(i, "VMStopped", "the VM ended by itself; its console log on the node may say why");
	instance_channel_close(i);
	instance_note(i, EVENT_VM_GONE);
}

/* ---- suspend, resume ---- */

static void suspend_work(uv_work_t *req)
{
	struct vm_job *j = req->data;

	j->result = vm_host_suspend(j->agent->vms, j->domain, &j->error);
}

static void on_suspended(uv_work_t *req, _unused_ int status)
{
	struct vm_job *j = req->data;
	struct instance *i = job_done(j);
	bool failed = j->result < 0;

	if (failed) {
		metric_add(&failures, "suspend", 1);
		log_warn("VM could not be suspended", "instance", i->name, "namespace", i->ns, "error", j->error.text,
			 NULL);
	} else {
		log_info("VM suspended", "instance", i->name, "namespace", i->ns, "domain", i->domain, NULL);
		/* It has whole CPUs again, for its next wake. */
		i->limited = false;
		i->boosted_until = INT64_MAX;
	}
	job_free(j);
	instance_note(i, failed ? EVENT_SUSPEND_FAILED : EVENT_SUSPENDED);
}

void instance_vm_suspend(struct instance *i)
{
	struct vm_job *j = job_new(i);

	reconcile_note(&i->seen, EVENT_SUSPENDING, time_mono_ms());
	i->job = true;
	uv_queue_work(i->agent->loop, &j->req, suspend_work, on_suspended);
}

static void resume_work(uv_work_t *req)
{
	struct vm_job *j = req->data;

	j->result = vm_host_resume(j->agent->vms, j->domain, &j->error);
}

static void on_resumed(uv_work_t *req, _unused_ int status)
{
	struct vm_job *j = req->data;
	struct instance *i = job_done(j);
	int result = j->result;

	if (result < 0) {
		metric_add(&failures, "resume", 1);
		log_error("VM could not be resumed", "instance", i->name, "namespace", i->ns, "error", j->error.text,
			  NULL);
		instance_set_reason(i, "VMResumeFailed", j->error.text);
	} else {
		i->facts.wake.resumed = time_now_ms();
		instance_set_reason(i, "Resuming", "the VM was resumed and has not answered yet");
	}
	job_free(j);
	if (result == 0 && i->seen.stage == STAGE_RESUMING)
		instance_channel_resume(i);
	if (result < 0)
		instance_note(i, EVENT_RESUME_FAILED);
	else
		instance_sync(i);
}

void instance_vm_resume(struct instance *i)
{
	struct vm_job *j = job_new(i);

	reconcile_note(&i->seen, EVENT_RESUMING, time_mono_ms());
	i->job = true;
	uv_queue_work(i->agent->loop, &j->req, resume_work, on_resumed);
}

/* ---- CPU limit ---- */

static void limit_work(uv_work_t *req)
{
	struct vm_job *j = req->data;

	j->result = vm_host_limit_cpu(j->agent->vms, j->domain, j->spec.milli_vcpu, &j->error);
}

static void on_limited(uv_work_t *req, _unused_ int status)
{
	struct vm_job *j = req->data;
	struct instance *i = strmap_get(j->agent->by_uid, j->uid);

	if (j->result < 0 && i && streq(i->domain, j->domain) && instance_has_vm(i)) {
		metric_add(&failures, "limit", 1);
		log_warn("VM's CPU limit could not be set", "instance", i->name, "namespace", i->ns, "error",
			 j->error.text, NULL);
		i->limited = false; /* the next look tries again */
	}
	job_free(j);
}

void instance_vm_limit(struct instance *i)
{
	if (i->limited || !i->launch.arena || !instance_has_vm(i))
		return;
	struct vm_job *j = job_new(i);
	j->spec.milli_vcpu = i->launch.l.milli_vcpu;
	i->limited = true;
	uv_queue_work(i->agent->loop, &j->req, limit_work, on_limited);
}

/* ---- the end ---- */

static void forget_work(uv_work_t *req)
{
	struct vm_job *j = req->data;

	j->result = tree_remove(j->dir, &j->error);
}

static void on_forgotten(uv_work_t *req, _unused_ int status)
{
	struct vm_job *j = req->data;

	if (j->result < 0)
		log_warn("an instance's folder could not be removed", "uid", j->uid, "error", j->error.text, NULL);
	job_free(j);
}

void instance_vm_forget(struct instance *i)
{
	struct vm_job *j = job_new(i);

	uv_queue_work(i->agent->loop, &j->req, forget_work, on_forgotten);
}
