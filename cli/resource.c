/*
 * resource.c - discovery and the meaning of "TYPE/NAME"; see resource.h.
 */
#include "cli/resource.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

static int add_group(struct cli *c, struct json *all, const char *group, const char *version, struct error *e)
{
	const char *path = *group ? arena_printf(c->arena, "/apis/%s/%s", group, version)
				  : arena_printf(c->arena, "/api/%s", version);
	struct json *list;
	int r = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, c->arena, &list, e);

	if (r)
		return r;
	for (size_t i = 0; i < json_count(json_get(list, "resources")); i++) {
		const struct json *res = json_item(json_get(list, "resources"), i);
		struct json *o;

		if (strchr(json_str_or(json_get(res, "name"), "/"), '/'))
			continue; /* a subresource */
		o = json_append(c->arena, all, json_clone(c->arena, res));
		json_set_str(c->arena, o, "group", group);
		json_set_str(c->arena, o, "version", version);
	}
	return 0;
}

static int discover(struct cli *c, struct error *e)
{
	struct json *groups, *all = json_array(c->arena);
	int r;

	if (c->discovery)
		return 0;
	r = cli_connect(c, e);
	if (!r)
		r = add_group(c, all, "", "v1", e);
	if (!r)
		r = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = "/apis"}, c->arena, &groups, e);
	for (size_t i = 0; !r && i < json_count(json_get(groups, "groups")); i++) {
		const struct json *g = json_item(json_get(groups, "groups"), i);

		r = add_group(c, all, json_str_or(json_get(g, "name"), ""),
			      json_str_or(json_in(g, "preferredVersion", "version"), "v1"), e);
	}
	if (!r)
		c->discovery = all;
	return r;
}

static void fill(const struct json *res, struct kube_resource *ret)
{
	*ret = (struct kube_resource){.group = json_str_or(json_get(res, "group"), ""),
				      .version = json_str_or(json_get(res, "version"), "v1"),
				      .plural = json_str_or(json_get(res, "name"), ""),
				      .kind = json_str_or(json_get(res, "kind"), ""),
				      .namespaced = json_bool_or(json_get(res, "namespaced"), false)};
}

static bool is_named(const struct json *res, const char *word)
{
	const struct json *shorts = json_get(res, "shortNames");

	if (strcasecmp(json_str_or(json_get(res, "name"), ""), word) == 0 ||
	    strcasecmp(json_str_or(json_get(res, "singularName"), ""), word) == 0 ||
	    strcasecmp(json_str_or(json_get(res, "kind"), ""), word) == 0)
		return true;
	for (size_t i = 0; i < json_count(shorts); i++)
		if (streq(json_str(json_item(shorts, i)), word))
			return true;
	return false;
}

int resource_find(struct cli *c, const char *text, struct kube_resource *ret, struct error *e)
{
	const char *dot = strchr(text, '.');
	const char *word = dot ? arena_strndup(c->arena, text, (size_t)(dot - text)) : text;
	int r = discover(c, e);

	if (r)
		return r;
	for (size_t i = 0; i < json_count(c->discovery); i++) {
		const struct json *res = json_item(c->discovery, i);

		if (is_named(res, word) && (!dot || streq(json_str(json_get(res, "group")), dot + 1))) {
			fill(res, ret);
			return 0;
		}
	}
	const char *known = "";

	for (size_t i = 0; i < json_count(c->discovery); i++)
		known = arena_printf(c->arena, "%s%s%s", known, i ? ", " : "",
				     json_str_or(json_get(json_item(c->discovery, i), "name"), ""));
	return error_set(e, E_NOT_FOUND, "the server has no type \"%s\"; it has %s", text, known);
}

int resource_of_object(struct cli *c, const struct json *object, struct kube_resource *ret, struct error *e)
{
	const char *api = json_str_or(json_get(object, "apiVersion"), ""), *kind = json_str(json_get(object, "kind"));
	const char *slash = strchr(api, '/');
	const char *group = slash ? arena_strndup(c->arena, api, (size_t)(slash - api)) : "";
	int r = discover(c, e);

	if (r)
		return r;
	if (!*api || !kind)
		return error_set(e, E_BAD_REQUEST, "the object has no %s", kind ? "apiVersion" : "kind");
	for (size_t i = 0; i < json_count(c->discovery); i++) {
		const struct json *res = json_item(c->discovery, i);

		if (streq(json_str(json_get(res, "kind")), kind) && streq(json_str(json_get(res, "group")), group)) {
			fill(res, ret);
			return 0;
		}
	}
	return error_set(e, E_NOT_FOUND, "the server has no kind \"%s\" in \"%s\"", kind, api);
}

int resource_all(struct cli *c, const struct kube_resource **ret, size_t *ret_count, struct error *e)
{
	int r = discover(c, e);

	if (r)
		return r;
	struct kube_resource *all = arena_calloc(c->arena, (json_count(c->discovery) + 1) * sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; i < json_count(c->discovery); i++)
		fill(json_item(c->discovery, i), &all[n++]);
	*ret = all;
	*ret_count = n;
	return 0;
}

static int one_target(struct cli *c, const char *type, const char *name, struct target *ret, struct error *e)
{
	ret->name = name;
	if (name && !*name)
		return error_set(e, E_BAD_REQUEST, "\"%s/\" lacks a name", type);
	return resource_find(c, type, &ret->resource, e);
}

int targets_parse(struct cli *c, const char *const *args, int count, struct target **ret, size_t *ret_count,
		  struct error *e)
{
	size_t n = 0, room = (size_t)count + 32;
	struct target *t = arena_calloc(c->arena, room * sizeof(*t));
	bool slashes = strchr(args[0], '/') != NULL;
	int r = 0;

	if (slashes) {
		for (int i = 0; i < count && !r; i++) {
			const char *slash = strchr(args[i], '/');

			if (!slash)
				return error_set(e, E_BAD_REQUEST, "\"%s\": TYPE/NAME and TYPE NAME cannot be mixed",
						 args[i]);
			r = one_target(c, arena_strndup(c->arena, args[i], (size_t)(slash - args[i])), slash + 1,
				       &t[n++], e);
		}
	} else if (count > 1) {
		for (int i = 1; i < count && !r; i++)
			r = one_target(c, args[0], args[i], &t[n++], e);
	} else {
		for (const char *p = args[0]; *p && !r && n < room;) {
			size_t len = strcspn(p, ",");

			r = one_target(c, arena_strndup(c->arena, p, len), NULL, &t[n++], e);
			p += len + (p[len] == ',');
		}
	}
	*ret = t;
	*ret_count = n;
	return r;
}

const char *resource_namespace(const struct cli *c, const struct kube_resource *r)
{
	return r->namespaced ? c->namespace : NULL;
}

const char *resource_label(struct cli *c, const struct kube_resource *r, const char *name)
{
	char *kind = arena_strdup(c->arena, r->kind);

	for (char *p = kind; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return arena_printf(c->arena, "%s%s%s/%s", kind, *r->group ? "." : "", r->group, name);
}
