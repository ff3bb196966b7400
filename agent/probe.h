/*
 * probe.h - does KVM work here? Found out by booting a VM, because /dev/kvm can exist and not work.
 *
 * The answer is kept in <state_dir>/kvm.json for this boot of the host and this QEMU. Blocking; runs on a worker
 * thread.
 */
#ifndef BERTH_AGENT_PROBE_H
#define BERTH_AGENT_PROBE_H

#include "agent/config.h"
#include "agent/vm.h"

#define PROBE_LIMIT_MS 25000

struct probe_result {
	bool kvm;
	char reason[256]; /* for people */
};
/* Never fails: what goes wrong is a reason against KVM. */
void probe_run(const struct agent_config *cfg, struct vm_host *vms, const char *owner, const char *qemu_version,
	       struct probe_result *ret);

#endif
