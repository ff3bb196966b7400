/*
 * verbs_read.c - get, list and watch; see call.h.
 *
 * A get is answered on the HTTP thread from the cached text; long lists and watches go to the workers.
 */
#include "apiserver/call.h"
#include "apiserver/status.h"
#include "apiserver/watch.h"
#include "apiserver/work.h"
#include "lib/codec.h"
#include "lib/units.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>

#define LIST_INLINE_MAX 200 /* objects a list may walk on an HTTP thread */
#define TOKEN_MAX 2048

/* ---- resourceVersion ---- */

static int parse_revision(const char *text, int64_t *ret, struct error *e)
{
	char *end;

	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (errno || *end || n < 0 || !isdigit((unsigned char)*text))
		return error_set(e, E_BAD_REQUEST, "Invalid value: \"%.64s\": resourceVersion must be a decimal number",
				 text);
	*ret = n;
	return 0;
}

/* The query's resourceVersion: 0 when it is absent, empty or "0". */
static int query_revision(const struct call *c, int64_t *ret, struct error *e)
{
	const char *text = httpd_query(c->http, "resourceVersion");

	*ret = 0;
	return text && *text ? parse_revision(text, ret, e) : 0;
}

static int invalid_option(struct call *c, const char *field, const char *why, struct error *e)
{
	struct json *causes = json_array(c->arena);

	cause_add(c->arena, causes, "FieldValueForbidden", field, "Forbidden: %s", why);
	c->causes = causes;
	return error_set(e, E_INVALID, "ListOptions.meta.k8s.io \"\" is invalid: %s: Forbidden: %s", field, why);
}

/* A state that has not happened: the client's history is from another store, or it is ahead of us. */
static void too_large(struct call *c, struct error *e)
{
	struct json *causes = json_array(c->arena);

	cause_add(c->arena, causes, "ResourceVersionTooLarge", "", "Too large resource version");
	c->causes = causes;
	e->retry_after = 1;
}

static int check_not_future(struct call *c, int64_t revision, struct error *e)
{
	int64_t now = cache_revision(c->server->cache);

	if (revision <= now)
		return 0;
	error_set(e, E_TIMEOUT, "Too large resource version: %" PRId64 ", current: %" PRId64, revision, now);
	too_large(c, e);
	return -E_TIMEOUT;
}

/* ---- get ---- */

void verb_get(struct call *c)
{
	const struct route *r = &c->route;
	_object_ o = cache_get(c->server->cache, r->kind, object_key(c->arena, r->kind, r->ns, r->name));
	struct error e = {0};
	int64_t revision;
	int code = query_revision(c, &revision, &e);

	if (code == 0)
		code = check_not_future(c, revision, &e);
	if (code == 0 && !o)
		code = error_not_found(&e, r->kind, r->name);
	if (code < 0)
		call_fail(c, &e);
	else
		call_reply_object(c, 200, o);
}

/* ---- list ---- */

/* Continue tokens: base64url of "revision/key of the last object". */
static char *continue_token(struct arena *a, int64_t revision, const char *key)
{
	_buf_ out = BUF_INIT(TOKEN_MAX);
	const char *plain = arena_printf(a, "%" PRId64 "/%s", revision, key);

	base64url_encode(plain, strlen(plain), &out);
	return arena_strdup(a, out.data);
}

static int continue_parse(struct arena *a, const char *token, struct cache_query *q, struct error *e)
{
	_buf_ plain = BUF_INIT(TOKEN_MAX);

	if (base64_decode(token, strlen(token), &plain, NULL) < 0 || plain.over || !plain.data)
		return error_set(e, E_BAD_REQUEST, "continue key is not valid");
	char *slash = strchr(plain.data, '/');
	if (slash)
		*slash = '\0';
	if (!slash || parse_revision(plain.data, &q->revision, NULL) < 0 || q->revision == 0)
		return error_set(e, E_BAD_REQUEST, "continue key is not valid");
	q->after = arena_strdup(a, slash + 1);
	return 0;
}

static int list_query(struct call *c, struct cache_query *q, struct error *e)
{
	const char *token = httpd_query(c->http, "continue"), *match = httpd_query(c->http, "resourceVersionMatch");
	const char *version = httpd_query(c->http, "resourceVersion");
	int64_t limit, revision;
	int code = call_filter(c, c->arena, &q->filter, e);

	if (code == 0)
		code = call_query_number(c, "limit", &limit, e);
	if (code == 0)
		code = query_revision(c, &revision, e);
	if (code < 0)
		return code;
	q->limit = (size_t)limit;
	if (token && *token) {
		if (version && *version && !streq(version, "0"))
			return error_set(e, E_BAD_REQUEST,
					 "specifying resource version is not allowed when using continue");
		return continue_parse(c->arena, token, q, e);
	}
	if (match && *match) {
		if (!version || !*version)
			return invalid_option(c, "resourceVersionMatch",
					      "resourceVersionMatch is forbidden unless resourceVersion is provided",
					      e);
		if (streq(match, "Exact") && revision == 0)
			return invalid_option(c, "resourceVersionMatch",
					      "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
					      e);
		if (streq(match, "Exact"))
			q->revision = revision;
		else if (!streq(match, "NotOlderThan"))
			return error_set(e, E_BAD_REQUEST, "resourceVersionMatch: Unsupported value: \"%.64s\"", match);
	}
	return check_not_future(c, revision, e);
}

static int list_expired(const struct call *c, struct error *e)
{
	const char *token = httpd_query(c->http, "continue");

	if (!token || !*token)
		return -E_EXPIRED;
	return error_set(
		e, E_EXPIRED,
		"The provided continue parameter is too old to display a consistent list result. You can start a new "
		"list without the continue parameter.");
}

static void list_job(void *arg)
{
	struct call *c = arg;
	struct cache_query q = {0};
	struct cache_page page = {0};
	struct error e = {0};
	int code = list_query(c, &q, &e);

	if (code == 0)
		code = cache_list(c->server->cache, &q, &page, &e);
	if (code == -E_EXPIRED)
		list_expired(c, &e);
	if (code == -E_TIMEOUT)
		too_large(c, &e);
	if (code < 0) {
		call_fail(c, &e);
		return;
	}
	struct render_list list = {.kind = c->route.kind, .page = &page};
	if (page.more && page.count)
		list.continue_token = continue_token(c->arena, page.revision, page.items[page.count - 1]->key);
	_buf_ out = BUF_INIT(BUF_UNLIMITED);
	render_list(c->form, &list, time_now_ms(), &out);
	cache_page_clear(&page);
	call_reply_buf(c, 200, &out);
}

void verb_list(struct call *c)
{
	if (cache_count(c->server->cache, c->route.kind) > LIST_INLINE_MAX)
		work_submit(c->server->work, list_job, c);
	else
		list_job(c);
}

/* ---- watch ---- */

/* Where the watch starts, by resourceVersion and sendInitialEvents. */
static int watch_start_options(struct call *c, struct watcher *w, struct error *e)
{
	const char *send = httpd_query(c->http, "sendInitialEvents"),
		   *match = httpd_query(c->http, "resourceVersionMatch");
	int64_t revision;
	int code = query_revision(c, &revision, e);

	if (code < 0)
		return code;
	w->bookmarks = call_query_bool(c, "allowWatchBookmarks");
	if (send && !streq(match, "NotOlderThan"))
		return invalid_option(c, "resourceVersionMatch",
				      "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan", e);
	if (!send && match && *match)
		return invalid_option(
			c, "resourceVersionMatch",
			"resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided", e);
	w->initial = send ? call_query_bool(c, "sendInitialEvents") : revision == 0;
	w->initial_end = send && w->initial && w->bookmarks;
	w->from = revision;
	if (!w->initial && revision == 0)
		w->from = cache_revision(c->server->cache);
	return check_not_future(c, revision, e);
}

static int watch_options(struct call *c, struct watcher *w, struct error *e)
{
	int64_t seconds;
	int code = call_filter(c, w->arena, &w->filter, e);

	if (code == 0)
		code = call_query_number(c, "timeoutSeconds", &seconds, e);
	if (code == 0)
		code = watch_start_options(c, w, e);
	if (code < 0)
		return code;
	w->form = c->form;
	w->deadline_ms = seconds ? time_mono_ms() + seconds * 1000 : 0;
	return 0;
}

static void watch_job(void *arg)
{
	struct call *c = arg;
	struct watcher *w = watcher_new();
	struct error e = {0};
	int code = watch_options(c, w, &e);

	if (code == 0) {
		call_count(c, 200);
		code = watch_begin(c->server->hub, c->http, w, &e);
	}
	if (code < 0) {
		watcher_free(w);
		call_fail(c, &e);
	}
}

void verb_watch(struct call *c)
{
	work_submit(c->server->work, watch_job, c);
}
