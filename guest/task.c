/*
 * task.c - descriptors and bytes of one process; see task.h.
 */
#include "guest/task.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* /dev/pts, opened by task_start() the first time: nothing that is mounted over it later is ever met. */
static int pts_folder = -1;

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void task_init(struct task *t)
{
	memset(t, 0, sizeof(*t));
	t->in = t->out = t->err = t->status = -1;
}

void task_free(struct task *t)
{
	close_fd(&t->in);
	close_fd(&t->out);
	close_fd(&t->err);
	close_fd(&t->status);
	if (t->input)
		munmap(t->input, CHANNEL_INPUT_WINDOW);
	task_init(t);
}

/* ---- start ---- */

static int open_terminal(struct task *t, const struct request *r, int *ret_child)
{
	struct winsize size = {.ws_col = (unsigned short)r->columns, .ws_row = (unsigned short)r->rows};
	int unlock = 0, master, slave;

	if (pts_folder < 0)
		pts_folder = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
	master = openat(pts_folder, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (master < 0)
		return -errno;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0) {
		close(master);
		return -errno;
	}
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0) {
		close(master);
		return -errno;
	}
	(void)ioctl(master, TIOCSWINSZ, &size);
	t->tty = true;
	t->out = master;
	t->in = fcntl(master, F_DUPFD_CLOEXEC, 0);
	*ret_child = slave;
	return t->in < 0 ? -errno : 0;
}

/* One pipe; `mine` is made non-blocking. reader: this side reads. */
static int open_pipe(bool reader, int *ret_mine, int *ret_child)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	*ret_mine = ends[reader ? 0 : 1];
	*ret_child = ends[reader ? 1 : 0];
	return fcntl(*ret_mine, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int open_stdio(struct task *t, const struct request *r, int child[3])
{
	int e = 0;

	if (r->has_stdin) {
		void *window = mmap(NULL, CHANNEL_INPUT_WINDOW, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				    0);

		if (window == MAP_FAILED)
			return -errno;
		t->input = window;
	}
	if (r->tty) {
		e = open_terminal(t, r, &child[0]);
		child[1] = child[2] = child[0];
		return e;
	}
	if (r->has_stdin)
		e = open_pipe(false, &t->in, &child[0]);
	if (e == 0)
		e = open_pipe(true, &t->out, &child[1]);
	if (e == 0)
		e = open_pipe(true, &t->err, &child[2]);
	return e;
}

bool task_start(struct task *t, uint32_t stream, const struct request *own, const struct request *base, int group)
{
	int child[3] = {-1, -1, -1}, status = -1, e;
	pid_t pid = -1;

	task_init(t);
	t->stream = stream;
	t->windowed = own->window > 0;
	t->window = own->window;
	e = open_stdio(t, own, child);
	if (e == 0)
		e = open_pipe(true, &t->status, &status);
	if (e == 0) {
		const struct spawn s = {own, base, child[0], child[1], child[2], status, group};

		pid = spawn_process(&s);
		e = pid < 0 ? (int)pid : 0;
	}
	close_fd(&status);
	close_fd(&child[0]);
	if (!own->tty) {
		close_fd(&child[1]);
		close_fd(&child[2]);
	}
	if (e < 0) {
		task_free(t);
		t->stream = stream;
		t->state = TASK_ENDED;
		t->wait_status = W_EXITCODE(SPAWN_CODE_FAILED, 0);
		t->owed = TASK_OWES_ERROR | TASK_OWES_EXIT;
		snprintf(t->why, sizeof(t->why), "cannot start a process in the guest: %s", strerror(-e));
		return false;
	}
	t->pid = pid;
	t->state = TASK_STARTING;
	return true;
}

bool task_read_status(struct task *t)
{
	struct spawn_failure failure;
	ssize_t n = read(t->status, &failure, sizeof(failure));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	close_fd(&t->status);
	if (n == sizeof(failure)) {
		failure.why[sizeof(failure.why) - 1] = '\0';
		memcpy(t->why, failure.why, sizeof(t->why));
		t->owed |= TASK_OWES_ERROR;
	} else {
		t->owed |= TASK_OWES_STARTED;
	}
	if (t->state == TASK_STARTING)
		t->state = TASK_RUNNING;
	return true;
}

/* ---- bytes ---- */

void task_poll(const struct task *t, bool may_read, struct pollfd fds[TASK_FDS])
{
	bool reads = may_read && (!t->windowed || t->window > 0);

	fds[TASK_IN] = (struct pollfd){.fd = t->input_len > 0 || t->input_ended ? t->in : -1, .events = POLLOUT};
	fds[TASK_OUT] = (struct pollfd){.fd = reads ? t->out : -1, .events = POLLIN};
	fds[TASK_ERR] = (struct pollfd){.fd = reads ? t->err : -1, .events = POLLIN};
	fds[TASK_STATUS] = (struct pollfd){.fd = t->status, .events = POLLIN};
}

static void read_one(struct task *t, int *fd, uint8_t which, struct port *port, struct ring *ring)
{
	uint8_t data[RING_RECORD_MAX], frame[CHANNEL_HEADER_SIZE + 1 + RING_RECORD_MAX];
	size_t max = t->windowed && t->window < sizeof(data) ? (size_t)t->window : sizeof(data);
	struct channel_writer w;
	ssize_t n = read(*fd, data, max);

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		/* Of an ended process no more will come, even if something it left behind keeps the pipe open. */
		if (n == 0 || errno != EAGAIN || t->state == TASK_ENDED)
			close_fd(fd);
		return;
	}
	if (t->state == TASK_ENDED) {
		t->drained += (uint64_t)n;
		if (t->drained > TASK_DRAIN_MAX)
			close_fd(fd);
	}
	if (ring) {
		ring_put(ring, which, data, (size_t)n);
		return;
	}
	if (t->windowed)
		t->window -= (uint64_t)n;
	channel_begin(&w, frame, CHANNEL_OUTPUT, t->stream);
	channel_put_raw(&w, &which, 1);
	channel_put_raw(&w, data, (size_t)n);
	(void)port_send(port, frame, channel_end(&w));
}

bool task_may_read(const struct task *t, const struct port *port, const struct ring *ring, bool dropping)
{
	if (ring)
		return dropping || ring_has_room(ring);
	return !port_busy(port) && (!t->windowed || t->window > 0);
}

void task_move_output(struct task *t, struct port *port, struct ring *ring, bool dropping)
{
	/* One piece of each while it lives, so that others have their turn; to the end once it has ended. */
	do {
		if (t->out >= 0 && task_may_read(t, port, ring, dropping))
			read_one(t, &t->out, 1, port, ring);
		if (t->err >= 0 && task_may_read(t, port, ring, dropping))
			read_one(t, &t->err, 2, port, ring);
	} while (t->state == TASK_ENDED && !task_is_drained(t) && task_may_read(t, port, ring, dropping));
}

bool task_is_drained(const struct task *t)
{
	return t->out < 0 && t->err < 0;
}

static void end_input(struct task *t)
{
	/* Of a terminal only the end-of-file character can be sent; hanging up would end the program. */
	if (!t->tty) {
		close_fd(&t->in);
		return;
	}
	if (write(t->in, "\004", 1) == 1)
		t->input_ended = false;
}

void task_move_input(struct task *t)
{
	if (t->in < 0)
		return;
	while (t->input_len > 0) {
		ssize_t n = write(t->in, t->input, t->input_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			/* Nobody will read it: it counts as taken, so that the agent does not wait for ever. */
			n = (ssize_t)t->input_len;
			close_fd(&t->in);
		}
		t->input_len -= (size_t)n;
		t->input_taken += (uint64_t)n;
		memmove(t->input, t->input + n, t->input_len);
		if (t->in < 0)
			return;
	}
	if (t->input_ended)
		end_input(t);
}

bool task_put_input(struct task *t, const uint8_t *data, size_t len)
{
	if (!t->input)
		return false;
	if (t->in < 0) {
		t->input_taken += len;
		return true;
	}
	if (len > CHANNEL_INPUT_WINDOW - t->input_len)
		return false;
	memcpy(t->input + t->input_len, data, len);
	t->input_len += len;
	t->input_ended = t->input_ended || len == 0;
	task_move_input(t);
	return true;
}

void task_resize(const struct task *t, uint16_t columns, uint16_t rows)
{
	struct winsize size = {.ws_col = columns, .ws_row = rows};

	if (t->tty && t->out >= 0)
		(void)ioctl(t->out, TIOCSWINSZ, &size);
}

/* ---- end ---- */

void task_reaped(struct task *t, int wait_status)
{
	if (t->status >= 0)
		(void)task_read_status(t);
	close_fd(&t->status);
	close_fd(&t->in);
	t->wait_status = wait_status;
	t->state = TASK_ENDED;
	t->owed |= TASK_OWES_EXIT;
}

void task_hang_up(struct task *t)
{
	/* Its group exists only once the child has come that far. */
	if (task_is_alive(t) && kill(-t->pid, SIGHUP) < 0)
		kill(t->pid, SIGHUP);
	task_free(t);
}

/* ---- what the agent is told ---- */

void task_put_exit(const struct task *t, struct channel_writer *w)
{
	if (WIFSIGNALED(t->wait_status))
		channel_put_u64(w, CHANNEL_KEY_SIGNAL, (uint64_t)WTERMSIG(t->wait_status));
	else
		channel_put_u64(w, CHANNEL_KEY_CODE, (uint64_t)WEXITSTATUS(t->wait_status));
	if (t->oom)
		channel_put_u64(w, CHANNEL_KEY_OOM, 1);
}

static bool tell_one(struct task *t, struct port *port, enum task_owed what)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	if (what == TASK_OWES_ERROR) {
		channel_begin(&w, frame, CHANNEL_ERROR, t->stream);
		channel_put_str(&w, CHANNEL_KEY_TEXT, t->why);
	} else if (what == TASK_OWES_STARTED) {
		channel_begin(&w, frame, CHANNEL_STARTED, t->stream);
		channel_put_u64(&w, CHANNEL_KEY_PID, (uint64_t)t->pid);
	} else {
		channel_begin(&w, frame, CHANNEL_EXIT, t->stream);
		task_put_exit(t, &w);
	}
	if (!port_send(port, frame, channel_end(&w)))
		return false;
	t->owed &= ~(unsigned)what;
	return true;
}

static void tell_input(struct task *t, struct port *port)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, frame, CHANNEL_INPUT_ACK, t->stream);
	channel_put_u64(&w, CHANNEL_KEY_BYTES, t->input_taken);
	if (port_send(port, frame, channel_end(&w)))
		t->input_taken = 0;
}

bool task_tell(struct task *t, struct port *port, bool may_exit)
{
	static const enum task_owed order[] = {TASK_OWES_ERROR, TASK_OWES_STARTED};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if ((t->owed & order[i]) && !tell_one(t, port, order[i]))
			return false;
	if (t->input_taken > 0)
		tell_input(t, port);
	if (!(t->owed & TASK_OWES_EXIT) || !may_exit || !task_is_drained(t))
		return false;
	return tell_one(t, port, TASK_OWES_EXIT);
}
