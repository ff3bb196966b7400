/*
 * launch.h - what to run for an Instance: its Revision, turned into a VM's size and the guest's START message.
 *
 * Pure. Ownership: everything belongs to the arena given to launch_from().
 * Source of the command rules: Kubernetes, "Define a Command and Arguments for a Container"; of $(VAR):
 * k8s.io/kubernetes/third_party/forked/golang/expansion.
 */
#ifndef BERTH_AGENT_LAUNCH_H
#define BERTH_AGENT_LAUNCH_H

#include "agent/reconcile.h"
#include "lib/channel.h"
#include "lib/json.h"

struct launch {
	const char *image, *digest; /* "registry/repository@digest", "sha256:…" */
	const char *revision;
	const char **argv, **env; /* NULL-terminated; env as NAME=value */
	const char *cwd, *user;	  /* "" for the default */
	const char **volumes;	  /* NULL-terminated */
	int64_t memory, milli_vcpu, disk;
	enum restart_policy restart;
	int64_t grace_ms;
	bool internet, suspend;
	struct {
		const char *kind, *path; /* "tcp", "http", "none" */
		int64_t port, period_ms, timeout_ms, failures;
	} probe;
};

/* Errors: E_INVALID naming the field of the Revision at fault (there is nothing to run, a size that is no quantity). */
int launch_from(struct arena *a, const struct json *instance, const struct json *revision, const char *location,
		struct launch *ret, struct error *e);

struct launch_network {
	const char *address, *gateway, *instance;
	const char *const *dns;
	size_t dns_count;
};
/* The START frame; frame holds CHANNEL_FRAME_MAX bytes. Errors: E_TOO_LARGE. */
int launch_frame(const struct launch *l, const struct launch_network *n, int64_t now_ns, const uint8_t entropy[32],
		 uint8_t *frame, size_t *ret_len, struct error *e);

/* text with $(NAME) replaced from env (NAME=value), $$ by $; unknown names stay as they are. For tests. */
const char *launch_expand(struct arena *a, const char *text, const char *const *env, size_t env_count);

#endif
