/*
 * handler.c - authenticate, route, authorize, dispatch; see handler.h.
 *
 * Runs on HTTP threads and never blocks: what takes long hands itself to the workers.
 */
#include "apiserver/handler.h"
#include "apiserver/call.h"
#include "apiserver/clock.h"
#include "apiserver/fixed.h"
#include "apiserver/review.h"
#include "apiserver/status.h"
#include <ctype.h>

/* ---- which verb ---- */

static enum verb collection_verb(const struct call *c, const char *method)
{
	const struct route *r = &c->route;
	bool anchored = !r->kind || !r->kind->namespaced || *r->ns;

	if (streq(method, "GET"))
		return call_query_bool(c, "watch") ? VERB_WATCH : VERB_LIST;
	if (streq(method, "POST") && anchored)
		return VERB_CREATE;
	if (streq(method, "DELETE") && anchored)
		return VERB_DELETECOLLECTION;
	return VERB_NONE;
}

static enum verb object_verb(const struct call *c, const char *method)
{
	static const struct {
		const char *method;
		enum verb verb;
	} verbs[] = {{"GET", VERB_GET}, {"PUT", VERB_UPDATE}, {"PATCH", VERB_PATCH}, {"DELETE", VERB_DELETE}};

	if (streq(method, "GET") && !*c->route.sub && call_query_bool(c, "watch"))
		return VERB_WATCH;
	if (*c->route.sub && streq(method, "POST"))
		return VERB_CREATE;
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (streq(verbs[i].method, method))
			return verbs[i].verb;
	return VERB_NONE;
}

/* ---- which function ---- */

typedef void verb_function(struct call *c);

static verb_function *const object_functions[] = {
	[VERB_GET] = verb_get,	     [VERB_LIST] = verb_list,
	[VERB_WATCH] = verb_watch,   [VERB_CREATE] = verb_create,
	[VERB_UPDATE] = verb_update, [VERB_PATCH] = verb_patch,
	[VERB_DELETE] = verb_delete, [VERB_DELETECOLLECTION] = verb_deletecollection,
};

static bool is_write_or_get(enum verb v)
{
	return v == VERB_GET || v == VERB_UPDATE || v == VERB_PATCH;
}

static bool subresource_allows(const struct kind_subresource *s, enum verb v)
{
	for (size_t i = 0; s->verbs[i]; i++)
		if (streq(s->verbs[i], verb_name(v)))
			return true;
	return false;
}

/* The function for a call's subresource; E_NOT_FOUND, E_METHOD_NOT_ALLOWED. */
static int subresource_function(const struct call *c, verb_function **ret, struct error *e)
{
	const struct kind *k = c->route.kind;
	const char *sub = c->route.sub;
	bool allowed = is_write_or_get(c->verb);

	if (k->has_status && streq(sub, "status")) {
		*ret = object_functions[c->verb];
	} else if (k->has_scale && streq(sub, "scale")) {
		*ret = subresource_scale;
	} else {
		const struct kind_subresource *s = k->subresources;
		while (s->name && !streq(s->name, sub))
			s++;
		if (!s->name)
			return error_set(e, E_NOT_FOUND, "the server could not find the requested resource");
		allowed = subresource_allows(s, c->verb);
		*ret = streq(sub, "binding") ? subresource_binding
		       : streq(sub, "token") ? subresource_token
					     : subresource_node;
	}
	if (!allowed)
		return error_set(e, E_METHOD_NOT_ALLOWED,
				 "the server does not allow this method on the requested resource");
	return 0;
}

static int find_function(const struct call *c, verb_function **ret, struct error *e)
{
	if (*c->route.sub)
		return subresource_function(c, ret, e);
	*ret = object_functions[c->verb];
	if (c->route.kind->create_only)
		*ret = c->verb == VERB_CREATE ? review_answer : NULL;
	if (!*ret)
		return error_set(e, E_METHOD_NOT_ALLOWED,
				 "the server does not allow this method on the requested resource");
	return 0;
}

/* ---- may they ---- */

static int check_access(const struct call *c, const struct access *what, struct error *e)
{
	return auth_check(c->server->auth, &c->who, what, e);
}

/* ---- dispatch ---- */

/* kubectl describe node lists the node's Pods and gives up when it cannot: there are none. */
static bool asks_for_pods(const struct call *c)
{
	const struct route *r = &c->route;

	return streq(r->plural, "pods") && streq(r->version, "v1") && !*r->group && !*r->name && c->verb == VERB_LIST;
}

static void reply_no_pods(struct call *c)
{
	static const char list[] = "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[]}";

	call_reply_json(c, 200, list, sizeof(list) - 1);
}

/* Who lists by metadata.name asks for one object: a rule for that name allows it. */
static const char *demanded_name(const struct call *c, const char *fields)
{
	struct selector *s = NULL;
	const char *name = NULL;

	if (selector_parse_fields(c->arena, c->route.kind, fields, &s, NULL) == 0 && s)
		name = selector_requires(s, "metadata.name");
	return name ? name : "";
}

static int dispatch_resource(struct call *c, verb_function **ret, struct error *e)
{
	const char *method = httpd_method(c->http);
	struct route *r = &c->route;

	c->verb = *r->name ? object_verb(c, method) : collection_verb(c, method);
	struct access what = {.verb = c->verb == VERB_NONE ? method : verb_name(c->verb),
			      .group = r->group,
			      .resource = r->plural,
			      .subresource = r->sub,
			      .ns = r->ns,
			      .name = r->name,
			      .fields = httpd_query(c->http, "fieldSelector")};
	if (!*what.name && r->kind && what.fields)
		what.name = demanded_name(c, what.fields);
	if (streq(r->plural, "namespaces") && !*r->group)
		what.ns = what.name; /* a Namespace is in itself, so that a Role there may give it */
	int code = check_access(c, &what, e);
	if (code < 0)
		return code;
	if (!r->kind && asks_for_pods(c)) {
		*ret = reply_no_pods;
		return 0;
	}
	if (!r->kind)
		return error_set(e, E_NOT_FOUND, "the server could not find the requested resource");
	code = find_function(c, ret, e);
	return code < 0 ? code : call_options(c, e);
}

static void handle_resource(struct call *c)
{
	verb_function *function = NULL;
	struct error e = {0};

	if (dispatch_resource(c, &function, &e) < 0)
		call_fail(c, &e);
	else
		function(c);
}

static void handle_fixed(struct call *c, const char *path)
{
	char *method = arena_strdup(c->arena, httpd_method(c->http));

	for (char *p = method; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	struct access what = {
		.verb = method, .group = "", .resource = "", .subresource = "", .ns = "", .name = "", .path = path};
	struct error e = {0};

	if (check_access(c, &what, &e) < 0)
		call_fail(c, &e);
	else
		fixed_reply(c, path);
}

void handle_request(struct httpd_request *r, void *user)
{
	struct arena *a = httpd_arena(r);
	struct call *c = arena_calloc(a, sizeof(*c));
	struct error e = {0};

	*c = (struct call){.http = r, .server = user, .arena = a, .begin = clock_seconds()};
	bool resource = route_parse(a, httpd_path(r), &c->route);
	if (authenticate(c->server->auth, r, a, &c->who, &e) < 0)
		call_fail(c, &e);
	else if (resource)
		handle_resource(c);
	else
		handle_fixed(c, httpd_path(r));
}
