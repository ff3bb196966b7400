/*
 * verbs_write.c - create, update and patch of objects and of their status; see call.h.
 *
 * The HTTP thread parses and computes; the writer's thread answers once the change is durable. A lost race runs
 * compute() again on a worker, so it starts each time from the untouched body.
 */
#include "apiserver/admission.h"
#include "apiserver/apply.h"
#include "apiserver/call.h"
#include "apiserver/meta.h"
#include "apiserver/patch.h"
#include "apiserver/status.h"
#include "lib/units.h"

#define WARNINGS_MAX 32

enum patch_type { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY, PATCH_TYPE_COUNT };
static const char *const patch_types[PATCH_TYPE_COUNT] = {
	[PATCH_JSON] = "application/json-patch+json",
	[PATCH_MERGE] = "application/merge-patch+json",
	[PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
	[PATCH_APPLY] = "application/apply-patch+yaml",
};

struct write_call {
	struct call *call;
	struct write_rules rules;
	struct change change;
	enum patch_type patch;
	const struct json *body;
	const struct json *duplicates; /* texts about duplicate fields of the body */
	bool created;
};

/* ---- answers ---- */

static void add_warnings(struct write_call *w)
{
	const struct json *unknown = w->rules.unknown;

	for (size_t i = 0; w->rules.validation == FIELDS_WARN && i < json_count(unknown) && i < WARNINGS_MAX; i++) {
		_buf_ quoted = BUF_INIT(4096);
		json_write(json_item(unknown, i), JSON_COMPACT, &quoted);
		if (!quoted.over && quoted.data)
			httpd_set_header(w->call->http, "Warning",
					 arena_printf(w->call->arena, "299 - %s", quoted.data));
	}
}

static void reply_dry_run(struct write_call *w, int status)
{
	struct json *next = json_clone(w->call->arena, w->change.next), *meta = json_get(next, "metadata");
	const struct object *live = w->change.live;

	if (live)
		json_set(w->call->arena, meta, "resourceVersion",
			 json_stringf(w->call->arena, "%lld", (long long)live->revision));
	else
		json_unset(meta, "resourceVersion");
	call_reply_tree(w->call, status, next);
}

static void write_done(struct change *ch, int code, const struct error *e)
{
	struct write_call *w = ch->user;
	int status = w->created ? 201 : 200;
	struct object *live = ch->live, *after = ch->after;

	if (code < 0) {
		if (!w->call->causes)
			w->call->causes = code == -E_INVALID ? w->rules.causes : NULL;
		call_fail(w->call, e);
	} else {
		add_warnings(w);
		if (after)
			call_reply_object(w->call, status, after);
		else if (ch->action == CHANGE_NONE)
			call_reply_object(w->call, status, live);
		else
			reply_dry_run(w, status);
	}
	object_unref(live); /* w and ch went with the answer */
	object_unref(after);
}

/* ---- begin ---- */

static struct write_call *write_new(struct call *c,
				    int (*compute)(struct change *ch, const struct json *live, struct error *e))
{
	struct write_call *w = arena_calloc(c->arena, sizeof(*w));
	const struct route *r = &c->route;

	w->call = c;
	w->duplicates = json_array(c->arena);
	w->rules = (struct write_rules){.arena = c->arena,
					.cache = c->server->cache,
					.kind = r->kind,
					.ns = r->ns,
					.name = r->name,
					.sub = r->sub,
					.validation = c->validation,
					.manager = c->manager,
					.now_ms = time_now_ms(),
					.causes = json_array(c->arena)};
	w->change = (struct change){.server = c->server,
				    .arena = c->arena,
				    .kind = r->kind,
				    .ns = r->ns,
				    .name = r->name,
				    .dry_run = c->dry_run,
				    .compute = compute,
				    .done = write_done,
				    .user = w};
	return w;
}

static int read_body(struct write_call *w, struct error *e)
{
	struct json *duplicates = json_array(w->call->arena), *texts = json_array(w->call->arena), *body;
	int code = call_body(w->call, duplicates, &body, e);

	if (code < 0)
		return code;
	if (!body)
		return error_set(e, E_BAD_REQUEST, "the request has no body; send an object of kind %s",
				 w->rules.kind->kind);
	for (size_t i = 0; i < json_count(duplicates); i++)
		json_append(w->call->arena, texts,
			    json_stringf(w->call->arena, "duplicate field \"%s\"", json_str(json_item(duplicates, i))));
	w->body = body;
	w->duplicates = texts;
	return 0;
}

/* A copy of the body that this run may change. */
static struct json *fresh_body(struct write_call *w)
{
	w->rules.unknown = json_clone(w->call->arena, w->duplicates);
	w->rules.causes = json_array(w->call->arena);
	return json_clone(w->call->arena, w->body);
}

static void write_begin(struct write_call *w, int code, const struct error *e)
{
	if (code < 0)
		write_done(&w->change, code, e);
	else
		change_start(&w->change);
}

/* ---- create ---- */

/* Who may patch may not yet create by applying. */
static int check_create(struct write_call *w, const struct json *obj, struct error *e)
{
	const struct kind *k = w->rules.kind;
	const struct access access = {.verb = "create",
				      .group = k->group,
				      .resource = k->plural,
				      .subresource = "",
				      .ns = w->rules.ns,
				      .name = ""};
	struct call *c = w->call;
	int code = c->verb == VERB_CREATE ? 0 : auth_check(c->server->auth, &c->who, &access, e);

	return code < 0 ? code : auth_check_write(c->server->auth, &c->who, k, "", c->arena, NULL, obj, e);
}

static int check_update(struct write_call *w, const struct json *live, struct error *e)
{
	struct call *c = w->call;

	if (w->change.action == CHANGE_NONE)
		return 0;
	return auth_check_write(c->server->auth, &c->who, w->rules.kind, w->rules.sub, c->arena, live, w->change.next,
				e);
}

static int finish_update(struct write_call *w, const struct json *live, struct json *obj, bool put, struct error *e)
{
	int code = prepare_update(&w->rules, &w->change, live, obj, put, e);

	return code < 0 ? code : check_update(w, live, e);
}

static int finish_create(struct write_call *w, struct change *ch, struct json *obj, struct error *e)
{
	int code = prepare_create(&w->rules, obj, e);

	if (code == 0)
		code = check_create(w, obj, e);
	if (code < 0)
		return code;
	ch->action = CHANGE_PUT;
	ch->next = obj;
	ch->require_namespace = ch->kind->namespaced;
	w->created = true;
	return 0;
}

static int compute_create(struct change *ch, const struct json *live, struct error *e)
{
	struct write_call *w = ch->user;
	struct json *obj = fresh_body(w);
	int code;

	if (live)
		return error_already_exists(e, ch->kind, ch->name);
	if ((code = prepare_identity(&w->rules, obj, e)) < 0 || (code = prepare_fields(&w->rules, obj, e)) < 0)
		return code;
	if (!ch->name && !*json_str_or(json_in(obj, "metadata", "generateName"), "")) {
		admission_default_name(&w->rules, obj, e);
		ch->name = json_str(json_in(obj, "metadata", "name"));
		w->call->route.name = ch->name ? ch->name : "";
		_object_ taken = ch->name ? cache_get(ch->server->cache, ch->kind,
						      object_key(ch->arena, ch->kind, ch->ns, ch->name))
					  : NULL;
		if (taken)
			return error_already_exists(e, ch->kind, ch->name);
	}
	return finish_create(w, ch, obj, e);
}

void verb_create(struct call *c)
{
	struct write_call *w = write_new(c, compute_create);
	struct error e = {0};
	int code = read_body(w, &e);

	if (code == 0) {
		const char *name = json_str(json_in(w->body, "metadata", "name"));
		w->change.name = name && *name ? name : NULL;
		if (w->change.name)
			c->route.name = name;
	}
	write_begin(w, code, &e);
}

/* ---- update ---- */

static int compute_update(struct change *ch, const struct json *live, struct error *e)
{
	struct write_call *w = ch->user;
	struct json *obj = fresh_body(w);

	if (!live)
		return error_not_found(e, ch->kind, ch->name);
	int code = prepare_identity(&w->rules, obj, e);
	return code < 0 ? code : finish_update(w, live, obj, true, e);
}

void verb_update(struct call *c)
{
	struct write_call *w = write_new(c, compute_update);
	struct error e = {0};

	write_begin(w, read_body(w, &e), &e);
}

/* ---- patch ---- */

static int apply_patch(struct write_call *w, const struct json *live, struct json **ret, struct error *e)
{
	struct arena *a = w->call->arena;

	switch (w->patch) {
	case PATCH_JSON:
		return patch_json(a, live, w->body, ret, e);
	case PATCH_MERGE:
		return patch_merge(a, live, w->body, ret, e);
	default:
		return patch_strategic(a, w->rules.kind, live, w->body, ret, e);
	}
}

static int compute_patch(struct change *ch, const struct json *live, struct error *e)
{
	struct write_call *w = ch->user;
	struct json *obj;

	if (!live)
		return error_not_found(e, ch->kind, ch->name);
	w->rules.unknown = json_clone(ch->arena, w->duplicates);
	w->rules.causes = json_array(ch->arena);
	int code = apply_patch(w, live, &obj, e);
	if (code < 0)
		return code;
	code = prepare_identity(&w->rules, obj, e);
	return code < 0 ? code : finish_update(w, live, obj, false, e);
}

/* ---- server-side apply ---- */

static int check_applied(struct write_call *w, const struct json *obj, const struct json *live, struct error *e)
{
	if (json_in(obj, "metadata", "managedFields"))
		return error_set(e, E_BAD_REQUEST, "metadata.managedFields must be nil");
	if (!live && *json_str_or(json_in(obj, "metadata", "uid"), ""))
		return error_conflict(
			e, w->rules.kind, w->rules.name,
			"uid mismatch: the provided object specified uid, and no existing object was found");
	return 0;
}

static int compute_apply(struct change *ch, const struct json *live, struct error *e)
{
	struct write_call *w = ch->user;
	struct json *obj = fresh_body(w), *merged, *causes = NULL;
	struct apply_request request = {.kind = ch->kind,
					.manager = w->rules.manager,
					.subresource = w->rules.sub,
					.force = call_query_bool(w->call, "force"),
					.now_ms = w->rules.now_ms};
	int code;

	w->created = false;
	if ((code = prepare_identity(&w->rules, obj, e)) < 0 || (code = check_applied(w, obj, live, e)) < 0 ||
	    (code = prepare_fields(&w->rules, obj, e)) < 0)
		return code;
	if (!live && *w->rules.sub)
		return error_not_found(e, ch->kind, ch->name);
	code = apply_merge(ch->arena, &request, live, obj, &merged, &causes, e);
	w->call->causes = code < 0 ? causes : NULL;
	if (code < 0)
		return code;
	merged = json_clone(ch->arena, merged); /* may share with live */
	return live ? finish_update(w, live, merged, false, e) : finish_create(w, ch, merged, e);
}

static int begin_apply(struct write_call *w, struct error *e)
{
	const char *manager = httpd_query(w->call->http, "fieldManager");

	w->rules.apply = true;
	w->change.compute = compute_apply;
	if (manager && *manager)
		return 0;
	cause_add(w->call->arena, w->rules.causes, "FieldValueRequired", "fieldManager",
		  "Required value: is required for apply patch");
	w->call->causes = w->rules.causes;
	return error_set(
		e, E_INVALID,
		"PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch");
}

void verb_patch(struct call *c)
{
	struct write_call *w = write_new(c, compute_patch);
	const char *type = call_content_type(c);
	struct error e = {0};
	int code;

	while (w->patch < PATCH_TYPE_COUNT && !streq(patch_types[w->patch], type))
		w->patch++;
	if (w->patch == PATCH_TYPE_COUNT)
		code = error_set(
			&e, E_UNSUPPORTED_MEDIA,
			"the body of the request was in an unknown format - accepted media types include: %s, %s, %s",
			patch_types[PATCH_JSON], patch_types[PATCH_MERGE], patch_types[PATCH_APPLY]);
	else
		code = read_body(w, &e);
	if (code == 0 && w->patch == PATCH_APPLY)
		code = begin_apply(w, &e);
	write_begin(w, code, &e);
}
