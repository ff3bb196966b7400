/*
 * cmd_deploy.c - berthctl deploy: from Dockerfiles and manifests to a rollout that is done, in one command.
 *
 * A Container whose spec.image is a path (".", "./api", "../shop/Dockerfile"; from the manifest's folder) gets its
 * image built and pushed, and is applied with the digest in place of the path. Everything is read and checked before
 * the first build, and everything is built and pushed before the first object is applied.
 */
#include "cli/apply.h"
#include "cli/build.h"
#include "cli/manifest.h"
#include "cli/resource.h"
#include "cli/rollout_watch.h"
#include "lib/oci.h"

#include <stdio.h>
#include <sys/stat.h>

static struct {
	struct option_list files, arguments, insecure;
	const char *registry;
	bool force, wait;
	int64_t timeout_ms;
} opt = {.wait = true};

const struct option_spec cmd_deploy_options[] = {
	{"filename", 'f', OPT_LIST, &opt.files, "FILE",
	 "File, folder, or - for standard input (may be repeated); a Container's spec.image may be a path: \".\", "
	 "\"./Dockerfile\""},
	{"registry", 0, OPT_STRING, &opt.registry, "HOST[:PORT]",
	 "Where to push (default: $BERTH_REGISTRY, else the one that the cluster publishes)"},
	{"insecure-registry", 0, OPT_LIST, &opt.insecure, "HOST[:PORT]",
	 "A registry without verified TLS, besides those on this machine (may be repeated)"},
	{"build-arg", 0, OPT_LIST, &opt.arguments, "NAME=VALUE",
	 "Value for an ARG of the Dockerfiles (may be repeated)"},
	{"force-conflicts", 0, OPT_BOOL, &opt.force, NULL, "Take over fields that another manager set"},
	{"wait", 0, OPT_BOOL, &opt.wait, NULL,
	 "Show the rollout until it is done or has failed (default; --wait=false returns once all is applied)"},
	{"timeout", 0, OPT_DURATION, &opt.timeout_ms, "TIME", "How long to wait at most (default: for ever)"},
	{0},
};

/* A document, and the build it takes. */
struct part {
	struct json *object;
	bool is_container;
	struct build_request build; /* context NULL: none */
};

struct plan {
	struct part *parts;
	size_t count;
};

/* The folder that paths in a manifest start from. */
static const char *folder_of(struct cli *c, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (streq(path, "-"))
		return ".";
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return path;
	return slash ? arena_strndup(c->arena, path, slash == path ? 1 : (size_t)(slash - path)) : ".";
}

static int add_part(struct cli *c, const char *folder, struct json *object, struct part *ret, struct error *e)
{
	struct kube_resource type;
	int r = resource_of_object(c, object, &type, e);

	if (r)
		return r;
	*ret = (struct part){.object = object,
			     .is_container = streq(type.plural, KUBE_CONTAINERS.plural) &&
					     streq(type.group, KUBE_CONTAINERS.group)};
	const char *image = json_str_or(json_in(object, "spec", "image"), "");

	if (!ret->is_container || !build_is_path(image))
		return 0;
	const char *path = *image == '/' ? image : arena_printf(c->arena, "%s/%s", folder, image);

	r = build_request_of(c->arena, path, &ret->build, e);
	if (r)
		return error_prefix(e, "%s: spec.image", json_str(json_in(object, "metadata", "name")));
	ret->build.arguments = &opt.arguments;
	return 0;
}

static int make_plan(struct cli *c, struct plan *plan, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < opt.files.count && !r; i++) {
		struct option_list one = {.items = {opt.files.items[i]}, .count = 1};
		const char *folder = folder_of(c, opt.files.items[i]);
		struct json *objects;

		r = manifest_read(c, &one, &objects, e);
		if (r)
			return r;
		struct part *parts = arena_calloc(c->arena, (plan->count + json_count(objects)) * sizeof(*parts));

		if (plan->count)
			memcpy(parts, plan->parts, plan->count * sizeof(*parts));
		plan->parts = parts;
		for (size_t k = 0; k < json_count(objects) && !r; k++)
			r = add_part(c, folder, json_item(objects, k), &parts[plan->count++], e);
	}
	return r;
}

/* Builds, checks, pushes; the part's object then has the digest. */
static int build_part(struct cli *c, struct part *p, const char *registry, struct error *e)
{
	const char *name = json_str(json_in(p->object, "metadata", "name")), *digest;
	struct json *spec;
	struct built_image image;

	fprintf(stderr, "==> building %s\n", p->build.file);
	int r = build_run(c, &p->build, &image, e);

	if (r)
		return error_prefix(e, "container.berth.dev/%s: nothing was applied", name);
	const char *repository = arena_printf(c->arena, "%s/%s", registry, name);
	const char *reference = arena_printf(c->arena, "%s:%s", repository, build_short_id(c->arena, &image));

	r = build_check_platform(&image, name, e);
	if (!r)
		r = build_check_size(&image, json_get(p->object, "spec"), name, e);
	if (r)
		return r;
	fprintf(stderr, "==> pushing %s\n", reference);
	r = build_push(c, &image, reference, build_is_insecure(c, reference, &opt.insecure), &digest, e);
	if (r)
		return r;
	p->object = json_clone(c->arena, p->object);
	spec = json_get(p->object, "spec");
	json_set(c->arena, spec, "image", json_stringf(c->arena, "%s@%s", repository, digest));
	return 0;
}

static int build_all(struct cli *c, struct plan *plan, struct error *e)
{
	const char *registry = NULL;
	int r = 0;

	for (size_t i = 0; i < plan->count && !r; i++) {
		if (!plan->parts[i].build.context)
			continue;
		if (!registry)
			r = build_registry(c, opt.registry, &registry, e);
		if (!r)
			r = build_part(c, &plan->parts[i], registry, e);
	}
	return r;
}

static int apply_all(struct cli *c, const struct plan *plan, struct rollout_target *targets, size_t *ret_count,
		     struct error *e)
{
	const struct apply_options how = {.force = opt.force};
	size_t n = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct part *p = &plan->parts[i];
		struct json *now;
		int r = apply_object(c, p->object, &how, &now, e);

		if (r)
			return r;
		if (p->is_container)
			targets[n++] = (struct rollout_target){
				.ns = json_str_or(json_in(now, "metadata", "namespace"), c->namespace),
				.name = json_str_or(json_in(now, "metadata", "name"), ""),
				.generation = json_int_or(json_in(now, "metadata", "generation"), 0)};
	}
	*ret_count = n;
	return 0;
}

int cmd_deploy(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	struct plan plan = {0};
	size_t count;
	int n, r = cli_parse(c, "deploy", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("deploy", n, 0, 0, e);
	if (!r && !opt.files.count)
		r = error_set(e, E_BAD_REQUEST, "say what to deploy: berthctl deploy -f FILE");
	if (!r)
		r = cli_connect(c, e);
	if (!r)
		r = make_plan(c, &plan, e);
	if (!r)
		r = build_all(c, &plan, e);
	if (r)
		return r;
	struct rollout_target *targets = arena_calloc(c->arena, (plan.count + 1) * sizeof(*targets));

	r = apply_all(c, &plan, targets, &count, e);
	return r || !opt.wait || !count ? r : rollout_watch(c, targets, count, opt.timeout_ms, e);
}
