/*
 * test_rbac.c - what rules allow and cover, what bindings give, aggregation, and the rights of every role as a matrix.
 */
#include "apiserver/access_defaults.h"
#include "apiserver/rbac.h"
#include "test/unit/apiserver/core_fixture.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>

#include <cmocka.h>

#include "test/unit/golden.h"

/* ---- rules ---- */

static struct rbac_rules rules_of(struct arena *a, const char *text)
{
	struct rbac_rules r;

	rbac_rules_parse(a, core_json(a, text), &r);
	return r;
}

/* "verb group/resource[/sub] [name]", or "verb /path" */
static struct access access_of(struct arena *a, const char *text)
{
	struct access what = {.verb = "", .group = "", .resource = "", .subresource = "", .ns = "", .name = ""};
	char verb[32] = "", target[128] = "", name[64] = "", *slash;

	assert_true(sscanf(text, "%31s %127s %63s", verb, target, name) >= 2);
	what.verb = arena_strdup(a, verb);
	what.name = arena_strdup(a, name);
	if (*target == '/') {
		what.path = arena_strdup(a, target);
		return what;
	}
	slash = strchr(target, '/');
	assert_non_null(slash);
	what.group = streq(arena_strndup(a, target, (size_t)(slash - target)), "core")
			     ? ""
			     : arena_strndup(a, target, (size_t)(slash - target));
	char *resource = arena_strdup(a, slash + 1), *sub = strchr(resource, '/');
	if (sub)
		*sub++ = '\0';
	what.resource = resource;
	what.subresource = sub ? sub : "";
	return what;
}

#define RULE(groups, resources, verbs) \
	"[{'apiGroups': [" groups "], 'resources': [" resources "], 'verbs': [" verbs "]}]"

static void test_rules(void **state)
{
	static const struct {
		const char *rules, *access;
		bool allowed;
	} cases[] = {
		{RULE("'berth.dev'", "'instances'", "'get'"), "get berth.dev/instances x", true},
		{RULE("'berth.dev'", "'instances'", "'get'"), "list berth.dev/instances", false},
		{RULE("'berth.dev'", "'instances'", "'get'"), "get berth.dev/instances/status x", false},
		{RULE("'berth.dev'", "'instances'", "'get'"), "get core/instances x", false},
		{RULE("'berth.dev'", "'instances'", "'get'"), "get berth.dev/instancesx x", false},
		{RULE("'berth.dev'", "'instances/status'", "'get'"), "get berth.dev/instances/status x", true},
		{RULE("'berth.dev'", "'instances/status'", "'get'"), "get berth.dev/instances x", false},
		{RULE("'berth.dev'", "'*/scale'", "'patch'"), "patch berth.dev/containers/scale x", true},
		{RULE("'berth.dev'", "'*/scale'", "'patch'"), "patch berth.dev/containers x", false},
		{RULE("'berth.dev'", "'*/scale'", "'patch'"), "patch berth.dev/containers/status x", false},
		{RULE("'berth.dev'", "'*'", "'patch'"), "patch berth.dev/containers/status x", true},
		{RULE("'*'", "'pods'", "'*'"), "evict any.group/pods x", true},
		{RULE("''", "'secrets'", "'get'"), "get core/secrets", true},
		{"[{'apiGroups': [''], 'resources': ['secrets'], 'verbs': ['get'], 'resourceNames': ['a', 'b']}]",
		 "get core/secrets b", true},
		{"[{'apiGroups': [''], 'resources': ['secrets'], 'verbs': ['get'], 'resourceNames': ['a', 'b']}]",
		 "get core/secrets c", false},
		{"[{'apiGroups': [''], 'resources': ['secrets'], 'verbs': ['*'], 'resourceNames': ['*']}]",
		 "get core/secrets c", false},
		{"[{'apiGroups': [''], 'resources': ['secrets'], 'verbs': ['*'], 'resourceNames': ['a']}]",
		 "create core/secrets", false},
		{"[{'nonResourceURLs': ['/api/*'], 'verbs': ['get']}]", "get /api/v1", true},
		{"[{'nonResourceURLs': ['/api/*'], 'verbs': ['get']}]", "get /api", false},
		{"[{'nonResourceURLs': ['/api/*'], 'verbs': ['get']}]", "post /api/v1", false},
		{"[{'nonResourceURLs': ['*'], 'verbs': ['*']}]", "post /x", true},
		{"[{'nonResourceURLs': [''], 'verbs': ['*']}]", "post /x", false},
		{"[{'nonResourceURLs': ['/version'], 'verbs': ['get']}]", "get /version/", false},
		{RULE("'*'", "'*'", "'*'"), "get /api", false},
		{"[{'nonResourceURLs': ['*'], 'verbs': ['*']}]", "get core/secrets x", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct rbac_rules r = rules_of(a, cases[i].rules);
		struct access what = access_of(a, cases[i].access);
		if (rbac_rule_allows(r.items[0], &what) != cases[i].allowed)
			fail_msg("%s: %s", cases[i].rules, cases[i].access);
	}
}

static void test_covering(void **state)
{
	static const struct {
		const char *held, *wanted, *missing; /* NULL: covered */
	} cases[] = {
		{RULE("'*'", "'*'", "'*'"), RULE("'berth.dev'", "'instances', 'routes'", "'get', 'create'"), NULL},
		{RULE("''", "'a', 'b'", "'get', 'list'"), RULE("''", "'b'", "'get'"), NULL},
		{RULE("''", "'a'", "'get'"), RULE("''", "'a', 'b'", "'get'"),
		 "{APIGroups:[\"\"], Resources:[\"b\"], Verbs:[\"get\"]}"},
		{RULE("''", "'a'", "'get'"), RULE("''", "'a'", "'*'"),
		 "{APIGroups:[\"\"], Resources:[\"a\"], Verbs:[\"*\"]}"},
		{RULE("''", "'a'", "'get'"), RULE("'*'", "'a'", "'get'"),
		 "{APIGroups:[\"*\"], Resources:[\"a\"], Verbs:[\"get\"]}"},
		{RULE("''", "'*/scale'", "'get'"), RULE("''", "'a/scale', 'b/scale'", "'get'"), NULL},
		{RULE("''", "'a/scale'", "'get'"), RULE("''", "'*/scale'", "'get'"),
		 "{APIGroups:[\"\"], Resources:[\"*/scale\"], Verbs:[\"get\"]}"},
		{RULE("''", "'a'", "'get'"), RULE("''", "'a/status'", "'get'"),
		 "{APIGroups:[\"\"], Resources:[\"a/status\"], Verbs:[\"get\"]}"},
		/* two rules together */
		{"[{'apiGroups': [''], 'resources': ['a'], 'verbs': ['get']}, "
		 "{'apiGroups': [''], 'resources': ['a'], 'verbs': ['list']}]",
		 RULE("''", "'a'", "'get', 'list'"), NULL},
		/* names */
		{RULE("''", "'a'", "'get'"),
		 "[{'apiGroups': [''], 'resources': ['a'], 'verbs': ['get'], 'resourceNames': ['x']}]", NULL},
		{"[{'apiGroups': [''], 'resources': ['a'], 'verbs': ['get'], 'resourceNames': ['x']}]",
		 RULE("''", "'a'", "'get'"), "{APIGroups:[\"\"], Resources:[\"a\"], Verbs:[\"get\"]}"},
		{"[{'apiGroups': [''], 'resources': ['a'], 'verbs': ['get'], 'resourceNames': ['x']}]",
		 "[{'apiGroups': [''], 'resources': ['a'], 'verbs': ['get'], 'resourceNames': ['y']}]",
		 "{APIGroups:[\"\"], Resources:[\"a\"], ResourceNames:[\"y\"], Verbs:[\"get\"]}"},
		/* paths */
		{"[{'nonResourceURLs': ['/api/*'], 'verbs': ['get']}]",
		 "[{'nonResourceURLs': ['/api/v1', '/api/v1/*'], 'verbs': ['get']}]", NULL},
		{"[{'nonResourceURLs': ['/api/v1'], 'verbs': ['get']}]",
		 "[{'nonResourceURLs': ['/api/*'], 'verbs': ['get']}]",
		 "{NonResourceURLs:[\"/api/*\"], Verbs:[\"get\"]}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct rbac_rules held = rules_of(a, cases[i].held), wanted = rules_of(a, cases[i].wanted);
		char *missing = NULL;
		size_t steps = 0;
		assert_int_equal(rbac_covers(a, &held, wanted.items[0], &steps, &missing), cases[i].missing == NULL);
		if (cases[i].missing)
			assert_string_equal(missing, cases[i].missing);
	}
}

/* A rule of very many combinations is refused, not worked through. */
static void test_covering_has_an_end(void **state)
{
	_arena_ a = arena_new();
	struct json *list = json_array(a), *rule = json_append(a, list, json_object(a));
	static const char *const members[] = {"apiGroups", "resources", "verbs", "resourceNames"};
	struct rbac_rules held = rules_of(a, RULE("'*'", "'*'", "'*'")), wanted;
	char *missing = NULL;
	size_t steps = 0;

	(void)state;
	for (size_t m = 0; m < ARRAY_SIZE(members); m++)
		for (int i = 0; i < 32; i++)
			json_append(a, json_ensure_array(a, rule, members[m]), json_stringf(a, "w%d", i));
	rbac_rules_parse(a, list, &wanted); /* 32^4 > RBAC_COVER_STEPS_MAX */
	assert_false(rbac_covers(a, &held, wanted.items[0], &steps, &missing));
	assert_non_null(missing);
	assert_true(steps > RBAC_COVER_STEPS_MAX);
	steps = 0;
	json_unset(rule, "resourceNames");
	rbac_rules_parse(a, list, &wanted);
	assert_true(rbac_covers(a, &held, wanted.items[0], &steps, &missing));
	/* The count goes on over all rules of a role. */
	for (int i = 0; i < 64; i++)
		(void)rbac_covers(a, &held, wanted.items[0], &steps, &missing);
	assert_false(rbac_covers(a, &held, wanted.items[0], &steps, &missing));
}

/* ---- the index ---- */

static int access_setup(void **state)
{
	int code = core_setup(state);
	struct core *c = *state;
	struct error e;

	if (auth_open(NULL, NULL, c->server.cache, &c->server.auth, &e) < 0)
		fail_msg("%s", e.text);
	return code;
}

static int access_teardown(void **state)
{
	struct core *c = *state;

	auth_close(c->server.auth);
	return core_teardown(state);
}

static void put(struct core *c, const char *plural, const char *ns, const char *name, const char *labels,
		const char *rest)
{
	const struct kind *k = core_kind(plural);
	struct json *tree = core_json(
		c->arena, arena_printf(c->arena,
				       "{'apiVersion': '%s', 'kind': '%s', 'metadata': {'name': '%s', 'uid': '%s%s', "
				       "'labels': {%s}}%s%s}",
				       k->api_version, k->kind, name, plural, name, labels, *rest ? ", " : "", rest));

	if (*ns)
		json_set_str(c->arena, json_get(tree, "metadata"), "namespace", ns);
	assert_true(core_put(c, k, tree, 0) > 0);
}

static bool may(struct core *c, const char *user, const char *group, const char *ns, const char *access)
{
	_arena_ a = arena_new();
	struct identity who = {.user = user, .uid = ""};
	struct access what = access_of(a, access);

	if (*group)
		identity_add_group(&who, group);
	identity_complete(a, &who);
	what.ns = ns;
	return authorize(c->server.auth, &who, &what);
}

#define GIVES(verb) "'rules': [{'apiGroups': [''], 'resources': ['configmaps'], 'verbs': ['" verb "']}]"
#define TO(role_kind, role, kind, name)                                                                              \
	"'roleRef': {'kind': '" role_kind "', 'name': '" role "'}, 'subjects': [{'kind': '" kind "', 'name': '" name \
	"'}]"

static void test_bindings(void **state)
{
	struct core *c = *state;

	assert_false(may(c, "alice", "", "team", "get core/configmaps x"));
	put(c, "clusterroles", "", "reader", "", GIVES("get"));
	put(c, "roles", "team", "writer", "", GIVES("update"));
	assert_false(may(c, "alice", "", "team", "get core/configmaps x"));
	put(c, "rolebindings", "team", "a", "", TO("ClusterRole", "reader", "User", "alice"));
	assert_true(may(c, "alice", "", "team", "get core/configmaps x"));
	assert_false(may(c, "alice", "", "other", "get core/configmaps x"));
	assert_false(may(c, "alice", "", "", "get core/configmaps x"));
	assert_false(may(c, "bob", "", "team", "get core/configmaps x"));
	assert_false(may(c, "galice", "", "team", "get core/configmaps x"));
	put(c, "rolebindings", "team", "b", "", TO("Role", "writer", "Group", "devs"));
	assert_true(may(c, "bob", "devs", "team", "update core/configmaps x"));
	assert_false(may(c, "devs", "", "team", "update core/configmaps x"));
	put(c, "rolebindings", "other", "b", "", TO("Role", "writer", "Group", "devs")); /* no such Role there */
	assert_false(may(c, "bob", "devs", "other", "update core/configmaps x"));
	put(c, "rolebindings", "team", "sa", "", TO("Role", "writer", "ServiceAccount", "ci"));
	assert_true(may(c, "system:serviceaccount:team:ci", "", "team", "update core/configmaps x"));
	assert_false(may(c, "system:serviceaccount:other:ci", "", "team", "update core/configmaps x"));
	put(c, "clusterrolebindings", "", "all", "", TO("ClusterRole", "reader", "Group", "system:authenticated"));
	assert_true(may(c, "anybody", "", "other", "get core/configmaps x"));
	assert_true(may(c, "anybody", "", "", "get core/configmaps x"));
	assert_false(may(c, AUTH_ANONYMOUS, "", "other", "get core/configmaps x"));
	assert_true(may(c, "x", AUTH_MASTERS, "other", "delete core/configmaps x"));
}

/* Each change is in force as soon as it is written. */
static void test_changes(void **state)
{
	struct core *c = *state;
	const struct kind *k = core_kind("rolebindings");
	struct json *binding = core_json(c->arena, "{'metadata': {'name': 'a', 'namespace': 'team', 'uid': 'b'}, "
						   "'roleRef': {'kind': 'ClusterRole', 'name': 'reader'}, "
						   "'subjects': [{'kind': 'User', 'name': 'alice'}]}");
	int64_t revision = core_put(c, k, binding, 0);

	put(c, "clusterroles", "", "reader", "", GIVES("get"));
	for (int i = 0; i < 3; i++) {
		assert_true(may(c, "alice", "", "team", "get core/configmaps x"));
		assert_true(core_remove(c, k, binding, revision) > 0);
		assert_false(may(c, "alice", "", "team", "get core/configmaps x"));
		revision = core_put(c, k, binding, 0);
	}
}

struct asking {
	struct core *core;
	atomic_bool over;
	atomic_uint wrong, asked;
};

static void *ask(void *user)
{
	struct asking *x = user;

	while (!atomic_load(&x->over)) {
		x->wrong += !may(x->core, "alice", "", "team", "get core/configmaps x");
		x->wrong += may(x->core, "alice", "", "team", "delete core/configmaps x");
		x->asked++;
	}
	return NULL;
}

/* What does not change is answered alike all the time, from any thread, while other bindings come and go. */
static void test_asked_while_changing(void **state)
{
	struct core *c = *state;
	struct asking x = {.core = c};
	pthread_t threads[3];

	put(c, "clusterroles", "", "reader", "", GIVES("get"));
	put(c, "rolebindings", "team", "a", "", TO("ClusterRole", "reader", "User", "alice"));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, &x), 0);
	for (int i = 0; i < 50 || atomic_load(&x.asked) < 100; i++)
		put(c, "rolebindings", "team", arena_printf(c->arena, "b%d", i), "",
		    TO("ClusterRole", "reader", "Group", "devs"));
	atomic_store(&x.over, true);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(x.wrong, 0);
}

#define COLLECTS(label) "'aggregationRule': {'clusterRoleSelectors': [{'matchLabels': {'" label "': 'yes'}}]}"

static void test_aggregation(void **state)
{
	struct core *c = *state;
	struct rbac_rules rules;

	put(c, "clusterroles", "", "all", "", COLLECTS("to-all") ", " GIVES("delete"));
	put(c, "clusterrolebindings", "", "b", "", TO("ClusterRole", "all", "User", "alice"));
	assert_false(may(c, "alice", "", "", "delete core/configmaps x")); /* its own rules do not count */
	put(c, "clusterroles", "", "part", "'to-all': 'yes'", GIVES("get"));
	assert_true(may(c, "alice", "", "", "get core/configmaps x"));
	put(c, "clusterroles", "", "inner", "'to-all': 'yes'", COLLECTS("to-inner"));
	put(c, "clusterroles", "", "leaf", "'to-inner': 'yes'", GIVES("list"));
	assert_true(may(c, "alice", "", "", "list core/configmaps"));
	put(c, "clusterroles", "", "circle", "'to-inner': 'yes', 'to-circle': 'yes'", COLLECTS("to-circle"));
	assert_true(may(c, "alice", "", "", "list core/configmaps"));
	put(c, "clusterroles", "", "greedy", "", "'aggregationRule': {'clusterRoleSelectors': [{}]}");
	assert_true(rbac_role_rules(auth_rbac(c->server.auth), "", "greedy", c->arena, &rules));
	assert_int_equal(rules.count, 0);
	assert_true(rbac_role_rules(auth_rbac(c->server.auth), "", "all", c->arena, &rules));
	assert_int_equal(rules.count, 2);
	int64_t seen = 0;
	access_aggregate(&c->server, &seen); /* for people: the rules in the object */
	_object_ all = cache_get(c->server.cache, core_kind("clusterroles"), "all");
	assert_int_equal(json_count(json_get(object_tree(c->arena, all), "rules")), 2);
}

static void test_selector_text(void **state)
{
	_arena_ a = arena_new();

	(void)state;
	assert_string_equal(
		rbac_selector_text(a, core_json(a, "{'matchLabels': {'a': 'b', 'c': 'd'}, 'matchExpressions': ["
						   "{'key': 'e', 'operator': 'In', 'values': ['f', 'g']}, "
						   "{'key': 'h', 'operator': 'NotIn', 'values': ['i']}, "
						   "{'key': 'j', 'operator': 'Exists'}, "
						   "{'key': 'k', 'operator': 'DoesNotExist'}]}")),
		"a=b,c=d,e in (f,g),h notin (i),j,!k");
	assert_string_equal(rbac_selector_text(a, core_json(a, "{}")), "");
}

/* ---- defaults ---- */

static struct json *role_tree(struct core *c, const char *plural, const char *name)
{
	_object_ o = cache_get(c->server.cache, core_kind(plural), name);

	assert_non_null(o);
	return object_tree(c->arena, o);
}

static int64_t replace(struct core *c, const char *plural, struct json *tree)
{
	const struct kind *k = core_kind(plural);
	_object_ o = cache_get(c->server.cache, k, json_str(json_in(tree, "metadata", "name")));

	return core_put(c, k, tree, o->revision);
}

static void test_defaults(void **state)
{
	struct core *c = *state;

	access_defaults_make(&c->server);
	int64_t revision = cache_revision(c->server.cache);
	access_defaults_make(&c->server); /* changes nothing */
	assert_int_equal(cache_revision(c->server.cache), revision);

	/* Somebody took rights and a subject away, and added a rule: the former come back, the latter stays. */
	struct json *role = role_tree(c, "clusterroles", "berth:gateway");
	size_t count = json_count(json_get(role, "rules"));
	json_remove_item(json_get(role, "rules"), 0);
	json_append(c->arena, json_get(role, "rules"),
		    json_item(core_json(c->arena, RULE("'mine'", "'things'", "'get'")), 0));
	assert_true(replace(c, "clusterroles", role) > 0);
	struct json *binding = role_tree(c, "clusterrolebindings", "berth:node");
	json_unset(binding, "subjects");
	assert_true(replace(c, "clusterrolebindings", binding) > 0);
	assert_false(may(c, "berth-gateway:fra", "", "team", "list berth.dev/routes"));
	access_defaults_make(&c->server);
	assert_int_equal(json_count(json_get(role_tree(c, "clusterroles", "berth:gateway"), "rules")), count + 1);
	assert_true(may(c, "berth-gateway:fra", "", "team", "list berth.dev/routes"));
	assert_true(may(c, "system:node:a", AUTH_NODES, "", "list berth.dev/images"));

	/* Unless it says otherwise. */
	role = role_tree(c, "clusterroles", "berth:gateway");
	json_unset(role, "rules");
	json_set_str(c->arena, json_in(role, "metadata", "annotations"), "rbac.authorization.kubernetes.io/autoupdate",
		     "false");
	assert_true(replace(c, "clusterroles", role) > 0);
	access_defaults_make(&c->server);
	assert_int_equal(json_count(json_get(role_tree(c, "clusterroles", "berth:gateway"), "rules")), 0);
}

/* ---- the matrix ---- */

static const struct {
	const char *title, *user, *group;
} people[] = {
	{"admin", "the-admin", ""},
	{"edit", "the-editor", ""},
	{"view", "the-viewer", ""},
	{"nobody", "nobody", ""},
	{"scheduler", "berth-scheduler", ""},
	{"gateway", "berth-gateway:fra", ""},
	{"node", "system:node:a", AUTH_NODES},
	{"stranger", "system:node:b", AUTH_NODES}, /* another node */
};

/* One letter per verb, in this order. */
static const char *const verbs[] = {"get", "list", "watch", "create", "update", "patch", "delete", "Deletecollection"};

static void matrix_cell(struct core *c, struct buf *out, size_t person, const struct kind *k, const char *sub)
{
	const char *name = streq(k->plural, "nodes") || streq(k->plural, "leases") ? "a" : "x";
	const char *ns = !k->namespaced ? "" : streq(k->plural, "leases") ? "kube-node-lease" : "team";
	char letters[ARRAY_SIZE(verbs) + 1] = "";
	size_t n = 0;

	for (size_t v = 0; v < ARRAY_SIZE(verbs); v++) {
		char verb[32];
		snprintf(verb, sizeof(verb), "%s", *verbs[v] == 'D' ? "deletecollection" : verbs[v]);
		bool named = !streq(verb, "list") && !streq(verb, "watch") && !streq(verb, "deletecollection") &&
			     (!streq(verb, "create") || *sub);
		const char *access = arena_printf(c->arena, "%s %s/%s%s%s %s", verb, *k->group ? k->group : "core",
						  k->plural, *sub ? "/" : "", sub, named ? name : "");
		if (may(c, people[person].user, people[person].group, ns, access))
			letters[n++] = *verbs[v];
	}
	buf_addf(out, " %-10s", n ? letters : "-");
}

static void matrix_row(struct core *c, struct buf *out, const struct kind *k, const char *sub)
{
	buf_addf(out, "%-58s",
		 arena_printf(c->arena, "%s%s%s%s%s", k->plural, *sub ? "/" : "", sub, *k->group ? "." : "", k->group));
	for (size_t p = 0; p < ARRAY_SIZE(people); p++)
		matrix_cell(c, out, p, k, sub);
	while (out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
	buf_addf(out, "\n");
}

static void test_matrix(void **state)
{
	struct core *c = *state;
	_buf_ out = BUF_INIT(1U << 20);

	access_defaults_make(&c->server);
	put(c, "rolebindings", "team", "a", "", TO("ClusterRole", "admin", "User", "the-admin"));
	put(c, "rolebindings", "team", "e", "", TO("ClusterRole", "edit", "User", "the-editor"));
	put(c, "rolebindings", "team", "v", "", TO("ClusterRole", "view", "User", "the-viewer"));
	put(c, "instances", "team", "x", "", "'spec': {'nodeName': 'a'}");
	put(c, "images", "", "i", "", "'spec': {'pullSecrets': [{'namespace': 'team', 'name': 'x'}]}");
	buf_addf(&out,
		 "# Who may do what: admin, edit and view in a namespace where they are bound; on objects of node a.\n"
		 "# get list watch create update patch delete Deletecollection, each by its first letter.\n%-58s",
		 "");
	for (size_t p = 0; p < ARRAY_SIZE(people); p++)
		buf_addf(&out, p + 1 < ARRAY_SIZE(people) ? " %-10s" : " %s", people[p].title);
	buf_addf(&out, "\n");
	for (size_t i = 0; i < kind_count(); i++) {
		const struct kind *k = kind_at(i);
		matrix_row(c, &out, k, "");
		if (k->has_status)
			matrix_row(c, &out, k, "status");
		if (k->has_scale)
			matrix_row(c, &out, k, "scale");
		for (size_t s = 0; s < k->subresource_count; s++)
			matrix_row(c, &out, k, k->subresources[s].name);
	}
	assert_golden("apiserver/access.txt", out.data);
}

/* ---- nodes ---- */

static bool node_lists(struct core *c, const char *fields)
{
	struct identity who = {.user = "system:node:a", .uid = "", .groups = {AUTH_NODES}, .group_count = 1};
	struct access what = {.verb = "watch",
			      .group = "berth.dev",
			      .resource = "instances",
			      .subresource = "",
			      .ns = "",
			      .name = "",
			      .fields = fields};

	return authorize(c->server.auth, &who, &what);
}

static void test_node(void **state)
{
	struct core *c = *state;
	static const struct {
		const char *user, *ns, *access;
		bool allowed;
	} cases[] = {
		{"system:node:a", "team", "get berth.dev/instances on-a", true},
		{"system:node:a", "team", "patch berth.dev/instances/status on-a", true},
		{"system:node:a", "team", "patch berth.dev/instances/status was-on-a", true},
		{"system:node:a", "team", "get berth.dev/instances on-b", false},
		{"system:node:a", "team", "patch berth.dev/instances/status on-b", false},
		{"system:node:a", "team", "get berth.dev/instances gone", true},
		{"system:node:a", "team", "create berth.dev/instances/binding on-a", false},
		{"system:node:a", "team", "create berth.dev/instances", false},
		{"system:node:a", "team", "list berth.dev/instances", false},
		{"system:node:a", "team", "get core/secrets of-image", true},
		{"system:node:a", "other", "get core/secrets of-image", false},
		{"system:node:a", "team", "get core/secrets private", false},
		{"system:node:a", "team", "get core/secrets", false},
		{"system:node:a", "team", "list core/secrets", false},
		{"system:node:a", "", "patch core/nodes/status a", true},
		{"system:node:a", "", "patch core/nodes/status b", false},
		{"system:node:a", "", "create core/nodes", true},
		{"system:node:a", "", "delete core/nodes a", false},
		{"system:node:a", "kube-node-lease", "patch coordination.k8s.io/leases a", true},
		{"system:node:a", "kube-node-lease", "patch coordination.k8s.io/leases b", false},
		{"system:node:a", "team", "patch coordination.k8s.io/leases a", false},
		{"system:node:", "team", "get berth.dev/instances free", false},
		{"mallory", "team", "get berth.dev/instances on-a", false},
		{"mallory", "", "create core/nodes", false},
	};

	access_defaults_make(&c->server);
	put(c, "instances", "team", "on-a", "", "'spec': {'nodeName': 'a'}");
	put(c, "instances", "team", "was-on-a", "", "'spec': {'nodeName': 'b'}, 'status': {'nodeName': 'a'}");
	put(c, "instances", "team", "on-b", "", "'spec': {'nodeName': 'b'}");
	put(c, "instances", "team", "free", "", "'spec': {'nodeName': ''}");
	put(c, "images", "", "i", "", "'spec': {'pullSecrets': [{'namespace': 'team', 'name': 'of-image'}]}");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (may(c, cases[i].user, AUTH_NODES, cases[i].ns, cases[i].access) != cases[i].allowed)
			fail_msg("%s in %s: %s", cases[i].user, cases[i].ns, cases[i].access);
	assert_true(node_lists(c, "spec.nodeName=a"));
	assert_false(node_lists(c, "spec.nodeName=b"));
	assert_false(node_lists(c, "spec.nodeName!=a"));
	assert_false(node_lists(c, "metadata.name=a"));
	assert_false(node_lists(c, ""));
	assert_false(node_lists(c, NULL));
}

#define ACCESS_TEST(f) cmocka_unit_test_setup_teardown(f, access_setup, access_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selector_text),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_covering),
		cmocka_unit_test(test_covering_has_an_end),
		ACCESS_TEST(test_bindings),
		ACCESS_TEST(test_changes),
		ACCESS_TEST(test_asked_while_changing),
		ACCESS_TEST(test_aggregation),
		ACCESS_TEST(test_defaults),
		ACCESS_TEST(test_node),
		ACCESS_TEST(test_matrix),
	};
	struct error e;

	if (kind_table_init(&e) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
