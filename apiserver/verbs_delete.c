/*
 * verbs_delete.c - delete and deletecollection; see call.h.
 *
 * An object without finalizers is removed at once; else it is marked, and goes when its last finalizer is taken out.
 * Foreground and Orphan are finalizers that the garbage collector works off.
 */
#include "apiserver/admission.h"
#include "apiserver/call.h"
#include "apiserver/meta.h"
#include "apiserver/status.h"
#include "apiserver/work.h"
#include "lib/units.h"

struct delete_options {
	const char *uid, *version; /* preconditions, "" for none */
	const char *finalizer;	   /* what the propagation policy adds, or NULL */
};

struct delete_call {
	struct call *call;
	struct change change;
	struct delete_options options;
};

/* ---- options ---- */

static int parse_policy(const char *policy, struct delete_options *ret, struct error *e)
{
	if (!policy || !*policy || streq(policy, "Background"))
		return 0;
	if (streq(policy, "Foreground"))
		ret->finalizer = META_FINALIZER_FOREGROUND;
	else if (streq(policy, "Orphan"))
		ret->finalizer = META_FINALIZER_ORPHAN;
	else
		return error_set(
			e, E_INVALID,
			"DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"%.64s\": supported "
			"values: \"Foreground\", \"Background\", \"Orphan\"",
			policy);
	return 0;
}

static int read_options(struct call *c, struct delete_options *ret, struct error *e)
{
	struct json *body;
	const char *policy = httpd_query(c->http, "propagationPolicy");
	int code = call_body(c, NULL, &body, e);

	if (code < 0)
		return code;
	if (body && !json_is(body, JSON_OBJECT))
		return error_set(e, E_BAD_REQUEST, "the body of a delete must be DeleteOptions");
	const struct json *dry_run = json_get(body, "dryRun");
	for (size_t i = 0; i < json_count(dry_run); i++) {
		if (!streq(json_str(json_item(dry_run, i)), "All"))
			return error_set(e, E_BAD_REQUEST, "dryRun: Unsupported value: supported values: \"All\"");
		c->dry_run = true;
	}
	if (json_bool_or(json_get(body, "orphanDependents"), false))
		policy = "Orphan";
	ret->uid = json_str_or(json_in(body, "preconditions", "uid"), "");
	ret->version = json_str_or(json_in(body, "preconditions", "resourceVersion"), "");
	return parse_policy(json_str_or(json_get(body, "propagationPolicy"), policy), ret, e);
}

/* ---- one object ---- */

static int check_preconditions(const struct change *ch, const struct json *live, const struct delete_options *o,
			       struct error *e)
{
	const char *uid = json_str_or(json_in(live, "metadata", "uid"), "");
	const char *version = json_str_or(json_in(live, "metadata", "resourceVersion"), "");

	if (*o->uid && !streq(o->uid, uid))
		return error_conflict(
			e, ch->kind, ch->name,
			arena_printf(ch->arena, "Precondition failed: UID in precondition: %s, UID in object meta: %s",
				     o->uid, uid));
	if (*o->version && !streq(o->version, version))
		return error_conflict(
			e, ch->kind, ch->name,
			arena_printf(
				ch->arena,
				"Precondition failed: ResourceVersion in precondition: %s, ResourceVersion in object meta: %s",
				o->version, version));
	return 0;
}

static int compute_delete(struct change *ch, const struct json *live, struct error *e)
{
	struct delete_call *d = ch->user;
	int code;

	if (!live)
		return error_not_found(e, ch->kind, ch->name);
	if ((code = check_preconditions(ch, live, &d->options, e)) < 0 ||
	    (code = admission_delete(ch->kind, ch->name, e)) < 0)
		return code;
	bool marked = json_in(live, "metadata", "deletionTimestamp") != NULL;
	struct json *next = json_clone(ch->arena, live);
	if (d->options.finalizer && !marked)
		meta_add_finalizer(ch->arena, next, d->options.finalizer);
	bool stays = json_count(json_in(next, "metadata", "finalizers")) || admission_ends_elsewhere(ch->kind);
	if (stays && marked)
		return 0; /* under way already */
	if (stays)
		meta_terminate(ch->arena, ch->kind, next, time_now_ms());
	if (stays && admission_ends_elsewhere(ch->kind))
		json_set_str(ch->arena, json_ensure_object(ch->arena, next, "status"), "phase", "Terminating");
	ch->next = next;
	ch->action = stays ? CHANGE_PUT : CHANGE_REMOVE;
	return 0;
}

static void delete_done(struct change *ch, int code, const struct error *e)
{
	struct delete_call *d = ch->user;
	struct call *c = d->call;
	struct object *live = ch->live, *after = ch->after;

	if (code < 0)
		call_fail(c, e);
	else if (ch->action == CHANGE_REMOVE)
		call_reply_success(c, 200, live->uid);
	else
		call_reply_object(c, 200, after ? after : live);
	object_unref(live);
	object_unref(after);
}

static struct delete_call *delete_new(struct call *c, const char *ns, const char *name)
{
	struct delete_call *d = arena_calloc(c->arena, sizeof(*d));

	d->call = c;
	d->change = (struct change){.server = c->server,
				    .arena = c->arena,
				    .kind = c->route.kind,
				    .ns = ns,
				    .name = name,
				    .compute = compute_delete,
				    .done = delete_done,
				    .user = d};
	return d;
}

void verb_delete(struct call *c)
{
	struct delete_call *d = delete_new(c, c->route.ns, c->route.name);
	struct error e = {0};
	int code = read_options(c, &d->options, &e);

	d->change.dry_run = c->dry_run;
	if (code < 0)
		call_fail(c, &e);
	else
		change_start(&d->change);
}

/* ---- all that match ---- */

static int delete_each(struct call *c, const struct delete_options *options, const struct cache_page *page,
		       struct error *e)
{
	for (size_t i = 0; i < page->count; i++) {
		const struct object *o = page->items[i];
		struct delete_call *d = delete_new(c, o->ns, o->name);
		d->options = *options;
		d->change.dry_run = c->dry_run;
		int code = change_run(&d->change, e);
		change_clear(&d->change);
		if (code < 0 && code != -E_NOT_FOUND)
			return code;
	}
	return 0;
}

static void deletecollection_job(void *arg)
{
	struct call *c = arg;
	struct delete_options options = {0};
	struct cache_query q = {0};
	struct cache_page page = {0};
	struct error e = {0};
	int code = read_options(c, &options, &e);

	if (code == 0)
		code = call_filter(c, c->arena, &q.filter, &e);
	if (code == 0)
		code = cache_list(c->server->cache, &q, &page, &e);
	if (code == 0)
		code = delete_each(c, &options, &page, &e);
	if (code < 0) {
		cache_page_clear(&page);
		call_fail(c, &e);
		return;
	}
	_buf_ out = BUF_INIT(BUF_UNLIMITED);
	render_list(c->form, &(struct render_list){.kind = c->route.kind, .page = &page}, time_now_ms(), &out);
	cache_page_clear(&page);
	call_reply_buf(c, 200, &out);
}

void verb_deletecollection(struct call *c)
{
	work_submit(c->server->work, deletecollection_job, c);
}
