/*
 * cmd_get.c - berthctl get: lists and single objects, as a table, JSON, YAML or names; --watch; --raw.
 */
#include "cli/print.h"
#include "cli/resource.h"
#include "cli/table.h"
#include "lib/codec.h"

#include <stdio.h>

#define TABLE_ACCEPT "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
#define WATCH_LINE_MAX (4U * 1024 * 1024)

static struct {
	const char *output, *labels, *fields, *raw;
	bool all, watch, no_headers, managed_fields;
} opt;

const struct option_spec cmd_get_options[] = {
	{"output", 'o', OPT_STRING, &opt.output, "FORMAT", "json, yaml, wide or name"},
	{"selector", 'l', OPT_STRING, &opt.labels, "LABELS", "Only objects with these labels (a=b,c!=d)"},
	{"field-selector", 0, OPT_STRING, &opt.fields, "FIELDS", "Only objects with these fields"},
	{"all-namespaces", 'A', OPT_BOOL, &opt.all, NULL, "Objects of every namespace"},
	{"watch", 'w', OPT_BOOL, &opt.watch, NULL, "Then go on printing what changes"},
	{"no-headers", 0, OPT_BOOL, &opt.no_headers, NULL, "No header line"},
	{"show-managed-fields", 0, OPT_BOOL, &opt.managed_fields, NULL, "Keep metadata.managedFields in JSON and YAML"},
	{"raw", 0, OPT_STRING, &opt.raw, "PATH", "Print what the server answers to GET PATH"},
	{0},
};

static int write_out(void *user, const void *data, size_t len, struct error *e)
{
	(void)user;
	if (fwrite(data, 1, len, stdout) != len || fflush(stdout))
		return error_set(e, E_IO, "cannot write to standard output");
	return 0;
}

static bool wants_table(void)
{
	return !opt.output || streq(opt.output, "wide");
}

static const char *query(struct cli *c, const char *more)
{
	_buf_ q = BUF_INIT(16384);

	buf_adds(&q, more);
	if (opt.labels) {
		buf_adds(&q, "&labelSelector=");
		percent_encode(opt.labels, &q);
	}
	if (opt.fields) {
		buf_adds(&q, "&fieldSelector=");
		percent_encode(opt.fields, &q);
	}
	return arena_strdup(c->arena, q.data);
}

static void hide_managed_fields(struct json *o)
{
	json_unset(json_get(o, "metadata"), "managedFields");
	for (size_t i = 0; i < json_count(json_get(o, "items")); i++)
		json_unset(json_get(json_item(json_get(o, "items"), i), "metadata"), "managedFields");
}

static void print_document(struct json *o)
{
	if (!opt.managed_fields)
		hide_managed_fields(o);
	print_object(o, opt.output);
}

static void print_names(struct cli *c, const struct kube_resource *r, const struct json *o)
{
	const struct json *items = json_get(o, "items");

	if (!items)
		printf("%s\n", resource_label(c, r, json_str_or(json_in(o, "metadata", "name"), "")));
	for (size_t i = 0; i < json_count(items); i++)
		printf("%s\n", resource_label(c, r, json_str_or(json_in(json_item(items, i), "metadata", "name"), "")));
}

/* All pages of a list as one object. */
static int fetch(struct cli *c, const struct target *t, struct json **ret, struct error *e)
{
	const char *ns = opt.all ? NULL : resource_namespace(c, &t->resource), *token = NULL;
	const char *path = kube_path(c->arena, &t->resource, ns, t->name, NULL);
	const char *key = wants_table() ? "rows" : "items";
	struct json *whole = NULL;

	do {
		const char *q = t->name ? ""
					: query(c, token ? arena_printf(c->arena, "?limit=500&continue=%s", token)
							 : "?limit=500");
		struct kube_call call = {.method = "GET",
					 .path = arena_printf(c->arena, "%s%s", path, q),
					 .accept = wants_table() ? TABLE_ACCEPT : NULL};
		struct json *page;
		int r = kube_do(c->kube, &call, c->arena, &page, e);

		if (r)
			return r;
		_buf_ encoded = BUF_INIT(65536);
		const char *next = json_str(json_in(page, "metadata", "continue"));

		if (whole)
			for (size_t i = 0; i < json_count(json_get(page, key)); i++)
				json_append(c->arena, json_get(whole, key), json_item(json_get(page, key), i));
		else
			whole = page;
		token = NULL;
		if (next && *next) {
			percent_encode(next, &encoded);
			token = arena_strdup(c->arena, encoded.data);
		}
	} while (token);
	*ret = whole;
	return 0;
}

/* ---- --watch ---- */

struct watch {
	struct cli *cli;
	const struct kube_resource *resource;
	struct buf line;
	bool headed;
	struct arena *arena;
	struct json *columns; /* only the first event of a watch carries them */
};

static void print_event(struct watch *w, const struct json *event)
{
	struct json *o = json_get(event, "object");

	if (streq(json_str(json_get(event, "type")), "BOOKMARK"))
		return;
	if (!wants_table()) {
		if (streq(opt.output, "name"))
			print_names(w->cli, w->resource, o);
		else
			print_document(o);
		return;
	}
	if (json_count(json_get(o, "columnDefinitions")))
		w->columns = json_clone(w->cli->arena, json_get(o, "columnDefinitions"));
	json_set(w->arena, o, "columnDefinitions", w->columns);
	table_print(table_of_server(w->arena, o, opt.output != NULL, opt.all), false, false);
}

static int on_watch(void *user, const void *data, size_t len, struct error *e)
{
	struct watch *w = user;
	char *nl;

	buf_add(&w->line, data, len);
	if (w->line.over)
		return error_set(e, E_TOO_LARGE, "an event is larger than %u bytes", WATCH_LINE_MAX);
	while ((nl = memchr(w->line.data, '\n', w->line.len))) {
		struct json *event;

		w->arena = arena_new();
		int r = json_parse(w->arena, w->line.data, (size_t)(nl - w->line.data), NULL, &event, e);

		if (!r && streq(json_str(json_get(event, "type")), "ERROR"))
			r = error_set(e, E_EXPIRED, "%s",
				      json_str_or(json_in(event, "object", "message"), "watch ended"));
		if (!r)
			print_event(w, event);
		arena_free(w->arena);
		fflush(stdout);
		if (r)
			return r;
		buf_consume(&w->line, (size_t)(nl + 1 - w->line.data));
	}
	return 0;
}

static int watch(struct cli *c, const struct target *t, const struct json *list, struct error *e)
{
	struct watch w = {.cli = c,
			  .resource = &t->resource,
			  .line = BUF_INIT(WATCH_LINE_MAX),
			  .columns = json_get(list, "columnDefinitions")};
	const char *ns = opt.all ? NULL : resource_namespace(c, &t->resource);

	if (t->name) {
		const char *one = arena_printf(c->arena, "metadata.name=%s", t->name);

		opt.fields = opt.fields ? arena_printf(c->arena, "%s,%s", opt.fields, one) : one;
	}
	const char *start = arena_printf(c->arena, "?watch=true&resourceVersion=%s",
					 json_str_or(json_in(list, "metadata", "resourceVersion"), "0"));
	struct kube_call call = {.method = "GET",
				 .path = arena_printf(c->arena, "%s%s",
						      kube_path(c->arena, &t->resource, ns, NULL, NULL),
						      query(c, start)),
				 .accept = wants_table() ? TABLE_ACCEPT : NULL,
				 .sink = on_watch,
				 .sink_user = &w};
	int r = kube_do(c->kube, &call, c->arena, NULL, e);

	buf_free(&w.line);
	return r;
}

static int show(struct cli *c, const struct target *t, size_t index, size_t count, struct error *e)
{
	struct json *o;
	int r = fetch(c, t, &o, e);

	if (r)
		return r;
	if (!wants_table()) {
		if (streq(opt.output, "name"))
			print_names(c, &t->resource, o);
		else
			print_document(o);
	} else if (!t->name && !json_count(json_get(o, "rows"))) {
		fprintf(stderr,
			resource_namespace(c, &t->resource) && !opt.all ? "No %s in namespace %s.\n" : "No %s.\n",
			t->resource.plural, c->namespace);
	} else {
		if (index && !opt.no_headers)
			putchar('\n');
		table_print(table_of_server(c->arena, o, opt.output != NULL, opt.all), c->colour, !opt.no_headers);
	}
	fflush(stdout);
	if (!opt.watch)
		return 0;
	if (count > 1)
		return error_set(e, E_BAD_REQUEST, "--watch takes one type or one object");
	return watch(c, t, o, e);
}

int cmd_get(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	struct target *targets;
	size_t count;
	int n, r = cli_parse(c, "get", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_connect(c, e);
	if (!r && opt.raw)
		return kube_do(
			c->kube,
			&(struct kube_call){.method = "GET", .path = opt.raw, .accept = "*/*", .sink = write_out},
			c->arena, NULL, e);
	if (!r && opt.output && !streq(opt.output, "json") && !streq(opt.output, "yaml") &&
	    !streq(opt.output, "wide") && !streq(opt.output, "name"))
		r = error_set(e, E_BAD_REQUEST, "-o %s: it takes json, yaml, wide or name", opt.output);
	if (!r)
		r = cli_want_args("get", n, 1, -1, e);
	if (!r)
		r = targets_parse(c, args, n, &targets, &count, e);
	for (size_t i = 0; !r && i < count; i++)
		r = show(c, &targets[i], i, count, e);
	return r;
}
