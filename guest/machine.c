/*
 * machine.c - the loop of PID 1 and its table of states and events; see machine.h.
 */
#include "guest/machine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "guest/files.h"
#include "guest/handlers.h"

/* Children reaped in one turn; a storm of them leaves the others their turn. */
#define REAP_MAX 256
/* The same for an agent that never stops talking: buffers of frames in one turn. */
#define FILLS_MAX 8

static void read_identity(struct machine *m)
{
	struct utsname name;

	snprintf(m->version, sizeof(m->version), "%s", BERTH_VERSION);
	(void)file_read_line("/proc/sys/kernel/random/boot_id", m->boot_id, sizeof(m->boot_id));
	if (uname(&name) == 0)
		snprintf(m->kernel, sizeof(m->kernel), "%s", name.release);
}

int machine_init(struct machine *m, int port_fd, int disk)
{
	sigset_t child;
	int r;

	for (size_t i = 0; i < MACHINE_TASKS; i++)
		task_init(&m->tasks[i]);
	probe_init(&m->probe);
	r = port_init(&m->port, port_fd);
	if (r < 0)
		return r;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	m->children = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	if (m->children < 0)
		return -errno;
	cgroup_init(&m->cgroup);
	m->random = open("/dev/random", O_RDWR | O_CLOEXEC);
	m->stats = (struct stats_source){&m->cgroup, open("/proc/net/dev", O_RDONLY | O_CLOEXEC), disk};
	read_identity(m);
	return 0;
}

static void take_status(struct machine *m, struct task *t)
{
	if (task_read_status(t) && t == &m->tasks[0] && !t->why[0])
		machine_event(m, EVENT_APP_STARTED, NULL);
}

static void reap(struct machine *m)
{
	struct signalfd_siginfo info[16];
	int status, n = 0;
	pid_t pid = 0;

	while (read(m->children, info, sizeof(info)) > 0)
		;
	while (n < REAP_MAX && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		n++;
		for (size_t i = 0; i < MACHINE_TASKS; i++) {
			struct task *t = &m->tasks[i];

			if (!task_is_alive(t) || t->pid != pid)
				continue;
			if (t->status >= 0)
				take_status(m, t);
			task_reaped(t, status);
			if (i == 0)
				machine_event(m, EVENT_APP_EXITED, NULL);
		}
	}
	m->again = m->again || pid > 0;
}

static void take_frames(struct machine *m, uint64_t now)
{
	struct channel_frame f;

	for (int i = 0; i < FILLS_MAX; i++) {
		port_fill(&m->port, now);
		if (port_next(&m->port, &f) != 1)
			return;
		do {
			machine_frame(m, &f);
			port_done(&m->port, &f);
		} while (port_next(&m->port, &f) == 1);
	}
	m->again = true;
}

static void receive(struct machine *m, uint64_t now)
{
	enum port_change change = port_look(&m->port, now);

	if (change == PORT_CONNECTED)
		machine_event(m, EVENT_HOST_CAME, NULL);
	/* What the agent said before it went still counts. */
	take_frames(m, now);
	if (change == PORT_DISCONNECTED)
		machine_event(m, EVENT_HOST_WENT, NULL);
}

static void move(struct machine *m, const struct pollfd *fds, uint64_t now)
{
	bool dropping = port_stalled(&m->port, now);

	for (size_t i = 0; i < MACHINE_TASKS; i++) {
		struct task *t = &m->tasks[i];
		const struct pollfd *f = &fds[i * TASK_FDS];
		struct ring *ring = i == 0 ? &m->ring : NULL;

		if (t->state == TASK_FREE)
			continue;
		if (f[TASK_STATUS].revents && t->status >= 0)
			take_status(m, t);
		if (f[TASK_IN].revents)
			task_move_input(t);
		if (f[TASK_OUT].revents || f[TASK_ERR].revents || t->state == TASK_ENDED)
			task_move_output(t, &m->port, ring, dropping);
	}
}

static int timeout_of(const struct machine *m, uint64_t now)
{
	uint64_t due = probe_due(&m->probe);

	if (m->again)
		return 0;
	/* Whether the host has stopped reading is decided by time alone. */
	if (m->port.out_len > 0 && m->port.connected && due > now + PORT_STALL_MS)
		due = now + PORT_STALL_MS;
	if (due == UINT64_MAX)
		return -1;
	if (due <= now)
		return 0;
	return due - now > INT32_MAX ? INT32_MAX : (int)(due - now);
}

void machine_step(struct machine *m)
{
	struct pollfd fds[MACHINE_FDS];
	struct pollfd *rest = &fds[MACHINE_TASKS * TASK_FDS];
	uint64_t now = now_ms();
	bool dropping = port_stalled(&m->port, now);

	for (size_t i = 0; i < MACHINE_TASKS; i++)
		task_poll(&m->tasks[i], task_may_read(&m->tasks[i], &m->port, i == 0 ? &m->ring : NULL, dropping),
			  &fds[i * TASK_FDS]);
	rest[0] = (struct pollfd){.fd = m->children, .events = POLLIN};
	rest[1] = (struct pollfd){.fd = m->port.watch, .events = POLLIN};
	rest[2] = (struct pollfd){.fd = m->probe.fd, .events = probe_wants(&m->probe)};
	if (poll(fds, MACHINE_FDS, timeout_of(m, now)) < 0)
		return;
	now = now_ms();
	m->again = false;
	reap(m);
	move(m, fds, now);
	receive(m, now);
	machine_probe(m, probe_step(&m->probe, rest[2].revents, now));
	machine_tell(m);
	port_flush(&m->port, now);
}
