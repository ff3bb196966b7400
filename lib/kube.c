/*
 * kube.c - calls of the Kubernetes API; see kube.h. kube_config.c reads kubeconfigs, kube_informer.c caches what is
 * watched, kube_event.c records Events.
 */
#include "lib/kube_internal.h"

#include "lib/codec.h"
#include "lib/log.h"

#include <stdio.h>

#define TIMEOUT_DEFAULT_MS 30000

#define OURS(name, plural_, kind_, ns) const struct kube_resource name = {"berth.dev", "v1", plural_, kind_, ns}
#define CORE(name, plural_, kind_, ns) const struct kube_resource name = {"", "v1", plural_, kind_, ns}

OURS(KUBE_CONTAINERS, "containers", "Container", true);
OURS(KUBE_INSTANCES, "instances", "Instance", true);
OURS(KUBE_REVISIONS, "revisions", "Revision", true);
OURS(KUBE_IMAGES, "images", "Image", false);
OURS(KUBE_LOCATIONS, "locations", "Location", false);
OURS(KUBE_ROUTES, "routes", "Route", true);
CORE(KUBE_NODES, "nodes", "Node", false);
CORE(KUBE_EVENTS, "events", "Event", true);
CORE(KUBE_SECRETS, "secrets", "Secret", true);
CORE(KUBE_CONFIGMAPS, "configmaps", "ConfigMap", true);
CORE(KUBE_NAMESPACES, "namespaces", "Namespace", false);
const struct kube_resource KUBE_LEASES = {"coordination.k8s.io", "v1", "leases", "Lease", true};

int kube_new(const struct kube_config *cfg, uv_loop_t *loop, const char *user_agent, struct kube **ret, struct error *e)
{
	struct kube *k;

	if (!cfg->server || !cfg->server[0])
		return error_set(e, E_INVALID, "the address of the API server is missing");
	k = xcalloc(1, sizeof(*k));
	k->a = arena_new();
	k->cfg = (struct kube_config){.server = arena_strdup(k->a, cfg->server), .insecure = cfg->insecure};
	if (cfg->ca_file)
		k->cfg.ca_file = arena_strdup(k->a, cfg->ca_file);
	if (cfg->cert_file)
		k->cfg.cert_file = arena_strdup(k->a, cfg->cert_file);
	if (cfg->key_file)
		k->cfg.key_file = arena_strdup(k->a, cfg->key_file);
	if (cfg->token)
		k->cfg.token = arena_strdup(k->a, cfg->token);
	k->cfg.namespace = arena_strdup(k->a, cfg->namespace ? cfg->namespace : "default");
	k->tls = (struct http_tls){k->cfg.ca_file, k->cfg.cert_file, k->cfg.key_file, k->cfg.insecure};
	k->user_agent = arena_printf(k->a, "User-Agent: %s", user_agent);
	k->component = arena_strndup(k->a, user_agent, strcspn(user_agent, "/"));
	k->client = http_client_new();
	k->uv = loop;
	k->loop = loop ? http_loop_new(loop) : NULL;
	k->events = strmap_new();
	k->watch_silence_ms = 90000;
	k->backoff_min_ms = 100;
	k->backoff_max_ms = 5000;
	*ret = k;
	return 0;
}

const struct kube_config *kube_get_config(const struct kube *k)
{
	return &k->cfg;
}

char *kube_path(struct arena *a, const struct kube_resource *r, const char *ns, const char *name, const char *sub)
{
	_buf_ b = BUF_INIT(8192);

	if (r->group[0])
		buf_addf(&b, "/apis/%s/%s", r->group, r->version);
	else
		buf_addf(&b, "/api/%s", r->version);
	if (ns && r->namespaced) {
		buf_adds(&b, "/namespaces/");
		percent_encode(ns, &b);
	}
	buf_addf(&b, "/%s", r->plural);
	if (name) {
		buf_addc(&b, '/');
		percent_encode(name, &b);
	}
	if (sub)
		buf_addf(&b, "/%s", sub);
	return arena_strndup(a, b.data, b.len);
}

static const char *const patch_types[] = {
	[KUBE_PATCH_NONE] = "application/json",
	[KUBE_PATCH_MERGE] = "application/merge-patch+json",
	[KUBE_PATCH_JSON] = "application/json-patch+json",
	[KUBE_PATCH_APPLY] = "application/apply-patch+yaml",
};

void kube_request(struct kube *k, const struct kube_call *c, struct arena *a, struct buf *body,
		  struct http_request *ret)
{
	struct http_request q = {.method = c->method ? c->method : "GET", .tls = &k->tls};
	size_t n = strlen(k->cfg.server), i = 0;

	while (n && k->cfg.server[n - 1] == '/')
		n--;
	q.url = arena_printf(a, "%.*s%s", (int)n, k->cfg.server, c->path);
	q.headers[i++] = k->user_agent;
	q.headers[i++] = arena_printf(a, "Accept: %s", c->accept ? c->accept : "application/json");
	if (c->body) {
		json_write(c->body, JSON_COMPACT, body);
		q.body = body->data;
		q.body_len = body->len;
		q.headers[i++] = arena_printf(a, "Content-Type: %s", patch_types[c->patch]);
	}
	q.bearer_token = k->cfg.token;
	q.max_response = KUBE_ANSWER_MAX;
	*ret = q;
}

int kube_parse(const struct http_response *res, struct arena *a, struct json **ret, struct error *e)
{
	struct json_options opt = {.max_bytes = KUBE_ANSWER_MAX};
	int r;

	if (!res->body_len) {
		*ret = json_null(a);
		return 0;
	}
	r = json_parse(a, res->body, res->body_len, &opt, ret, e);
	return r < 0 ? error_prefix(e, "the API server's answer is not JSON") : 0;
}

int kube_check(const struct http_response *res, struct arena *a, struct error *e)
{
	struct json *status = NULL, *cause;
	const char *message, *field, *after;
	struct error parsed;
	int code;

	if (res->status >= 200 && res->status < 300)
		return 0;
	if (kube_parse(res, a, &status, &parsed) < 0 || !streq(json_str(json_get(status, "kind")), "Status"))
		status = NULL;
	code = error_code_from_http(res->status, json_str(json_get(status, "reason")));
	message = json_str(json_get(status, "message"));
	cause = json_item(json_in(status, "details", "causes"), 0);
	field = json_str(json_get(cause, "field"));
	if (!message)
		error_set(e, code, "the API server answered %d%s%.*s", res->status, res->body_len ? ": " : "",
			  (int)(res->body_len > 200 ? 200 : strcspn(res->body, "\r\n")), res->body);
	else if (field)
		error_set_field(e, code, field, "%s", message);
	else
		error_set(e, code, "%s", message);
	after = http_response_header(res, "Retry-After");
	if (e)
		e->retry_after = (int)json_int_or(json_in(status, "details", "retryAfterSeconds"),
						  after ? strtol(after, NULL, 10) : 0);
	return -code;
}

static int64_t call_timeout(const struct kube_call *c)
{
	return c->timeout_ms > 0 ? c->timeout_ms : c->sink ? 0 : TIMEOUT_DEFAULT_MS;
}

int kube_do(struct kube *k, const struct kube_call *c, struct arena *a, struct json **ret, struct error *e)
{
	_arena_ scratch = arena_new();
	_buf_ body = BUF_INIT(KUBE_ANSWER_MAX);
	struct http_request q;
	struct http_response res;
	struct json *parsed = NULL;
	int r;

	kube_request(k, c, scratch, &body, &q);
	q.timeout_ms = call_timeout(c);
	q.sink = c->sink;
	q.sink_user = c->sink_user;
	r = http_do(k->client, &q, scratch, &res, e);
	if (r < 0)
		return r;
	if (c->ret_status)
		*c->ret_status = res.status;
	r = kube_check(&res, scratch, e);
	if (r < 0 || c->sink || !ret)
		return r;
	r = kube_parse(&res, a, &parsed, e);
	if (r == 0)
		*ret = parsed;
	return r;
}

/* ---- asynchronous ---- */

struct kube_pending {
	struct kube *k;
	struct kube_pending *next, *prev;
	kube_done *done;
	void *user;
};

static void pending_free(struct kube_pending *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		p->k->pending = p->next;
	if (p->next)
		p->next->prev = p->prev;
	free(p);
}

static void on_answer(void *user, int err, const struct http_response *res, const struct error *he)
{
	struct kube_pending *p = user;
	_arena_ a = arena_new();
	struct error e = *he;
	struct json *object = NULL;
	kube_done *done = p->done;
	void *done_user = p->user;

	if (err == 0)
		err = kube_check(res, a, &e);
	if (err == 0)
		err = kube_parse(res, a, &object, &e);
	pending_free(p); /* done may free the client */
	done(done_user, err, err ? NULL : object, &e);
}

void kube_start(struct kube *k, const struct kube_call *c, kube_done *done, void *user)
{
	_arena_ a = arena_new();
	_buf_ body = BUF_INIT(KUBE_ANSWER_MAX);
	struct kube_pending *p = xcalloc(1, sizeof(*p));
	struct http_request q;

	p->k = k;
	p->done = done;
	p->user = user;
	p->next = k->pending;
	if (p->next)
		p->next->prev = p;
	k->pending = p;
	kube_request(k, c, a, &body, &q);
	q.timeout_ms = call_timeout(c);
	http_start(k->loop, &q, on_answer, p);
}

void kube_free(struct kube *k)
{
	if (!k)
		return;
	http_loop_free(k->loop);
	while (k->pending)
		pending_free(k->pending);
	kube_events_free(k);
	http_client_free(k->client);
	arena_free(k->a);
	free(k);
}
