/*
 * cgroup.h - the app and exec sessions in control groups of their own, beside PID 1.
 *
 * PID 1 stays in the root group, so it keeps its share of CPU against any number of app processes; the app cannot have
 * the last memory or the last process id. All files are opened before the app runs and read by descriptor later:
 * nothing the app mounts over /sys or /proc is ever met. Called by machine.c and stats.c.
 */
#ifndef BERTH_GUEST_CGROUP_H
#define BERTH_GUEST_CGROUP_H

#include "lib/base.h"

/* Of what is free before the app starts, this stays for PID 1 and the kernel. */
#define CGROUP_MEMORY_RESERVE (8U * 1024 * 1024)
#define CGROUP_PIDS_RESERVE 128U

struct cgroup {
	int app, exec; /* their folders: children are born in one of them */
	int app_kill, app_events;
	int cpu, memory, memory_detail, pids;
};

/* Makes the groups. What the kernel lacks is said and stays -1; every use copes with that. */
void cgroup_init(struct cgroup *c);
/* Kills every process of the app's group, whatever it did to escape being a child. */
void cgroup_kill_app(const struct cgroup *c);
/* How many processes of the app's group the kernel has killed for memory. */
uint64_t cgroup_oom_kills(const struct cgroup *c);

#endif
