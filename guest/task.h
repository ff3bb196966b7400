/*
 * task.h - one process that was asked for over the channel, with its descriptors: the app (slot 0) or an exec session.
 *
 * A task is started, speaks, ends and is forgotten; it never waits. Output of the app goes into the ring, output of a
 * session straight into the port while that has room; what finds no room stays in the pipe. Input waits in a window of
 * fixed size that exists only while a session has stdin. Nothing else is allocated. Called by machine.c.
 */
#ifndef BERTH_GUEST_TASK_H
#define BERTH_GUEST_TASK_H

#include <poll.h>

#include "guest/port.h"
#include "guest/ring.h"
#include "guest/spawn.h"
#include "lib/base.h"

#define TASK_APP_STREAM 1U
/* What is read of a process that has ended, at most: the largest pipe an unprivileged program can ask for. */
#define TASK_DRAIN_MAX (1024U * 1024)

enum task_state {
	TASK_FREE,
	TASK_STARTING,
	TASK_RUNNING,
	TASK_ENDED /* reaped; its output may not be read to the end */
};

/* What the agent is still to be told, oldest first. */
enum task_owed { TASK_OWES_ERROR = 1, TASK_OWES_STARTED = 2, TASK_OWES_EXIT = 4 };

struct task {
	enum task_state state;
	uint32_t stream;
	pid_t pid;
	bool tty;
	int in, out, err, status;
	unsigned owed;
	/* input */
	uint8_t *input; /* CHANNEL_INPUT_WINDOW bytes, mapped */
	size_t input_len;
	bool input_ended;
	uint64_t input_taken; /* to be acknowledged */
	/* output */
	bool windowed;
	uint64_t window;
	uint64_t drained;
	/* end */
	int wait_status;
	bool oom;
	char why[SPAWN_WHY_MAX];
};

/* It has a process that may be signalled: after the end its number may be another's. */
static inline bool task_is_alive(const struct task *t)
{
	return t->state == TASK_STARTING || t->state == TASK_RUNNING;
}

enum task_fd { TASK_IN, TASK_OUT, TASK_ERR, TASK_STATUS, TASK_FDS };

void task_init(struct task *t);
/* Starts own (over base's environment). False after filling t->why: the task then owes ERROR and EXIT. */
bool task_start(struct task *t, uint32_t stream, const struct request *own, const struct request *base, int group);
/* What is to be polled now: fds[i].fd is -1 where nothing is. may_read: there is room for output. */
void task_poll(const struct task *t, bool may_read, struct pollfd fds[TASK_FDS]);
/* Reads how the start went; true when that is now known (then state is RUNNING, or the task owes an ERROR). */
bool task_read_status(struct task *t);
/* Room for more output? ring is NULL for sessions; dropping: the ring may lose its oldest. */
bool task_may_read(const struct task *t, const struct port *port, const struct ring *ring, bool dropping);
/* Move what can be moved. */
void task_move_output(struct task *t, struct port *port, struct ring *ring, bool dropping);
void task_move_input(struct task *t);
/* Takes bytes of an INPUT frame; false when the agent ignores the window or the task takes none. */
bool task_put_input(struct task *t, const uint8_t *data, size_t len);
void task_resize(const struct task *t, uint16_t columns, uint16_t rows);
/* Its process has ended. */
void task_reaped(struct task *t, int wait_status);
/* All its output is read. */
bool task_is_drained(const struct task *t);
/* Queues what is owed as far as the port has room, EXIT only when may_exit and all is read. True when EXIT went out. */
bool task_tell(struct task *t, struct port *port, bool may_exit);
/* The agent went away: hang up. The process is reaped later, as an orphan. */
void task_hang_up(struct task *t);
/* Closes and forgets. */
void task_free(struct task *t);

/* Appends CODE or SIGNAL, and OOM, of a wait status. */
void task_put_exit(const struct task *t, struct channel_writer *w);

#endif
