/*
 * call.h - one API request on its way: where it points, who sent it, what it asks for, and how it is answered.
 *
 * Ownership: a call lives in its request's arena, from server.c's handler until its one answer (call_reply…(),
 * call_fail()); after that neither may be touched.
 */
#ifndef BERTH_APISERVER_CALL_H
#define BERTH_APISERVER_CALL_H

#include "apiserver/auth.h"
#include "apiserver/cache.h"
#include "apiserver/prepare.h"
#include "apiserver/render.h"
#include "apiserver/server.h"

enum verb {
	VERB_NONE,
	VERB_GET,
	VERB_LIST,
	VERB_WATCH,
	VERB_CREATE,
	VERB_UPDATE,
	VERB_PATCH,
	VERB_DELETE,
	VERB_DELETECOLLECTION,
};
const char *verb_name(enum verb v);

/* Where a URL points. Strings are decoded, "" when absent. */
struct route {
	const struct kind *kind;
	const char *ns, *name, *sub;
	const char *group, *version, *plural; /* as sent, for kinds that are not in the table */
};
/* False when the path is not that of a resource. kind is NULL when the table has none of that name. */
bool route_parse(struct arena *a, const char *path, struct route *ret);

struct call {
	struct httpd_request *http;
	struct server *server;
	struct arena *arena;
	struct route route;
	enum verb verb;
	struct identity who;
	enum form form; /* how objects are to be shown */
	bool dry_run;
	enum field_validation validation;
	const char *manager;
	double begin;		   /* clock_seconds() */
	const struct json *causes; /* of an error under way */
};

/* Reads the query options and headers that all verbs share. Errors: E_BAD_REQUEST, E_NOT_ACCEPTABLE, E_INVALID. */
int call_options(struct call *c, struct error *e);
/* A query parameter as a bool (anything but "false" and "0"), a number >= 0. */
bool call_query_bool(const struct call *c, const char *name);
int call_query_number(const struct call *c, const char *name, int64_t *ret, struct error *e);
/* Selectors of the query into a filter on the call's kind and namespace. */
int call_filter(const struct call *c, struct arena *a, struct filter *ret, struct error *e);

/* The body as a tree, by its content type; JSON when it names none. duplicates may be NULL. E_UNSUPPORTED_MEDIA,
 * E_BAD_REQUEST, E_TOO_LARGE. An empty body is NULL. */
int call_body(const struct call *c, struct json *duplicates, struct json **ret, struct error *e);
/* The content type without parameters, "" when absent. */
const char *call_content_type(const struct call *c);

/* ---- the one answer ---- */
/* Counts an answer that is given by other means than the functions below. */
void call_count(const struct call *c, int status);
void call_reply_json(struct call *c, int status, const char *text, size_t len);
void call_reply_buf(struct call *c, int status, struct buf *text); /* takes the bytes, leaves text empty */
void call_reply_tree(struct call *c, int status, const struct json *tree);
void call_reply_object(struct call *c, int status, const struct object *o); /* in the form asked for */
void call_reply_success(struct call *c, int status, const char *uid);	    /* a Status about the call's object */
void call_fail(struct call *c, const struct error *e);

/* ---- the verbs: each answers the call ---- */
void verb_get(struct call *c);
void verb_list(struct call *c);
void verb_watch(struct call *c);
void verb_create(struct call *c);
void verb_update(struct call *c);
void verb_patch(struct call *c);
void verb_delete(struct call *c);
void verb_deletecollection(struct call *c);
/* Subresources other than status. */
void subresource_scale(struct call *c);
void subresource_binding(struct call *c);
void subresource_token(struct call *c); /* of ServiceAccounts */
void subresource_node(struct call *c);	/* log, exec, signal, stats: asked of the node */

#endif
