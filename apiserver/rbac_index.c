/*
 * rbac_index.c - roles and bindings of the watch cache, by subject; see rbac.h.
 *
 * A policy is immutable and reference-counted; `lock` only guards which one is current. What an object says is read
 * once per version (struct entry) and shared between policies.
 */
#include "apiserver/cache.h"
#include "apiserver/rbac.h"
#include "lib/log.h"
#include "lib/strmap.h"
#include <pthread.h>
#include <stdatomic.h>

#define SUBJECT_KEY_MAX 1400
#define SERVICE_ACCOUNT_USER "system:serviceaccount:"

enum { ROLE, CLUSTER_ROLE, ROLE_BINDING, CLUSTER_ROLE_BINDING, SOURCE_COUNT };
static const char *const plurals[SOURCE_COUNT] = {"roles", "clusterroles", "rolebindings", "clusterrolebindings"};

/* One version of one object. */
struct entry {
	_Atomic unsigned refs;
	struct object *object;
	struct arena *arena;
	struct rbac_rules rules;     /* roles */
	struct selector **selectors; /* aggregated ClusterRoles, else NULL; NULL-terminated */
	const char *role;	     /* bindings: key into policy->roles */
	const char **subjects;	     /* bindings: "u" or "g", then the name */
	size_t subject_count;
};

/* A role as it is in force. */
struct role {
	const struct entry *entry;
	struct rbac_rules rules;
	bool resolving, resolved;
};

struct grant {
	const struct role *role;
	const char *ns; /* NULL: everywhere */
	const struct grant *next;
};

struct policy {
	_Atomic unsigned refs;
	int64_t revision;
	struct arena *arena;
	struct strmap *entries; /* "plural/key" → struct entry */
	struct strmap *roles;	/* "/name" or "ns/name" → struct role */
	struct strmap *grants;	/* subject key → struct grant */
};

struct rbac {
	struct cache *cache;
	const struct kind *kinds[SOURCE_COUNT];
	pthread_rwlock_t lock; /* guards current */
	pthread_mutex_t build; /* one builds at a time */
	struct policy *current;
};

/* ---- one object ---- */

static void entry_unref(struct entry *x)
{
	if (atomic_fetch_sub(&x->refs, 1) != 1)
		return;
	object_unref(x->object);
	arena_free(x->arena);
	free(x);
}

/* A selector without conditions would match every role, and give a role far more than was meant: it is left out. */
static void read_selectors(struct entry *x, const struct json *list)
{
	size_t n = 0;

	x->selectors = arena_calloc(x->arena, (json_count(list) + 1) * sizeof(*x->selectors));
	for (size_t i = 0; i < json_count(list); i++) {
		const char *text = rbac_selector_text(x->arena, json_item(list, i));
		struct error e;
		if (!*text || selector_parse_labels(x->arena, text, &x->selectors[n], &e) < 0)
			log_warn("selector of an aggregated role is not used", "role", x->object->name, "selector",
				 text, NULL);
		else
			n++;
	}
	x->selectors[n] = NULL;
}

static const char *subject_key(struct arena *a, const struct json *s, const char *ns)
{
	const char *kind = json_str_or(json_get(s, "kind"), ""), *name = json_str_or(json_get(s, "name"), "");

	if (streq(kind, "ServiceAccount"))
		return arena_printf(a, "u" SERVICE_ACCOUNT_USER "%s:%s", json_str_or(json_get(s, "namespace"), ns),
				    name);
	return arena_printf(a, "%c%s", streq(kind, "Group") ? 'g' : 'u', name);
}

static void read_binding(struct entry *x, const struct json *tree)
{
	const struct json *ref = json_get(tree, "roleRef"), *list = json_get(tree, "subjects");
	const char *ns = x->object->ns ? x->object->ns : "";
	bool cluster = streq(json_str(json_get(ref, "kind")), "ClusterRole");

	x->role = arena_printf(x->arena, "%s/%s", cluster ? "" : ns, json_str_or(json_get(ref, "name"), ""));
	x->subject_count = json_count(list);
	x->subjects = arena_calloc(x->arena, (x->subject_count + 1) * sizeof(*x->subjects));
	for (size_t i = 0; i < x->subject_count; i++)
		x->subjects[i] = subject_key(x->arena, json_item(list, i), ns);
}

static struct entry *entry_new(struct object *o, int source)
{
	_arena_ scratch = arena_new();
	struct entry *x = xcalloc(1, sizeof(*x));
	const struct json *tree = object_tree(scratch, o), *aggregation = json_get(tree, "aggregationRule");

	x->refs = 1;
	x->object = object_ref(o);
	x->arena = arena_new();
	if (source == ROLE || source == CLUSTER_ROLE)
		rbac_rules_parse(x->arena, json_get(tree, "rules"), &x->rules);
	else
		read_binding(x, tree);
	if (source == CLUSTER_ROLE && aggregation)
		read_selectors(x, json_get(aggregation, "clusterRoleSelectors"));
	return x;
}

/* ---- a policy ---- */

static void policy_unref(struct policy *p)
{
	size_t position = 0;
	void *x;

	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	while (strmap_next(p->entries, &position, NULL, &x))
		entry_unref(x);
	strmap_free(p->entries);
	strmap_free(p->roles);
	strmap_free(p->grants);
	arena_free(p->arena);
	free(p);
}

static void add_role(struct policy *p, const struct entry *x, const char *ns)
{
	struct role *r = arena_calloc(p->arena, sizeof(*r));

	r->entry = x;
	r->rules = x->rules;
	strmap_put(p->roles, arena_printf(p->arena, "%s/%s", ns, x->object->name), r);
}

/* The objects of one kind, those already known without reading them again. */
static void load(struct rbac *b, struct policy *p, int source)
{
	struct cache_query q = {.filter = {.kind = b->kinds[source]}};
	struct cache_page page;

	if (cache_list(b->cache, &q, &page, NULL) < 0)
		return; /* cannot fail without a revision */
	for (size_t i = 0; i < page.count; i++) {
		struct object *o = page.items[i];
		const char *key = arena_printf(p->arena, "%s/%s", plurals[source], o->key);
		struct entry *x = b->current ? strmap_get(b->current->entries, key) : NULL;
		if (x && x->object == o)
			atomic_fetch_add(&x->refs, 1);
		else
			x = entry_new(o, source);
		strmap_put(p->entries, key, x);
		if (source == ROLE || source == CLUSTER_ROLE)
			add_role(p, x, source == ROLE ? o->ns : "");
	}
	cache_page_clear(&page);
}

static void resolve(struct policy *p, const struct kind *k, struct role *r);

static bool selects(const struct role *r, const struct kind *k, const struct role *other)
{
	for (struct selector **s = r->entry->selectors; *s; s++)
		if (filter_matches(&(struct filter){.kind = k, .labels = *s}, other->entry->object))
			return true;
	return false;
}

/* All members of an aggregated role; roles that contain each other in a circle give each what the others have of their
 * own. */
static void gather(struct policy *p, const struct kind *k, struct role *r)
{
	struct role *other;
	size_t position = 0, room = 0, n = 0;
	void *value;

	while (strmap_next(p->roles, &position, NULL, &value)) {
		other = value;
		if (other == r || other->entry->object->kind != k || !selects(r, k, other))
			continue;
		resolve(p, k, other);
		room += other->rules.count;
	}
	const struct rbac_rule **items = arena_calloc(p->arena, (room + 1) * sizeof(*items));
	for (position = 0; strmap_next(p->roles, &position, NULL, &value);) {
		other = value;
		if (other == r || other->entry->object->kind != k || !selects(r, k, other))
			continue;
		for (size_t i = 0; i < other->rules.count && n < room; i++)
			items[n++] = other->rules.items[i];
	}
	r->rules = (struct rbac_rules){items, n};
}

static void resolve(struct policy *p, const struct kind *k, struct role *r)
{
	if (r->resolved || r->resolving || !r->entry->selectors)
		return;
	r->rules.count = 0;
	r->resolving = true;
	gather(p, k, r);
	r->resolving = false;
	r->resolved = true;
}

static void bind(struct policy *p)
{
	size_t position = 0;
	void *value;

	while (strmap_next(p->entries, &position, NULL, &value)) {
		const struct entry *x = value;
		const struct role *role = x->role ? strmap_get(p->roles, x->role) : NULL;
		for (size_t i = 0; role && i < x->subject_count; i++) {
			struct grant *g = arena_calloc(p->arena, sizeof(*g));
			g->role = role;
			g->ns = x->object->kind->namespaced ? x->object->ns : NULL;
			g->next = strmap_put(p->grants, x->subjects[i], g);
		}
	}
}

static struct policy *policy_build(struct rbac *b, int64_t revision)
{
	struct policy *p = xcalloc(1, sizeof(*p));
	size_t position = 0;
	void *role;

	p->refs = 1;
	p->revision = revision;
	p->arena = arena_new();
	p->entries = strmap_new();
	p->roles = strmap_new();
	p->grants = strmap_new();
	for (int i = 0; i < SOURCE_COUNT; i++)
		load(b, p, i);
	while (strmap_next(p->roles, &position, NULL, &role))
		resolve(p, b->kinds[CLUSTER_ROLE], role);
	bind(p);
	return p;
}

static int64_t newest(const struct rbac *b)
{
	int64_t revision = 0;

	for (int i = 0; i < SOURCE_COUNT; i++) {
		int64_t r = cache_kind_revision(b->cache, b->kinds[i]);
		revision = r > revision ? r : revision;
	}
	return revision;
}

static void renew(struct rbac *b, int64_t revision)
{
	pthread_mutex_lock(&b->build);
	if (!b->current || b->current->revision < revision) {
		struct policy *fresh = policy_build(b, revision), *old = b->current;
		pthread_rwlock_wrlock(&b->lock);
		b->current = fresh;
		pthread_rwlock_unlock(&b->lock);
		policy_unref(old);
	}
	pthread_mutex_unlock(&b->build);
}

/* A reference to the policy as of now. */
static struct policy *policy_now(struct rbac *b)
{
	int64_t revision = newest(b);

	for (;;) {
		pthread_rwlock_rdlock(&b->lock);
		struct policy *p = b->current;
		bool current = p && p->revision >= revision;
		if (current)
			atomic_fetch_add(&p->refs, 1);
		pthread_rwlock_unlock(&b->lock);
		if (current)
			return p;
		renew(b, revision);
	}
}

/* ---- questions ---- */

static const struct grant *grants_of(const struct policy *p, char type, const char *name)
{
	char key[SUBJECT_KEY_MAX];
	size_t n = strlen(name);

	if (n + 2 > sizeof(key))
		return NULL;
	key[0] = type;
	memcpy(key + 1, name, n + 1);
	return strmap_get(p->grants, key);
}

typedef bool grant_visit(void *user, const struct grant *g);

/* Every grant of the user, then of each group, that holds in ns; ends when visit() says so and is then true. */
static bool visit_grants(const struct policy *p, const struct identity *who, const char *ns, grant_visit *visit,
			 void *user)
{
	for (size_t i = 0; i <= who->group_count; i++) {
		const struct grant *g = i == 0 ? grants_of(p, 'u', who->user) : grants_of(p, 'g', who->groups[i - 1]);
		for (; g; g = g->next)
			if ((!g->ns || streq(g->ns, ns)) && visit(user, g))
				return true;
	}
	return false;
}

static bool visit_allows(void *user, const struct grant *g)
{
	const struct access *what = user;

	if (g->ns && what->path)
		return false;
	for (size_t i = 0; i < g->role->rules.count; i++)
		if (rbac_rule_allows(g->role->rules.items[i], what))
			return true;
	return false;
}

bool rbac_allows(struct rbac *b, const struct identity *who, const struct access *what)
{
	struct policy *p = policy_now(b);
	bool allowed = visit_grants(p, who, what->ns, visit_allows, (void *)(uintptr_t)what);

	policy_unref(p);
	return allowed;
}

static const char *const *copy_list(struct arena *a, const char *const *list)
{
	const char **copy;
	size_t n = 0;

	while (list[n])
		n++;
	copy = arena_calloc(a, (n + 1) * sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_strdup(a, list[i]);
	return copy;
}

struct collect {
	struct arena *arena;
	struct rbac_rules rules;
	size_t room;
};

static void collect_rule(struct collect *c, const struct rbac_rule *r)
{
	struct rbac_rule *copy = arena_calloc(c->arena, sizeof(*copy));

	if (c->rules.count == c->room) {
		c->room = c->room ? 2 * c->room : 16;
		const struct rbac_rule **more = arena_calloc(c->arena, c->room * sizeof(*more));
		if (c->rules.count)
			memcpy(more, c->rules.items, c->rules.count * sizeof(*more));
		c->rules.items = more;
	}
	*copy = (struct rbac_rule){copy_list(c->arena, r->verbs), copy_list(c->arena, r->groups),
				   copy_list(c->arena, r->resources), copy_list(c->arena, r->names),
				   copy_list(c->arena, r->urls)};
	c->rules.items[c->rules.count++] = copy;
}

static bool visit_collect(void *user, const struct grant *g)
{
	for (size_t i = 0; i < g->role->rules.count; i++)
		collect_rule(user, g->role->rules.items[i]);
	return false;
}

void rbac_rules_of(struct rbac *b, const struct identity *who, const char *ns, struct arena *a, struct rbac_rules *ret)
{
	struct collect c = {.arena = a};
	struct policy *p = policy_now(b);

	visit_grants(p, who, ns, visit_collect, &c);
	policy_unref(p);
	*ret = c.rules;
}

bool rbac_role_rules(struct rbac *b, const char *ns, const char *name, struct arena *a, struct rbac_rules *ret)
{
	struct collect c = {.arena = a};
	struct policy *p = policy_now(b);
	const struct role *r = strmap_get(p->roles, arena_printf(a, "%s/%s", ns, name));

	for (size_t i = 0; r && i < r->rules.count; i++)
		collect_rule(&c, r->rules.items[i]);
	policy_unref(p);
	*ret = c.rules;
	return r != NULL;
}

struct rbac *rbac_new(struct cache *c)
{
	struct rbac *b = xcalloc(1, sizeof(*b));

	b->cache = c;
	for (int i = 0; i < SOURCE_COUNT; i++)
		b->kinds[i] = kind_find(RBAC_GROUP, "v1", plurals[i]);
	pthread_rwlock_init(&b->lock, NULL);
	pthread_mutex_init(&b->build, NULL);
	return b;
}

void rbac_free(struct rbac *b)
{
	if (!b)
		return;
	policy_unref(b->current);
	pthread_rwlock_destroy(&b->lock);
	pthread_mutex_destroy(&b->build);
	free(b);
}
