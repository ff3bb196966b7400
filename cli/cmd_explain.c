/*
 * cmd_explain.c - berthctl explain placement and berthctl why-not: why an instance runs where it runs, or does not.
 */
#include "cli/placement.h"
#include "cli/print.h"

#include <stdio.h>

static struct {
	const char *output;
} opt;

/* Of both commands. */
const struct option_spec cmd_explain_options[] = {
	{"output", 'o', OPT_STRING, &opt.output, "FORMAT", "json or yaml (default: text)"},
	{0},
};

static int check_output(struct error *e)
{
	if (!opt.output || streq(opt.output, "json") || streq(opt.output, "yaml"))
		return 0;
	return error_set(e, E_BAD_REQUEST, "-o %s: it takes json or yaml", opt.output);
}

static int fetch(struct cli *c, const struct kube_resource *r, const char *name, struct json **ret, struct error *e)
{
	const char *path = kube_path(c->arena, r, c->namespace, name, NULL);

	return kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, c->arena, ret, e);
}

/* "instance/shop.a", "inst/shop.a" or "shop.a". */
static const char *bare_name(const char *text, const char *const *types, size_t count)
{
	const char *slash = strchr(text, '/');

	for (size_t i = 0; slash && i < count; i++)
		if (strlen(types[i]) == (size_t)(slash - text) && str_starts(text, types[i]))
			return slash + 1;
	return slash ? NULL : text;
}

static const char *const instance_types[] = {"instance", "instances", "inst", "instance.berth.dev"};
static const char *const container_types[] = {"container", "containers", "ct", "container.berth.dev"};

/* ---- explain placement ---- */

static void print_candidates(struct cli *c, const struct json *report)
{
	long long omitted = (long long)json_int_or(json_get(report, "omitted"), 0);

	if (!json_count(json_get(report, "candidates")))
		return;
	putchar('\n');
	table_print(placement_table(c->arena, report), c->colour, true);
	if (omitted)
		printf("%lld more node%s not shown.\n", omitted, omitted == 1 ? " is" : "s are");
}

static void print_placement(struct cli *c, const struct json *report)
{
	static const struct {
		const char *label, *key;
	} lines[] = {{"Instance:", "instance"}, {"Container:", "container"}, {"Phase:", "phase"},
		     {"Node:", "node"},		{"Location:", "location"},   {"Verdict:", "verdict"}};
	const char *origin = json_str(json_get(report, "origin"));

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (json_get(report, lines[i].key))
			printf("%-11s%s\n", lines[i].label, json_str(json_get(report, lines[i].key)));
	if (origin)
		printf("%-11s%s, by %s\n", "Origin:", origin, json_str(json_get(report, "originFrom")));
	else
		printf("%-11sunknown: Locations are tried by name\n", "Origin:");
	print_candidates(c, report);
}

static int explain_placement(struct cli *c, const char *text, struct error *e)
{
	const char *name = bare_name(text, instance_types, ARRAY_SIZE(instance_types));
	struct json *o;
	int r;

	if (!name || !*name)
		return error_set(e, E_BAD_REQUEST, "\"%s\" is not an Instance; berthctl get instances lists them",
				 text);
	r = fetch(c, &KUBE_INSTANCES, name, &o, e);
	if (r)
		return r;
	struct json *report = placement_report(c->arena, o);

	if (opt.output)
		print_object(report, opt.output);
	else
		print_placement(c, report);
	return 0;
}

/* What can be explained. */
static const struct {
	const char *topic;
	int (*explain)(struct cli *c, const char *name, struct error *e);
} topics[] = {{"placement", explain_placement}};

int cmd_explain(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	int n, r = cli_parse(c, "explain", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("explain", n, 2, 2, e);
	if (!r)
		r = check_output(e);
	for (size_t i = 0; !r && i < ARRAY_SIZE(topics); i++)
		if (streq(args[0], topics[i].topic)) {
			r = cli_connect(c, e);
			return r ? r : topics[i].explain(c, args[1], e);
		}
	return r ? r
		 : error_set(e, E_BAD_REQUEST,
			     "explain is about placement, not \"%s\"; kubectl explain has the fields of kinds",
			     args[0]);
}

/* ---- why-not ---- */

static int why_not_instance(struct cli *c, const struct json *o)
{
	struct json *report = placement_report(c->arena, o);

	if (opt.output) {
		print_object(report, opt.output);
		return 0;
	}
	printf("instance %s: %s\n", json_str(json_get(report, "instance")), json_str(json_get(report, "verdict")));
	print_candidates(c, report);
	return 0;
}

/* Conditions that are not True and thereby may keep instances from starting. */
static struct json *faults_of(struct cli *c, const struct json *container)
{
	static const char *const types[] = {"ImageResolved", "Prefetched", "Available"};
	const struct json *list = json_in(container, "status", "conditions");
	struct json *faults = json_array(c->arena);

	for (size_t i = 0; i < json_count(list); i++)
		for (size_t k = 0; k < ARRAY_SIZE(types); k++)
			if (streq(json_str(json_get(json_item(list, i), "type")), types[k]) &&
			    !streq(json_str(json_get(json_item(list, i), "status")), "True"))
				json_append(c->arena, faults, json_clone(c->arena, json_item(list, i)));
	return faults;
}

static void print_container(struct cli *c, const struct json *report)
{
	const struct json *faults = json_get(report, "conditions"), *waiting = json_get(report, "waiting");
	struct table t;

	printf("container %s: %zu instance%s running that should\n", json_str(json_get(report, "container")),
	       json_count(waiting), json_count(waiting) == 1 ? " is not" : "s are not");
	for (size_t i = 0; i < json_count(faults); i++) {
		const struct json *f = json_item(faults, i);

		printf("%s is %s: %s\n", json_str(json_get(f, "type")), json_str(json_get(f, "status")),
		       json_str_or(json_get(f, "message"), ""));
	}
	if (!json_count(waiting))
		return;
	putchar('\n');
	table_init(&t, c->arena, (const char *[]){"INSTANCE", "PHASE", "VERDICT", NULL});
	for (size_t i = 0; i < json_count(waiting); i++) {
		const struct json *w = json_item(waiting, i);

		table_row(&t, (const char *[]){json_str(json_get(w, "instance")), json_str(json_get(w, "phase")),
					       json_str(json_get(w, "verdict"))});
	}
	table_print(&t, c->colour, true);
	printf("berthctl why-not instance/NAME shows the nodes.\n");
}

static int why_not_container(struct cli *c, const struct json *o, struct error *e)
{
	const char *name = json_str_or(json_in(o, "metadata", "name"), "");
	struct json *report = json_object(c->arena), *waiting, *list;
	const char *path = arena_printf(c->arena, "%s?fieldSelector=spec.containerName%%3D%s",
					kube_path(c->arena, &KUBE_INSTANCES, c->namespace, NULL, NULL), name);
	int r = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, c->arena, &list, e);

	if (r)
		return r;
	json_set_str(c->arena, report, "container", name);
	json_set(c->arena, report, "conditions", faults_of(c, o));
	waiting = json_set(c->arena, report, "waiting", json_array(c->arena));
	for (size_t i = 0; i < json_count(json_get(list, "items")); i++) {
		const struct json *item = json_item(json_get(list, "items"), i);

		if (placement_is_waiting(item))
			json_append(c->arena, waiting, placement_report(c->arena, item));
	}
	if (opt.output)
		print_object(report, opt.output);
	else
		print_container(c, report);
	return 0;
}

int cmd_why_not(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args, *as_instance = NULL, *as_container = NULL;
	struct json *o;
	int n, r = cli_parse(c, "why-not", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("why-not", n, 1, 1, e);
	if (!r)
		r = check_output(e);
	if (r)
		return r;
	as_instance = bare_name(args[0], instance_types, ARRAY_SIZE(instance_types));
	as_container = bare_name(args[0], container_types, ARRAY_SIZE(container_types));
	if (!as_instance && !as_container)
		return error_set(e, E_BAD_REQUEST, "\"%s\": why-not is about instance/NAME or container/NAME", args[0]);
	r = cli_connect(c, e);
	if (r)
		return r;
	r = as_instance ? fetch(c, &KUBE_INSTANCES, as_instance, &o, e) : -E_NOT_FOUND;
	if (!r)
		return why_not_instance(c, o);
	if (r != -E_NOT_FOUND || !as_container)
		return r;
	*e = (struct error){0};
	r = fetch(c, &KUBE_CONTAINERS, as_container, &o, e);
	if (r == -E_NOT_FOUND && as_instance)
		return error_set(e, E_NOT_FOUND, "namespace %s has neither an Instance nor a Container \"%s\"",
				 c->namespace, args[0]);
	return r ? r : why_not_container(c, o, e);
}
