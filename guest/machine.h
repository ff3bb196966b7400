/*
 * machine.h - PID 1 as a machine: the app's state, what may happen in it, and one table saying what then is done.
 *
 * machine_step() is one turn of the loop and never waits for anything but its poll(). Called by main.c.
 */
#ifndef BERTH_GUEST_MACHINE_H
#define BERTH_GUEST_MACHINE_H

#include "guest/cgroup.h"
#include "guest/port.h"
#include "guest/probe.h"
#include "guest/request.h"
#include "guest/ring.h"
#include "guest/stats.h"
#include "guest/task.h"
#include "lib/base.h"

#define MACHINE_TASKS (1U + CHANNEL_EXEC_MAX)
#define MACHINE_FDS (MACHINE_TASKS * TASK_FDS + 3U)

enum machine_state {
	MACHINE_WAITING,  /* no app yet */
	MACHINE_STARTING, /* forked, not yet the image's program */
	MACHINE_RUNNING,
	MACHINE_EXITED, /* may be started again */
	MACHINE_STATES,
};

struct machine {
	enum machine_state state;
	struct port port;
	struct ring ring;
	struct probe probe;
	struct cgroup cgroup;
	struct stats_source stats;
	struct task tasks[MACHINE_TASKS]; /* 0: the app */
	struct request app, scratch;
	bool owes_hello, owes_ready, owes_unready, owes_resumed, configured;
	bool again;	/* a turn ended early: the next one does not wait */
	bool power_off; /* asked for: the caller turns the machine off */
	uint64_t oom_before, dropped_told;
	int children, random; /* signalfd of SIGCHLD; /dev/random */
	struct in_addr own;
	char version[32], boot_id[40], kernel[80], address[32];
};

/* port_fd, disk: descriptors, taken over. 0 or a negative errno. */
int machine_init(struct machine *m, int port_fd, int disk);
void machine_step(struct machine *m);

#endif
