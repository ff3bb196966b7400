/*
 * cmd_delete.c - berthctl delete: by name, by selector, or what a manifest holds; waits until it is gone.
 */
#include "cli/manifest.h"
#include "cli/resource.h"
#include "lib/codec.h"
#include "lib/units.h"

#include <stdio.h>
#include <time.h>

static struct {
	struct option_list files;
	const char *labels;
	bool all, wait, ignore_missing;
	int64_t timeout_ms;
} opt = {.wait = true};

static const struct option_spec specs[] = {
	{"filename", 'f', OPT_LIST, &opt.files, "FILE",
	 "Delete the objects in this file, folder, or - (may be repeated)"},
	{"selector", 'l', OPT_STRING, &opt.labels, "LABELS", "All objects of the type with these labels"},
	{"all", 0, OPT_BOOL, &opt.all, NULL, "All objects of the type in the namespace"},
	{"wait", 0, OPT_BOOL, &opt.wait, NULL, "Wait until they are gone (default; --wait=false returns at once)"},
	{"timeout", 0, OPT_DURATION, &opt.timeout_ms, "TIME", "How long to wait at most (default: for ever)"},
	{"ignore-not-found", 0, OPT_BOOL, &opt.ignore_missing, NULL, "Objects that are not there are no error"},
	{0},
};

static int wait_gone(struct cli *c, const char *path, const char *uid, const char *label, struct error *e)
{
	int64_t begun = time_mono_ms();

	for (;;) {
		struct json *o;
		int r = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, c->arena, &o, e);

		if (r == -E_NOT_FOUND || (!r && !streq(uid, json_str(json_in(o, "metadata", "uid"))))) {
			*e = (struct error){0};
			return 0;
		}
		if (r)
			return r;
		if (opt.timeout_ms && time_mono_ms() - begun > opt.timeout_ms)
			return error_set(e, E_TIMEOUT, "%s is still being deleted (finalizers: %s)", label,
					 json_to_string(c->arena, json_in(o, "metadata", "finalizers")));
		nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	}
}

static int delete_one(struct cli *c, const struct kube_resource *r, const char *ns, const char *name, struct error *e)
{
	const char *path = kube_path(c->arena, r, ns, name, NULL), *label = resource_label(c, r, name);
	struct json *answer;
	int err = kube_do(c->kube, &(struct kube_call){.method = "DELETE", .path = path}, c->arena, &answer, e);

	if (err == -E_NOT_FOUND && opt.ignore_missing) {
		*e = (struct error){0};
		return 0;
	}
	if (err)
		return err;
	printf("%s deleted\n", label);
	fflush(stdout);
	/* The object itself comes back while finalizers hold it, a Status when it is gone. */
	const char *uid = json_str(json_in(answer, "metadata", "uid"));

	return opt.wait && uid ? wait_gone(c, path, uid, label, e) : 0;
}

static int delete_many(struct cli *c, const struct kube_resource *r, struct error *e)
{
	_buf_ q = BUF_INIT(16384);
	struct json *list;
	const char *ns = resource_namespace(c, r);

	buf_adds(&q, kube_path(c->arena, r, ns, NULL, NULL));
	if (opt.labels) {
		buf_adds(&q, "?labelSelector=");
		percent_encode(opt.labels, &q);
	}
	int err = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = q.data}, c->arena, &list, e);

	for (size_t i = 0; !err && i < json_count(json_get(list, "items")); i++)
		err = delete_one(c, r, ns, json_str(json_in(json_item(json_get(list, "items"), i), "metadata", "name")),
				 e);
	return err;
}

static int delete_files(struct cli *c, struct error *e)
{
	struct json *objects;
	int err = manifest_read(c, &opt.files, &objects, e);

	for (size_t i = 0; !err && i < json_count(objects); i++) {
		const struct json *o = json_item(objects, i);
		const char *ns = json_str(json_in(o, "metadata", "namespace"));
		struct kube_resource r;

		err = resource_of_object(c, o, &r, e);
		if (!err)
			err = delete_one(c, &r, r.namespaced ? (ns ? ns : c->namespace) : NULL,
					 json_str(json_in(o, "metadata", "name")), e);
	}
	return err;
}

int cmd_delete(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	struct target *targets;
	size_t count;
	int n, r = cli_parse(c, "delete", specs, false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("delete", n, opt.files.count ? 0 : 1, opt.files.count ? 0 : -1, e);
	if (!r)
		r = cli_connect(c, e);
	if (!r && opt.files.count)
		return delete_files(c, e);
	if (!r)
		r = targets_parse(c, args, n, &targets, &count, e);
	for (size_t i = 0; !r && i < count; i++) {
		if (targets[i].name)
			r = delete_one(c, &targets[i].resource, resource_namespace(c, &targets[i].resource),
				       targets[i].name, e);
		else if (opt.all || opt.labels)
			r = delete_many(c, &targets[i].resource, e);
		else
			r = error_set(e, E_BAD_REQUEST, "say which: berthctl delete %s NAME, or --all, or -l LABELS",
				      args[0]);
	}
	return r;
}
