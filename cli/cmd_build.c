/*
 * cmd_build.c - berthctl build: an image from a Dockerfile, tagged, and pushed when asked to.
 *
 * The reference of the image is the one line on standard output; what the builder says goes to standard error.
 */
#include "cli/build.h"
#include "lib/oci.h"

#include <ctype.h>
#include <stdio.h>

static struct {
	const char *tag, *file, *registry;
	bool push;
	struct option_list arguments, insecure;
} opt;

const struct option_spec cmd_build_options[] = {
	{"tag", 't', OPT_STRING, &opt.tag, "REFERENCE", "Name of the image (default: REGISTRY/<folder>:<its content>)"},
	{"push", 0, OPT_BOOL, &opt.push, NULL, "Push it, when it is a linux/amd64 image"},
	{"file", 'f', OPT_STRING, &opt.file, "FILE", "Dockerfile (default: DIR's Dockerfile or Containerfile)"},
	{"build-arg", 0, OPT_LIST, &opt.arguments, "NAME=VALUE", "Value for an ARG (may be repeated)"},
	{"registry", 0, OPT_STRING, &opt.registry, "HOST[:PORT]",
	 "Where to push (default: $BERTH_REGISTRY, else the one that the cluster publishes)"},
	{"insecure-registry", 0, OPT_LIST, &opt.insecure, "HOST[:PORT]",
	 "A registry without verified TLS, besides those on this machine (may be repeated)"},
	{0},
};

/* What images of a folder are called: its name, with what a repository may not have replaced. */
static const char *folder_name(struct cli *c, const char *folder)
{
	_free_ char *whole = realpath(folder, NULL);
	char *name = arena_strdup(c->arena, whole ? strrchr(whole, '/') + 1 : "");

	for (char *p = name; *p; p++)
		*p = isalnum((unsigned char)*p) ? (char)tolower((unsigned char)*p) : '-';
	while (*name == '-')
		name++;
	for (size_t n = strlen(name); n && name[n - 1] == '-'; n--)
		name[n - 1] = '\0';
	return *name ? name : "image";
}

static int given_reference(struct cli *c, const char **ret, struct error *e)
{
	struct oci_reference ref;
	int r = oci_reference_parse(c->arena, opt.tag, &ref, e);

	if (r)
		return error_prefix(e, "--tag");
	if (ref.digest)
		return error_set(e, E_BAD_REQUEST, "--tag %s: a digest is what comes out, and cannot be chosen",
				 opt.tag);
	*ret = oci_reference_format(c->arena, &ref);
	return 0;
}

/* Where the image goes is known before it is built. */
static int repository(struct cli *c, const char *context, const char **ret, struct error *e)
{
	const char *registry = opt.registry ? opt.registry : "localhost";
	int r = opt.push ? build_registry(c, opt.registry, &registry, e) : 0;

	if (!r)
		*ret = arena_printf(c->arena, "%s/%s", registry, folder_name(c, context));
	return r;
}

static int push(struct cli *c, const struct built_image *image, const char *reference, struct error *e)
{
	const char *digest;
	struct oci_reference ref;
	int r = build_check_platform(image, reference, e);

	if (!r)
		r = build_push(c, image, reference, build_is_insecure(c, reference, &opt.insecure), &digest, e);
	if (!r)
		r = oci_reference_parse(c->arena, reference, &ref, e);
	if (r)
		return r;
	ref.digest = digest;
	printf("%s\n", oci_reference_format(c->arena, &ref));
	return 0;
}

int cmd_build(struct cli *c, int argc, char **argv, struct error *e)
{
	struct build_request request = {0};
	struct built_image image;
	const char **args, *reference = NULL, *place = NULL;
	int n, r = cli_parse(c, "build", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("build", n, 1, 1, e);
	if (r)
		return r;
	if (opt.file)
		request = (struct build_request){.context = args[0], .file = opt.file};
	else
		r = build_request_of(c->arena, args[0], &request, e);
	if (!r)
		r = opt.tag ? given_reference(c, &reference, e) : repository(c, request.context, &place, e);
	if (r)
		return r;
	request.arguments = &opt.arguments;
	r = build_run(c, &request, &image, e);
	if (r)
		return r;
	if (!reference)
		reference = arena_printf(c->arena, "%s:%s", place, build_short_id(c->arena, &image));
	if (opt.push)
		return push(c, &image, reference, e);
	r = build_tag(c, &image, reference, e);
	if (!r)
		printf("%s\n", reference);
	return r;
}
