/*
 * stock.c - takes stock of what runs on this host already, and keeps the packet rules as they should be.
 *
 * The first time everything that is found becomes an instance, whose Instance object then says what to do with it;
 * later times, after the connection to libvirt was lost, VMs that ended meanwhile are noticed.
 */
#include "agent/stock.h"

#include <stdio.h>

#include "agent/gateways.h"
#include "agent/instance.h"
#include "agent/node.h"
#include "lib/log.h"

#define CONNECT_RETRY_MS 1000

struct stock_job {
	uv_work_t req;
	struct agent *agent;
	struct arena *a;
	struct vm_found *found;
	size_t found_count;
	const char **taps;
	size_t tap_count;
	struct error error;
	int result;
};

static void stock_work(uv_work_t *req)
{
	struct stock_job *j = req->data;
	struct agent *g = j->agent;

	if ((j->result = vm_host_connect(g->vms, &j->error)) == 0)
		j->result = vm_host_list(g->vms, g->owner, j->a, &j->found, &j->found_count, &j->error);
	if (j->result == 0)
		j->result = net_tap_list(g->owner, j->a, &j->taps, &j->tap_count, &j->error);
}

/* The VMs whose rules must be there. */
static size_t net_vms(struct agent *g, struct arena *a, struct net_vm **ret)
{
	size_t position = 0, n = 0;
	struct net_vm *list = arena_calloc(a, (strmap_count(g->by_uid) + 1) * sizeof(*list));
	void *value;

	while (strmap_next(g->by_uid, &position, NULL, &value)) {
		struct instance *i = value;
		if (*i->facts.address && (i->seen.stage != STAGE_NONE || i->seen.dirty))
			list[n++] = (struct net_vm){
				.tap = i->tap, .address = i->facts.address, .internet = i->record.internet};
	}
	*ret = list;
	return n;
}

static void rules_text(struct agent *g, struct arena *a, struct buf *out)
{
	const char *dns[CONFIG_DNS_MAX];
	struct net_vm *list;
	size_t gateway_count, n = net_vms(g, a, &list);
	const char *const *gateways = gateways_now(g->gateways, &gateway_count);

	for (size_t i = 0; i < g->cfg->dns_count; i++)
		dns[i] = g->cfg->dns[i];
	const struct net_rules rules = {.table = g->cfg->nft_table,
					.gateway_uid = g->cfg->gateway_uid,
					.gateways = gateways,
					.gateway_count = gateway_count,
					.dns = dns,
					.dns_count = g->cfg->dns_count};
	net_nft_table(&rules, list, n, out);
}

static bool tap_is_known(struct agent *g, const char *tap)
{
	size_t position = 0;
	void *value;

	while (strmap_next(g->by_uid, &position, NULL, &value))
		if (streq(((struct instance *)value)->tap, tap))
			return true;
	return false;
}

static void load_records(struct agent *g)
{
	_arena_ a = arena_new();
	struct error e = {0};
	const char **uids;
	size_t n;

	if (record_list(a, g->cfg->state_dir, &uids, &n, &e) < 0) {
		log_warn("records of instances not read", "error", e.text, NULL);
		return;
	}
	for (size_t i = 0; i < n; i++)
		instance_load(g, uids[i]);
}

/* The first time: everything found becomes an instance, whose Instance object then says what to do with it. */
static void take_over(struct stock_job *j)
{
	struct agent *g = j->agent;
	_buf_ rules = BUF_INIT(8U << 20);
	struct error e = {0};

	load_records(g);
	for (size_t i = 0; i < j->found_count; i++)
		instance_adopt(g, &j->found[i]);
	for (size_t i = 0; i < j->tap_count; i++)
		if (!tap_is_known(g, j->taps[i]) && net_tap_remove(j->taps[i], &e) < 0)
			log_warn("an orphaned tap could not be removed", "tap", j->taps[i], "error", e.text, NULL);
	rules_text(g, j->a, &rules);
	if (net_nft_load(&rules, &e) < 0) {
		snprintf(g->hypervisor_reason, sizeof(g->hypervisor_reason), "%.200s", e.text);
		g->hypervisor_up = false;
		log_error("packet rules not loaded: no VM is started", "error", e.text, NULL);
		return;
	}
	g->inventoried = true;
	gateways_loaded(g->gateways);
	log_info("took stock", "vms", log_num((int64_t)j->found_count), "instances",
		 log_num((int64_t)strmap_count(g->by_uid)), NULL);
}

static bool is_found(const struct stock_job *j, const char *domain)
{
	for (size_t i = 0; i < j->found_count; i++)
		if (streq(j->found[i].domain, domain))
			return true;
	return false;
}

/* Later times, after the connection was lost: VMs that ended meanwhile are noticed. */
static void compare(struct stock_job *j)
{
	size_t position = 0, n = 0;
	struct instance **gone = arena_calloc(j->a, (strmap_count(j->agent->by_uid) + 1) * sizeof(*gone));
	void *value;

	while (strmap_next(j->agent->by_uid, &position, NULL, &value)) {
		struct instance *i = value;
		if (instance_has_vm(i) && i->seen.stage != STAGE_CREATING && !is_found(j, i->domain))
			gone[n++] = i;
	}
	for (size_t k = 0; k < n; k++)
		instance_vm_gone(gone[k]);
}

static void on_retry(uv_timer_t *t)
{
	stock_take(t->data);
}

static void stock_done(uv_work_t *req, _unused_ int status)
{
	struct stock_job *j = req->data;
	struct agent *g = j->agent;

	g->hypervisor_up = j->result == 0;
	if (j->result < 0) {
		if (!streq(g->hypervisor_reason, j->error.text))
			log_warn("libvirt does not answer", "error", j->error.text, NULL);
		snprintf(g->hypervisor_reason, sizeof(g->hypervisor_reason), "%.250s", j->error.text);
	} else if (!g->inventoried) {
		take_over(j);
	} else {
		compare(j);
	}
	if (!g->hypervisor_up)
		uv_timer_start(&g->reconnect, on_retry, CONNECT_RETRY_MS, 0);
	else if (g->accel == ACCEL_UNKNOWN)
		agent_probe(g);
	arena_free(j->a);
	free(j);
	g->stock_taking = false;
	node_changed(g->node);
	agent_sync_all(g);
}

void stock_take(struct agent *g)
{
	if (g->stock_taking)
		return;
	struct stock_job *j = xcalloc(1, sizeof(*j));
	j->agent = g;
	j->a = arena_new();
	j->req.data = j;
	g->stock_taking = true;
	uv_queue_work(g->loop, &j->req, stock_work, stock_done);
}

/* ---- the guard of the rules ---- */

struct rules_job {
	uv_work_t req;
	struct agent *agent;
	struct buf text;
	struct error error;
	int result;
};

static void rules_work(uv_work_t *req)
{
	struct rules_job *j = req->data;

	bool changed = false;

	if (net_forwarding_enable(&changed, &j->error) == 0 && changed)
		log_warn("IPv4 forwarding was off: it is turned on again", NULL);
	if (net_nft_exists(j->agent->cfg->nft_table))
		return;
	log_warn("the table of packet rules is gone: it is loaded again", "table", j->agent->cfg->nft_table, NULL);
	j->result = net_nft_load(&j->text, &j->error);
}

static void rules_done(uv_work_t *req, _unused_ int status)
{
	struct rules_job *j = req->data;

	if (j->result < 0)
		log_error("packet rules not loaded", "error", j->error.text, NULL);
	buf_free(&j->text);
	free(j);
}

/* Somebody may flush all rules of the host, and without them a VM would be open to it; or turn off forwarding. */
void stock_guard_rules(struct agent *g)
{
	_arena_ a = arena_new();
	struct rules_job *j = xcalloc(1, sizeof(*j));

	j->agent = g;
	j->req.data = j;
	j->text = BUF_INIT(8U << 20);
	rules_text(g, a, &j->text);
	uv_queue_work(g->loop, &j->req, rules_work, rules_done);
}
