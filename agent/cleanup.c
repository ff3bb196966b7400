/*
 * cleanup.c - `berth-agent cleanup`: takes away all that an agent with this state folder made on the host.
 *
 * Run while no agent runs on the folder. VMs first, then rules, taps, disks and logs; images stay, they are files of
 * the state folder like any other. Goes on after a failure and says at the end whether all is gone.
 */
#include <stdio.h>

#include "agent/agent.h"
#include "agent/record.h"
#include "lib/fsutil.h"
#include "lib/log.h"

static void ignore_event(_unused_ void *user, _unused_ enum vm_event ev, _unused_ const char *domain)
{
}

static int destroy_vms(const struct agent_config *cfg, const char *owner)
{
	_arena_ a = arena_new();
	struct error e = {0};
	struct vm_host *vms;
	struct vm_found *found;
	size_t n;
	int failed = 0;

	if (vm_host_new(cfg->hypervisor, ignore_event, NULL, &vms, &e) < 0 ||
	    vm_host_list(vms, owner, a, &found, &n, &e) < 0) {
		log_error("VMs not listed", "error", e.text, NULL);
		return 1;
	}
	for (size_t i = 0; i < n; i++) {
		if (vm_host_destroy(vms, found[i].domain, &e) < 0) {
			log_error("VM not removed", "domain", found[i].domain, "error", e.text, NULL);
			failed++;
		} else {
			log_info("VM removed", "domain", found[i].domain, NULL);
		}
	}
	return failed;
}

static int remove_taps(const char *owner)
{
	_arena_ a = arena_new();
	struct error e = {0};
	const char **taps;
	size_t n;
	int failed = 0;

	if (net_tap_list(owner, a, &taps, &n, &e) < 0) {
		log_error("taps not listed", "error", e.text, NULL);
		return 1;
	}
	for (size_t i = 0; i < n; i++) {
		if (net_tap_remove(taps[i], &e) == 0)
			continue;
		log_error("tap not removed", "tap", taps[i], "error", e.text, NULL);
		failed++;
	}
	return failed;
}

static int remove_rules(const struct agent_config *cfg)
{
	_buf_ text = BUF_INIT(1024);
	struct error e = {0};

	net_nft_delete(cfg->nft_table, &text);
	if (net_nft_load(&text, &e) == 0)
		return 0;
	log_error("packet rules not removed", "error", e.text, NULL);
	return 1;
}

static int remove_files(const struct agent_config *cfg)
{
	static const char *const names[] = {"instances",	  "run",      "templates", "kvm.json",
					    "forwarding-enabled", "gateways", "owner"};
	_arena_ a = arena_new();
	struct error e = {0};
	int failed = 0;

	if (access(arena_printf(a, "%s/forwarding-enabled", cfg->state_dir), F_OK) == 0 &&
	    net_forwarding_disable(&e) < 0) {
		log_error("IPv4 forwarding not turned off again", "error", e.text, NULL);
		failed++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (tree_remove(arena_printf(a, "%s/%s", cfg->state_dir, names[i]), &e) == 0)
			continue;
		log_error("not removed", "file", names[i], "error", e.text, NULL);
		failed++;
	}
	return failed;
}

int cleanup_main(const struct agent_config *cfg)
{
	_arena_ a = arena_new();
	struct error e = {0};
	const char *owner;

	if (access(arena_printf(a, "%s/owner", cfg->state_dir), F_OK) < 0) {
		log_info("no agent ever ran on this folder: nothing to do", "folder", cfg->state_dir, NULL);
		return 0;
	}
	if (record_owner(a, cfg->state_dir, &owner, &e) < 0) {
		log_error("cannot tell what belongs to this folder", "error", e.text, NULL);
		return 1;
	}
	/* What still runs keeps its rules, and what is not gone keeps its marks, so that it can be tried again. */
	int failed = destroy_vms(cfg, owner);
	if (!failed)
		failed = remove_rules(cfg) + remove_taps(owner);
	if (!failed)
		failed = remove_files(cfg);
	return failed ? 1 : 0;
}
