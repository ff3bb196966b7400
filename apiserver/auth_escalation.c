/*
 * auth_escalation.c - who writes a role must hold what it allows, or the verb `escalate` on it; who writes a binding
 * must hold what its role allows, or the verb `bind` on the role; see auth_private.h.
 *
 * Source: k8s.io/kubernetes pkg/registry/rbac, the policybased storages.
 */
#include "apiserver/auth_private.h"
#include "apiserver/rbac.h"
#include "apiserver/status.h"

static bool may(struct auth *a, const struct identity *who, const char *verb, const char *plural, const char *ns,
		const char *name)
{
	const struct access what = {
		.verb = verb, .group = RBAC_GROUP, .resource = plural, .subresource = "", .ns = ns, .name = name};

	return authorize(a, who, &what);
}

static int check_held(struct auth *a, const struct identity *who, const struct kind *k, const char *ns,
		      const char *name, struct arena *arena, const struct rbac_rules *wanted, struct error *e)
{
	struct rbac_rules held;
	_buf_ groups = BUF_INIT(256);
	char *missing = NULL;
	size_t steps = 0;

	rbac_rules_of(a->rbac, who, ns, arena, &held);
	for (size_t i = 0; i < wanted->count; i++)
		if (!rbac_covers(arena, &held, wanted->items[i], &steps, &missing))
			break;
	if (!missing)
		return 0;
	if (steps > RBAC_COVER_STEPS_MAX)
		return error_forbidden(
			e, k, name,
			"it has too many combinations of verbs, groups, resources and names to check; split "
			"the role, or use \"*\"");
	for (size_t i = 0; i < who->group_count; i++)
		buf_addf(&groups, "%s\"%s\"", i ? " " : "", who->groups[i]);
	return error_forbidden(e, k, name,
			       arena_printf(arena,
					    "user \"%s\" (groups=[%s]) is attempting to grant RBAC permissions not "
					    "currently held:\n%s",
					    who->user, groups.data ? groups.data : "", missing));
}

/* Everything: what an aggregation rule may come to give. */
static void full_authority(struct arena *a, struct rbac_rules *ret)
{
	struct json *list = json_array(a);
	static const char *const members[] = {"apiGroups", "resources", "nonResourceURLs"};

	for (size_t i = 0; i < 2; i++) {
		struct json *rule = json_append(a, list, json_object(a));
		json_append(a, json_ensure_array(a, rule, "verbs"), json_string(a, "*"));
		for (size_t m = i * 2; m < (i ? 3 : 2); m++)
			json_append(a, json_ensure_array(a, rule, members[m]), json_string(a, "*"));
	}
	rbac_rules_parse(a, list, ret);
}

static bool equal_but(const struct json *a, const struct json *b, const char *const *skip)
{
	for (size_t i = 0; i < json_count(a); i++) {
		bool skipped = false;
		for (const char *const *s = skip; *s; s++)
			skipped = skipped || streq(*s, json_key(a, i));
		const struct json *other = json_get(b, json_key(a, i));
		if (!skipped && (!other || !json_equal(json_item(a, i), other)))
			return false;
	}
	return true;
}

/* The garbage collector's clients may always let go of an object. A label is no such thing: it may put a role into an
 * aggregated one. */
static bool only_lets_go(const struct json *live, const struct json *next)
{
	static const char *const skip[] = {"metadata", NULL}, *const skip_meta[] = {"ownerReferences", "finalizers",
										    "managedFields",   "generation",
										    "resourceVersion", NULL};
	const struct json *was = json_get(live, "metadata"), *now = json_get(next, "metadata");

	return live && equal_but(live, next, skip) && equal_but(next, live, skip) && equal_but(was, now, skip_meta) &&
	       equal_but(now, was, skip_meta);
}

static int check_role(struct auth *a, const struct identity *who, const struct kind *k, struct arena *arena,
		      const struct json *live, const struct json *next, struct error *e)
{
	const char *name = json_str_or(json_in(next, "metadata", "name"), "");
	const char *ns = json_str_or(json_in(next, "metadata", "namespace"), "");
	struct rbac_rules wanted;
	int code = 0;

	if (only_lets_go(live, next) || may(a, who, "escalate", k->plural, ns, name))
		return 0;
	if (json_get(next, "aggregationRule") || json_get(live, "aggregationRule")) {
		full_authority(arena, &wanted);
		code = check_held(a, who, k, ns, name, arena, &wanted, e);
	}
	rbac_rules_parse(arena, json_get(next, "rules"), &wanted);
	return code < 0 ? code : check_held(a, who, k, ns, name, arena, &wanted, e);
}

static int check_binding(struct auth *a, const struct identity *who, const struct kind *k, struct arena *arena,
			 const struct json *live, const struct json *next, struct error *e)
{
	const char *name = json_str_or(json_in(next, "metadata", "name"), "");
	const char *ns = json_str_or(json_in(next, "metadata", "namespace"), "");
	const char *role = json_str_or(json_in(next, "roleRef", "name"), "");
	bool cluster = streq(json_str(json_in(next, "roleRef", "kind")), "ClusterRole");
	const char *plural = cluster ? "clusterroles" : "roles";
	struct rbac_rules wanted;

	if (only_lets_go(live, next) || may(a, who, "bind", plural, ns, role))
		return 0;
	if (!rbac_role_rules(a->rbac, cluster ? "" : ns, role, arena, &wanted))
		return error_not_found(e, kind_find(RBAC_GROUP, "v1", plural), role);
	return check_held(a, who, k, ns, name, arena, &wanted, e);
}

int escalation_check(struct auth *a, const struct identity *who, const struct kind *k, struct arena *arena,
		     const struct json *live, const struct json *next, struct error *e)
{
	bool is_role = streq(k->plural, "roles") || streq(k->plural, "clusterroles");

	return is_role ? check_role(a, who, k, arena, live, next, e) : check_binding(a, who, k, arena, live, next, e);
}
