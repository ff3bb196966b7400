/*
 * port.c - the node port's routes.
 */
#include "agent/port.h"

#include <signal.h>
#include <stdio.h>

#include "agent/exec.h"
#include "agent/instance.h"
#include "agent/port_log.h"
#include "agent/port_stats.h"
#include "lib/codec.h"
#include "lib/log.h"
#include "lib/metrics.h"

#define PART_MAX 254

static struct metric requests = METRIC_COUNTER("berth_agent_port_requests_total", "Requests to the node port", "call");

struct port {
	struct agent *agent;
	struct httpd *httpd;
};

/* A request on its way to the loop. */
struct handover {
	struct port *port;
	struct httpd_request *r;
	const struct call *call;
	char ns[PART_MAX], name[PART_MAX];
};

void port_fail_error(struct httpd_request *r, const struct error *e)
{
	_arena_ a = arena_new();
	struct json *o = json_object(a);
	_buf_ text = BUF_INIT(16384);

	json_set_str(a, o, "kind", "Status");
	json_set_str(a, o, "apiVersion", "v1");
	json_set(a, o, "metadata", json_object(a));
	json_set_str(a, o, "status", "Failure");
	json_set_str(a, o, "message", e->text);
	json_set_str(a, o, "reason", error_reason(e->code));
	json_set_int(a, o, "code", error_http_status(e->code));
	json_write(o, JSON_COMPACT, &text);
	httpd_reply(r, error_http_status(e->code), "application/json", text.data, text.len);
}

void port_fail(struct httpd_request *r, int code, const char *fmt, ...)
{
	struct error e = {.code = code};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, ap);
	va_end(ap);
	port_fail_error(r, &e);
}

void port_reply_json(struct httpd_request *r, int status, const struct json *v)
{
	_buf_ text = BUF_INIT(16U << 20);

	json_write(v, JSON_COMPACT, &text);
	httpd_reply(r, status, "application/json", text.data, text.len);
}

/* ---- calls, on the loop's thread ---- */

static void handle_signal(struct agent *g, struct httpd_request *r, const char *ns, const char *name)
{
	struct instance *i = instance_by_name(g, ns, name);
	const char *text = httpd_query(r, "signal");
	char *end;
	long number = text ? strtol(text, &end, 10) : SIGTERM;

	if (!i) {
		port_fail(r, E_NOT_FOUND, "instance %s/%s is not on this node", ns, name);
	} else if (text && (*end || number < 1 || number > SIGRTMAX)) {
		port_fail(r, E_BAD_REQUEST, "signal: %s is no signal number from 1 to %d", text, SIGRTMAX);
	} else if (instance_is_suspended(i)) {
		port_fail(r, E_CONFLICT, "instance %s is suspended; it is woken by a request or by state: Running",
			  name);
	} else if (!instance_channel_signal(i, (int)number)) {
		port_fail(r, E_CONFLICT, "instance %s has no running VM", name);
	} else {
		_arena_ a = arena_new();
		struct json *o = json_object(a);
		json_set_str(a, o, "kind", "Status");
		json_set_str(a, o, "apiVersion", "v1");
		json_set(a, o, "metadata", json_object(a));
		json_set_str(a, o, "status", "Success");
		port_reply_json(r, 200, o);
	}
}

static void handle_health(struct agent *g, struct httpd_request *r, _unused_ const char *ns, _unused_ const char *name)
{
	if (g->hypervisor_up)
		httpd_reply(r, 200, "text/plain", "ok\n", 3);
	else
		port_fail(r, E_UNAVAILABLE, "libvirt: %s", g->hypervisor_reason);
}

static void handle_metrics(_unused_ struct agent *g, struct httpd_request *r, _unused_ const char *ns,
			   _unused_ const char *name)
{
	httpd_reply_metrics(r);
}

static const struct call {
	const char *method, *path; /* "{ns}/{name}" stands for an instance */
	void (*handle)(struct agent *g, struct httpd_request *r, const char *ns, const char *name);
} calls[] = {
	{"GET", "/healthz", handle_health},
	{"GET", "/metrics", handle_metrics},
	{"GET", "/v1/stats", port_stats_handle},
	{"GET", "/v1/instances/{}/{}/log", port_log_handle},
	{"GET", "/v1/instances/{}/{}/exec", exec_handle},
	{"POST", "/v1/instances/{}/{}/signal", handle_signal},
};

static void on_loop(void *arg)
{
	struct handover *h = arg;

	metric_add(&requests, h->call->path, 1);
	h->call->handle(h->port->agent, h->r, h->ns, h->name);
	free(h);
}

/* ---- routing, on the server's threads ---- */

/* Compares a path with a pattern; each {} takes one decoded, non-empty part. */
static bool match(const char *pattern, const char *path, char parts[2][PART_MAX])
{
	size_t n = 0;

	while (*pattern) {
		if (pattern[0] != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		size_t len = strcspn(path, "/");
		_buf_ part = BUF_INIT(PART_MAX - 1);
		if (len == 0 || percent_decode(path, len, false, &part, NULL) < 0 || part.over ||
		    strlen(part.data) != part.len)
			return false;
		memcpy(parts[n++], part.data, part.len + 1);
		path += len;
		pattern += 2;
	}
	return *path == 0;
}

static void on_request(struct httpd_request *r, void *user)
{
	struct port *p = user;
	char parts[2][PART_MAX] = {"", ""};
	bool known = false;

	if (!streq(httpd_peer_cn(r), PORT_CALLER)) {
		port_fail(r, E_FORBIDDEN, "only %s may call the node port, with its client certificate", PORT_CALLER);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		if (!match(calls[i].path, httpd_path(r), parts))
			continue;
		known = true;
		if (!streq(calls[i].method, httpd_method(r)))
			continue;
		struct handover *h = xcalloc(1, sizeof(*h));
		h->port = p;
		h->r = r;
		h->call = &calls[i];
		memcpy(h->ns, parts[0], PART_MAX);
		memcpy(h->name, parts[1], PART_MAX);
		post_call(p->agent->post, on_loop, h);
		return;
	}
	if (known)
		port_fail(r, E_METHOD_NOT_ALLOWED, "%s is not possible here", httpd_method(r));
	else
		port_fail(r, E_NOT_FOUND, "the node port has no %s", httpd_path(r));
}

int port_start(struct agent *g, struct port **ret, struct error *e)
{
	struct port *p = xcalloc(1, sizeof(*p));
	const struct httpd_config cfg = {
		.listen = g->cfg->listen,
		.cert_file = g->cfg->tls_cert,
		.key_file = g->cfg->tls_key,
		.client_ca_file = g->cfg->tls_ca,
		.threads = 1,
		.max_connections = 1024,
		.max_body = 65536,
		.handler = on_request,
		.user = p,
	};

	p->agent = g;
	int r = httpd_start(&cfg, &p->httpd, e);
	if (r < 0) {
		free(p);
		return r;
	}
	*ret = p;
	return 0;
}

unsigned port_number(const struct port *p)
{
	return httpd_port(p->httpd);
}
