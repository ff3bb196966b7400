/*
 * rbac.c - rules and what they allow, as pure functions; see rbac.h. The index is in rbac_index.c.
 */
#include "apiserver/rbac.h"

static const char *const *texts(struct arena *a, const struct json *list)
{
	const char **out = arena_calloc(a, (json_count(list) + 1) * sizeof(*out));
	size_t n = 0;

	for (size_t i = 0; i < json_count(list); i++)
		if (json_str(json_item(list, i)))
			out[n++] = arena_strdup(a, json_str(json_item(list, i)));
	return out;
}

void rbac_rules_parse(struct arena *a, const struct json *list, struct rbac_rules *ret)
{
	ret->count = 0;
	ret->items = arena_calloc(a, (json_count(list) + 1) * sizeof(struct rbac_rule *));
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *from = json_item(list, i);
		struct rbac_rule *r = arena_calloc(a, sizeof(*r));
		r->verbs = texts(a, json_get(from, "verbs"));
		r->groups = texts(a, json_get(from, "apiGroups"));
		r->resources = texts(a, json_get(from, "resources"));
		r->names = texts(a, json_get(from, "resourceNames"));
		r->urls = texts(a, json_get(from, "nonResourceURLs"));
		ret->items[ret->count++] = r;
	}
}

/* ---- one request ---- */

/* The word itself, or "*". */
static bool listed(const char *const *list, const char *word)
{
	for (; *list; list++)
		if (streq(*list, word) || streq(*list, "*"))
			return true;
	return false;
}

static bool listed_exactly(const char *const *list, const char *word)
{
	for (; *list; list++)
		if (streq(*list, word))
			return true;
	return false;
}

/* "*", "instances", "instances/status", or "*" + "/status" */
static bool resource_listed(const char *const *list, const char *resource, const char *sub)
{
	size_t n = strlen(resource);

	for (; *list; list++) {
		const char *p = *list;
		if (streq(p, "*") || (!*sub && streq(p, resource)))
			return true;
		if (!*sub)
			continue;
		if ((strncmp(p, resource, n) == 0 && p[n] == '/' && streq(p + n + 1, sub)) ||
		    (str_starts(p, "*/") && streq(p + 2, sub)))
			return true;
	}
	return false;
}

static bool url_listed(const char *const *list, const char *path)
{
	for (; *list; list++) {
		size_t n = strlen(*list);
		if (streq(*list, path) || (n && (*list)[n - 1] == '*' && strncmp(*list, path, n - 1) == 0))
			return true;
	}
	return false;
}

bool rbac_rule_allows(const struct rbac_rule *r, const struct access *what)
{
	if (!listed(r->verbs, what->verb))
		return false;
	if (what->path)
		return url_listed(r->urls, what->path);
	return listed(r->groups, what->group) && resource_listed(r->resources, what->resource, what->subresource) &&
	       (!*r->names || listed_exactly(r->names, what->name));
}

/* ---- covering ---- */

static const char *const no_name[] = {"", NULL};

static void text_list(struct buf *out, const char *title, const char *const *list)
{
	if (!*list)
		return;
	buf_addf(out, "%s%s:[", out->len > 1 ? ", " : "", title);
	for (size_t i = 0; list[i]; i++)
		buf_addf(out, "%s\"%s\"", i ? ", " : "", list[i]);
	buf_addf(out, "]");
}

char *rbac_rule_text(struct arena *a, const struct rbac_rule *r)
{
	_buf_ out = BUF_INIT(ERROR_TEXT_MAX);

	buf_addf(&out, "{");
	text_list(&out, "APIGroups", r->groups);
	text_list(&out, "Resources", r->resources);
	text_list(&out, "ResourceNames", r->names);
	text_list(&out, "NonResourceURLs", r->urls);
	text_list(&out, "Verbs", r->verbs);
	buf_addf(&out, "}");
	return arena_strdup(a, out.over || !out.data ? "{a rule too long to be shown}" : out.data);
}

/* `resource` as a role writes it: a subresource after the slash. */
static bool resource_covered(const char *const *list, const char *resource)
{
	const char *slash = strchr(resource, '/');

	for (; *list; list++)
		if (streq(*list, "*") || streq(*list, resource) ||
		    (slash && str_starts(*list, "*/") && streq(*list + 1, slash)))
			return true;
	return false;
}

/* One verb, group, resource and name ("": all of them). */
static bool single_covered(const struct rbac_rules *held, const char *verb, const char *group, const char *resource,
			   const char *name, size_t *steps)
{
	for (size_t i = 0; i < held->count; i++) {
		const struct rbac_rule *h = held->items[i];
		if (++*steps > RBAC_COVER_STEPS_MAX)
			return false;
		if (listed(h->verbs, verb) && listed(h->groups, group) && resource_covered(h->resources, resource) &&
		    (!*h->names || (*name && listed_exactly(h->names, name))))
			return true;
	}
	return false;
}

static bool url_covered(const struct rbac_rules *held, const char *verb, const char *url, size_t *steps)
{
	for (size_t i = 0; i < held->count; i++) {
		if (++*steps > RBAC_COVER_STEPS_MAX)
			return false;
		if (listed(held->items[i]->verbs, verb) && url_listed(held->items[i]->urls, url))
			return true;
	}
	return false;
}

static char *missing_text(struct arena *a, const char *verb, const char *group, const char *resource, const char *name,
			  const char *url)
{
	const char *verbs[] = {verb, NULL}, *groups[] = {group, NULL}, *resources[] = {resource, NULL},
		   *names[] = {name && *name ? name : NULL, NULL}, *urls[] = {url, NULL};
	const struct rbac_rule r = {verbs, groups, resources, names, urls};

	return rbac_rule_text(a, &r);
}

static bool resources_covered(struct arena *a, const struct rbac_rules *held, const struct rbac_rule *rule,
			      const char *verb, size_t *steps, char **ret_missing)
{
	const char *const *names = *rule->names ? rule->names : no_name;

	for (const char *const *g = rule->groups; *g; g++)
		for (const char *const *r = rule->resources; *r; r++)
			for (const char *const *n = names; *n; n++) {
				if (single_covered(held, verb, *g, *r, *n, steps))
					continue;
				*ret_missing = missing_text(a, verb, *g, *r, *n, NULL);
				return false;
			}
	return true;
}

bool rbac_covers(struct arena *a, const struct rbac_rules *held, const struct rbac_rule *rule, size_t *steps,
		 char **ret_missing)
{
	for (const char *const *v = rule->verbs; *v; v++) {
		if (!resources_covered(a, held, rule, *v, steps, ret_missing))
			return false;
		for (const char *const *u = rule->urls; *u; u++) {
			if (url_covered(held, *v, *u, steps))
				continue;
			*ret_missing = missing_text(a, *v, NULL, NULL, NULL, *u);
			return false;
		}
	}
	return true;
}

/* ---- as objects say it ---- */

struct json *rbac_rule_json(struct arena *a, const struct rbac_rule *r)
{
	const struct {
		const char *name;
		const char *const *list;
	} members[] = {{"apiGroups", r->groups},
		       {"nonResourceURLs", r->urls},
		       {"resourceNames", r->names},
		       {"resources", r->resources},
		       {"verbs", r->verbs}};
	struct json *v = json_object(a);

	for (size_t m = 0; m < ARRAY_SIZE(members); m++)
		for (const char *const *p = members[m].list; *p; p++)
			json_append(a, json_ensure_array(a, v, members[m].name), json_string(a, *p));
	return v;
}

static void add_expression(struct buf *out, const struct json *x)
{
	const char *key = json_str_or(json_get(x, "key"), ""), *op = json_str_or(json_get(x, "operator"), "");
	const struct json *values = json_get(x, "values");
	const char *comma = out->len ? "," : "";

	if (streq(op, "Exists") || streq(op, "DoesNotExist")) {
		buf_addf(out, "%s%s%s", comma, *op == 'D' ? "!" : "", key);
		return;
	}
	buf_addf(out, "%s%s %s (", comma, key, streq(op, "In") ? "in" : "notin");
	for (size_t i = 0; i < json_count(values); i++)
		buf_addf(out, "%s%s", i ? "," : "", json_str_or(json_item(values, i), ""));
	buf_addf(out, ")");
}

char *rbac_selector_text(struct arena *a, const struct json *selector)
{
	_buf_ out = BUF_INIT(65536);
	const struct json *labels = json_get(selector, "matchLabels"), *more = json_get(selector, "matchExpressions");

	for (size_t i = 0; i < json_count(labels); i++)
		buf_addf(&out, "%s%s=%s", i ? "," : "", json_key(labels, i), json_str_or(json_item(labels, i), ""));
	for (size_t i = 0; i < json_count(more); i++)
		add_expression(&out, json_item(more, i));
	return arena_strdup(a, out.data && !out.over ? out.data : "");
}
