/*
 * probe.c - readiness tries as a small state machine; see probe.h.
 */
#include "guest/probe.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define FAST_SHARE 16U
/* "HTTP/1.1 200" */
#define STATUS_LINE_MIN 12U

void probe_init(struct probe *p)
{
	memset(p, 0, sizeof(*p));
	p->fd = -1;
}

void probe_stop(struct probe *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->active = p->ready = false;
}

void probe_start(struct probe *p, const struct probe_config *config, struct in_addr own, uint64_t now)
{
	probe_stop(p);
	probe_init(p);
	p->config = *config;
	p->own = own;
	p->active = true;
	p->started_at = p->next_at = now;
}

short probe_wants(const struct probe *p)
{
	if (p->fd < 0)
		return 0;
	return p->sent ? POLLIN : POLLOUT;
}

uint64_t probe_due(const struct probe *p)
{
	if (!p->active)
		return UINT64_MAX;
	return p->fd >= 0 ? p->deadline : p->next_at;
}

static uint64_t pause_ms(const struct probe *p, uint64_t now)
{
	uint64_t fast = (now - p->started_at) / FAST_SHARE;

	if (p->ready || fast > p->config.period_ms)
		return p->config.period_ms;
	return fast < PROBE_FAST_MS ? PROBE_FAST_MS : fast;
}

static void end_try(struct probe *p, uint64_t now)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->on_own = false;
	p->next_at = now + pause_ms(p, now);
}

static enum probe_event succeed(struct probe *p, uint64_t now)
{
	bool was_ready = p->ready;

	p->active = p->config.kind != PROBE_NONE;
	p->ready = true;
	p->failed = 0;
	end_try(p, now);
	return was_ready ? PROBE_NOTHING : PROBE_READY;
}

static enum probe_event begin(struct probe *p, uint64_t now);

/* The other address is tried at once; after that the try as a whole has failed. */
static enum probe_event fail(struct probe *p, const char *what, int err, uint64_t now)
{
	snprintf(p->why, sizeof(p->why), "%s%s%s", what, err ? ": " : "", err ? strerror(err) : "");
	if (!p->on_own && p->own.s_addr != htonl(INADDR_ANY)) {
		if (p->fd >= 0)
			close(p->fd);
		p->fd = -1;
		p->on_own = true;
		return begin(p, now);
	}
	p->failed++;
	if (p->ready && p->failed >= p->config.failures) {
		p->ready = false;
		p->failed = 0;
		/* From here on once a period: the fast phase belongs to the start. */
		p->started_at = now > p->config.period_ms * FAST_SHARE ? now - p->config.period_ms * FAST_SHARE : 0;
		end_try(p, now);
		return PROBE_UNREADY;
	}
	end_try(p, now);
	return PROBE_NOTHING;
}

static enum probe_event connected(struct probe *p, uint64_t now)
{
	char text[sizeof(p->config.path) + 128];
	int len;

	if (p->config.kind == PROBE_TCP)
		return succeed(p, now);
	len = snprintf(
		text, sizeof(text),
		"GET %s HTTP/1.1\r\nHost: localhost:%u\r\nUser-Agent: berth-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		p->config.path, p->config.port);
	/* A new socket's buffer takes a request of this size whole. */
	if (send(p->fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		return fail(p, "cannot send the request", errno, now);
	p->sent = true;
	return PROBE_NOTHING;
}

static enum probe_event begin(struct probe *p, uint64_t now)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(p->config.port)};

	to.sin_addr.s_addr = p->on_own ? p->own.s_addr : htonl(INADDR_LOOPBACK);
	p->sent = false;
	p->got = 0;
	p->deadline = now + p->config.timeout_ms;
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return fail(p, "cannot make a socket", errno, now);
	if (connect(p->fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return connected(p, now);
	return errno == EINPROGRESS ? PROBE_NOTHING : fail(p, "cannot connect", errno, now);
}

static enum probe_event check_answer(struct probe *p, uint64_t now)
{
	unsigned status = 0;

	if (memcmp(p->answer, "HTTP/1.", 7) != 0 || p->answer[8] != ' ')
		return fail(p, "the answer is not HTTP", 0, now);
	for (size_t i = 9; i < STATUS_LINE_MIN && p->answer[i] >= '0' && p->answer[i] <= '9'; i++)
		status = status * 10 + (unsigned)(p->answer[i] - '0');
	if (status >= 200 && status < 400)
		return succeed(p, now);
	char text[32];

	snprintf(text, sizeof(text), "answered %.3s", p->answer + 9);
	return fail(p, text, 0, now);
}

static enum probe_event receive(struct probe *p, uint64_t now)
{
	ssize_t n = recv(p->fd, p->answer + p->got, STATUS_LINE_MIN - p->got, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return PROBE_NOTHING;
	if (n <= 0)
		return fail(p, "closed without an answer", n < 0 ? errno : 0, now);
	p->got += (size_t)n;
	return p->got < STATUS_LINE_MIN ? PROBE_NOTHING : check_answer(p, now);
}

enum probe_event probe_step(struct probe *p, short revents, uint64_t now)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (!p->active)
		return PROBE_NOTHING;
	if (p->fd < 0) {
		if (now < p->next_at)
			return PROBE_NOTHING;
		return p->config.kind == PROBE_NONE ? succeed(p, now) : begin(p, now);
	}
	if (revents && p->sent)
		return receive(p, now);
	if (revents) {
		if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err)
			return fail(p, "cannot connect", err ? err : errno, now);
		return connected(p, now);
	}
	return now >= p->deadline ? fail(p, "no answer in time", 0, now) : PROBE_NOTHING;
}
