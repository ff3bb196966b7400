/*
 * agent.h - what the files of the agent share: one struct agent, made by agent.c, used on the loop's thread.
 *
 * Worker jobs never touch it but for cfg, owner, vms and pull_secrets, which do not change.
 */
#ifndef BERTH_AGENT_AGENT_H
#define BERTH_AGENT_AGENT_H

#include <uv.h>

#include "agent/config.h"
#include "agent/image_prefetch.h"
#include "agent/net.h"
#include "agent/post.h"
#include "agent/vm.h"
#include "lib/registry_secrets.h"
#include "lib/strmap.h"

#define AGENT_REASON_MAX 256
/* Jobs that wait for libvirt, disks or log files; more VMs than that at once wait in line. */
#define AGENT_WORKERS "12"

enum agent_accel_state { ACCEL_UNKNOWN, ACCEL_USE_KVM, ACCEL_USE_TCG };

struct agent {
	const struct agent_config *cfg;
	const char *owner; /* marks domains and taps as ours */
	struct vm_host *vms;

	uv_loop_t *loop;
	struct post *post;
	struct kube *kube;
	struct image_store *images;
	struct image_prefetch *prefetch;
	struct registry_secrets *pull_secrets;
	struct net_addresses *addresses;
	struct kube_informer *instances, *revisions;
	struct strmap *by_uid; /* struct instance */

	bool inventoried; /* what ran before this process is known */
	bool hypervisor_up;
	char hypervisor_reason[AGENT_REASON_MAX];
	char qemu_version[32], libvirt_version[32];
	enum agent_accel_state accel;
	char accel_reason[AGENT_REASON_MAX]; /* why, for people */

	struct gateways *gateways;
	struct node *node;
	struct port *port;
	uv_timer_t resync, reconnect;
	bool stock_taking, probing;
};

/* Starts everything on the loop. Errors are those of the configuration: what may pass by itself is retried. */
int agent_start(struct agent *g, const struct agent_config *cfg, uv_loop_t *loop, struct error *e);
/* May instances be acted on? */
bool agent_may_act(const struct agent *g);
/* The Instance and Revision objects now; NULL when there is none. */
const struct json *agent_revision(struct agent *g, const char *ns, const char *name);
/* Finds out whether KVM works, when libvirt answers; nothing while that is under way. */
void agent_probe(struct agent *g);
/* Looks at every instance again. */
void agent_sync_all(struct agent *g);

/* `berth-agent cleanup`: removes every trace of the agent whose state folder it is. Returns the exit code. */
int cleanup_main(const struct agent_config *cfg);

#endif
