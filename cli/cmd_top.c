/*
 * cmd_top.c - berthctl top: what nodes have left and what instances use.
 *
 * Instance figures are asked of the nodes, through the apiserver, one call per running instance.
 */
#include "cli/resource.h"
#include "cli/table.h"
#include "cli/top.h"
#include "lib/units.h"

#include <stdio.h>

/* With a decimal: a small app needs less than a hundredth of its VM's memory. */
static const char *percent(struct arena *a, int64_t part, int64_t whole)
{
	double share = whole > 0 ? (double)part * 100 / (double)whole : 0;

	if (whole <= 0)
		return NULL;
	return share > 0 && share < 0.1 ? "<0.1%" : arena_printf(a, "%.1f%%", share);
}

static const char *bytes(struct arena *a, int64_t n)
{
	char text[32];

	bytes_human((uint64_t)n, text, sizeof(text));
	return arena_strdup(a, text);
}

static int64_t quantity(const struct json *v, bool milli)
{
	int64_t n = 0;

	if (json_str(v))
		(void)(milli ? quantity_parse_milli(json_str(v), &n, NULL) : quantity_parse(json_str(v), &n, NULL));
	return n;
}

static int list(struct cli *c, const struct kube_resource *r, const char *ns, struct json **ret, struct error *e)
{
	struct json *o;
	int err = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = kube_path(c->arena, r, ns, NULL, NULL)},
			  c->arena, &o, e);

	if (!err)
		*ret = json_get(o, "items");
	return err;
}

static int top_nodes(struct cli *c, struct error *e)
{
	struct json *nodes, *instances;
	struct table t;
	int r = list(c, &KUBE_NODES, NULL, &nodes, e);

	if (!r)
		r = list(c, &KUBE_INSTANCES, NULL, &instances, e);
	if (r)
		return r;
	table_init(&t, c->arena, (const char *[]){"NAME", "LOCATION", "INSTANCES", "VCPU", "MEMORY", "DISK", NULL});
	for (size_t i = 0; i < json_count(nodes); i++) {
		const struct json *n = json_item(nodes, i), *alloc = json_in(n, "status", "allocatable");
		const char *name = json_str_or(json_in(n, "metadata", "name"), "");
		int64_t running = 0;

		for (size_t k = 0; k < json_count(instances); k++) {
			const struct json *status = json_get(json_item(instances, k), "status");
			const char *phase = json_str_or(json_get(status, "phase"), "");

			running += streq(json_str(json_get(status, "nodeName")), name) && !streq(phase, "Asleep") &&
				   !streq(phase, "Stopped") && !streq(phase, "Failed") && !streq(phase, "Pending");
		}
		table_row(&t,
			  (const char *[]){
				  name, json_str(json_in(n, "metadata", "labels", "topology.kubernetes.io/zone")),
				  arena_printf(c->arena, "%lld", (long long)running), json_str(json_get(alloc, "cpu")),
				  bytes(c->arena, quantity(json_get(alloc, "memory"), false)),
				  bytes(c->arena, quantity(json_get(alloc, "ephemeral-storage"), false))});
	}
	table_print(&t, c->colour, true);
	return 0;
}

const char *const top_instance_columns[TOP_INSTANCE_COLUMNS + 1] = {"NAME", "CPU-TIME",	  "MEMORY", "MEMORY%",
								    "DISK", "NET-IN/OUT", "NOTE",   NULL};

void top_instance_row(struct arena *a, const char *name, const struct json *s, const char *ret[TOP_INSTANCE_COLUMNS])
{
	int64_t memory = json_int_or(json_get(s, "memoryBytes"), 0);
	const char *row[TOP_INSTANCE_COLUMNS] = {
		name,
		arena_printf(a, "%.1fs", (double)json_int_or(json_get(s, "cpuMicroseconds"), 0) / 1e6),
		bytes(a, memory),
		percent(a, memory, json_int_or(json_get(s, "memoryLimitBytes"), 0)),
		bytes(a, json_int_or(json_get(s, "diskBytes"), 0)),
		arena_printf(a, "%s/%s", bytes(a, json_int_or(json_get(s, "networkReceivedBytes"), 0)),
			     bytes(a, json_int_or(json_get(s, "networkSentBytes"), 0))),
		arena_printf(a, "%lld processes", (long long)json_int_or(json_get(s, "processes"), 0))};

	memcpy(ret, row, sizeof(row));
}

static void add_instance(struct cli *c, struct table *t, const struct json *i)
{
	const char *name = json_str(json_in(i, "metadata", "name"));
	struct json *s = NULL;
	struct error e = {0};
	const char *path = kube_path(c->arena, &KUBE_INSTANCES, c->namespace, name, "stats");
	const char *row[TOP_INSTANCE_COLUMNS] = {name, NULL, NULL, NULL, NULL, NULL, e.text};

	if (!kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, c->arena, &s, &e))
		top_instance_row(c->arena, name, s, row);
	table_row(t, row);
}

static int top_instances(struct cli *c, struct error *e)
{
	struct json *items;
	struct table t;
	int r = list(c, &KUBE_INSTANCES, c->namespace, &items, e);

	if (r)
		return r;
	table_init(&t, c->arena, top_instance_columns);
	for (size_t i = 0; i < json_count(items); i++) {
		const char *phase = json_str_or(json_in(json_item(items, i), "status", "phase"), "");

		if (streq(phase, "Ready") || streq(phase, "Running") || streq(phase, "Stopping"))
			add_instance(c, &t, json_item(items, i));
	}
	if (t.rows == 1)
		fprintf(stderr, "No instance is running in namespace %s.\n", c->namespace);
	else
		table_print(&t, c->colour, true);
	return 0;
}

int cmd_top(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	int n, r = cli_parse(c, "top", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("top", n, 0, 1, e);
	if (!r)
		r = cli_connect(c, e);
	if (r)
		return r;
	if (!n || str_starts(args[0], "inst"))
		return top_instances(c, e);
	if (str_starts(args[0], "node"))
		return top_nodes(c, e);
	return error_set(e, E_BAD_REQUEST, "top shows nodes or instances, not \"%s\"", args[0]);
}
