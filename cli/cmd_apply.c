/*
 * cmd_apply.c - berthctl apply: server-side apply of manifests, field manager "berthctl".
 */
#include "cli/manifest.h"
#include "cli/resource.h"

#include <stdio.h>

static struct {
	struct option_list files;
	bool force, dry_run;
} opt;

static const struct option_spec specs[] = {
	{"filename", 'f', OPT_LIST, &opt.files, "FILE", "File, folder, or - for standard input (may be repeated)"},
	{"force-conflicts", 0, OPT_BOOL, &opt.force, NULL, "Take over fields that another manager set"},
	{"dry-run", 0, OPT_BOOL, &opt.dry_run, NULL, "Let the server check, but store nothing"},
	{0},
};

static int apply_one(struct cli *c, const struct json *o, struct error *e)
{
	struct kube_resource r;
	const char *name = json_str(json_in(o, "metadata", "name"));
	const char *ns = json_str(json_in(o, "metadata", "namespace")), *was = NULL;
	struct json *old, *new;
	int err = resource_of_object(c, o, &r, e), status = 0;

	if (err)
		return err;
	ns = r.namespaced ? (ns ? ns : c->namespace) : NULL;
	const char *path = kube_path(c->arena, &r, ns, name, NULL);

	err = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, c->arena, &old, e);
	if (err && err != -E_NOT_FOUND)
		return err;
	if (!err)
		was = json_str(json_in(old, "metadata", "resourceVersion"));
	*e = (struct error){0};
	struct kube_call call = {
		.method = "PATCH",
		.path = arena_printf(c->arena, "%s?fieldManager=berthctl&fieldValidation=Strict&force=%s%s", path,
				     opt.force ? "true" : "false", opt.dry_run ? "&dryRun=All" : ""),
		.patch = KUBE_PATCH_APPLY,
		.body = o,
		.ret_status = &status};

	err = kube_do(c->kube, &call, c->arena, &new, e);
	if (err) {
		error_prefix(e, "%s", resource_label(c, &r, name));
		return err;
	}
	const char *verb = !was								       ? "created"
			   : streq(was, json_str(json_in(new, "metadata", "resourceVersion"))) ? "unchanged"
											       : "configured";

	printf("%s %s%s\n", resource_label(c, &r, name), verb, opt.dry_run ? " (dry run)" : "");
	return 0;
}

int cmd_apply(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	struct json *objects;
	int n, r = cli_parse(c, "apply", specs, false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("apply", n, 0, 0, e);
	if (!r && !opt.files.count)
		r = error_set(e, E_BAD_REQUEST, "say what to apply: berthctl apply -f FILE");
	if (!r)
		r = manifest_read(c, &opt.files, &objects, e);
	if (!r)
		r = cli_connect(c, e);
	for (size_t i = 0; !r && i < json_count(objects); i++)
		r = apply_one(c, json_item(objects, i), e);
	return r;
}
