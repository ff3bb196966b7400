/*
 * httpd_upgrade.c - connections handed over after a 101; see httpd.h.
 *
 * The caller gets one end of a socket pair on a thread of its own. A second thread carries bytes between the other end
 * and libmicrohttpd's socket (the client's own, or with TLS one that libmicrohttpd encrypts behind), beginning with
 * what the client sent together with its request. When the caller closes its end, what it wrote is still delivered.
 */
#include "lib/httpd_internal.h"

#include "lib/log.h"
#include "lib/units.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#define PIPE_BYTES 16384
#define LINGER_MS 1000

struct upgrade {
	struct httpd *h;
	struct upgrade *next, *prev; /* httpd.upgrade_list, under httpd.idle_lock */
	struct MHD_UpgradeResponseHandle *handle;
	int client;    /* libmicrohttpd's socket; not ours to close */
	int near, far; /* our end and the caller's end of the pair */
	httpd_upgraded *on_upgraded;
	void *user;
	char *early;
	size_t early_len;
};

/* One direction. */
struct pipe {
	int from, to;
	char data[PIPE_BYTES];
	size_t start, end;
	bool eof, done;
};

static void pipe_read(struct pipe *p)
{
	ssize_t n = recv(p->from, p->data, sizeof(p->data), 0);

	if (n > 0) {
		p->start = 0;
		p->end = (size_t)n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		p->eof = true;
	}
}

static void pipe_write(struct pipe *p)
{
	ssize_t n = send(p->to, p->data + p->start, p->end - p->start, MSG_NOSIGNAL);

	if (n >= 0)
		p->start += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		p->eof = true, p->start = p->end;
}

static bool pipe_is_empty(const struct pipe *p)
{
	return p->start == p->end;
}

/* Both directions, until the caller's end is closed and delivered. */
static void carry(const struct upgrade *u)
{
	struct pipe *in = xcalloc(1, sizeof(*in)), *out = xcalloc(1, sizeof(*out));
	int64_t linger_until = 0;

	*in = (struct pipe){.from = u->client, .to = u->near};
	*out = (struct pipe){.from = u->near, .to = u->client};
	for (;;) {
		struct pollfd p[2] = {{.fd = u->client}, {.fd = u->near}};
		int wait = -1;

		if (in->eof && pipe_is_empty(in) && !in->done) {
			in->done = true;
			shutdown(u->near, SHUT_WR);
		}
		if (out->eof && pipe_is_empty(out) && !out->done) {
			out->done = true;
			linger_until = time_mono_ms() + LINGER_MS;
			if (u->h->tls)
				break; /* libmicrohttpd says goodbye to the client */
			shutdown(u->client, SHUT_WR);
		}
		if (out->done) {
			/* Read on until the client has closed too: closing a socket with unread bytes would reset the
			 * connection and could destroy what is on its way. */
			wait = (int)(linger_until - time_mono_ms());
			if (in->eof || wait <= 0)
				break;
			in->start = in->end = 0;
		}
		p[0].events = (short)((!in->eof && pipe_is_empty(in) ? POLLIN : 0) |
				      (pipe_is_empty(out) ? 0 : POLLOUT));
		p[1].events = (short)((!out->eof && pipe_is_empty(out) ? POLLIN : 0) |
				      (pipe_is_empty(in) ? 0 : POLLOUT));
		for (int i = 0; i < 2; i++)
			if (!p[i].events)
				p[i].fd = -1; /* else a hang-up that was seen already would be reported for ever */
		if (poll(p, 2, wait) < 0 && errno != EINTR)
			break;
		if (p[0].revents && !in->eof && pipe_is_empty(in))
			pipe_read(in);
		if (p[1].revents && !out->eof && pipe_is_empty(out))
			pipe_read(out);
		if (!pipe_is_empty(in) && !out->done)
			pipe_write(in);
		if (!pipe_is_empty(out))
			pipe_write(out);
	}
	free(in);
	free(out);
}

static void *caller_main(void *user)
{
	struct upgrade *u = user;

	u->on_upgraded(u->far, u->user);
	return NULL;
}

static bool write_early(const struct upgrade *u)
{
	size_t done = 0;

	while (done < u->early_len) {
		ssize_t n = send(u->near, u->early + done, u->early_len - done, MSG_NOSIGNAL);
		struct pollfd p = {.fd = u->near, .events = POLLOUT};

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			poll(&p, 1, -1);
		else if (errno != EINTR)
			return false;
	}
	return true;
}

static void upgrade_unlist(struct upgrade *u)
{
	if (u->prev)
		u->prev->next = u->next;
	else
		u->h->upgrade_list = u->next;
	if (u->next)
		u->next->prev = u->prev;
}

static void upgrade_uncount(struct httpd *h)
{
	h->upgrades--;
	pthread_cond_broadcast(&h->idle_cond);
}

static void upgrade_free(struct upgrade *u)
{
	closep(&u->near);
	free(u->early);
	free(u);
}

static void *upgrade_main(void *user)
{
	struct upgrade *u = user;
	struct httpd *h = u->h;
	pthread_t caller;
	bool runs = pthread_create(&caller, NULL, caller_main, u) == 0;

	if (!runs) {
		log_error("thread for an upgraded connection cannot be started", NULL);
		close(u->far);
	}
	if (runs && u->client >= 0 && write_early(u))
		carry(u);
	shutdown(u->near, SHUT_RDWR);
	if (u->handle)
		MHD_upgrade_action(u->handle, MHD_UPGRADE_ACTION_CLOSE);
	if (runs)
		pthread_join(caller, NULL);
	pthread_mutex_lock(&h->idle_lock);
	upgrade_unlist(u);
	upgrade_free(u);
	upgrade_uncount(h);
	pthread_mutex_unlock(&h->idle_lock);
	return NULL;
}

/* Starts u's thread, or frees and uncounts it. */
static bool upgrade_begin(struct upgrade *u)
{
	struct httpd *h = u->h;
	pthread_attr_t attr;
	pthread_t thread;
	int pair[2];
	bool started;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		pair[0] = pair[1] = -1;
	u->near = pair[0];
	u->far = pair[1];
	fcntl(u->near, F_SETFL, O_NONBLOCK);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_mutex_lock(&h->idle_lock);
	u->next = h->upgrade_list;
	if (u->next)
		u->next->prev = u;
	h->upgrade_list = u;
	if (atomic_load(&h->stopping))
		shutdown(u->near, SHUT_RDWR);
	started = u->near >= 0 && pthread_create(&thread, &attr, upgrade_main, u) == 0;
	if (!started) {
		upgrade_unlist(u);
		upgrade_uncount(h);
	}
	pthread_mutex_unlock(&h->idle_lock);
	pthread_attr_destroy(&attr);
	if (!started) {
		closep(&u->far);
		upgrade_free(u);
	}
	return started;
}

/* libmicrohttpd has sent the 101. */
static void on_upgrade(void *user _unused_, struct MHD_Connection *mhd _unused_, void *con_cls, const char *early,
		       size_t early_len, MHD_socket sock, struct MHD_UpgradeResponseHandle *handle)
{
	struct httpd_request *r = con_cls;
	struct upgrade *u = xcalloc(1, sizeof(*u));

	*u = (struct upgrade){.h = r->h,
			      .handle = handle,
			      .client = sock,
			      .on_upgraded = r->on_upgraded,
			      .user = r->upgrade_user,
			      .early_len = early_len};
	u->early = xmalloc(early_len + 1);
	if (early_len)
		memcpy(u->early, early, early_len);
	fcntl(sock, F_SETFL, O_NONBLOCK);
	r->upgraded = true;
	if (!upgrade_begin(u)) {
		log_error("connection cannot be handed over", NULL);
		MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
	}
}

/* The caller was promised a socket: it gets one that has already ended. */
void upgrade_failed(struct httpd_request *r)
{
	struct upgrade *u = xcalloc(1, sizeof(*u));

	*u = (struct upgrade){.h = r->h, .client = -1, .on_upgraded = r->on_upgraded, .user = r->upgrade_user};
	r->upgraded = true;
	if (!upgrade_begin(u))
		log_error("end of a connection cannot be reported", NULL);
}

void upgrade_stop_all(struct httpd *h)
{
	pthread_mutex_lock(&h->idle_lock);
	for (struct upgrade *u = h->upgrade_list; u; u = u->next)
		shutdown(u->near, SHUT_RDWR);
	pthread_mutex_unlock(&h->idle_lock);
}

void httpd_upgrade(struct httpd_request *r, httpd_upgraded *on_upgraded, void *user)
{
	struct MHD_Response *resp = MHD_create_response_for_upgrade(on_upgrade, NULL);

	if (!resp) {
		log_error("out of memory", NULL);
		abort();
	}
	r->on_upgraded = on_upgraded;
	r->upgrade_user = user;
	pthread_mutex_lock(&r->h->idle_lock);
	r->h->upgrades++;
	pthread_mutex_unlock(&r->h->idle_lock);
	response_add_headers(r, resp);
	request_answer(r, MHD_HTTP_SWITCHING_PROTOCOLS, resp);
}
