/*
 * node.c - finding the node, and the calls that are plain HTTP; see node.h. Exec is in node_exec.c.
 *
 * A log may be followed for hours: its bytes are pushed into a stream as they come, on a libuv loop of the call's
 * thread, which ends when either side does. `running` is guarded by `running_lock`.
 */
#include "apiserver/node.h"
#include "apiserver/status.h"
#include "lib/log.h"
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define CONNECT_TIMEOUT_MS 5000
#define CALL_TIMEOUT_MS 30000
#define QUEUE_HIGH (4U << 20) /* bytes a slow reader may have waiting before the node is read more slowly */
#define QUEUE_WAIT_NS 5000000

static pthread_mutex_t running_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t running_changed = PTHREAD_COND_INITIALIZER;
static unsigned running;

/* ---- threads ---- */

void node_call_free(struct node_call *n)
{
	arena_free(n->arena);
	pthread_mutex_lock(&running_lock);
	running--;
	pthread_cond_broadcast(&running_changed);
	pthread_mutex_unlock(&running_lock);
}

void node_calls_wait(void)
{
	pthread_mutex_lock(&running_lock);
	while (running)
		pthread_cond_wait(&running_changed, &running_lock);
	pthread_mutex_unlock(&running_lock);
}

static bool claim_thread(void)
{
	pthread_mutex_lock(&running_lock);
	bool free_one = running < NODE_CALLS_MAX;
	running += free_one;
	pthread_mutex_unlock(&running_lock);
	return free_one;
}

/* ---- which node ---- */

static int node_address(const struct json *node, const char **ret_host, int64_t *ret_port, struct error *e)
{
	const struct json *addresses = json_in(node, "status", "addresses");
	const char *host = NULL;

	for (size_t i = 0; i < json_count(addresses); i++) {
		const struct json *address = json_item(addresses, i);
		if (!host || streq(json_str(json_get(address, "type")), "InternalIP"))
			host = json_str(json_get(address, "address"));
		if (streq(json_str(json_get(address, "type")), "InternalIP"))
			break;
	}
	int64_t port = json_int_or(json_in(node, "status", "daemonEndpoints", "kubeletEndpoint", "Port"), 0);
	if (!host || !*host || port <= 0 || port > 65535)
		return error_set(e, E_UNAVAILABLE,
				 "node \"%s\" has not said how its port is reached (status.addresses, "
				 "status.daemonEndpoints); is its agent running?",
				 json_str_or(json_in(node, "metadata", "name"), ""));
	*ret_host = host;
	*ret_port = port;
	return 0;
}

static int node_url(struct call *c, struct arena *a, char **ret, struct error *e)
{
	const struct route *r = &c->route;
	const struct kind *nodes = kind_find("", "v1", "nodes");
	_object_ instance = cache_get(c->server->cache, r->kind, object_key(c->arena, r->kind, r->ns, r->name));
	const char *host = "", *query = httpd_query_string(c->http);
	int64_t port = 0;

	if (!instance)
		return error_not_found(e, r->kind, r->name);
	const struct json *tree = object_tree(c->arena, instance);
	const char *name = json_str_or(json_in(tree, "status", "nodeName"),
				       json_str_or(json_in(tree, "spec", "nodeName"), ""));
	if (!*name)
		return error_set(e, E_BAD_REQUEST, "instance \"%s\" has never been on a node (phase %s)", r->name,
				 json_str_or(json_in(tree, "status", "phase"), "Pending"));
	_object_ node = nodes ? cache_get(c->server->cache, nodes, name) : NULL;
	if (!node)
		return error_set(e, E_UNAVAILABLE, "node \"%s\" of instance \"%s\" is gone", name, r->name);
	int code = node_address(object_tree(c->arena, node), &host, &port, e);
	if (code < 0)
		return code;
	bool v6 = strchr(host, ':') != NULL;
	char *base = arena_printf(a, "https://%s%s%s:%lld/v1", v6 ? "[" : "", host, v6 ? "]" : "", (long long)port);
	*ret = streq(r->sub, "stats") ? arena_printf(a, "%s/stats", base)
				      : arena_printf(a, "%s/instances/%s/%s/%s%s%s", base, r->ns, r->name, r->sub,
						     *query ? "?" : "", query);
	return 0;
}

/* ---- plain calls ---- */

struct exchange {
	struct node_call *n;
	uv_loop_t loop;
	uv_async_t closed;
	struct http_loop *http;
	struct http_call *under_way;
	pthread_mutex_t lock;	     /* guards stream and client_gone: the stream dies on an HTTP thread */
	struct httpd_stream *stream; /* once the first bytes came, until the client is gone */
	bool client_gone;
	bool ended; /* the loop knows that the client is gone */
};

static void on_closed(struct httpd_stream *s, void *user)
{
	struct exchange *x = user;

	(void)s;
	pthread_mutex_lock(&x->lock);
	x->client_gone = true;
	x->stream = NULL;
	pthread_mutex_unlock(&x->lock);
	uv_async_send(&x->closed);
}

/* The call is over when the node's answer is, and the client's stream if there was one. */
static void end_if_over(struct exchange *x)
{
	bool answered = x->n->call != NULL;

	if (!x->under_way && (answered || x->ended))
		uv_close((uv_handle_t *)&x->closed, NULL); /* the loop has nothing left and returns */
}

static void on_client_gone(uv_async_t *async)
{
	struct exchange *x = async->data;

	if (x->under_way)
		http_cancel(x->under_way);
	x->under_way = NULL;
	x->ended = true;
	end_if_over(x);
}

static bool queue_is_long(struct exchange *x)
{
	pthread_mutex_lock(&x->lock);
	bool is_long = x->stream && httpd_stream_queued(x->stream) > QUEUE_HIGH;
	pthread_mutex_unlock(&x->lock);
	return is_long;
}

/* The request ends with the stream's begin: n->call is NULL from then on. */
static void begin_stream(struct exchange *x)
{
	struct call *call = x->n->call;

	x->n->call = NULL;
	call_count(call, 200);
	pthread_mutex_lock(&x->lock);
	struct httpd_stream *s = httpd_stream_start(call->http, 200, "text/plain; charset=utf-8", on_closed, x);
	x->stream = s;
	pthread_mutex_unlock(&x->lock);
}

static int on_bytes(void *user, const void *data, size_t len, struct error *e)
{
	struct exchange *x = user;
	const struct timespec pause = {.tv_nsec = QUEUE_WAIT_NS};

	if (x->n->call)
		begin_stream(x);
	while (queue_is_long(x))
		nanosleep(&pause, NULL);
	pthread_mutex_lock(&x->lock);
	bool gone = x->client_gone;
	if (!gone) {
		struct chunk *c = chunk_new(data, len);
		httpd_stream_write(x->stream, c);
		chunk_unref(c);
	}
	pthread_mutex_unlock(&x->lock);
	if (gone)
		return error_set(e, E_UNAVAILABLE, "the client is gone");
	return 0;
}

/* Of a node's stats only the part about the Instance. */
static int reply_stats(struct node_call *n, const struct http_response *res, struct error *e)
{
	struct json *all;
	int code = json_parse(n->arena, res->body, res->body_len, NULL, &all, e);
	const struct json *list = json_get(all, "instances");

	for (size_t i = 0; code == 0 && i < json_count(list); i++) {
		const struct json *one = json_item(list, i);
		if (!streq(json_str(json_get(one, "namespace")), n->ns) ||
		    !streq(json_str(json_get(one, "name")), n->name))
			continue;
		call_reply_tree(n->call, 200, one);
		return 0;
	}
	return code < 0 ? error_prefix(e, "stats of the node")
			: error_set(e, E_NOT_FOUND, "instance \"%s\" has no VM running now", n->name);
}

static void reply_whole(struct node_call *n, const struct http_response *res)
{
	struct error e = {0};

	if (res->status == 200 && streq(n->sub, "stats")) {
		if (reply_stats(n, res, &e) < 0)
			call_fail(n->call, &e);
		return;
	}
	call_count(n->call, res->status);
	httpd_reply(n->call->http, res->status, *res->content_type ? res->content_type : "text/plain",
		    res->body ? res->body : "", res->body_len);
}

static void on_done(void *user, int err, const struct http_response *res, const struct error *e)
{
	struct exchange *x = user;
	struct error failed = {0};

	x->under_way = NULL;
	if (!x->n->call) {
		pthread_mutex_lock(&x->lock);
		if (x->stream)
			httpd_stream_end(x->stream);
		pthread_mutex_unlock(&x->lock);
	} else if (err == 0) {
		reply_whole(x->n, res);
	} else {
		error_set(&failed, E_UNAVAILABLE, "the node does not answer: %s", e->text);
		call_fail(x->n->call, &failed);
	}
	end_if_over(x);
}

static void exchange_run(struct node_call *n)
{
	struct exchange x = {.n = n, .lock = PTHREAD_MUTEX_INITIALIZER};
	bool log = streq(n->sub, "log");
	struct http_request req = {.method = n->method,
				   .url = n->url,
				   .tls = &n->tls,
				   .connect_timeout_ms = CONNECT_TIMEOUT_MS,
				   .timeout_ms = log ? 0 : CALL_TIMEOUT_MS};

	if (log) {
		req.sink = on_bytes;
		req.sink_user = &x;
	}
	uv_loop_init(&x.loop);
	uv_async_init(&x.loop, &x.closed, on_client_gone);
	x.closed.data = &x;
	x.http = http_loop_new(&x.loop);
	x.under_way = http_start(x.http, &req, on_done, &x);
	uv_run(&x.loop, UV_RUN_DEFAULT);
	http_loop_free(x.http);
	uv_run(&x.loop, UV_RUN_DEFAULT);
	uv_loop_close(&x.loop);
}

/* ---- begin ---- */

static void *node_run(void *arg)
{
	struct node_call *n = arg;

	if (streq(n->sub, "exec")) {
		node_exec_run(n);
	} else {
		exchange_run(n);
		node_call_free(n);
	}
	return NULL;
}

static int start_thread(struct node_call *n, struct error *e)
{
	pthread_attr_t detached;
	pthread_t thread;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	int failed = pthread_create(&thread, &detached, node_run, n);
	pthread_attr_destroy(&detached);
	return failed ? error_set_errno(e, failed, "no thread for the call to the node") : 0;
}

void subresource_node(struct call *c)
{
	struct arena *a = arena_new();
	struct node_call *n = arena_calloc(a, sizeof(*n));
	struct error e = {0};
	char *url = NULL;
	int code = node_url(c, a, &url, &e);

	if (code == 0 && !claim_thread()) {
		code = error_set(&e, E_TOO_MANY, "too many logs and sessions are open at once (%d); close some",
				 NODE_CALLS_MAX);
		e.retry_after = 1;
	}
	if (code < 0) {
		call_fail(c, &e);
		arena_free(a);
		return;
	}
	*n = (struct node_call){.arena = a,
				.call = c,
				.tls = c->server->node_tls,
				.url = url,
				.method = arena_strdup(a, httpd_method(c->http)),
				.sub = arena_strdup(a, c->route.sub),
				.ns = arena_strdup(a, c->route.ns),
				.name = arena_strdup(a, c->route.name)};
	if (start_thread(n, &e) < 0) {
		call_fail(c, &e);
		node_call_free(n);
	}
}
