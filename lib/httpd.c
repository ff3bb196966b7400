/*
 * httpd.c - the daemon: listening, libmicrohttpd's callbacks, the life of a connection. See httpd_internal.h for the
 * other files.
 *
 * libmicrohttpd calls on_request() once when the head is there (the gate decides), for each piece of the body, and when
 * the request is whole. Then the handler runs. If it has not answered when it returns, the connection is suspended;
 * whoever answers later finds PHASE_PARKED and resumes it, and on_request() is called once more to queue the answer.
 * The connection is suspended before the phase says so, hence no wake-up is lost.
 *
 * Timeouts are the warden's; libmicrohttpd's own are off.
 */
#include "lib/httpd_internal.h"

#include "lib/log.h"
#include "lib/units.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 4096
/* Per connection: the head (32 KiB), the table of its fields and the head of the answer must fit. libmicrohttpd clears
 * all of it after every request, so it is memory and time. */
#define CONNECTION_MEMORY (48U << 10)
#define FIRST_BODY_MEMORY 4096

/* ---- connections ---- */

void conn_enter(struct httpd_conn *c, enum conn_state s)
{
	atomic_store_explicit(&c->since_ms, atomic_load_explicit(&c->h->now_ms, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(&c->state, s, memory_order_release);
}

static void conn_address(struct httpd_conn *c, const struct sockaddr *sa)
{
	const char *address = NULL;

	if (sa->sa_family == AF_INET)
		address = inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, c->address,
				    sizeof(c->address));
	else if (sa->sa_family == AF_INET6)
		address = inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, c->address,
				    sizeof(c->address));
	if (!address)
		snprintf(c->address, sizeof(c->address), "unix");
	else if (str_starts(address, "::ffff:") && strchr(address, '.'))
		memmove(c->address, address + 7, strlen(address + 7) + 1);
}

static void conn_open(struct httpd *h, struct MHD_Connection *mhd, void **slot)
{
	const union MHD_ConnectionInfo *fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	const union MHD_ConnectionInfo *addr = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	struct httpd_conn *c = xcalloc(1, sizeof(*c));

	c->h = h;
	c->fd = fd->connect_fd;
	conn_address(c, addr->client_addr);
	atomic_init(&c->handshake_done, !h->tls);
	conn_enter(c, CONN_NEW);
	pthread_mutex_lock(&h->conns_lock);
	c->id = ++h->next_id;
	if ((size_t)c->fd >= h->conns_cap) {
		size_t cap = ((size_t)c->fd + 1024) * 2;

		h->conns = xrealloc(h->conns, cap * sizeof(*h->conns));
		memset(h->conns + h->conns_cap, 0, (cap - h->conns_cap) * sizeof(*h->conns));
		h->conns_cap = cap;
	}
	h->conns[c->fd] = c;
	pthread_mutex_unlock(&h->conns_lock);
	atomic_fetch_add(&h->connections, 1);
	*slot = c;
}

static void conn_close(struct httpd *h, void **slot)
{
	struct httpd_conn *c = *slot;

	if (!c)
		return;
	pthread_mutex_lock(&h->conns_lock);
	h->conns[c->fd] = NULL;
	pthread_mutex_unlock(&h->conns_lock);
	atomic_fetch_sub(&h->connections, 1);
	free(c->peer_cn);
	for (size_t i = 0; i < HTTPD_PEER_ORGS_MAX; i++)
		free(c->peer_orgs[i]);
	free(c);
	*slot = NULL;
}

static void on_connection(void *user, struct MHD_Connection *mhd, void **slot, enum MHD_ConnectionNotificationCode what)
{
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		conn_open(user, mhd, slot);
	else
		conn_close(user, slot);
}

static enum MHD_Result on_accept(void *user, const struct sockaddr *addr _unused_, socklen_t len _unused_)
{
	struct httpd *h = user;

	return !atomic_load(&h->stopping) && atomic_load(&h->connections) < h->max_connections ? MHD_YES : MHD_NO;
}

/* ---- requests ---- */

/* libmicrohttpd's first word about a request: the target as it was received. */
static void *on_target(void *user, const char *raw, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct arena *a = arena_new();
	struct httpd_request *r = arena_calloc(a, sizeof(*r));
	char *path, *mark;

	r->h = user;
	r->conn = info->socket_context;
	r->mhd = mhd;
	r->a = a;
	r->raw = raw ? raw : "";
	r->raw_len = strlen(r->raw);
	r->target = arena_strndup(a, r->raw, r->raw_len);
	path = arena_strndup(a, r->raw, r->raw_len);
	mark = strchr(path, '?');
	if (mark)
		*mark = '\0';
	r->path = path;
	r->query = mark ? mark + 1 : "";
	r->body = BUF_INIT(r->h->max_body);
	atomic_init(&r->phase, PHASE_READING);
	conn_enter(r->conn, CONN_RECEIVES);
	return r;
}

static void request_free(struct httpd_request *r)
{
	if (r->response)
		MHD_destroy_response(r->response);
	buf_free(&r->body);
	arena_free(r->a);
}

static void on_completed(void *user, struct MHD_Connection *mhd _unused_, void **slot,
			 enum MHD_RequestTerminationCode code _unused_)
{
	struct httpd_request *r = *slot;
	struct httpd *h = user;
	bool counted;

	if (!r)
		return;
	*slot = NULL;
	if (r->stream)
		stream_closed(r);
	if (r->on_upgraded && !r->upgraded)
		upgrade_failed(r);
	atomic_fetch_add_explicit(&r->conn->serial, 1, memory_order_relaxed);
	conn_enter(r->conn, CONN_IDLE);
	counted = r->counted;
	request_free(r);
	if (counted && atomic_fetch_sub(&h->active, 1) == 1)
		httpd_notice_idle(h);
}

static enum MHD_Result refuse(struct httpd_request *r, const struct refusal *f)
{
	struct MHD_Response *resp = refusal_response(f);
	enum MHD_Result ret;

	if (!resp)
		return MHD_NO;
	conn_enter(r->conn, CONN_ANSWERS);
	if (f != &REFUSED_STOPPING)
		MHD_add_response_header(resp, "Connection", "close");
	ret = MHD_queue_response(r->mhd, f->status, resp);
	MHD_destroy_response(resp);
	return ret;
}

static enum MHD_Result take_body(struct httpd_request *r, const char *data, size_t *len)
{
	struct httpd *h = r->h;

	if (r->too_large || r->body.len + *len > h->max_body) {
		r->too_large = true;
		buf_free(&r->body);
		r->discarded += *len;
		*len = 0;
		return r->discarded > 4 * (uint64_t)h->max_body ? MHD_NO : MHD_YES;
	}
	buf_add(&r->body, data, *len);
	*len = 0;
	return MHD_YES;
}

static enum MHD_Result queue_answer(struct httpd_request *r)
{
	enum MHD_Result ret;

	if (r->queued)
		return MHD_YES;
	r->queued = true;
	if (!r->response)
		return MHD_NO;
	conn_enter(r->conn, r->stream ? CONN_STREAMS : r->on_upgraded ? CONN_UPGRADED : CONN_ANSWERS);
	ret = MHD_queue_response(r->mhd, r->status, r->response);
	MHD_destroy_response(r->response);
	r->response = NULL;
	return ret;
}

static enum MHD_Result handle(struct httpd_request *r)
{
	struct httpd *h = r->h;
	int expected = PHASE_IN_HANDLER;

	if (atomic_load(&h->stopping))
		return refuse(r, &REFUSED_STOPPING);
	if (r->too_large)
		return refuse(r, &REFUSED_TOO_LARGE);
	tls_check_peer(r);
	conn_enter(r->conn, CONN_HANDLED);
	r->counted = true;
	atomic_fetch_add(&h->active, 1);
	atomic_fetch_add(&h->pending, 1);
	atomic_store(&r->phase, PHASE_IN_HANDLER);
	h->handler(r, h->user);
	/* Nothing of r but the phase may be looked at before it is known to be answered or parked. */
	if (atomic_load(&r->phase) == PHASE_ANSWERED)
		return queue_answer(r);
	MHD_suspend_connection(r->mhd);
	if (!atomic_compare_exchange_strong(&r->phase, &expected, PHASE_PARKED))
		MHD_resume_connection(r->mhd); /* answered in between; we are called again at once */
	return MHD_YES;
}

static enum MHD_Result on_request(void *user _unused_, struct MHD_Connection *mhd _unused_, const char *url _unused_,
				  const char *method, const char *version, const char *data, size_t *len, void **slot)
{
	struct httpd_request *r = *slot;

	if (!r)
		return MHD_NO;
	if (!r->checked) {
		const struct refusal *f = gate_check(r, method, version);

		r->checked = true;
		r->is_head = streq(method, "HEAD");
		r->method = r->is_head ? "GET" : method;
		return f ? refuse(r, f) : MHD_YES;
	}
	if (*len)
		return take_body(r, data, len);
	switch (atomic_load(&r->phase)) {
	case PHASE_READING:
		return handle(r);
	case PHASE_ANSWERED:
		return queue_answer(r);
	default:
		return MHD_YES;
	}
}

/* Paths and parameters stay as they were sent. */
static size_t leave_escaped(void *user _unused_, struct MHD_Connection *mhd _unused_, char *s)
{
	return strlen(s);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *user _unused_, const char *fmt, va_list ap)
{
	char text[512];

	if (!log_enabled(LOG_DEBUG))
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("libmicrohttpd", "text", text, NULL);
}

/* ---- listening ---- */

static int listen_unix(struct httpd *h, const char *path, int *ret_fd, struct error *e)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_close_ int fd = -1;

	if (strlen(path) >= sizeof(sa.sun_path))
		return error_set(e, E_INVALID, "socket path %s is longer than %zu bytes", path,
				 sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set_errno(e, errno, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno == EAGAIN)
		return error_set(e, E_CONFLICT, "another process is listening on %s", path);
	if (errno == ECONNREFUSED)
		unlink(path); /* left behind by a process that is gone */
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || chmod(path, 0660) < 0 || listen(fd, BACKLOG) < 0)
		return error_set_errno(e, errno, "cannot listen on %s", path);
	h->is_unix = true;
	h->unix_path = xstrdup(path);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* Dead peers are found by keep-alive probes; accepted sockets inherit these. */
static void listen_options(int fd)
{
	int on = 1, idle = 60, interval = 15, count = 4;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static int listen_tcp(struct httpd *h, const char *address, int *ret_fd, struct error *e)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *ai = NULL;
	struct sockaddr_storage sa;
	socklen_t sa_len = sizeof(sa);
	const char *colon = strrchr(address, ':');
	_free_ char *host = NULL;
	_close_ int fd = -1;
	size_t n;
	int rc;

	if (!colon || !colon[1])
		return error_set(e, E_INVALID, "address \"%s\" to listen on is not of the form host:port", address);
	n = (size_t)(colon - address);
	host = n >= 2 && address[0] == '[' && address[n - 1] == ']' ? xstrndup(address + 1, n - 2)
								    : xstrndup(address, n);
	rc = getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &ai);
	if (rc != 0)
		return error_set(e, E_INVALID, "cannot listen on %s: %s", address, gai_strerror(rc));
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		listen_options(fd);
	rc = fd < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
	     getsockname(fd, (struct sockaddr *)&sa, &sa_len) < 0;
	freeaddrinfo(ai);
	if (rc)
		return error_set_errno(e, errno, "cannot listen on %s", address);
	h->port = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
						 : ((struct sockaddr_in *)&sa)->sin_port);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* ---- start and stop ---- */

static int daemon_start(struct httpd *h, unsigned threads, int fd, struct error *e)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ITC |
			 MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem options[24] = {
		{MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)on_log, NULL},
		{MHD_OPTION_LISTEN_SOCKET, fd, NULL},
		{MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL},
		/* on_accept() counts; this only stops what slips through, whichever thread accepts. */
		{MHD_OPTION_CONNECTION_LIMIT, (intptr_t)(h->max_connections + 64) * threads, NULL},
		{MHD_OPTION_CONNECTION_TIMEOUT, 0, NULL},
		{MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
		{MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, h},
		{MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, h},
		{MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_target, h},
		{MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)leave_escaped, NULL},
	};
	size_t n = 0;

	while (options[n].option != MHD_OPTION_END)
		n++;
	if (threads > 1)
		options[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, threads, NULL};
	if (h->tls) {
		flags |= MHD_USE_TLS;
		options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, tls_pick_certificate};
		options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, TLS_PRIORITIES};
		if (h->client_ca)
			options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, h->client_ca};
	}
	h->mhd = MHD_start_daemon(flags, 0, on_accept, h, on_request, h, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	if (!h->mhd)
		return error_set(e, E_INTERNAL, "the HTTP server cannot be started");
	return 0;
}

static void httpd_free(struct httpd *h)
{
	if (h->unix_path)
		unlink(h->unix_path);
	free(h->unix_path);
	free(h->client_ca);
	tls_unload(h);
	free(h->conns);
	pthread_mutex_destroy(&h->conns_lock);
	pthread_mutex_destroy(&h->idle_lock);
	pthread_cond_destroy(&h->idle_cond);
	free(h);
}

static void configure(struct httpd *h, const struct httpd_config *cfg)
{
	pthread_condattr_t attr;

	h->handler = cfg->handler;
	h->user = cfg->user;
	h->max_body = cfg->max_body ? cfg->max_body : 3U << 20;
	h->max_connections = cfg->max_connections ? cfg->max_connections : 16384;
	h->request_deadline_ms = cfg->request_deadline_ms > 0 ? cfg->request_deadline_ms : 15000;
	h->idle_timeout_ms = cfg->idle_timeout_ms > 0 ? cfg->idle_timeout_ms : 300000;
	h->tls = cfg->cert_file != NULL;
	atomic_init(&h->now_ms, time_mono_ms());
	h->warden_epoll = h->warden_wake = -1;
	pthread_mutex_init(&h->conns_lock, NULL);
	pthread_mutex_init(&h->idle_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->idle_cond, &attr);
	pthread_condattr_destroy(&attr);
}

int httpd_start(const struct httpd_config *cfg, struct httpd **ret, struct error *e)
{
	struct httpd *h = xcalloc(1, sizeof(*h));
	int fd = -1, r = 0;

	configure(h, cfg);
	if (h->tls)
		r = tls_load(h, cfg, e);
	if (r == 0)
		r = str_starts(cfg->listen, "unix:") ? listen_unix(h, cfg->listen + 5, &fd, e)
						     : listen_tcp(h, cfg->listen, &fd, e);
	if (r == 0)
		r = warden_start(h, e);
	if (r == 0)
		r = daemon_start(h, cfg->threads ? cfg->threads : 2, fd, e);
	if (r < 0) {
		warden_stop(h);
		if (fd >= 0)
			close(fd);
		httpd_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

void httpd_notice_idle(struct httpd *h)
{
	if (!atomic_load(&h->stopping))
		return;
	pthread_mutex_lock(&h->idle_lock);
	pthread_cond_broadcast(&h->idle_cond);
	pthread_mutex_unlock(&h->idle_lock);
}

/* Waits until nothing is counted any more, or the time is over. */
static bool wait_idle(struct httpd *h, int seconds)
{
	struct timespec until;
	bool idle = false;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&h->idle_lock);
	for (;;) {
		idle = !atomic_load(&h->pending) && !atomic_load(&h->active) && !h->upgrades;
		if (idle)
			break;
		if (pthread_cond_timedwait(&h->idle_cond, &h->idle_lock, &until) == ETIMEDOUT)
			break;
	}
	pthread_mutex_unlock(&h->idle_lock);
	return idle;
}

static void cut_all(struct httpd *h)
{
	pthread_mutex_lock(&h->conns_lock);
	for (size_t i = 0; i < h->conns_cap; i++) {
		struct httpd_conn *c = h->conns[i];

		if (c && c->stream)
			stream_hangup(c->stream);
		else if (c && atomic_load(&c->state) >= CONN_ANSWERS)
			shutdown(c->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&h->conns_lock);
}

void httpd_stop(struct httpd *h)
{
	if (!h)
		return;
	/* From here on on_accept() refuses. MHD_quiesce_daemon() would do that too, but races with its own threads (it
	 * aborts the process when both take the socket out of epoll). */
	atomic_store(&h->stopping, true);
	stream_end_all(h);
	upgrade_stop_all(h);
	while (!wait_idle(h, 1))
		cut_all(h); /* clients that do not read what is left for them */
	MHD_stop_daemon(h->mhd);
	warden_stop(h);
	httpd_free(h);
}

unsigned httpd_port(const struct httpd *h)
{
	return h->port;
}

unsigned httpd_connections(const struct httpd *h)
{
	return atomic_load(&((struct httpd *)(uintptr_t)h)->connections);
}
