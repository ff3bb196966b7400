/*
 * call.c - query options, bodies and answers of API requests; see call.h.
 */
#include "apiserver/call.h"
#include "apiserver/clock.h"
#include "apiserver/protobuf.h"
#include "apiserver/status.h"
#include "lib/metrics.h"
#include "lib/units.h"
#include "lib/yaml.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#define MANAGER_MAX 128

const char *verb_name(enum verb v)
{
	static const char *const names[] = {
		[VERB_NONE] = "none",	[VERB_GET] = "get",	  [VERB_LIST] = "list",
		[VERB_WATCH] = "watch", [VERB_CREATE] = "create", [VERB_UPDATE] = "update",
		[VERB_PATCH] = "patch", [VERB_DELETE] = "delete", [VERB_DELETECOLLECTION] = "deletecollection",
	};

	return names[v];
}

/* ---- query ---- */

bool call_query_bool(const struct call *c, const char *name)
{
	const char *v = httpd_query(c->http, name);

	return v && strcasecmp(v, "false") != 0 && !streq(v, "0");
}

int call_query_number(const struct call *c, const char *name, int64_t *ret, struct error *e)
{
	const char *v = httpd_query(c->http, name);
	char *end;

	*ret = 0;
	if (!v || !*v)
		return 0;
	errno = 0;
	long long n = strtoll(v, &end, 10);
	if (errno || *end || n < 0 || !isdigit((unsigned char)*v))
		return error_set(e, E_BAD_REQUEST, "query parameter %s: \"%.64s\" is not a number from 0 on", name, v);
	*ret = n;
	return 0;
}

static int option_dry_run(struct call *c, struct error *e)
{
	const char *v;

	for (size_t i = 0; (v = httpd_query_n(c->http, "dryRun", i)); i++) {
		if (!*v)
			continue;
		if (!streq(v, "All"))
			return error_set(e, E_BAD_REQUEST,
					 "dryRun: Unsupported value: \"%.64s\": supported values: \"All\"", v);
		c->dry_run = true;
	}
	return 0;
}

static int option_validation(struct call *c, struct error *e)
{
	const char *v = httpd_query(c->http, "fieldValidation");

	c->validation = FIELDS_WARN;
	if (!v || !*v || streq(v, "Warn"))
		return 0;
	if (streq(v, "Strict"))
		c->validation = FIELDS_STRICT;
	else if (streq(v, "Ignore"))
		c->validation = FIELDS_IGNORE;
	else
		return error_set(
			e, E_BAD_REQUEST,
			"fieldValidation: Unsupported value: \"%.64s\": supported values: \"Ignore\", \"Strict\", \"Warn\"",
			v);
	return 0;
}

/* fieldManager, else the User-Agent up to its first slash. */
static int option_manager(struct call *c, struct error *e)
{
	const char *v = httpd_query(c->http, "fieldManager"), *agent = httpd_header(c->http, "User-Agent");

	if (v && *v) {
		if (strlen(v) > MANAGER_MAX)
			return error_set(e, E_BAD_REQUEST, "fieldManager: Too long: may not be more than %d bytes",
					 MANAGER_MAX);
		for (const char *p = v; *p; p++)
			if (!isprint((unsigned char)*p))
				return error_set(e, E_BAD_REQUEST,
						 "fieldManager: Invalid value: should only contain printable "
						 "characters");
		c->manager = v;
		return 0;
	}
	size_t n = agent ? strcspn(agent, "/") : 0;
	c->manager = n ? arena_strndup(c->arena, agent, n < MANAGER_MAX ? n : MANAGER_MAX) : "unknown";
	return 0;
}

int call_options(struct call *c, struct error *e)
{
	const char *timeout = httpd_query(c->http, "timeout");
	int64_t ms;
	int code = form_negotiate(httpd_header(c->http, "Accept"), httpd_query(c->http, "includeObject"), &c->form, e);

	if (code == 0 && timeout && *timeout && duration_parse_ms(timeout, &ms, NULL) < 0)
		code = error_set(e, E_BAD_REQUEST, "invalid timeout specified in the request URL");
	if (code == 0)
		code = option_dry_run(c, e);
	if (code == 0)
		code = option_validation(c, e);
	return code < 0 ? code : option_manager(c, e);
}

int call_filter(const struct call *c, struct arena *a, struct filter *ret, struct error *e)
{
	const char *labels = httpd_query(c->http, "labelSelector"), *fields = httpd_query(c->http, "fieldSelector");
	struct selector *by_label = NULL, *by_field = NULL;
	int code = 0;

	if (labels && *labels)
		code = selector_parse_labels(a, labels, &by_label, e);
	if (code == 0 && fields && *fields)
		code = selector_parse_fields(a, c->route.kind, fields, &by_field, e);
	if (code < 0)
		return code;
	*ret = (struct filter){.kind = c->route.kind, .labels = by_label, .fields = by_field};
	ret->ns = *c->route.ns ? arena_strdup(a, c->route.ns) : NULL;
	if (by_field)
		ret->name = selector_requires(by_field, "metadata.name");
	if (*c->route.name)
		ret->name = arena_strdup(a, c->route.name);
	return 0;
}

/* ---- body ---- */

const char *call_content_type(const struct call *c)
{
	const char *header = httpd_header(c->http, "Content-Type");
	size_t n = header ? strcspn(header, "; ") : 0;

	return arena_strndup(c->arena, header ? header : "", n);
}

static int parse_yaml(const struct call *c, const char *text, size_t len, struct json **ret, struct error *e)
{
	struct json *documents;
	int code = yaml_parse(c->arena, text, len, &documents, e);

	if (code < 0)
		return code;
	if (json_count(documents) != 1)
		return error_set(e, E_BAD_REQUEST, "the body must hold exactly one YAML document, not %zu",
				 json_count(documents));
	*ret = json_item(documents, 0);
	return 0;
}

int call_body(const struct call *c, struct json *duplicates, struct json **ret, struct error *e)
{
	struct json_options opt = {.duplicates = duplicates};
	const char *type = call_content_type(c);
	size_t len;
	const char *text = httpd_body(c->http, &len);

	*ret = NULL;
	if (len == 0)
		return 0;
	if (streq(type, "application/yaml") || streq(type, "application/apply-patch+yaml"))
		return parse_yaml(c, text, len, ret, e);
	if (streq(type, PROTOBUF_CONTENT_TYPE))
		return protobuf_decode(c->arena, text, len, ret, e);
	if (!*type || streq(type, "application/json") || str_ends(type, "+json"))
		return json_parse(c->arena, text, len, &opt, ret, e);
	return error_set(
		e, E_UNSUPPORTED_MEDIA,
		"the body of the request was in an unknown format - accepted media types include: application/json, "
		"application/yaml");
}

/* ---- answers ---- */

static struct metric request_seconds = METRIC_HISTOGRAM(
	"berth_apiserver_request_seconds", "Time from a request to its answer, by verb; of a watch, to its begin",
	"verb");
static struct metric responses = METRIC_COUNTER("berth_apiserver_responses_total", "Answers given, by HTTP status",
						"code");

void call_count(const struct call *c, int status)
{
	char code[16];

	snprintf(code, sizeof(code), "%d", status);
	metric_add(&responses, code, 1);
	metric_observe(&request_seconds, verb_name(c->verb), clock_seconds() - c->begin);
}

void call_reply_json(struct call *c, int status, const char *text, size_t len)
{
	call_count(c, status);
	httpd_reply(c->http, status, "application/json", text, len);
}

void call_reply_buf(struct call *c, int status, struct buf *text)
{
	size_t len = text->len;

	call_count(c, status);
	httpd_reply_chunk(c->http, status, "application/json", chunk_take(buf_steal(text), len));
}

void call_reply_tree(struct call *c, int status, const struct json *tree)
{
	_buf_ out = BUF_INIT(BUF_UNLIMITED);

	json_write(tree, JSON_COMPACT, &out);
	call_reply_buf(c, status, &out);
}

void call_reply_object(struct call *c, int status, const struct object *o)
{
	_buf_ out = BUF_INIT(BUF_UNLIMITED);

	if (c->form == FORM_OBJECT) {
		call_count(c, status);
		httpd_reply_chunk(c->http, status, "application/json", chunk_ref(o->json));
		return;
	}
	render_object(c->form, o, time_now_ms(), &out);
	call_reply_buf(c, status, &out);
}

void call_reply_success(struct call *c, int status, const char *uid)
{
	_buf_ out = BUF_INIT(BUF_UNLIMITED);
	const struct kind *k = c->route.kind;
	struct status_details d = {.name = c->route.name, .group = k->group, .kind = k->plural, .uid = uid};

	status_success(&out, status, &d);
	call_reply_json(c, status, out.data, out.len);
}

void call_fail(struct call *c, const struct error *e)
{
	_buf_ out = BUF_INIT(BUF_UNLIMITED);
	const struct kind *k = c->route.kind;
	struct status_details d = {.causes = c->causes};
	char seconds[16];

	if (k) {
		d.name = *c->route.name ? c->route.name : NULL;
		d.group = k->group;
		d.kind = e->code == E_INVALID ? k->kind : k->plural;
	}
	if (e->retry_after) {
		snprintf(seconds, sizeof(seconds), "%d", e->retry_after);
		httpd_set_header(c->http, "Retry-After", seconds);
	}
	if (e->code == E_INVALID && json_count(c->causes) == 0) { /* kubectl shows the causes and not the message */
		struct json *causes = json_array(c->arena);

		cause_add(c->arena, causes, "FieldValueInvalid", e->field, "%s", e->text);
		d.causes = causes;
	}
	if (e->code == E_UNAUTHORIZED)
		httpd_set_header(c->http, "WWW-Authenticate", "Bearer realm=\"berth\"");
	status_failure(&out, e, &d);
	call_reply_json(c, error_http_status(e->code), out.data, out.len);
}
