/*
 * haproxy_cfg.c - the text of haproxy.cfg; see haproxy_cfg.h, and docs/gateway.md for what the rules do and why.
 */
#include "gateway/haproxy_cfg.h"

static void write_global(const struct haproxy_settings *s, struct buf *out)
{
	buf_adds(out, "# Written by berth-gateway; changes are lost.\n");
	buf_addf(out, "# %s: sha256 %s\n", s->lua_file, s->lua_digest);
	buf_adds(out, "global\n");
	if (s->user)
		buf_addf(out, "    user %s\n    group %s\n", s->user, s->user);
	buf_addf(out, "    maxconn %lld\n", (long long)s->max_connections);
	buf_adds(out, "    tune.maxrewrite 4096\n"); /* room for the headers we add: IDs may be long */
	if (s->threads)
		buf_addf(out, "    nbthread %lld\n", (long long)s->threads);
	buf_addf(out, "    stats socket %s mode 600 level admin\n", s->admin_socket);
	buf_addf(out, "    setenv BERTH_RESOLVER %s\n    setenv BERTH_WAKE_TIMEOUT %lld\n", s->resolver_socket,
		 (long long)(s->wake_timeout_ms + 999) / 1000);
	buf_addf(out, "    lua-load-per-thread %s\n", s->lua_file);
}

static void write_defaults(struct buf *out)
{
	static const struct {
		int status;
		const char *reason, *message, *headers;
	} errors[] = {
		{400, "BadRequest", "the request is malformed", ""},
		{408, "RequestTimeout", "the request did not arrive in time", ""},
		{500, "InternalError", "the gateway failed", ""},
		{502, "BadGateway", "the instance broke off before it answered", ""},
		{503, "Unavailable", "the instance does not take connections", " hdr Retry-After 1"},
		{504, "GatewayTimeout", "the instance did not answer in time", ""},
	};

	buf_adds(out, "\ndefaults\n"
		      "    mode http\n"
		      "    timeout http-request 15s\n"
		      "    timeout http-keep-alive 75s\n"
		      "    timeout connect 2s\n"
		      "    timeout client 5m\n"
		      "    timeout server 15m\n"
		      "    timeout client-fin 30s\n"
		      "    timeout tunnel 24h\n"
		      "    option clitcpka\n"
		      "    option srvtcpka\n"
		      "    option abortonclose\n"
		      "    option redispatch 1\n"
		      "    retries 2\n"
		      "    retry-on conn-failure\n");
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		buf_addf(out,
			 "    http-error status %d content-type application/json string "
			 "\"{\\\"code\\\":%d,\\\"reason\\\":\\\"%s\\\",\\\"message\\\":\\\"%s\\\"}\\n\"%s\n",
			 errors[i].status, errors[i].status, errors[i].reason, errors[i].message, errors[i].headers);
}

/* Behind trusted proxies the client is the last address in X-Forwarded-For that is not one of them; so many of them may
 * stand in a row. What an untrusted one wrote is before that, and not looked at. */
#define PROXIES_MAX 4

static void write_client(const struct haproxy_settings *s, struct buf *out)
{
	if (!s->trusted_proxy_count)
		return;
	buf_adds(out, "    acl from_trusted_proxy src");
	for (size_t i = 0; i < s->trusted_proxy_count; i++)
		buf_addf(out, " %s", s->trusted_proxies[i]);
	buf_addc(out, '\n');
	for (int hop = 1; hop <= PROXIES_MAX; hop++) {
		buf_addf(out, "    http-request set-src req.hdr_ip(X-Forwarded-For,-%d) if from_trusted_proxy", hop);
		for (int known = 1; known <= hop; known++)
			buf_addf(out, " { req.hdr_ip(X-Forwarded-For,-%d) -m found }", known);
		buf_addc(out, '\n');
	}
}

/* The rule of a request, into txn.rule. */
static void write_lookup(const struct haproxy_settings *s, const struct route_shape *shape, struct buf *out)
{
	bool any_host = shape->hosts || shape->suffixes;
	const char *unless = "";

	if (shape->hosts)
		buf_addf(out,
			 "    http-request set-var(txn.host) req.hdr(host),host_only,lower,map_str(%s/hosts.map)\n",
			 s->map_dir);
	if (shape->suffixes)
		buf_addf(
			out,
			"    http-request set-var(txn.host) req.hdr(host),host_only,lower,map_end(%s/suffixes.map)%s\n",
			s->map_dir, shape->hosts ? " if !{ var(txn.host) -m found }" : "");
	if (any_host)
		buf_adds(out, "    http-request set-var(txn.path) path\n");
	if (shape->exact) {
		buf_addf(out, "    http-request set-var(txn.rule) %s,map_str(%s/exact.map)\n",
			 any_host ? "str(=),concat(,txn.host),concat(,txn.path)" : "path", s->map_dir);
		unless = " if !{ var(txn.rule) -m found }";
	}
	buf_addf(out, "    http-request set-var(txn.rule) %s,map_beg(%s/prefix.map)%s\n",
		 any_host ? "str(=),concat(,txn.host),concat(,txn.path,/)" : "path,concat(/)", s->map_dir, unless);
}

/* The ID, percent-encoded in the one canonical way, into txn.id. */
static void write_extractors(const struct route_shape *shape, struct buf *out)
{
	for (size_t i = 0; i < shape->extractor_count; i++) {
		const struct route_extractor *x = &shape->extractors[i];

		if (x->header)
			buf_addf(out,
				 "    http-request set-var(txn.id) req.fhdr(%s),url_enc "
				 "if { var(txn.rule) -m beg %s| }\n",
				 x->header, x->tag);
		else
			buf_addf(out,
				 "    http-request set-var(txn.id) path,field(%d,/),url_dec,url_enc if "
				 "{ var(txn.rule) -m beg %s| }\n",
				 x->segment + 1, x->tag);
	}
	if (shape->fixed)
		buf_adds(out,
			 "    http-request set-var(txn.id) var(txn.rule),field(5,|) if { var(txn.rule) -m beg f| }\n");
}

static void write_frontend(const struct haproxy_settings *s, const struct route_shape *shape, struct buf *out)
{
	buf_addf(out, "\nfrontend gateway\n    bind %s\n", s->listen);
	write_client(s, out);
	write_lookup(s, shape, out);
	write_extractors(shape, out);
	/* Tracked before the lookup: whoever has seen an address is counted (docs/gateway.md, "Falling asleep"). */
	buf_addf(out,
		 "    http-request set-var(txn.key) var(txn.rule),field(4,|),concat(,txn.id)\n"
		 "    http-request track-sc0 var(txn.key) table activity\n"
		 "    http-request set-var(txn.addr) var(txn.key),map_str_ip(%s/instances.map)\n"
		 "    http-request lua.berth_resolve if !{ var(txn.addr) -m found }\n"
		 "    http-request set-dst var(txn.addr)\n"
		 "    http-request set-dst-port var(txn.rule),field(2,|)\n"
		 "    http-request del-header Berth- -m beg\n"
		 "    http-request del-header Keep-Alive\n"
		 "    http-request del-header Proxy-Connection\n"
		 "    http-request del-header Proxy\n"
		 "    http-request set-header X-Forwarded-For %%[src]\n"
		 "    http-request set-header X-Forwarded-Proto http\n"
		 "    http-request set-header X-Forwarded-Host %%[req.hdr(host)]\n"
		 "    http-request set-header X-Request-Id %%[uuid()] if !{ req.hdr(X-Request-Id) -m found }\n"
		 "    http-request set-header Berth-Instance %%[var(txn.key)]\n"
		 "    http-request set-header Berth-Instance-Id %%[var(txn.id)]\n",
		 s->map_dir);
	for (size_t i = 0; i < shape->strip_count; i++)
		buf_addf(out,
			 "    http-request set-path /%%[path,field(%d,/,0)] if "
			 "{ var(txn.rule),field(3,|) -m str %d }\n",
			 shape->strips[i] + 2, shape->strips[i]);
	buf_adds(out, "    default_backend vm\n");
}

static void write_backends(const struct haproxy_settings *s, struct buf *out)
{
	const char *owner = s->user ? s->user : "";
	_buf_ source = BUF_INIT(64);

	if (s->source)
		buf_addf(&source, " source %s", s->source);
	const char *from = source.data ? source.data : "";

	/* The second server is the way back to the resolver when the first, the address itself, takes no connection;
	 * the PROXY header tells it client and address. */
	buf_addf(out,
		 "\nbackend vm\n"
		 "    use-server vm if TRUE\n"
		 "    server vm 0.0.0.0:0 weight 256%s\n"
		 "    server again unix@%s send-proxy-v2 weight 1\n",
		 from, s->again_socket);
	buf_addf(out, "\nfrontend again\n    bind unix@%s accept-proxy mode 600", s->again_socket);
	if (s->user)
		buf_addf(out, " user %s group %s", owner, owner);
	buf_addf(out,
		 "\n"
		 "    http-request set-var(txn.key) req.hdr(Berth-Instance)\n"
		 "    http-request lua.berth_again\n"
		 "    http-request set-dst var(txn.addr)\n"
		 "    http-request set-dst-port var(txn.port)\n"
		 "    default_backend vm_again\n"
		 "\nbackend vm_again\n"
		 "    server vm 0.0.0.0:0%s\n",
		 from);
	buf_addf(out,
		 "\nbackend activity\n"
		 "    stick-table type string len %d size 200k expire %ds store conn_cur\n",
		 HAPROXY_ACTIVITY_KEY_MAX + 1, HAPROXY_ACTIVITY_EXPIRE_MS / 1000);
	if (s->metrics_listen)
		buf_addf(out,
			 "\nfrontend metrics\n"
			 "    bind %s\n"
			 "    http-request use-service prometheus-exporter if { path /metrics }\n"
			 "    http-request return status 404\n",
			 s->metrics_listen);
}

void haproxy_cfg_write(const struct haproxy_settings *s, const struct route_shape *shape, struct buf *out)
{
	write_global(s, out);
	write_defaults(out);
	write_frontend(s, shape, out);
	write_backends(s, out);
}
