/*
 * test_httpd.c - unit tests of lib/httpd*.c: a server in this process, mostly spoken to by hand through sockets; the
 * gate has its own.
 */
#include "lib/codec.h"
#include "lib/http.h"
#include "lib/httpd.h"
#include "test/unit/lib/net_fixture.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BODY_MAX 100000

struct watcher {
	struct httpd_stream *s; /* NULL once closed; under server.lock */
	struct watcher *next;
};

struct server {
	struct httpd *h;
	unsigned port;
	pthread_mutex_t lock;
	struct watcher *watchers;
	_Atomic unsigned open_streams, closed_streams, upgrades_done;
	/* requests put aside for the answering threads */
	struct httpd_request *parked[4096];
	size_t parked_count;
	_Atomic bool quit;
};

static void on_stream_closed(struct httpd_stream *s, void *user)
{
	struct server *sv = user;

	pthread_mutex_lock(&sv->lock);
	for (struct watcher *w = sv->watchers; w; w = w->next)
		if (w->s == s)
			w->s = NULL;
	pthread_mutex_unlock(&sv->lock);
	atomic_fetch_add(&sv->closed_streams, 1);
}

static void watch(struct server *sv, struct httpd_request *r)
{
	struct watcher *w = xcalloc(1, sizeof(*w));

	pthread_mutex_lock(&sv->lock);
	w->s = httpd_stream_start(r, 200, "text/plain", on_stream_closed, sv);
	w->next = sv->watchers;
	sv->watchers = w;
	pthread_mutex_unlock(&sv->lock);
	atomic_fetch_add(&sv->open_streams, 1);
}

/* To all streams; how many took it. */
static unsigned broadcast(struct server *sv, const char *text, size_t len)
{
	struct chunk *c = chunk_new(text, len);
	unsigned n = 0;

	pthread_mutex_lock(&sv->lock);
	for (struct watcher *w = sv->watchers; w; w = w->next)
		n += w->s && httpd_stream_write(w->s, c);
	pthread_mutex_unlock(&sv->lock);
	chunk_unref(c);
	return n;
}

static void end_all(struct server *sv)
{
	pthread_mutex_lock(&sv->lock);
	for (struct watcher *w = sv->watchers; w; w = w->next)
		if (w->s)
			httpd_stream_end(w->s);
	pthread_mutex_unlock(&sv->lock);
}

static void echo_upgraded(int fd, void *user)
{
	struct server *sv = user;
	char data[1000];
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0)
		if (write(fd, data, (size_t)n) != n)
			break;
	close(fd);
	atomic_fetch_add(&sv->upgrades_done, 1);
}

/* Everything the server knows of the request, as text. */
static void describe(struct httpd_request *r)
{
	_buf_ b = BUF_INIT(1U << 20);
	size_t len;
	const char *body = httpd_body(r, &len), *v, *name;

	buf_addf(&b, "%s %s ?%s len=%zu from=%s\n", httpd_method(r), httpd_path(r), httpd_query_string(r), len,
		 httpd_peer_address(r));
	for (size_t i = 0; (v = httpd_query_n(r, "a", i)) != NULL; i++)
		buf_addf(&b, "a[%zu]=<%s>\n", i, v);
	buf_addf(&b, "b=<%s>\n", httpd_query(r, "b") ? httpd_query(r, "b") : "(absent)");
	for (size_t i = 0; (v = httpd_header_n(r, "x-many-", i, &name)) != NULL; i++)
		buf_addf(&b, "many: %s=<%s>\n", name, v);
	buf_addf(&b, "x-test=<%s>\n", httpd_header(r, "X-TEST") ? httpd_header(r, "X-TEST") : "(absent)");
	buf_addf(&b, "cn=<%s> org=<%s,%s>\n", httpd_peer_cn(r) ? httpd_peer_cn(r) : "",
		 httpd_peer_org(r, 0) ? httpd_peer_org(r, 0) : "", httpd_peer_org(r, 1) ? httpd_peer_org(r, 1) : "");
	buf_add(&b, body, len > 100 ? 100 : len);
	httpd_set_header(r, "X-Answer", "yes");
	httpd_reply(r, 200, "text/plain", b.data, b.len);
}

static void sized(struct httpd_request *r)
{
	size_t n = strtoul(httpd_query(r, "n"), NULL, 10);
	char *data = xmalloc(n + 1);

	memset(data, 'z', n);
	httpd_reply_chunk(r, 200, "text/plain", chunk_take(data, n));
}

static void handler(struct httpd_request *r, void *user)
{
	struct server *sv = user;
	const char *path = httpd_path(r);

	if (streq(path, "/watch")) {
		watch(sv, r);
	} else if (streq(path, "/late")) {
		pthread_mutex_lock(&sv->lock);
		assert(sv->parked_count < ARRAY_SIZE(sv->parked));
		sv->parked[sv->parked_count++] = r;
		pthread_mutex_unlock(&sv->lock);
	} else if (streq(path, "/sized")) {
		sized(r);
	} else if (streq(path, "/upgrade")) {
		httpd_set_header(r, "Upgrade", "echo");
		httpd_upgrade(r, echo_upgraded, sv);
	} else {
		describe(r);
	}
}

static void start_with(struct server *sv, struct httpd_config cfg)
{
	struct error e;

	pthread_mutex_init(&sv->lock, NULL);
	if (!cfg.listen)
		cfg.listen = "127.0.0.1:0";
	cfg.handler = handler;
	cfg.user = sv;
	if (!cfg.max_body)
		cfg.max_body = BODY_MAX;
	if (httpd_start(&cfg, &sv->h, &e) < 0)
		fail_msg("%s", e.text);
	sv->port = httpd_port(sv->h);
}

static void stop(struct server *sv)
{
	httpd_stop(sv->h);
	assert_int_equal(atomic_load(&sv->open_streams), atomic_load(&sv->closed_streams));
	while (sv->watchers) {
		struct watcher *w = sv->watchers;

		sv->watchers = w->next;
		free(w);
	}
	pthread_mutex_destroy(&sv->lock);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define GET_CLOSE(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static char *ask(struct arena *a, struct server *sv, const char *text)
{
	return net_exchange(a, sv->port, text, strlen(text));
}

/* ---- requests ---- */

static void test_request_reading(void **state _unused_)
{
	_arena_ a = arena_new();
	struct server sv = {0};
	char *t;

	start_with(&sv, (struct httpd_config){0});
	t = ask(a, &sv,
		"POST /p%2Fq/%C3%A4?a=1&b&a=%26%3d+x&&c=%41&a HTTP/1.1\r\nHost: localhost:1\r\nx-TEST:  v w\t\r\n"
		"Content-Length: 5\r\nX-Many-A: 1\r\nX-many-a: 2\r\nX-MANY-B: 3\r\nConnection: close\r\n\r\nhello");
	assert_int_equal(net_status(t), 200);
	assert_non_null(strstr(t, "POST /p%2Fq/%C3%A4 ?a=1&b&a=%26%3d+x&&c=%41&a len=5 from=127.0.0.1\n"));
	assert_non_null(strstr(t, "a[0]=<1>\na[1]=<&= x>\na[2]=<>\nb=<>\n"));
	assert_non_null(strstr(t, "x-test=<v w"));
	assert_non_null(strstr(t, "many: X-Many-A=<1>\n"));
	assert_non_null(strstr(t, "many: X-many-a=<2>\n"));
	assert_non_null(strstr(t, "many: X-MANY-B=<3>\n"));
	assert_non_null(strstr(t, "hello"));
	assert_non_null(strstr(t, "X-Answer: yes\r\n"));
	assert_non_null(strstr(t, "Content-Type: text/plain\r\n"));

	t = ask(a, &sv, "HEAD /h HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_int_equal(net_status(t), 200);
	assert_string_equal(strstr(t, "\r\n\r\n"), "\r\n\r\n");
	assert_non_null(strstr(t, "Content-Length: "));

	t = ask(a, &sv,
		"PATCH /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
		"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: 1\r\n\r\n");
	assert_non_null(strstr(t, "PATCH /c ? len=5"));
	assert_non_null(strstr(t, "abcde"));

	t = ask(a, &sv, "GET / HTTP/1.0\r\n\r\n");
	assert_int_equal(net_status(t), 200);
	stop(&sv);
}

static void test_pipelining_and_continue(void **state _unused_)
{
	_buf_ b = BUF_INIT(1U << 20);
	struct server sv = {0};
	const char *two = GET("/1") "POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz" GET_CLOSE("/3");
	const char *head = "POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
	const char *refused = "POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n";
	const char *one, *second;
	int fd;

	start_with(&sv, (struct httpd_config){0});
	fd = net_dial(sv.port);
	net_send(fd, two, strlen(two));
	net_read_end(fd, &b);
	close(fd);
	one = strstr(b.data, "GET /1 ");
	second = strstr(b.data, "POST /2 ? len=3");
	assert_true(one && second && strstr(b.data, "GET /3 "));
	assert_true(one < second && second < strstr(b.data, "GET /3 "));

	buf_reset(&b);
	fd = net_dial(sv.port);
	net_send(fd, head, strlen(head));
	net_read_until(fd, &b, "HTTP/1.1 100 Continue\r\n\r\n");
	net_send(fd, "abcd", 4);
	net_read_until(fd, &b, "len=4");
	close(fd);

	buf_reset(&b);
	fd = net_dial(sv.port);
	net_send(fd, refused, strlen(refused));
	net_read_end(fd, &b);
	close(fd);
	assert_int_equal(net_status(b.data), 413);
	stop(&sv);
}

/* ---- limits ---- */

static void test_connection_limit(void **state _unused_)
{
	_buf_ b = BUF_INIT(65536);
	struct server sv = {0};
	int fd[3];

	start_with(&sv, (struct httpd_config){.max_connections = 2});
	for (int i = 0; i < 2; i++) {
		fd[i] = net_dial(sv.port);
		net_send(fd[i], GET("/"), strlen(GET("/")));
		net_read_until(fd[i], &b, "x-test");
		buf_reset(&b);
	}
	fd[2] = net_dial(sv.port);
	net_read_end(fd[2], &b);
	assert_int_equal(b.len, 0);
	close(fd[1]);
	close(fd[2]);
	net_wait(httpd_connections(sv.h) == 1);
	fd[2] = net_dial(sv.port);
	net_send(fd[2], GET("/"), strlen(GET("/")));
	net_read_until(fd[2], &b, "x-test");
	close(fd[0]);
	close(fd[2]);
	stop(&sv);
}

static void test_gzip(void **state _unused_)
{
	static const struct {
		const char *n, *accept;
		bool compressed;
	} cases[] = {
		{"131072", "gzip", false},	    {"131073", "gzip", true},	   {"131073", "", false},
		{"131073", "br, GZIP;q=0.5", true}, {"131073", "gzip;q=0", false}, {"131073", "xgzip", false},
		{"200000", "deflate,gzip", true},
	};
	struct server sv = {0};

	start_with(&sv, (struct httpd_config){0});
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		char *t = ask(a, &sv,
			      arena_printf(a,
					   "GET /sized?n=%s HTTP/1.1\r\nHost: x\r\nAccept-Encoding: %s\r\n"
					   "Connection: close\r\n\r\n",
					   cases[i].n, cases[i].accept));

		assert_int_equal(net_status(t), 200);
		assert_int_equal(strstr(t, "Content-Encoding: gzip") != NULL, cases[i].compressed);
	}
	stop(&sv);
}

static void test_gzip_decodes(void **state _unused_)
{
	_arena_ a = arena_new();
	_cleanup_(http_client_freep) struct http_client *c = http_client_new();
	struct server sv = {0};
	struct http_response res;
	struct error e;

	start_with(&sv, (struct httpd_config){0});
	struct http_request q = {.url = arena_printf(a, "http://127.0.0.1:%u/sized?n=1000000", sv.port)};
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_string_equal(http_response_header(&res, "content-encoding"), "gzip");
	assert_int_equal(res.body_len, 1000000);
	assert_int_equal(strspn(res.body, "z"), 1000000);
	stop(&sv);
}

/* ---- time ---- */

static void test_deadline(void **state _unused_)
{
	static const char *const unfinished[] = {
		"G",
		"GET / HTTP/1.1\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX: ",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	};
	struct server sv = {0};
	_buf_ drip = BUF_INIT(1U << 20);
	int fd, idle;

	start_with(&sv, (struct httpd_config){.request_deadline_ms = 200});
	idle = net_dial(sv.port); /* says nothing: not a request, so no deadline */
	for (size_t i = 0; i < ARRAY_SIZE(unfinished); i++) {
		_arena_ a = arena_new();
		char *t = ask(a, &sv, unfinished[i]);

		assert_int_equal(net_status(t), 0);
	}
	/* A byte now and then does not help. */
	fd = net_dial(sv.port);
	net_send(fd, "GET / HTTP/1.1\r\nHost: x\r\nX: ", 28);
	for (int64_t until = net_now_ms() + PATIENCE_MS; net_now_ms() < until; net_pause()) {
		char c;

		if (send(fd, "a", 1, MSG_NOSIGNAL) < 0 || recv(fd, &c, 1, MSG_DONTWAIT) == 0)
			break;
	}
	net_read_end(fd, &drip);
	close(fd);
	/* The quiet one has outlived them all. */
	net_send(idle, GET_CLOSE("/"), strlen(GET_CLOSE("/")));
	buf_reset(&drip);
	net_read_end(idle, &drip);
	assert_int_equal(net_status(drip.data), 200);
	close(idle);
	stop(&sv);
}

static void test_idle_timeout_spares_streams(void **state _unused_)
{
	_buf_ stream = BUF_INIT(65536), b = BUF_INIT(65536);
	struct server sv = {0};
	int watching, idle, fresh;

	start_with(&sv, (struct httpd_config){.idle_timeout_ms = 150});
	watching = net_dial(sv.port);
	net_send(watching, GET("/watch"), strlen(GET("/watch")));
	net_read_until(watching, &stream, "\r\n\r\n");
	net_wait(atomic_load(&sv.open_streams) == 1);
	idle = net_dial(sv.port);
	fresh = net_dial(sv.port);
	net_send(idle, GET("/"), strlen(GET("/")));
	net_read_end(idle, &b); /* answered, then cut */
	assert_int_equal(net_status(b.data), 200);
	buf_reset(&b);
	net_read_end(fresh, &b);
	assert_int_equal(b.len, 0);
	assert_int_equal(broadcast(&sv, "still here\n", 11), 1);
	net_read_until(watching, &stream, "still here\n");
	close(watching);
	close(idle);
	close(fresh);
	net_wait(atomic_load(&sv.closed_streams) == 1);
	stop(&sv);
}

/* A client that has nothing more to say gets its answer, and the connection goes. */
static void test_half_closed(void **state _unused_)
{
	static const char *const last_words[] = {
		GET("/"),
		"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{}",
		"GET / HTTP/1.1\r\nHost: x\r\nX",
		"GET",
	};
	struct server sv = {0};

	start_with(&sv, (struct httpd_config){0});
	for (size_t i = 0; i < ARRAY_SIZE(last_words); i++) {
		_buf_ b = BUF_INIT(65536);
		int fd = net_dial(sv.port);

		net_send(fd, last_words[i], strlen(last_words[i]));
		shutdown(fd, SHUT_WR);
		net_read_end(fd, &b);
		assert_int_equal(b.data && strstr(b.data, " 200 OK"), i < 2);
		close(fd);
	}
	net_wait(httpd_connections(sv.h) == 0);
	stop(&sv);
}

/* ---- answers from other threads ---- */

static struct httpd_request *take_parked(struct server *sv)
{
	struct httpd_request *r = NULL;

	pthread_mutex_lock(&sv->lock);
	if (sv->parked_count)
		r = sv->parked[--sv->parked_count];
	pthread_mutex_unlock(&sv->lock);
	return r;
}

static void *answering(void *user)
{
	struct server *sv = user;

	while (!atomic_load(&sv->quit)) {
		struct httpd_request *r = take_parked(sv);

		if (r)
			httpd_reply(r, 200, "text/plain", "late\n", 5);
		else
			sched_yield();
	}
	return NULL;
}

static void *asking(void *user)
{
	struct server *sv = user;
	_cleanup_(http_client_freep) struct http_client *c = http_client_new();

	for (int i = 0; i < 300; i++) {
		_arena_ a = arena_new();
		struct http_request q = {.url = arena_printf(a, "http://127.0.0.1:%u/late", sv->port),
					 .timeout_ms = PATIENCE_MS};
		struct http_response res;

		if (http_do(c, &q, a, &res, NULL) < 0 || res.status != 200 || !streq(res.body, "late\n"))
			return (void *)1;
	}
	return NULL;
}

static void test_late_answers(void **state _unused_)
{
	struct server sv = {0};
	pthread_t askers[6], answerers[2];
	void *failed;

	start_with(&sv, (struct httpd_config){0});
	for (size_t i = 0; i < ARRAY_SIZE(answerers); i++)
		assert_int_equal(pthread_create(&answerers[i], NULL, answering, &sv), 0);
	for (size_t i = 0; i < ARRAY_SIZE(askers); i++)
		assert_int_equal(pthread_create(&askers[i], NULL, asking, &sv), 0);
	for (size_t i = 0; i < ARRAY_SIZE(askers); i++) {
		pthread_join(askers[i], &failed);
		assert_null(failed);
	}
	atomic_store(&sv.quit, true);
	for (size_t i = 0; i < ARRAY_SIZE(answerers); i++)
		pthread_join(answerers[i], NULL);
	stop(&sv);
}

static void test_client_gone_before_late_answer(void **state _unused_)
{
	struct server sv = {0};
	struct httpd_request *r = NULL;
	int fd;

	start_with(&sv, (struct httpd_config){0});
	fd = net_dial(sv.port);
	net_send(fd, GET("/late"), strlen(GET("/late")));
	net_wait(r || (r = take_parked(&sv)));
	close(fd);
	httpd_reply(r, 200, "text/plain", "nobody", 6);
	net_wait(httpd_connections(sv.h) == 0);
	stop(&sv);
}

/* ---- streams ---- */

struct client {
	struct server *sv;
	struct arena *a;
	_Atomic size_t bytes;
	uint64_t sum;
	int result;
};

static int count_bytes(void *user, const void *data, size_t len, struct error *e _unused_)
{
	struct client *c = user;

	for (size_t i = 0; i < len; i++)
		c->sum = c->sum * 31 + ((const unsigned char *)data)[i];
	atomic_fetch_add(&c->bytes, len);
	return 0;
}

static void *watching(void *user)
{
	struct client *c = user;
	_cleanup_(http_client_freep) struct http_client *hc = http_client_new();
	struct http_request q = {.url = arena_printf(c->a, "http://127.0.0.1:%u/watch", c->sv->port),
				 .sink = count_bytes,
				 .sink_user = c};
	struct http_response res;

	c->result = http_do(hc, &q, c->a, &res, NULL);
	return NULL;
}

static void test_streams(void **state _unused_)
{
	enum { WATCHERS = 8, EVENTS = 2000 };
	struct server sv = {0};
	struct client clients[WATCHERS] = {0};
	pthread_t threads[WATCHERS];
	size_t total = 0;
	uint64_t sum = 0;

	start_with(&sv, (struct httpd_config){0});
	for (int i = 0; i < WATCHERS; i++) {
		clients[i].sv = &sv;
		clients[i].a = arena_new();
		assert_int_equal(pthread_create(&threads[i], NULL, watching, &clients[i]), 0);
	}
	net_wait(atomic_load(&sv.open_streams) == WATCHERS);
	for (int i = 0; i < EVENTS; i++) {
		char line[4096];
		int n = snprintf(line, sizeof(line), "event %d %0*d\n", i, i % 3000, 0);

		for (int j = 0; j < n; j++)
			sum = sum * 31 + (unsigned char)line[j];
		total += (size_t)n;
		assert_int_equal(broadcast(&sv, line, (size_t)n), WATCHERS);
	}
	for (int i = 0; i < WATCHERS; i++)
		net_wait(atomic_load(&clients[i].bytes) == total);
	end_all(&sv);
	for (int i = 0; i < WATCHERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(clients[i].result, 0); /* ended properly, not broken off */
		assert_true(clients[i].sum == sum);
		arena_free(clients[i].a);
	}
	net_wait(atomic_load(&sv.closed_streams) == WATCHERS);
	stop(&sv);
}

/* A connection that waits in silence must still notice that the client has gone. */
static void test_stream_client_vanishes(void **state _unused_)
{
	struct server sv = {0};
	_buf_ b = BUF_INIT(65536);
	int fd;

	start_with(&sv, (struct httpd_config){0});
	for (int i = 0; i < 3; i++) {
		fd = net_dial(sv.port);
		net_send(fd, GET("/watch"), strlen(GET("/watch")));
		net_read_until(fd, &b, "\r\n\r\n");
		if (i == 1) {
			broadcast(&sv, "x\n", 2);
			net_read_until(fd, &b, "x\n");
		}
		buf_reset(&b);
		close(fd);
		net_wait(atomic_load(&sv.closed_streams) == (unsigned)i + 1);
		net_wait(httpd_connections(sv.h) == 0);
	}
	stop(&sv);
}

static void test_stream_slow_reader(void **state _unused_)
{
	enum { PIECE = 1 << 20 };
	struct server sv = {0};
	char *piece = xcalloc(1, PIECE);
	unsigned pieces = 0;
	int fd;

	start_with(&sv, (struct httpd_config){0});
	fd = net_dial(sv.port);
	net_send(fd, GET("/watch"), strlen(GET("/watch")));
	net_wait(atomic_load(&sv.open_streams) == 1);
	while (broadcast(&sv, piece, PIECE) == 1 && pieces < 100)
		pieces++;
	assert_in_range(pieces, 16, 40); /* the limit, and what the kernel buffers */
	net_wait(atomic_load(&sv.closed_streams) == 1);
	close(fd);
	free(piece);
	stop(&sv);
}

static void test_stream_head_and_1_0(void **state _unused_)
{
	_arena_ a = arena_new();
	struct server sv = {0};
	_buf_ b = BUF_INIT(65536);
	char *t;
	int fd;

	start_with(&sv, (struct httpd_config){0});
	t = ask(a, &sv, "HEAD /watch HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_int_equal(net_status(t), 200);
	net_wait(atomic_load(&sv.closed_streams) == 1);
	fd = net_dial(sv.port);
	net_send(fd, "GET /watch HTTP/1.0\r\n\r\n", 23);
	net_wait(atomic_load(&sv.open_streams) == 2);
	broadcast(&sv, "plain", 5);
	end_all(&sv);
	net_read_end(fd, &b);
	assert_string_equal(strstr(b.data, "\r\n\r\n"), "\r\n\r\nplain");
	close(fd);
	stop(&sv);
}

/* A stopping server ends its streams as they should end. */
static void test_stop_ends_streams(void **state _unused_)
{
	struct server sv = {0};
	_buf_ b = BUF_INIT(65536);
	int fd, deaf;

	start_with(&sv, (struct httpd_config){0});
	fd = net_dial(sv.port);
	net_send(fd, GET("/watch"), strlen(GET("/watch")));
	net_wait(atomic_load(&sv.open_streams) == 1);
	broadcast(&sv, "last", 4);
	deaf = net_dial(sv.port);
	net_send(deaf, GET("/watch"), strlen(GET("/watch")));
	net_wait(atomic_load(&sv.open_streams) == 2);
	stop(&sv);
	net_read_end(fd, &b);
	assert_non_null(strstr(b.data, "last\r\n0\r\n\r\n"));
	close(fd);
	close(deaf);
}

/* ---- upgrades ---- */

#define UPGRADE "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

static void test_upgrade(void **state _unused_)
{
	enum { BULK = 300000 };
	struct server sv = {0};
	_buf_ b = BUF_INIT(1U << 20);
	char *bulk = xmalloc(BULK);
	int fd;

	start_with(&sv, (struct httpd_config){0});
	fd = net_dial(sv.port);
	net_send(fd, UPGRADE "early", strlen(UPGRADE "early"));
	net_read_until(fd, &b, "\r\n\r\nearly");
	assert_int_equal(net_status(b.data), 101);
	assert_non_null(strstr(b.data, "Upgrade: echo\r\n"));
	net_send(fd, "later", 5);
	net_read_until(fd, &b, "earlylater");
	buf_reset(&b);
	memset(bulk, 'q', BULK);
	net_send(fd, bulk, BULK);
	shutdown(fd, SHUT_WR);
	net_read_end(fd, &b);
	assert_int_equal(b.len, BULK);
	close(fd);
	net_wait(atomic_load(&sv.upgrades_done) == 1);
	net_wait(httpd_connections(sv.h) == 0);

	/* Not possible in HTTP/1.0; the callback must come all the same. */
	fd = net_dial(sv.port);
	net_send(fd, "GET /upgrade HTTP/1.0\r\n\r\n", 25);
	buf_reset(&b);
	net_read_end(fd, &b);
	close(fd);
	net_wait(atomic_load(&sv.upgrades_done) == 2);

	/* Stopping ends what is open. */
	fd = net_dial(sv.port);
	net_send(fd, UPGRADE, strlen(UPGRADE));
	net_read_until(fd, &b, "\r\n\r\n");
	stop(&sv);
	assert_int_equal(atomic_load(&sv.upgrades_done), 3);
	close(fd);
	free(bulk);
}

/* ---- TLS ---- */

static char *ask_tls(struct arena *a, struct server *sv, const char *dir, const char *client)
{
	_cleanup_(http_client_freep) struct http_client *c = http_client_new();
	struct http_tls tls = {.ca_file = arena_printf(a, "%s/ca/ca.crt", dir)};
	struct http_request q = {.url = arena_printf(a, "https://127.0.0.1:%u/", sv->port), .tls = &tls};
	struct http_response res;
	struct error e;

	if (client) {
		tls.cert_file = arena_printf(a, "%s.crt", client);
		tls.key_file = arena_printf(a, "%s.key", client);
	}
	if (http_do(c, &q, a, &res, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(res.status, 200);
	/* the same connection again: what was found out about the client stays */
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	return res.body;
}

static void test_tls_and_client_certificates(void **state _unused_)
{
	_arena_ a = arena_new();
	char *dir = net_folder(a), *other = net_folder(a);
	struct server sv = {0};
	struct httpd_config cfg = {.cert_file = arena_printf(a, "%s/server.crt", dir),
				   .key_file = arena_printf(a, "%s/server.key", dir),
				   .client_ca_file = arena_printf(a, "%s/ca/ca.crt", dir)};
	struct httpd *none = NULL;
	struct error e;
	char *t;

	net_certificate(dir, "server", "server", NULL);
	net_certificate(dir, "client", "system:node:n1", "system:nodes");
	net_certificate(other, "client", "berth-apiserver", "system:masters");
	start_with(&sv, cfg);
	t = ask_tls(a, &sv, dir, arena_printf(a, "%s/client", dir));
	assert_non_null(strstr(t, "cn=<system:node:n1> org=<system:nodes,>"));
	t = ask_tls(a, &sv, dir, NULL);
	assert_non_null(strstr(t, "cn=<> org=<,>"));
	t = ask_tls(a, &sv, dir, arena_printf(a, "%s/client", other));
	assert_non_null(strstr(t, "cn=<> org=<,>"));
	stop(&sv);

	cfg.listen = "127.0.0.1:0";
	cfg.key_file = arena_printf(a, "%s/client.crt", dir);
	assert_int_equal(httpd_start(&cfg, &none, &e), -E_INVALID);
	cfg.key_file = arena_printf(a, "%s/missing", dir);
	assert_int_equal(httpd_start(&cfg, &none, &e), -E_NOT_FOUND);
	net_folder_drop(dir);
	net_folder_drop(other);
}

/* ---- listening ---- */

static void test_unix_socket(void **state _unused_)
{
	_arena_ a = arena_new();
	char *dir = net_folder(a);
	_cleanup_(http_client_freep) struct http_client *c = http_client_new();
	struct server sv = {0}, second = {0};
	char *path = arena_printf(a, "%s/s.sock", dir);
	struct httpd_config cfg = {.listen = arena_printf(a, "unix:%s", path), .handler = handler, .user = &second};
	struct http_request q = {.url = "http://localhost/u", .unix_socket = path};
	struct http_response res;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct error e;
	int stale;

	/* A socket that a dead process left behind is replaced. */
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	stale = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(stale, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(stale);
	start_with(&sv, cfg);
	assert_int_equal(httpd_start(&cfg, &second.h, &e), -E_CONFLICT);
	assert_int_equal(http_do(c, &q, a, &res, &e), 0);
	assert_non_null(strstr(res.body, "GET /u ? len=0 from=unix"));
	stop(&sv);
	assert_int_not_equal(access(path, F_OK), 0);
	net_folder_drop(dir);
}

static void test_bad_addresses(void **state _unused_)
{
	static const char *const bad[] = {"", "127.0.0.1", "127.0.0.1:", "300.1.1.1:0", "unix:"};
	struct httpd *h = NULL;
	struct error e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct httpd_config cfg = {.listen = bad[i], .handler = handler};

		assert_true(httpd_start(&cfg, &h, &e) < 0);
	}
	httpd_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_reading),
		cmocka_unit_test(test_pipelining_and_continue),
		cmocka_unit_test(test_connection_limit),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_gzip_decodes),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_idle_timeout_spares_streams),
		cmocka_unit_test(test_half_closed),
		cmocka_unit_test(test_late_answers),
		cmocka_unit_test(test_client_gone_before_late_answer),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_stream_client_vanishes),
		cmocka_unit_test(test_stream_slow_reader),
		cmocka_unit_test(test_stream_head_and_1_0),
		cmocka_unit_test(test_stop_ends_streams),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_tls_and_client_certificates),
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_bad_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
