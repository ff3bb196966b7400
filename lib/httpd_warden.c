/*
 * httpd_warden.c - one thread that watches over connections: requests that take too long, keep-alive without use,
 * clients that do not read an answer, and clients that vanish while their stream waits.
 *
 * It never touches libmicrohttpd's side of a connection; it shuts the socket down, and libmicrohttpd finds it closed.
 * When the first byte of a request came cannot be seen through libmicrohttpd, so the kernel's count of received bytes
 * is compared between rounds. What came in one piece with the request before is not seen that way, nor is anything on a
 * unix socket, which has no such count: there the time begins with the request line, and before it the idle timeout
 * holds.
 */
#include "lib/httpd_internal.h"

#include "lib/units.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* libmicrohttpd keeps its whole buffer for a connection that has been used once. So that thousands of those cannot fill
 * the memory, the time they may idle shrinks in proportion beyond this many, down to IDLE_MIN_MS. */
#define IDLE_MANY 512
#define IDLE_MIN_MS 10000
#define EVENTS_MAX 256
#define TCP_CLOSE_WAIT_STATE 8 /* the kernel's number; netinet/tcp.h has it, but not beside linux/tcp.h */

static bool tcp_counters(int fd, uint64_t *ret_received, uint64_t *ret_acked, bool *ret_peer_done)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return false;
	*ret_received = info.tcpi_bytes_received;
	*ret_acked = info.tcpi_bytes_acked;
	*ret_peer_done = info.tcpi_state == TCP_CLOSE_WAIT_STATE;
	return true;
}

/* libmicrohttpd misses the end of the client's side when it comes together with data; seen twice, nothing is left to be
 * read before it. */
static bool ends_unnoticed(struct httpd_conn *c, bool peer_done)
{
	c->peer_done_rounds = peer_done ? c->peer_done_rounds + 1 : 0;
	return c->peer_done_rounds > 1;
}

/* Waiting for a request: true when the connection is to be closed. */
static bool waits_too_long(struct httpd_conn *c, int64_t now, int64_t idle_ms)
{
	int64_t since = atomic_load(&c->since_ms);
	uint64_t received = 0, acked;
	bool peer_done = false;

	if (!atomic_load(&c->handshake_done))
		return now - since > c->h->request_deadline_ms;
	if (!c->h->is_unix && tcp_counters(c->fd, &received, &acked, &peer_done)) {
		bool first = !c->counted;

		if (ends_unnoticed(c, peer_done))
			return true;

		/* A plain connection starts from zero; after a handshake or a request, from what the first look finds.
		 */
		if (first && (c->h->tls || c->seen_serial))
			c->counter = received;
		c->counted = true;
		if (received > c->counter) {
			if (!c->progress_ms)
				c->progress_ms = now;
			return now - c->progress_ms > c->h->request_deadline_ms;
		}
	}
	return now - since > idle_ms;
}

static bool receives_too_long(struct httpd_conn *c, int64_t now)
{
	int64_t since = atomic_load(&c->since_ms);
	uint64_t received, acked;
	bool peer_done;

	if (c->progress_ms && c->progress_ms < since)
		since = c->progress_ms;
	if (now - since > c->h->request_deadline_ms)
		return true;
	return !c->h->is_unix && tcp_counters(c->fd, &received, &acked, &peer_done) && ends_unnoticed(c, peer_done);
}

static bool answers_too_slowly(struct httpd_conn *c, int64_t now)
{
	uint64_t received, acked;
	bool peer_done;

	if (c->h->is_unix || !tcp_counters(c->fd, &received, &acked, &peer_done))
		return false;
	if (!c->counted || acked != c->counter) {
		c->counted = true;
		c->counter = acked;
		c->progress_ms = now;
	}
	return now - c->progress_ms > c->h->idle_timeout_ms;
}

static bool conn_is_over(struct httpd_conn *c, int64_t now, int64_t idle_ms)
{
	unsigned serial = atomic_load(&c->serial);
	int state = atomic_load(&c->state);

	if (serial != c->seen_serial || (state >= CONN_ANSWERS) != c->answering) {
		c->seen_serial = serial;
		c->answering = state >= CONN_ANSWERS;
		c->counted = false;
		c->progress_ms = 0;
		c->peer_done_rounds = 0;
	}
	switch (state) {
	case CONN_NEW:
		return waits_too_long(c, now, c->h->idle_timeout_ms);
	case CONN_IDLE:
		return waits_too_long(c, now, idle_ms);
	case CONN_RECEIVES:
		return receives_too_long(c, now);
	case CONN_ANSWERS:
		return answers_too_slowly(c, now);
	case CONN_STREAMS:
		return c->stream && stream_is_ended(c->stream) && answers_too_slowly(c, now);
	default:
		return false;
	}
}

static void round_of_all(struct httpd *h, unsigned *idle_count)
{
	int64_t now = time_mono_ms(), idle_ms = h->idle_timeout_ms;
	unsigned idle = 0;

	if (*idle_count > IDLE_MANY) {
		idle_ms = idle_ms * IDLE_MANY / *idle_count;
		if (idle_ms < IDLE_MIN_MS)
			idle_ms = IDLE_MIN_MS;
	}
	pthread_mutex_lock(&h->conns_lock);
	for (size_t i = 0; i < h->conns_cap; i++) {
		struct httpd_conn *c = h->conns[i];

		if (!c)
			continue;
		idle += atomic_load(&c->state) == CONN_IDLE;
		if (conn_is_over(c, now, idle_ms))
			shutdown(c->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&h->conns_lock);
	*idle_count = idle;
}

static void on_hangup(struct httpd *h, uint64_t id, int fd)
{
	pthread_mutex_lock(&h->conns_lock);
	/* The event may be about an earlier connection with this descriptor. */
	if ((size_t)fd < h->conns_cap && h->conns[fd] && (uint32_t)h->conns[fd]->id == (uint32_t)id &&
	    h->conns[fd]->stream)
		stream_hangup(h->conns[fd]->stream);
	pthread_mutex_unlock(&h->conns_lock);
}

static void *warden_main(void *user)
{
	struct httpd *h = user;
	int64_t shortest = h->request_deadline_ms < h->idle_timeout_ms ? h->request_deadline_ms : h->idle_timeout_ms;
	int64_t tick = shortest / 8 < 10 ? 10 : shortest / 8 > 1000 ? 1000 : shortest / 8, next = 0;
	struct epoll_event events[EVENTS_MAX];
	unsigned idle_count = 0;

	for (;;) {
		int64_t now = time_mono_ms();
		int n = epoll_wait(h->warden_epoll, events, EVENTS_MAX, next > now ? (int)(next - now) : 0);

		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 == 0)
				return NULL; /* warden_wake */
			on_hangup(h, events[i].data.u64 >> 32, (int)(events[i].data.u64 & UINT32_MAX));
		}
		now = time_mono_ms();
		atomic_store_explicit(&h->now_ms, now, memory_order_relaxed);
		if (now >= next) {
			round_of_all(h, &idle_count);
			next = now + tick;
		}
	}
}

/* Hang-ups only: no event mask is needed for data, and edge-triggered, so a client that shut down wakes us once. */
void warden_watch(struct httpd_conn *c)
{
	struct epoll_event ev = {.events = EPOLLRDHUP | EPOLLET,
				 .data.u64 = (uint64_t)(uint32_t)c->id << 32 | (uint32_t)c->fd};

	epoll_ctl(c->h->warden_epoll, EPOLL_CTL_ADD, c->fd, &ev);
}

void warden_unwatch(struct httpd_conn *c)
{
	epoll_ctl(c->h->warden_epoll, EPOLL_CTL_DEL, c->fd, NULL);
}

int warden_start(struct httpd *h, struct error *e)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 0};

	h->warden_epoll = epoll_create1(EPOLL_CLOEXEC);
	h->warden_wake = eventfd(0, EFD_CLOEXEC);
	if (h->warden_epoll < 0 || h->warden_wake < 0 ||
	    epoll_ctl(h->warden_epoll, EPOLL_CTL_ADD, h->warden_wake, &ev) < 0)
		return error_set_errno(e, errno, "cannot watch connections");
	if (pthread_create(&h->warden, NULL, warden_main, h) != 0)
		return error_set(e, E_INTERNAL, "cannot start a thread");
	h->warden_runs = true;
	return 0;
}

void warden_stop(struct httpd *h)
{
	if (h->warden_runs) {
		eventfd_write(h->warden_wake, 1);
		pthread_join(h->warden, NULL);
		h->warden_runs = false;
	}
	if (h->warden_epoll >= 0)
		close(h->warden_epoll);
	if (h->warden_wake >= 0)
		close(h->warden_wake);
	h->warden_epoll = h->warden_wake = -1;
}
