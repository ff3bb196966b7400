/*
 * cmd_delete.c - berthctl delete: by name, by selector, or what a manifest holds; waits until all of it is gone.
 *
 * As kubectl does it: all deletions are asked for first, so that finalizers run side by side, and one that fails does
 * not keep the others from being tried.
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

const struct option_spec cmd_delete_options[] = {
	{"filename", 'f', OPT_LIST, &opt.files, "FILE",
	 "Delete the objects in this file, folder, or - (may be repeated)"},
	{"selector", 'l', OPT_STRING, &opt.labels, "LABELS", "All objects of the type with these labels"},
	{"all", 0, OPT_BOOL, &opt.all, NULL, "All objects of the type in the namespace"},
	{"wait", 0, OPT_BOOL, &opt.wait, NULL, "Wait until they are gone (default; --wait=false returns at once)"},
	{"timeout", 0, OPT_DURATION, &opt.timeout_ms, "TIME", "How long to wait at most (default: for ever)"},
	{"ignore-not-found", 0, OPT_BOOL, &opt.ignore_missing, NULL, "Objects that are not there are no error"},
	{0},
};

/* What was asked to go, and still has finalizers. */
struct leaving {
	const char *path, *uid, *label;
	struct leaving *next;
};

struct deletion {
	struct cli *cli;
	struct leaving *first, **last;
	bool failed; /* of some object, and the user was told */
};

static int wait_gone(struct cli *c, const struct leaving *l, int64_t deadline, struct error *e)
{
	for (;;) {
		_arena_ a = arena_new();
		struct json *o;
		int r = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = l->path}, a, &o, e);

		if (r == -E_NOT_FOUND || (!r && !streq(l->uid, json_str(json_in(o, "metadata", "uid"))))) {
			*e = (struct error){0};
			return 0;
		}
		if (r)
			return r;
		if (deadline && time_mono_ms() > deadline)
			return error_set(e, E_TIMEOUT, "%s is still being deleted (finalizers: %s)", l->label,
					 json_to_string(a, json_in(o, "metadata", "finalizers")));
		nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	}
}

static int wait_for_all(const struct deletion *d, struct error *e)
{
	int64_t deadline = opt.timeout_ms ? time_mono_ms() + opt.timeout_ms : 0;
	int r = 0;

	for (const struct leaving *l = d->first; l && !r; l = l->next)
		r = wait_gone(d->cli, l, deadline, e);
	return r;
}

/* Fails only when the server cannot be asked; what it says against one object is printed. */
static int delete_one(struct deletion *d, const struct kube_resource *r, const char *ns, const char *name,
		      struct error *e)
{
	struct cli *c = d->cli;
	const char *path = kube_path(c->arena, r, ns, name, NULL), *label = resource_label(c, r, name);
	struct json *answer;
	int err = kube_do(c->kube, &(struct kube_call){.method = "DELETE", .path = path}, c->arena, &answer, e);

	if (err && error_is_retryable(-err))
		return err;
	if (err) {
		if (err != -E_NOT_FOUND || !opt.ignore_missing) {
			fprintf(stderr, "error: %s\n", e->text);
			d->failed = true;
		}
		*e = (struct error){0};
		return 0;
	}
	printf("%s deleted\n", label);
	fflush(stdout);
	/* The object itself comes back while finalizers hold it, a Status when it is gone. */
	const char *uid = json_str(json_in(answer, "metadata", "uid"));

	if (uid) {
		struct leaving *l = arena_calloc(c->arena, sizeof(*l));

		*l = (struct leaving){.path = path, .uid = uid, .label = label};
		*d->last = l;
		d->last = &l->next;
	}
	return 0;
}

static int delete_many(struct deletion *d, const struct kube_resource *r, struct error *e)
{
	_buf_ q = BUF_INIT(16384);
	struct json *list;
	const char *ns = resource_namespace(d->cli, r);

	buf_adds(&q, kube_path(d->cli->arena, r, ns, NULL, NULL));
	if (opt.labels) {
		buf_adds(&q, "?labelSelector=");
		percent_encode(opt.labels, &q);
	}
	int err = kube_do(d->cli->kube, &(struct kube_call){.method = "GET", .path = q.data}, d->cli->arena, &list, e);

	for (size_t i = 0; !err && i < json_count(json_get(list, "items")); i++)
		err = delete_one(d, r, ns, json_str(json_in(json_item(json_get(list, "items"), i), "metadata", "name")),
				 e);
	return err;
}

static int delete_files(struct deletion *d, struct error *e)
{
	struct cli *c = d->cli;
	struct json *objects;
	int err = manifest_read(c, &opt.files, &objects, e);

	for (size_t i = 0; !err && i < json_count(objects); i++) {
		const struct json *o = json_item(objects, i);
		const char *ns = json_str(json_in(o, "metadata", "namespace"));
		struct kube_resource r;

		err = resource_of_object(c, o, &r, e);
		if (!err)
			err = delete_one(d, &r, r.namespaced ? (ns ? ns : c->namespace) : NULL,
					 json_str(json_in(o, "metadata", "name")), e);
	}
	return err;
}

static int delete_targets(struct deletion *d, const char *const *args, int n, struct error *e)
{
	struct target *targets;
	size_t count;
	int r = targets_parse(d->cli, args, n, &targets, &count, e);

	for (size_t i = 0; !r && i < count; i++) {
		const struct kube_resource *type = &targets[i].resource;

		if (targets[i].name)
			r = delete_one(d, type, resource_namespace(d->cli, type), targets[i].name, e);
		else if (opt.all || opt.labels)
			r = delete_many(d, type, e);
		else
			r = error_set(e, E_BAD_REQUEST, "say which: berthctl delete %s NAME, or --all, or -l LABELS",
				      args[0]);
	}
	return r;
}

int cmd_delete(struct cli *c, int argc, char **argv, struct error *e)
{
	struct deletion d = {.cli = c, .last = &d.first};
	const char **args;
	int n, r = cli_parse(c, "delete", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("delete", n, opt.files.count ? 0 : 1, opt.files.count ? 0 : -1, e);
	if (!r)
		r = cli_connect(c, e);
	if (!r)
		r = opt.files.count ? delete_files(&d, e) : delete_targets(&d, args, n, e);
	if (!r && opt.wait)
		r = wait_for_all(&d, e);
	return !r && d.failed ? CLI_FAILED : r;
}
