/*
 * port.c - non-blocking frames over a virtio-serial port; see port.h.
 */
#include "guest/port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "guest/files.h"

#define PORTS "/sys/class/virtio-ports"
/* What the driver takes in one write. */
#define WRITE_MAX 32768U

static int find_once(void)
{
	DIR *dir = opendir(PORTS);
	int fd = -ENOENT;

	if (!dir)
		return -errno;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		char path[sizeof(PORTS) + NAME_MAX + 8], name[64];

		snprintf(path, sizeof(path), PORTS "/%s/name", e->d_name);
		if (e->d_name[0] == '.' || file_read_line(path, name, sizeof(name)) < 0 ||
		    !streq(name, CHANNEL_PORT_NAME))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			fd = -errno;
		break;
	}
	closedir(dir);
	return fd;
}

int port_find(unsigned wait_ms)
{
	uint64_t until = now_ms() + wait_ms;
	int fd = find_once();

	while (fd < 0 && now_ms() < until) {
		usleep(1000);
		fd = find_once();
	}
	return fd;
}

int port_init(struct port *p, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};

	memset(p, 0, sizeof(*p));
	p->fd = fd;
	p->watch = epoll_create1(EPOLL_CLOEXEC);
	if (p->watch < 0 || epoll_ctl(p->watch, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	return 0;
}

static void start_empty(struct port *p, uint64_t now)
{
	p->in.len = 0;
	p->in.broken = false;
	p->out_len = 0;
	p->in_at = p->out_at = now;
}

enum port_change port_look(struct port *p, uint64_t now)
{
	struct pollfd state = {.fd = p->fd, .events = POLLIN | POLLOUT};
	struct epoll_event ignored;
	bool connected;

	(void)epoll_wait(p->watch, &ignored, 1, 0);
	if (poll(&state, 1, 0) < 0)
		return PORT_SAME;
	connected = !(state.revents & (POLLHUP | POLLERR | POLLNVAL));
	if (connected == p->connected)
		return PORT_SAME;
	p->connected = connected;
	if (connected)
		start_empty(p, now);
	return connected ? PORT_CONNECTED : PORT_DISCONNECTED;
}

static bool is_attach(const uint8_t *data, size_t len)
{
	uint8_t attach[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, attach, CHANNEL_ATTACH, 0);
	return len == channel_end(&w) && memcmp(data, attach, len) == 0;
}

/* n bytes came to `data`, which is the reader's own space unless it is deaf. */
static void take(struct port *p, const uint8_t *data, size_t n, uint64_t now)
{
	bool stuck = p->in.broken || p->in.len > 0;

	if (stuck && now - p->in_at >= PORT_QUIET_MS && is_attach(data, n)) {
		memmove(p->in.buf, data, n);
		p->in.len = n;
		p->in.broken = false;
	} else if (!p->in.broken) {
		channel_reader_added(&p->in, n);
	}
	p->in_at = now;
}

void port_fill(struct port *p, uint64_t now)
{
	uint8_t deaf[4096];

	if (now - p->in_at >= PORT_PARTIAL_MS) {
		p->in.len = 0;
		p->in.broken = false;
	}
	for (;;) {
		size_t room = sizeof(deaf);
		uint8_t *space = p->in.broken ? deaf : channel_reader_space(&p->in, &room);
		ssize_t n;

		if (room == 0)
			return;
		n = read(p->fd, space, room);
		if (n <= 0)
			return;
		take(p, space, (size_t)n, now);
	}
}

int port_next(struct port *p, struct channel_frame *ret)
{
	return channel_reader_next(&p->in, ret);
}

void port_done(struct port *p, const struct channel_frame *f)
{
	channel_reader_drop(&p->in, f);
}

bool port_send(struct port *p, const uint8_t *frame, size_t len)
{
	if (!p->connected || len == 0 || len > sizeof(p->out) - p->out_len)
		return false;
	memcpy(p->out + p->out_len, frame, len);
	p->out_len += len;
	return true;
}

bool port_busy(const struct port *p)
{
	return !p->connected || p->out_len > PORT_OUT_BUSY - CHANNEL_HEADER_SIZE;
}

bool port_stalled(const struct port *p, uint64_t now)
{
	return !p->connected || (p->out_len > 0 && now - p->out_at >= PORT_STALL_MS);
}

void port_flush(struct port *p, uint64_t now)
{
	size_t done = 0;

	if (p->out_len == 0)
		p->out_at = now;
	while (p->connected && done < p->out_len) {
		size_t rest = p->out_len - done;
		ssize_t n = write(p->fd, p->out + done, rest < WRITE_MAX ? rest : WRITE_MAX);

		if (n <= 0)
			break;
		done += (size_t)n;
		p->out_at = now;
	}
	if (done > 0)
		memmove(p->out, p->out + done, p->out_len - done);
	p->out_len -= done;
}
