/*
 * auth_rules.c - who may do what, as a table: the components of Berth and nobody else.
 *
 * system:masters may everything. A row applies to a user (exact, or a prefix ending in ':' + any name) or a group.
 * `own` rows apply only to the object that carries the caller's own name: a node and its Node and Lease.
 */
#include "apiserver/auth.h"
#include <stdio.h>

#define READ "get list watch "
#define WRITE "create update patch delete "

struct rule {
	const char *user, *group; /* one of both */
	const char *api_group;	  /* "*" any */
	const char *resources;	  /* space-separated "plural" or "plural/sub"; "*" any */
	const char *verbs;	  /* space-separated */
	const char *own;	  /* user name prefix: the object's name must be what follows it */
};

static const struct rule rules[] = {
	/* agents */
	{NULL, AUTH_NODES, "berth.dev", "instances containers revisions images locations", READ, NULL},
	{NULL, AUTH_NODES, "berth.dev", "instances instances/status", "update patch", NULL},
	{NULL, AUTH_NODES, "", "nodes configmaps namespaces", READ, NULL},
	{NULL, AUTH_NODES, "", "secrets", "get ", NULL}, /* auth_secret.c: only those that Images name */
	{NULL, AUTH_NODES, "", "nodes nodes/status", WRITE, "system:node:"},
	{NULL, AUTH_NODES, "coordination.k8s.io", "leases", READ WRITE, "system:node:"},
	{NULL, AUTH_NODES, "", "events", "create patch update", NULL},
	/* scheduler */
	{"berth-scheduler", NULL, "berth.dev", "*", READ WRITE, NULL},
	{"berth-scheduler", NULL, "", "nodes nodes/status", READ "update patch", NULL},
	{"berth-scheduler", NULL, "", "namespaces configmaps", READ, NULL},
	{"berth-scheduler", NULL, "", "secrets", "get ", NULL}, /* to resolve the images of any Container */
	{"berth-scheduler", NULL, "", "events", READ WRITE, NULL},
	{"berth-scheduler", NULL, "coordination.k8s.io", "leases", READ WRITE, NULL},
	/* gateways */
	{"berth-gateway:", NULL, "berth.dev", "containers instances revisions images locations routes", READ, NULL},
	{"berth-gateway:", NULL, "berth.dev", "instances instances/status", "create update patch", NULL},
	{"berth-gateway:", NULL, "berth.dev", "locations/status routes/status", "update patch get", NULL},
	{"berth-gateway:", NULL, "", "nodes namespaces", READ, NULL},
	{"berth-gateway:", NULL, "", "events", "create patch update", NULL},
	{"berth-gateway:", NULL, "coordination.k8s.io", "leases", READ WRITE, NULL},
};

/* Paths open to everybody, and to everybody with a valid credential. Exact, or a prefix when it ends in '/'. */
static const char *const public_paths[] = {"/livez", "/livez/ping", "/readyz", "/healthz", "/version", "/version/"};
static const char *const known_paths[] = {"/", "/api", "/api/", "/apis", "/apis/", "/openapi/", "/metrics"};

static bool word_in(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; *p; p += strcspn(p, " "), p += strspn(p, " "))
		if (strcspn(p, " ") == n && strncmp(p, word, n) == 0)
			return true;
	return false;
}

static bool resource_in(const char *list, const struct access *what)
{
	char both[192];

	if (streq(list, "*"))
		return true;
	if (!*what->subresource)
		return word_in(list, what->resource);
	int n = snprintf(both, sizeof(both), "%s/%s", what->resource, what->subresource);
	return n > 0 && (size_t)n < sizeof(both) && word_in(list, both);
}

bool auth_in_group(const struct identity *who, const char *group)
{
	for (size_t i = 0; i < who->group_count; i++)
		if (streq(who->groups[i], group))
			return true;
	return false;
}

static bool is_subject(const struct rule *r, const struct identity *who)
{
	if (r->group)
		return auth_in_group(who, r->group);
	return str_ends(r->user, ":") ? str_starts(who->user, r->user) : streq(who->user, r->user);
}

/* A created object is not named in the URL, so creation is bound to the name by the write path (server's own check). */
static bool is_own(const struct rule *r, const struct identity *who, const struct access *what)
{
	if (!r->own)
		return true;
	if (!str_starts(who->user, r->own))
		return false;
	return streq(what->name, who->user + strlen(r->own)) || (streq(what->verb, "create") && !*what->name);
}

static bool allows(const struct rule *r, const struct identity *who, const struct access *what)
{
	return is_subject(r, who) && (streq(r->api_group, "*") || streq(r->api_group, what->group)) &&
	       word_in(r->verbs, what->verb) && resource_in(r->resources, what) && is_own(r, who, what);
}

static bool path_in(const char *const *paths, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++) {
		if (streq(paths[i], path))
			return true;
		if (strlen(paths[i]) > 1 && str_ends(paths[i], "/") && str_starts(path, paths[i]))
			return true;
	}
	return false;
}

bool authorize(const struct identity *who, const struct access *what)
{
	if (auth_in_group(who, AUTH_MASTERS))
		return true;
	if (what->path && path_in(public_paths, ARRAY_SIZE(public_paths), what->path))
		return true;
	if (streq(who->user, AUTH_ANONYMOUS))
		return false;
	if (what->path)
		return streq(what->verb, "get") && path_in(known_paths, ARRAY_SIZE(known_paths), what->path);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (allows(&rules[i], who, what))
			return true;
	return false;
}
