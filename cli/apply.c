/*
 * apply.c - one server-side apply; see apply.h.
 */
#include "cli/apply.h"

#include "cli/build.h"
#include "cli/resource.h"

#include <stdio.h>

/* The server names the fields and who set them; what to do about it is ours to say. */
static void explain(struct cli *c, const struct json *o, struct error *e)
{
	const char *text = arena_strdup(c->arena, e->text);

	if (e->code == E_INVALID && build_is_path(json_str_or(json_in(o, "spec", "image"), "x")))
		error_set(e, E_INVALID, "%s\nTo build the image from that path: berthctl deploy -f FILE", text);
	if (e->code == E_CONFLICT)
		error_set(
			e, E_CONFLICT,
			"%s\nAnother manager set these fields: leave them out of the file to leave them to it, or take "
			"them over with --force-conflicts",
			text);
}

int apply_object(struct cli *c, const struct json *o, const struct apply_options *opt, struct json **ret,
		 struct error *e)
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
				     opt->force ? "true" : "false", opt->dry_run ? "&dryRun=All" : ""),
		.patch = KUBE_PATCH_APPLY,
		.body = o,
		.ret_status = &status};

	err = kube_do(c->kube, &call, c->arena, &new, e);
	if (err) {
		explain(c, o, e);
		return error_prefix(e, "%s", resource_label(c, &r, name));
	}
	const char *verb = !was								       ? "created"
			   : streq(was, json_str(json_in(new, "metadata", "resourceVersion"))) ? "unchanged"
											       : "configured";

	printf("%s %s%s\n", resource_label(c, &r, name), verb, opt->dry_run ? " (dry run)" : "");
	fflush(stdout);
	if (ret)
		*ret = new;
	return 0;
}
