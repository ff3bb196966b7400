/*
 * cmd_describe.c - berthctl describe: an object's fields as indented text, then its Events.
 *
 * The layout comes from the object itself, so that it serves every kind: scalars first, conditions as a table, the rest
 * nested. managedFields and the last-applied annotation are left out.
 */
#include "cli/resource.h"
#include "cli/table.h"
#include "lib/codec.h"
#include "lib/units.h"

#include <ctype.h>
#include <stdio.h>

static bool is_scalar(const struct json *v)
{
	return !json_is(v, JSON_OBJECT) && !json_is(v, JSON_ARRAY);
}

/* "lastTransitionTime" → "Last Transition Time"; keys that are not camelCase words stay as they are. */
static const char *title(struct arena *a, const char *key)
{
	_buf_ out = BUF_INIT(1024);

	for (const char *p = key; *p; p++) {
		if (!isalnum((unsigned char)*p))
			return key;
		if (p == key)
			buf_addc(&out, (char)toupper((unsigned char)*p));
		else if (isupper((unsigned char)*p) && !isupper((unsigned char)p[-1]))
			buf_addf(&out, " %c", *p);
		else
			buf_addc(&out, *p);
	}
	return arena_strdup(a, out.data ? out.data : "");
}

static const char *text_of(struct arena *a, const struct json *v)
{
	return json_str(v) ? json_str(v) : json_to_string(a, v);
}

static void print_lines(const char *s, int indent)
{
	for (; *s; s++) {
		putchar(*s == '\n' || !iscntrl((unsigned char)*s) ? *s : '?');
		if (*s == '\n')
			printf("%*s", indent, "");
	}
	putchar('\n');
}

static void print_tree(struct arena *a, const struct json *v, int indent);

static void print_conditions(struct arena *a, const struct json *list, int indent)
{
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *c = json_item(list, i);

		printf("%*s%-16s %-8s %-20s %s\n", indent, "", json_str_or(json_get(c, "type"), ""),
		       json_str_or(json_get(c, "status"), ""), json_str_or(json_get(c, "reason"), ""),
		       json_str_or(json_get(c, "message"), ""));
	}
	(void)a;
}

static void print_member(struct arena *a, const char *key, const struct json *v, int indent)
{
	if (is_scalar(v)) {
		printf("%*s%-*s ", indent, "", 24 - indent, arena_printf(a, "%s:", title(a, key)));
		print_lines(text_of(a, v), 25);
	} else if (!json_count(v)) {
		return;
	} else {
		printf("%*s%s:\n", indent, "", title(a, key));
		if (streq(key, "conditions"))
			print_conditions(a, v, indent + 2);
		else
			print_tree(a, v, indent + 2);
	}
}

static void print_tree(struct arena *a, const struct json *v, int indent)
{
	for (size_t i = 0; i < json_count(v); i++) {
		const struct json *item = json_item(v, i);

		if (json_is(v, JSON_OBJECT)) {
			print_member(a, json_key(v, i), item, indent);
		} else if (is_scalar(item)) {
			printf("%*s", indent, "");
			print_lines(text_of(a, item), indent);
		} else {
			print_tree(a, item, indent);
			if (i + 1 < json_count(v))
				printf("%*s--\n", indent, "");
		}
	}
}

static void print_metadata(struct arena *a, const struct json *o)
{
	static const char *const shown[] = {
		"name",	      "namespace",	 "labels", "annotations", "creationTimestamp", "deletionTimestamp",
		"finalizers", "ownerReferences", "uid",	   "generation"};
	struct json *meta = json_clone(a, json_get(o, "metadata"));

	json_unset(json_get(meta, "annotations"), "kubectl.kubernetes.io/last-applied-configuration");
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		if (json_get(meta, shown[i]))
			print_member(a, shown[i], json_get(meta, shown[i]), 0);
}

static const char *age(struct arena *a, const char *when)
{
	char text[32];
	int64_t ms;

	if (!when || time_parse(when, &ms, NULL))
		return "?";
	duration_human((time_now_ms() - ms) / 1000, text, sizeof(text));
	return arena_strdup(a, text);
}

static const char *when_of(const struct json *event)
{
	const char *last = json_str(json_get(event, "lastTimestamp"));

	return last ? last : json_str_or(json_in(event, "metadata", "creationTimestamp"), "");
}

/* Oldest first; RFC 3339 in UTC sorts as text. */
static int compare_events(const void *x, const void *y)
{
	return strcmp(when_of(*(const struct json *const *)x), when_of(*(const struct json *const *)y));
}

static int print_events(struct cli *c, const struct json *o, struct error *e)
{
	const char *uid = json_str_or(json_in(o, "metadata", "uid"), "");
	const char *ns = json_str(json_in(o, "metadata", "namespace"));
	const char *path = arena_printf(c->arena, "%s?fieldSelector=involvedObject.uid%%3D%s",
					kube_path(c->arena, &KUBE_EVENTS, ns, NULL, NULL), uid);
	struct json *list;
	int r = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, c->arena, &list, e);
	const struct json *items = json_get(list, "items");
	struct table t;

	if (r)
		return r;
	if (!json_count(items)) {
		printf("Events: none\n");
		return 0;
	}
	printf("Events:\n");
	table_init(&t, c->arena, (const char *[]){"  TYPE", "REASON", "AGE", "COUNT", "FROM", "MESSAGE", NULL});
	size_t count = json_count(items);
	const struct json **sorted = arena_alloc(c->arena, count * sizeof(*sorted));

	for (size_t i = 0; i < count; i++)
		sorted[i] = json_item(items, i);
	qsort(sorted, count, sizeof(*sorted), compare_events);
	for (size_t i = 0; i < count; i++) {
		const struct json *ev = sorted[i];

		table_row(&t, (const char *[]){
				      arena_printf(c->arena, "  %s", json_str_or(json_get(ev, "type"), "")),
				      json_str(json_get(ev, "reason")), age(c->arena, when_of(ev)),
				      arena_printf(c->arena, "%lld", (long long)json_int_or(json_get(ev, "count"), 1)),
				      json_str(json_in(ev, "source", "component")), json_str(json_get(ev, "message"))});
	}
	table_print(&t, c->colour, true);
	return 0;
}

static int describe(struct cli *c, const struct kube_resource *r, const char *name, struct error *e)
{
	struct json *o;
	const char *path = kube_path(c->arena, r, resource_namespace(c, r), name, NULL);
	int err = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, c->arena, &o, e);

	if (err)
		return err;
	print_metadata(c->arena, o);
	for (size_t i = 0; i < json_count(o); i++) {
		const char *key = json_key(o, i);

		if (!streq(key, "apiVersion") && !streq(key, "kind") && !streq(key, "metadata"))
			print_member(c->arena, key, json_item(o, i), 0);
	}
	return print_events(c, o, e);
}

static int describe_all(struct cli *c, const struct kube_resource *r, struct error *e)
{
	struct json *list;
	const char *path = kube_path(c->arena, r, resource_namespace(c, r), NULL, NULL);
	int err = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, c->arena, &list, e);

	for (size_t i = 0; !err && i < json_count(json_get(list, "items")); i++) {
		if (i)
			printf("\n\n");
		err = describe(c, r, json_str(json_in(json_item(json_get(list, "items"), i), "metadata", "name")), e);
	}
	return err;
}

int cmd_describe(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	struct target *targets;
	size_t count;
	int n, r = cli_parse(c, "describe", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("describe", n, 1, -1, e);
	if (!r)
		r = cli_connect(c, e);
	if (!r)
		r = targets_parse(c, args, n, &targets, &count, e);
	for (size_t i = 0; !r && i < count; i++) {
		if (i)
			printf("\n\n");
		r = targets[i].name ? describe(c, &targets[i].resource, targets[i].name, e)
				    : describe_all(c, &targets[i].resource, e);
	}
	return r;
}
