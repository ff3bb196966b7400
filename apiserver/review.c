/*
 * review.c - see review.h; and the token subresource of ServiceAccounts. One row per kind in `reviews`.
 *
 * Sources: k8s.io/api/authorization/v1/types.go, k8s.io/api/authentication/v1/types.go.
 */
#include "apiserver/review.h"
#include "apiserver/auth_token.h"
#include "apiserver/rbac.h"
#include "apiserver/status.h"
#include "lib/units.h"

static const char *text(const struct json *v, const char *member)
{
	return json_str_or(json_get(v, member), "");
}

/* ---- access ---- */

static int read_access(const struct json *spec, struct access *ret, struct error *e)
{
	const struct json *r = json_get(spec, "resourceAttributes"), *n = json_get(spec, "nonResourceAttributes");

	if (!r == !n)
		return error_set_field(e, E_BAD_REQUEST, "spec.resourceAttributes",
				       "exactly one of spec.nonResourceAttributes or spec.resourceAttributes must be "
				       "specified");
	*ret = (struct access){.verb = text(r ? r : n, "verb"),
			       .group = text(r, "group"),
			       .resource = text(r, "resource"),
			       .subresource = text(r, "subresource"),
			       .ns = text(r, "namespace"),
			       .name = text(r, "name"),
			       .fields = text(json_get(r, "fieldSelector"), "rawSelector"),
			       .path = n ? text(n, "path") : NULL};
	return 0;
}

static int answer_access(struct call *c, const struct identity *who, struct json *obj, struct error *e)
{
	struct access what;
	int code = read_access(json_get(obj, "spec"), &what, e);

	if (code < 0)
		return code;
	struct json *status = json_object(c->arena);
	json_set_bool(c->arena, status, "allowed", authorize(c->server->auth, who, &what));
	json_set(c->arena, obj, "status", status);
	return 0;
}

static int self_access(struct call *c, struct json *obj, struct error *e)
{
	return answer_access(c, &c->who, obj, e);
}

static int subject_access(struct call *c, struct json *obj, struct error *e)
{
	const struct json *spec = json_get(obj, "spec"), *groups = json_get(spec, "groups");
	struct identity who = {.user = text(spec, "user"), .uid = text(spec, "uid")};

	for (size_t i = 0; i < json_count(groups); i++)
		if (!identity_add_group(&who, json_str_or(json_item(groups, i), "")))
			return error_set_field(e, E_BAD_REQUEST, "spec.groups", "spec.groups: more than %d groups",
					       AUTH_GROUPS_MAX);
	if (!*who.user && !who.group_count)
		return error_set_field(e, E_BAD_REQUEST, "spec.user",
				       "at least one of spec.user or spec.groups must be specified");
	return answer_access(c, &who, obj, e);
}

static int self_rules(struct call *c, struct json *obj, struct error *e)
{
	static const char *const any[] = {"*", NULL}, *const none[] = {NULL};
	static const struct rbac_rule everything = {any, any, any, none, none},
				      every_path = {any, none, none, none, any};
	const char *ns = text(json_get(obj, "spec"), "namespace");
	struct arena *a = c->arena;
	struct json *status = json_object(a);
	struct json *resources = json_ensure_array(a, status, "resourceRules");
	struct json *paths = json_ensure_array(a, status, "nonResourceRules");
	struct rbac_rules rules;

	(void)e;
	rbac_rules_of(auth_rbac(c->server->auth), &c->who, ns, a, &rules);
	if (identity_in_group(&c->who, AUTH_MASTERS)) {
		json_append(a, resources, rbac_rule_json(a, &everything));
		json_append(a, paths, rbac_rule_json(a, &every_path));
	}
	for (size_t i = 0; i < rules.count; i++)
		json_append(a, *rules.items[i]->urls ? paths : resources, rbac_rule_json(a, rules.items[i]));
	bool node = identity_in_group(&c->who, AUTH_NODES);
	json_set_bool(a, status, "incomplete", node);
	if (node)
		json_set_str(a, status, "evaluationError", "a node may use these rules on what concerns itself only");
	json_set(a, obj, "status", status);
	return 0;
}

/* ---- identity ---- */

static struct json *user_info(struct arena *a, const struct identity *who)
{
	struct json *info = json_object(a), *groups = json_array(a);

	json_set_str(a, info, "username", who->user);
	if (*who->uid)
		json_set_str(a, info, "uid", who->uid);
	for (size_t i = 0; i < who->group_count; i++)
		json_append(a, groups, json_string(a, who->groups[i]));
	json_set(a, info, "groups", groups);
	return info;
}

static int self(struct call *c, struct json *obj, struct error *e)
{
	(void)e;
	json_set(c->arena, json_ensure_object(c->arena, obj, "status"), "userInfo", user_info(c->arena, &c->who));
	return 0;
}

/* Of the audiences asked for, those that this server is; none named is as good as its own. */
static struct json *own_audiences(struct arena *a, const struct json *asked)
{
	struct json *own = json_array(a);

	bool ours = json_count(asked) == 0;
	for (size_t i = 0; i < json_count(asked); i++)
		ours = ours || streq(json_str(json_item(asked, i)), ACCOUNT_TOKEN_AUDIENCE);
	if (ours)
		json_append(a, own, json_string(a, ACCOUNT_TOKEN_AUDIENCE));
	return own;
}

static int token(struct call *c, struct json *obj, struct error *e)
{
	struct arena *a = c->arena;
	const struct json *spec = json_get(obj, "spec");
	struct json *status = json_object(a), *audiences = own_audiences(a, json_get(spec, "audiences"));
	struct identity who;

	(void)e;
	json_set(a, obj, "status", status);
	if (!json_count(audiences)) {
		json_set_bool(a, status, "authenticated", false);
		json_set_str(a, status, "error", "none of the audiences asked for is this server's");
	} else if (auth_bearer(c->server->auth, text(spec, "token"), a, &who, NULL) < 0) {
		json_set_bool(a, status, "authenticated", false);
		json_set_str(a, status, "error", "the token is not valid: unknown, expired, or its account is gone");
	} else {
		json_set_bool(a, status, "authenticated", true);
		json_set(a, status, "user", user_info(a, &who));
		json_set(a, status, "audiences", audiences);
	}
	return 0;
}

/* ---- dispatch ---- */

static const struct {
	const char *plural;
	int (*answer)(struct call *c, struct json *obj, struct error *e);
} reviews[] = {
	{"selfsubjectaccessreviews", self_access},
	{"subjectaccessreviews", subject_access},
	{"selfsubjectrulesreviews", self_rules},
	{"selfsubjectreviews", self},
	{"tokenreviews", token},
};

/* The body as an object of the kind, schema and all. */
static int read_review(struct call *c, struct json **ret, struct error *e)
{
	struct write_rules rules = {.arena = c->arena,
				    .cache = c->server->cache,
				    .kind = c->route.kind,
				    .ns = "",
				    .name = "",
				    .sub = "",
				    .validation = c->validation,
				    .manager = c->manager,
				    .unknown = json_array(c->arena)};
	int code = call_body(c, NULL, ret, e);

	if (code < 0)
		return code;
	if (!*ret)
		return error_set(e, E_BAD_REQUEST, "the request has no body; send an object of kind %s",
				 c->route.kind->kind);
	code = prepare_identity(&rules, *ret, e);
	return code < 0 ? code : prepare_fields(&rules, *ret, e);
}

void review_answer(struct call *c)
{
	struct error e = {0};
	struct json *obj;
	int code = read_review(c, &obj, &e);

	for (size_t i = 0; code == 0 && i < ARRAY_SIZE(reviews); i++)
		if (streq(reviews[i].plural, c->route.plural))
			code = reviews[i].answer(c, obj, &e);
	if (code < 0)
		call_fail(c, &e);
	else
		call_reply_tree(c, 201, obj);
}

/* ---- serviceaccounts/token ---- */

static int check_request(struct call *c, const struct json *spec, int64_t *ret_seconds, struct error *e)
{
	int64_t seconds = json_int_or(json_get(spec, "expirationSeconds"), ACCOUNT_TOKEN_SECONDS_DEFAULT);
	struct json *causes = json_array(c->arena);

	if (seconds < ACCOUNT_TOKEN_SECONDS_MIN)
		cause_add(c->arena, causes, "FieldValueInvalid", "spec.expirationSeconds",
			  "Invalid value: %lld: may not specify a duration less than 10 minutes", (long long)seconds);
	if (seconds > ACCOUNT_TOKEN_SECONDS_MAX)
		cause_add(c->arena, causes, "FieldValueInvalid", "spec.expirationSeconds",
			  "Invalid value: %lld: may not specify a duration larger than 2^32 seconds",
			  (long long)seconds);
	if (json_is(json_get(spec, "boundObjectRef"), JSON_OBJECT)) /* kubectl sends null */
		cause_add(c->arena, causes, "FieldValueForbidden", "spec.boundObjectRef",
			  "Forbidden: tokens are bound to their service account only");
	*ret_seconds = seconds;
	if (!json_count(causes))
		return 0;
	c->causes = causes;
	return error_set(e, E_INVALID, "TokenRequest.authentication.k8s.io \"%s\" is invalid: %s: %s", c->route.name,
			 json_str(json_get(json_item(causes, 0), "field")),
			 json_str(json_get(json_item(causes, 0), "message")));
}

static int issue(struct call *c, struct json *obj, struct error *e)
{
	const struct route *r = &c->route;
	_object_ account = cache_get(c->server->cache, r->kind, object_key(c->arena, r->kind, r->ns, r->name));
	struct json *spec = json_ensure_object(c->arena, obj, "spec"), *status;
	char *made, expires[TIME_TEXT_MAX];
	int64_t seconds = 0, now = time_now_ms();
	int code;

	if (!account)
		return error_not_found(e, r->kind, r->name);
	if ((code = check_request(c, spec, &seconds, e)) < 0)
		return code;
	const struct account_token_request request = {.ns = account->ns,
						      .name = account->name,
						      .uid = account->uid,
						      .audiences = json_get(spec, "audiences"),
						      .now_ms = now,
						      .seconds = seconds};
	code = account_token_issue(auth_accounts(c->server->auth), c->arena, &request, &made, e);
	if (code < 0)
		return code;
	json_set_int(c->arena, spec, "expirationSeconds", seconds);
	status = json_object(c->arena);
	json_set_str(c->arena, status, "token", made);
	json_set_str(c->arena, status, "expirationTimestamp", time_format((now / 1000 + seconds) * 1000, expires));
	json_set(c->arena, obj, "status", status);
	return 0;
}

void subresource_token(struct call *c)
{
	struct error e = {0};
	struct json *obj;
	int code = call_body(c, NULL, &obj, &e);

	if (code == 0) {
		obj = json_is(obj, JSON_OBJECT) ? obj : json_object(c->arena);
		json_set_str(c->arena, obj, "apiVersion", "authentication.k8s.io/v1");
		json_set_str(c->arena, obj, "kind", "TokenRequest");
		code = issue(c, obj, &e);
	}
	if (code < 0)
		call_fail(c, &e);
	else
		call_reply_tree(c, 201, obj);
}
