/*
 * fixed.c - paths with a fixed meaning; see fixed.h.
 */
#include "apiserver/fixed.h"
#include "apiserver/openapi.h"
#include "apiserver/status.h"
#include <stdio.h>

#define TEXT_MAX 65536

static void reply_text(struct call *c, int status, const char *text)
{
	call_count(c, status);
	httpd_reply(c->http, status, "text/plain; charset=utf-8", text, strlen(text));
}

/* ---- health ---- */

static void reply_health(struct call *c, const char *name, bool good)
{
	char text[256];

	if (!call_query_bool(c, "verbose")) {
		reply_text(c, good ? 200 : 500, good ? "ok" : "not ready");
		return;
	}
	snprintf(text, sizeof(text), "[+]ping ok\n[%c]store %s\n[%c]watch-cache %s\n%s check %s\n", good ? '+' : '-',
		 good ? "ok" : "failed", good ? '+' : '-', good ? "ok" : "failed", name, good ? "passed" : "failed");
	reply_text(c, good ? 200 : 500, text);
}

static void livez(struct call *c)
{
	reply_health(c, "livez", true); /* whoever answers lives: faults of the store end the process */
}

static void healthz(struct call *c)
{
	reply_health(c, "healthz", c->server->ready);
}

static void readyz(struct call *c)
{
	reply_health(c, "readyz", c->server->ready);
}

static void ping(struct call *c)
{
	reply_text(c, 200, "ok");
}

/* ---- about this server ---- */

/* The version that clients compare with their own: that of the Kubernetes API spoken here, then ours. */
static void version(struct call *c)
{
	struct arena *a = c->arena;
	struct json *v = json_object(a);

	json_set_str(a, v, "major", "1");
	json_set_str(a, v, "minor", "32");
	json_set_str(a, v, "gitVersion", arena_printf(a, "v1.32.0-berth.%s+%s", BERTH_VERSION, version_commit()));
	json_set_str(a, v, "gitCommit", version_commit());
	json_set_str(a, v, "gitTreeState", "clean");
	json_set_str(a, v, "buildDate", "1970-01-01T00:00:00Z"); /* builds are reproducible */
	json_set_str(a, v, "goVersion", "none");
	json_set_str(a, v, "compiler", "cc");
	json_set_str(a, v, "platform", "linux/amd64");
	call_reply_tree(c, 200, v);
}

static void metrics(struct call *c)
{
	call_count(c, 200);
	httpd_reply_metrics(c->http);
}

static const struct {
	const char *path;
	void (*reply)(struct call *c);
} pages[] = {
	{"/livez", livez},     {"/livez/ping", ping}, {"/readyz", readyz},
	{"/healthz", healthz}, {"/version", version}, {"/metrics", metrics},
};

static void root(struct call *c)
{
	struct json *doc = json_object(c->arena), *paths = json_array(c->arena);
	static const char *const documents[] = {"/api", "/api/v1", "/apis", "/openapi/v2", "/openapi/v3"};

	for (size_t i = 0; i < ARRAY_SIZE(documents); i++)
		json_append(c->arena, paths, json_string(c->arena, documents[i]));
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		json_append(c->arena, paths, json_string(c->arena, pages[i].path));
	json_set(c->arena, doc, "paths", paths);
	call_reply_tree(c, 200, doc);
}

/* ---- documents ---- */

static bool etag_matches(const struct call *c, const struct document *d)
{
	const char *known = httpd_header(c->http, "If-None-Match");

	return known && strstr(known, d->etag) != NULL;
}

/* A 304 carries the content type of the 200 it stands for: clients merge it into what they have cached. */
static void reply_document(struct call *c, const struct document *d)
{
	httpd_set_header(c->http, "ETag", d->etag);
	httpd_set_header(c->http, "Vary", "Accept");
	if (etag_matches(c, d)) {
		call_count(c, 304);
		httpd_reply(c->http, 304, d->content_type, "", 0);
		return;
	}
	call_count(c, 200);
	httpd_reply_chunk(c->http, 200, d->content_type, chunk_ref(d->body));
}

/* ---- dispatch ---- */

/* Without a trailing slash, which some clients send. */
static const char *trimmed(struct arena *a, const char *path)
{
	size_t n = strlen(path);

	return n > 1 && path[n - 1] == '/' ? arena_strndup(a, path, n - 1) : path;
}

void fixed_reply(struct call *c, const char *path)
{
	const char *accept = httpd_header(c->http, "Accept");
	const struct document *document;
	struct error e = {0};

	path = trimmed(c->arena, path);
	if (!streq(httpd_method(c->http), "GET")) {
		error_set(&e, E_METHOD_NOT_ALLOWED, "the server does not allow this method on the requested resource");
		call_fail(c, &e);
		return;
	}
	if (streq(path, "/")) {
		root(c);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		if (streq(pages[i].path, path)) {
			pages[i].reply(c);
			return;
		}
	}
	int code = str_starts(path, "/openapi/") ? openapi_get(path, accept, &document, &e)
						 : discovery_get(path, accept, &document, &e);
	if (code == 0)
		reply_document(c, document);
	else
		call_fail(c, &e);
}
