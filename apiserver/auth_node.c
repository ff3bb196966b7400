/*
 * auth_node.c - of what the role berth:node gives to all nodes, a node gets what concerns itself; see auth_private.h.
 *
 * A node is the user system:node:<name> in the group system:nodes. Its own are: the Node and the Lease of that name,
 * the Instances whose spec or status names it, and the Secrets that Images, and the Revisions of these Instances, name.
 */
#include "apiserver/auth_private.h"
#include "apiserver/selector.h"
#include "apiserver/status.h"

#define USER_PREFIX "system:node:"
#define LEASES_NAMESPACE "kube-node-lease"

typedef bool node_rule(struct cache *c, const char *node, const struct access *what);

/* ---- one object ---- */

/* The value that a fieldSelector demands of a field. */
static bool demands(const struct access *what, const char *field, const char *node)
{
	const struct kind *k = kind_find(what->group, "v1", what->resource);
	struct selector *s = NULL;
	_arena_ a = arena_new();

	return k && what->fields && selector_parse_fields(a, k, what->fields, &s, NULL) == 0 && s &&
	       streq(selector_requires(s, field), node);
}

static bool is_collection(const struct access *what)
{
	return streq(what->verb, "list") || streq(what->verb, "watch");
}

/* The name of a new object is in its body: node_check_write() looks there. */
static bool own_name(struct cache *c, const char *node, const struct access *what)
{
	(void)c;
	if (is_collection(what) && !*what->name)
		return demands(what, "metadata.name", node);
	return streq(what->name, node) || (streq(what->verb, "create") && !*what->name);
}

static bool own_lease(struct cache *c, const char *node, const struct access *what)
{
	return streq(what->ns, LEASES_NAMESPACE) && own_name(c, node, what);
}

static bool is_bound(const struct json *instance, const char *node)
{
	return streq(json_str(json_in(instance, "spec", "nodeName")), node) ||
	       streq(json_str(json_in(instance, "status", "nodeName")), node);
}

static bool own_instance(struct cache *c, const char *node, const struct access *what)
{
	const struct kind *k = kind_find("berth.dev", "v1", "instances");
	_arena_ a = arena_new();

	if (is_collection(what))
		return demands(what, "spec.nodeName", node);
	if (!*what->name)
		return false;
	_object_ o = cache_get(c, k, object_key(a, k, what->ns, what->name));
	/* What is gone may be asked for: the answer is that it is gone. */
	return !o || is_bound(object_tree(a, o), node);
}

/* ---- Secrets ---- */

static bool names_secret(const struct json *list, const struct access *what)
{
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *ref = json_item(list, i);
		if (streq(json_str(json_get(ref, "name")), what->name) &&
		    streq(json_str(json_get(ref, "namespace")), what->ns))
			return true;
	}
	return false;
}

/* Most objects do not even hold the word, and parsing costs much more than looking for it. Names need no escapes. */
static bool mentions(const struct object *o, const char *word)
{
	return memmem(chunk_data(o->json), chunk_len(o->json), word, strlen(word)) != NULL;
}

/* Images say which Secrets their registry asks for. A node reads them seldom and one at a time. */
static bool needed_secret(struct cache *c, _unused_ const char *node, const struct access *what)
{
	struct cache_query q = {.filter = {.kind = kind_find("berth.dev", "v1", "images")}};
	struct cache_page page;
	bool found = false;

	if (!*what->name || !streq(what->verb, "get") || cache_list(c, &q, &page, NULL) < 0)
		return false;
	for (size_t i = 0; i < page.count && !found; i++) {
		if (!mentions(page.items[i], what->name))
			continue;
		_arena_ a = arena_new();
		found = names_secret(json_in(object_tree(a, page.items[i]), "spec", "pullSecrets"), what);
	}
	cache_page_clear(&page);
	return found;
}

/* ---- the table ---- */

static const struct {
	const char *group, *resource;
	node_rule *allows;
} rules[] = {
	{"", "nodes", own_name},
	{"coordination.k8s.io", "leases", own_lease},
	{"berth.dev", "instances", own_instance},
	{"", "secrets", needed_secret},
};

bool node_allows(struct cache *c, const struct identity *who, const struct access *what)
{
	const char *node = str_starts(who->user, USER_PREFIX) ? who->user + strlen(USER_PREFIX) : "";

	if (what->path)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (streq(rules[i].group, what->group) && streq(rules[i].resource, what->resource))
			return *node && rules[i].allows(c, node, what);
	return true;
}

/* ---- writes ---- */

static bool same(const struct json *a, const struct json *b)
{
	return a == b || (a && b && json_equal(a, b));
}

/* Of an Instance itself a node may only take out its finalizer. */
static bool keeps_instance(const struct json *live, const struct json *next)
{
	return same(json_get(live, "spec"), json_get(next, "spec")) &&
	       same(json_in(live, "metadata", "labels"), json_in(next, "metadata", "labels")) &&
	       same(json_in(live, "metadata", "annotations"), json_in(next, "metadata", "annotations")) &&
	       same(json_in(live, "metadata", "ownerReferences"), json_in(next, "metadata", "ownerReferences"));
}

int node_check_write(const struct identity *who, const struct kind *k, const char *sub, struct arena *arena,
		     const struct json *live, const struct json *next, struct error *e)
{
	const char *node = str_starts(who->user, USER_PREFIX) ? who->user + strlen(USER_PREFIX) : "";
	const char *name = json_str_or(json_in(next, "metadata", "name"), "");
	bool named = streq(k->plural, "nodes") || streq(k->plural, "leases");

	if (named && !streq(name, node))
		return error_forbidden(e, k, name,
				       arena_printf(arena, "node \"%s\" may create it under its own name only", node));
	if (!live || !streq(k->plural, "instances"))
		return 0;
	if (!is_bound(live, node))
		return error_forbidden(e, k, name, arena_printf(arena, "it is not bound to node \"%s\"", node));
	if (!*sub && !keeps_instance(live, next))
		return error_forbidden(e, k, name, "a node may change the status and take out its finalizer, no more");
	return 0;
}
