/*
 * subresource.c - scale of any kind that has it, and binding of Instances; see call.h.
 *
 * Binding: the rules stand in docs/architecture.md, "Binding".
 */
#include "apiserver/call.h"
#include "apiserver/meta.h"
#include "apiserver/patch.h"
#include "apiserver/schema.h"
#include "apiserver/status.h"
#include "lib/units.h"

#define LABEL_ZONE "topology.kubernetes.io/zone"
#define ANNOTATION_BOUND_AT "berth.dev/bound-at" /* for the agent's waterfall of the wake */

struct sub_call {
	struct call *call;
	struct write_rules rules;
	struct change change;
	const struct json *body;
};

static struct sub_call *sub_new(struct call *c,
				int (*compute)(struct change *ch, const struct json *live, struct error *e),
				void (*done)(struct change *ch, int code, const struct error *e))
{
	struct sub_call *s = arena_calloc(c->arena, sizeof(*s));
	const struct route *r = &c->route;

	s->call = c;
	s->rules = (struct write_rules){.arena = c->arena,
					.cache = c->server->cache,
					.kind = r->kind,
					.ns = r->ns,
					.name = r->name,
					.sub = "",
					.manager = c->manager,
					.now_ms = time_now_ms()};
	s->change = (struct change){.server = c->server,
				    .arena = c->arena,
				    .kind = r->kind,
				    .ns = r->ns,
				    .name = r->name,
				    .dry_run = c->dry_run,
				    .compute = compute,
				    .done = done,
				    .user = s};
	return s;
}

static int sub_body(struct sub_call *s, struct error *e)
{
	struct json *body;
	int code = call_body(s->call, NULL, &body, e);

	if (code == 0 && !body)
		return error_set(e, E_BAD_REQUEST, "the request has no body");
	s->body = body;
	return code;
}

/* A resourceVersion or uid in the body's metadata is a precondition. */
static int check_metadata(const struct change *ch, const struct json *body, const struct json *live, struct error *e)
{
	const char *version = json_str_or(json_in(body, "metadata", "resourceVersion"), "");
	const char *uid = json_str_or(json_in(body, "metadata", "uid"), "");

	if ((*version && !streq(version, json_str(json_in(live, "metadata", "resourceVersion")))) ||
	    (*uid && !streq(uid, json_str(json_in(live, "metadata", "uid")))))
		return error_modified(e, ch->kind, ch->name);
	return 0;
}

/* ---- scale ---- */

/* Member at a dotted path; with make, objects on the way are made. */
static struct json *path_parent(struct arena *a, struct json *tree, const char *path, bool make, const char **ret_last)
{
	const char *dot;

	while (tree && (dot = strchr(path, '.'))) {
		const char *part = arena_strndup(a, path, (size_t)(dot - path));
		tree = make ? json_ensure_object(a, tree, part) : json_get(tree, part);
		path = dot + 1;
	}
	*ret_last = path;
	return tree;
}

static int64_t path_int(struct arena *a, const struct json *tree, const char *path)
{
	const char *last;
	struct json *parent = path ? path_parent(a, (struct json *)tree, path, false, &last) : NULL;

	return parent ? json_int_or(json_get(parent, last), 0) : 0;
}

static struct json *scale_of(struct arena *a, const struct kind *k, const struct json *obj)
{
	static const char *const copied[] = {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"};
	struct json *scale = json_object(a), *meta = json_object(a);

	json_set_str(a, scale, "kind", "Scale");
	json_set_str(a, scale, "apiVersion", "autoscaling/v1");
	json_set(a, scale, "metadata", meta);
	for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
		json_set_str(a, meta, copied[i], json_str(json_in(obj, "metadata", copied[i])));
	json_set_int(a, json_ensure_object(a, scale, "spec"), "replicas", path_int(a, obj, k->scale_spec_path));
	json_set_int(a, json_ensure_object(a, scale, "status"), "replicas", path_int(a, obj, k->scale_status_path));
	return scale;
}

/* The Scale a PUT or PATCH asks for. */
static int wanted_scale(struct sub_call *s, const struct json *live, struct json **ret, struct error *e)
{
	const char *type = call_content_type(s->call);
	struct arena *a = s->call->arena;

	if (s->call->verb != VERB_PATCH) {
		*ret = json_clone(a, s->body);
		return 0;
	}
	struct json *scale = scale_of(a, s->change.kind, live);
	if (streq(type, "application/json-patch+json"))
		return patch_json(a, scale, s->body, ret, e);
	if (streq(type, "application/merge-patch+json") || streq(type, "application/strategic-merge-patch+json"))
		return patch_merge(a, scale, s->body, ret, e); /* a Scale has no lists to merge by key */
	return error_set(e, E_UNSUPPORTED_MEDIA,
			 "a Scale takes application/merge-patch+json or application/json-patch+json");
}

static int compute_scale(struct change *ch, const struct json *live, struct error *e)
{
	struct sub_call *s = ch->user;
	struct json *scale;
	const char *last;

	if (!live)
		return error_not_found(e, ch->kind, ch->name);
	int code = wanted_scale(s, live, &scale, e);
	if (code == 0)
		code = check_metadata(ch, scale, live, e);
	if (code < 0)
		return code;
	int64_t replicas = json_int_or(json_in(scale, "spec", "replicas"), 0);
	s->rules.causes = json_array(ch->arena);
	if (replicas < 0) {
		cause_add(ch->arena, s->rules.causes, "FieldValueInvalid", "spec.replicas",
			  "Invalid value: %lld: must be greater than or equal to 0", (long long)replicas);
		return error_invalid(e, ch->kind, ch->name, s->rules.causes);
	}
	struct json *next = json_clone(ch->arena, live);
	struct json *parent = path_parent(ch->arena, next, ch->kind->scale_spec_path, true, &last);
	json_set_int(ch->arena, parent, last, replicas);
	return prepare_store(&s->rules, ch, live, next, e);
}

static void scale_done(struct change *ch, int code, const struct error *e)
{
	struct sub_call *s = ch->user;
	struct call *c = s->call;
	struct object *live = ch->live, *after = ch->after;

	if (code < 0) {
		c->causes = code == -E_INVALID ? s->rules.causes : NULL;
		call_fail(c, e);
	} else {
		const struct json *shown = after      ? object_tree(c->arena, after)
					   : ch->next ? ch->next
						      : object_tree(c->arena, live);
		call_reply_tree(c, 200, scale_of(c->arena, ch->kind, shown));
	}
	object_unref(live);
	object_unref(after);
}

static void scale_get(struct call *c)
{
	const struct route *r = &c->route;
	_object_ o = cache_get(c->server->cache, r->kind, object_key(c->arena, r->kind, r->ns, r->name));
	struct error e = {0};

	if (o) {
		call_reply_tree(c, 200, scale_of(c->arena, r->kind, object_tree(c->arena, o)));
		return;
	}
	error_not_found(&e, r->kind, r->name);
	call_fail(c, &e);
}

void subresource_scale(struct call *c)
{
	struct sub_call *s = sub_new(c, compute_scale, scale_done);
	struct error e = {0};

	if (c->verb == VERB_GET)
		scale_get(c);
	else if (sub_body(s, &e) < 0)
		call_fail(c, &e);
	else
		change_start(&s->change);
}

/* ---- binding ---- */

static bool is_free(const char *phase)
{
	static const char *const free_phases[] = {"", "Pending", "Asleep", "Stopped", "Failed"};

	for (size_t i = 0; i < ARRAY_SIZE(free_phases); i++)
		if (streq(free_phases[i], phase))
			return true;
	return false;
}

static int check_bindable(const struct change *ch, const struct json *live, const char *node, const char *revision,
			  bool is_free_now, struct error *e)
{
	const char *state = json_str_or(json_in(live, "spec", "state"), "");
	const char *on = json_str_or(json_in(live, "spec", "nodeName"), "");

	if (json_in(live, "metadata", "deletionTimestamp"))
		return error_conflict(e, ch->kind, ch->name, "the instance is being deleted");
	if (!streq(state, "Running"))
		return error_conflict(e, ch->kind, ch->name, "spec.state is not Running, so it needs no node");
	if (is_free_now)
		return 0;
	if (!streq(on, node))
		return error_conflict(e, ch->kind, ch->name,
				      arena_printf(ch->arena, "it is bound to node \"%s\" and not free", on));
	if (streq(json_str_or(json_in(live, "spec", "revision"), ""), revision))
		return error_conflict(e, ch->kind, ch->name, "it is already bound to this node and revision");
	return 0;
}

/* The named object, so that nothing is bound to what does not exist. */
static int find_target(struct change *ch, const char *group, const char *plural, const char *ns, const char *name,
		       struct object **ret, struct error *e)
{
	const struct kind *k = kind_find(group, "v1", plural);

	*ret = k ? cache_get(ch->server->cache, k, object_key(ch->arena, k, ns, name)) : NULL;
	return *ret ? 0 : error_set(e, E_NOT_FOUND, "%s%s%s \"%s\" not found", plural, *group ? "." : "", group, name);
}

static void set_binding(struct sub_call *s, struct json *next, const struct json *node, bool was_free)
{
	struct arena *a = s->call->arena;
	struct json *spec = json_ensure_object(a, next, "spec"), *status = json_ensure_object(a, next, "status");
	struct json *annotations = json_ensure_object(a, meta_of(a, next), "annotations");
	const char *name = json_str(json_in(node, "metadata", "name"));
	char now[TIME_TEXT_MAX];

	json_set_str(a, annotations, ANNOTATION_BOUND_AT, time_format_micro(time_now_ms(), now));
	json_set_str(a, spec, "nodeName", name);
	json_set_str(a, spec, "revision", json_str(json_get(s->body, "revision")));
	json_set_int(a, spec, "vmGeneration", json_int_or(json_get(spec, "vmGeneration"), 0) + 1);
	struct json *placement = json_get(s->body, "placement");
	if (placement)
		json_set(a, status, "placement", json_clone(a, placement));
	if (!was_free)
		return;
	json_set_str(a, status, "phase", "Scheduled");
	json_set_str(a, status, "nodeName", name);
	json_unset(status, "location");
	json_set_str(a, status, "location", json_str(json_get(json_in(node, "metadata", "labels"), LABEL_ZONE)));
}

static int compute_binding(struct change *ch, const struct json *live, struct error *e)
{
	struct sub_call *s = ch->user;
	const char *node = json_str_or(json_in(s->body, "target", "name"), "");
	const char *revision = json_str_or(json_get(s->body, "revision"), "");
	_object_ target = NULL;
	_object_ wanted = NULL;
	int code;

	if (!live)
		return error_not_found(e, ch->kind, ch->name);
	bool is_free_now = is_free(json_str_or(json_in(live, "status", "phase"), ""));
	if ((code = check_metadata(ch, s->body, live, e)) < 0 ||
	    (code = check_bindable(ch, live, node, revision, is_free_now, e)) < 0 ||
	    (code = find_target(ch, "", "nodes", "", node, &target, e)) < 0 ||
	    (code = find_target(ch, "berth.dev", "revisions", ch->ns, revision, &wanted, e)) < 0)
		return code;
	struct json *next = json_clone(ch->arena, live);
	s->rules.unknown = json_array(ch->arena);
	set_binding(s, next, object_tree(ch->arena, target), is_free_now);
	meta_prune(ch->arena, next, NULL);
	schema_prune(ch->arena, ch->kind, next, s->rules.unknown);
	return prepare_store(&s->rules, ch, live, next, e);
}

static void binding_done(struct change *ch, int code, const struct error *e)
{
	struct sub_call *s = ch->user;
	struct call *c = s->call;
	struct object *live = ch->live, *after = ch->after;

	if (code < 0) {
		c->causes = code == -E_INVALID ? s->rules.causes : NULL;
		call_fail(c, e);
	} else if (after) {
		call_reply_object(c, 201, after);
	} else {
		call_reply_tree(c, 201, ch->next); /* dry run */
	}
	object_unref(live);
	object_unref(after);
}

static int check_binding(const struct sub_call *s, struct error *e)
{
	const char *kind = json_str_or(json_get(s->body, "kind"), "Binding");
	const char *target = json_str_or(json_in(s->body, "target", "kind"), "Node");

	if (!streq(kind, "Binding") || !streq(target, "Node"))
		return error_set(e, E_BAD_REQUEST, "the body must be of kind Binding with a target of kind Node");
	if (!*json_str_or(json_in(s->body, "target", "name"), ""))
		return error_set_field(e, E_BAD_REQUEST, "target.name", "target.name: Required value");
	if (!*json_str_or(json_get(s->body, "revision"), ""))
		return error_set_field(e, E_BAD_REQUEST, "revision", "revision: Required value");
	return 0;
}

void subresource_binding(struct call *c)
{
	struct sub_call *s = sub_new(c, compute_binding, binding_done);
	struct error e = {0};

	if (sub_body(s, &e) < 0 || check_binding(s, &e) < 0)
		call_fail(c, &e);
	else
		change_start(&s->change);
}
