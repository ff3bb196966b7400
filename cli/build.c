/*
 * build.c - driving buildah and docker, and what is asked of a built image; see build.h.
 */
#include "cli/build.h"

#include "cli/program.h"
#include "lib/fsutil.h"
#include "lib/naming.h"
#include "lib/oci.h"
#include "lib/registry.h"
#include "lib/units.h"
#include "lib/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define INSPECT_MAX (16U * 1024 * 1024)
#define SHORT_ID 12U
#define ARGV_MAX (2 * OPTION_LIST_MAX + 24)

/* ---- the builders, and how their commands differ ---- */

struct builder {
	const char *program;
	const char *build[3];	/* the words of the command, NULL-terminated */
	const char *inspect[4]; /* the ID follows */
	int (*parse)(struct arena *a, const char *text, size_t len, struct built_image *ret, struct error *e);
	int (*push)(struct cli *c, const struct built_image *i, const char *reference, bool insecure,
		    const char **ret_digest, struct error *e);
};

static int push_buildah(struct cli *c, const struct built_image *i, const char *reference, bool insecure,
			const char **ret_digest, struct error *e);
static int push_docker(struct cli *c, const struct built_image *i, const char *reference, bool insecure,
		       const char **ret_digest, struct error *e);

static const struct builder builders[] = {
	/* Layer by layer, so that what did not change is neither built nor pushed again. */
	{"buildah", {"bud", "--layers"}, {"inspect", "--type", "image"}, build_parse_buildah, push_buildah},
	{"docker", {"build"}, {"image", "inspect"}, build_parse_docker, push_docker},
};

int builder_find(const struct builder **ret, struct error *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(builders); i++)
		if (program_exists(builders[i].program)) {
			*ret = &builders[i];
			return 0;
		}
	return error_set(
		e, E_NOT_FOUND,
		"building an image takes buildah or docker, and neither is installed: apt-get install buildah");
}

/* ---- what to build ---- */

bool build_is_path(const char *image)
{
	return *image == '.' || *image == '/';
}

int build_request_of(struct arena *a, const char *path, struct build_request *ret, struct error *e)
{
	static const char *const names[] = {"Dockerfile", "Containerfile"};
	struct stat st;

	if (stat(path, &st))
		return error_set_errno(e, errno, "%s", path);
	if (!S_ISDIR(st.st_mode)) {
		const char *slash = strrchr(path, '/');

		ret->file = path;
		ret->context = slash ? arena_strndup(a, path, slash == path ? 1 : (size_t)(slash - path)) : ".";
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *file = arena_printf(a, "%s/%s", path, names[i]);

		if (access(file, R_OK) == 0) {
			ret->context = path;
			ret->file = file;
			return 0;
		}
	}
	return error_set(e, E_NOT_FOUND, "%s holds neither a Dockerfile nor a Containerfile", path);
}

/* ---- building ---- */

static void add_words(const char **argv, size_t *n, const char *const *words)
{
	while (*words)
		argv[(*n)++] = *words++;
}

static int temporary_file(struct cli *c, const char **ret, struct error *e)
{
	const char *folder = getenv("TMPDIR");
	char *path = arena_printf(c->arena, "%s/berthctl-XXXXXX", folder && *folder ? folder : "/tmp");
	_close_ int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(e, errno, "cannot make a temporary file in %s", folder ? folder : "/tmp");
	*ret = path;
	return 0;
}

/* The one line that a tool left in a file, which is removed. */
static int take_line(struct cli *c, const char *path, const char **ret, struct error *e)
{
	_buf_ text = BUF_INIT(4096);
	int r = file_read(path, &text, e);

	unlink(path);
	if (r)
		return r;
	*ret = arena_strndup(c->arena, text.data ? text.data : "", text.len ? strcspn(text.data, "\r\n") : 0);
	return 0;
}

/* On another architecture the right one has to be asked for. Where it is the host's own it is not: buildah would write
 * amd64 over what a base image of another architecture says, and the image could no longer be told from a good one. */
static bool is_amd64_host(void)
{
	struct utsname u;

	return uname(&u) == 0 && streq(u.machine, "x86_64");
}

static int inspect(struct cli *c, const struct builder *b, const char *id, struct built_image *ret, struct error *e)
{
	_buf_ out = BUF_INIT(INSPECT_MAX);
	const char *argv[8] = {b->program};
	size_t n = 1;

	add_words(argv, &n, b->inspect);
	argv[n] = id;
	int r = program_run(argv, &out, e);

	return r ? r : b->parse(c->arena, out.data ? out.data : "", out.len, ret, e);
}

int build_run(struct cli *c, const struct build_request *request, struct built_image *ret, struct error *e)
{
	const char *argv[ARGV_MAX], *id_file, *id;
	const struct option_list *arguments = request->arguments;
	const struct builder *b;
	size_t n = 0;
	int r = builder_find(&b, e);

	if (!r)
		r = temporary_file(c, &id_file, e);
	if (r)
		return r;
	argv[n++] = b->program;
	add_words(argv, &n, b->build);
	if (!is_amd64_host()) {
		argv[n++] = "--platform";
		argv[n++] = "linux/amd64";
	}
	for (size_t i = 0; arguments && i < arguments->count; i++) {
		argv[n++] = "--build-arg";
		argv[n++] = arguments->items[i];
	}
	argv[n++] = "--iidfile";
	argv[n++] = id_file;
	argv[n++] = "-f";
	argv[n++] = request->file;
	argv[n++] = request->context;
	argv[n] = NULL;
	r = program_run(argv, NULL, e);
	if (r) {
		unlink(id_file);
		return r;
	}
	r = take_line(c, id_file, &id, e);
	if (!r && !oci_digest_valid(id))
		r = error_set(e, E_INTERNAL, "%s left no image ID, but \"%s\"", b->program, id);
	if (!r)
		r = inspect(c, b, id, ret, e);
	if (!r) {
		ret->builder = b;
		ret->id = id;
	}
	return r;
}

const char *build_short_id(struct arena *a, const struct built_image *i)
{
	return arena_strndup(a, i->id + strlen("sha256:"), SHORT_ID);
}

/* ---- what came out ---- */

static int parse(struct arena *a, const char *text, size_t len, struct json **ret, struct error *e)
{
	int r = json_parse(a, text, len, &(struct json_options){.max_bytes = INSPECT_MAX}, ret, e);

	return r ? error_prefix(e, "what the builder says about the image") : 0;
}

int build_parse_buildah(struct arena *a, const char *text, size_t len, struct built_image *ret, struct error *e)
{
	struct json *o, *manifest;
	const char *inner;
	int r = parse(a, text, len, &o, e);

	if (r)
		return r;
	inner = json_str_or(json_get(o, "Manifest"), "");
	r = parse(a, inner, strlen(inner), &manifest, e);
	if (r)
		return r;
	const struct json *layers = json_get(manifest, "layers");

	*ret = (struct built_image){.os = json_str_or(json_in(o, "OCIv1", "os"), ""),
				    .architecture = json_str_or(json_in(o, "OCIv1", "architecture"), "")};
	for (size_t i = 0; i < json_count(layers); i++)
		ret->unpacked += json_int_or(json_get(json_item(layers, i), "size"), 0);
	return 0;
}

int build_parse_docker(struct arena *a, const char *text, size_t len, struct built_image *ret, struct error *e)
{
	struct json *list;
	int r = parse(a, text, len, &list, e);

	if (r)
		return r;
	const struct json *o = json_item(list, 0);

	*ret = (struct built_image){.os = json_str_or(json_get(o, "Os"), ""),
				    .architecture = json_str_or(json_get(o, "Architecture"), ""),
				    .unpacked = json_int_or(json_get(o, "Size"), 0)};
	return 0;
}

int build_check_platform(const struct built_image *i, const char *what, struct error *e)
{
	if (streq(i->os, "linux") && streq(i->architecture, "amd64"))
		return 0;
	return error_set(
		e, E_INVALID,
		"%s: the image is for %s/%s, and Berth runs linux/amd64; nothing was pushed. Check the base image "
		"(FROM), or build for linux/amd64",
		what, *i->os ? i->os : "an unknown system", *i->architecture ? i->architecture : "unknown");
}

int build_check_size(const struct built_image *i, const struct json *spec, const char *what, struct error *e)
{
	const char *type = json_str_or(json_get(spec, "instanceType"), "lite");
	const char *given = json_str(json_in(spec, "resources", "disk"));
	int64_t vcpu, memory, disk = json_int_or(json_in(spec, "resources", "disk"), 0);
	char has[32], needs[32];

	/* What is no size is left for the server to refuse: its message names the field and what it takes. */
	if (given && quantity_parse(given, &disk, NULL))
		return 0;
	if (!disk && !instance_type_lookup(type, &vcpu, &memory, &disk))
		return 0;
	if (i->unpacked <= disk)
		return 0;
	bytes_human((uint64_t)i->unpacked, needs, sizeof(needs));
	bytes_human((uint64_t)disk, has, sizeof(has));
	return error_set(
		e, E_INVALID,
		"%s: the image unpacks to %s, and the disk of %s%s has %s; nothing was pushed. Make the image smaller, "
		"or choose a larger spec.%s",
		what, needs, json_get(spec, "resources") ? "spec.resources" : "instance type ",
		json_get(spec, "resources") ? "" : type, has,
		json_get(spec, "resources") ? "resources.disk" : "instanceType");
}

/* ---- pushing ---- */

int build_tag(struct cli *c, const struct built_image *i, const char *reference, struct error *e)
{
	(void)c;
	return program_run((const char *[]){i->builder->program, "tag", i->id, reference, NULL}, NULL, e);
}

static int push_buildah(struct cli *c, const struct built_image *i, const char *reference, bool insecure,
			const char **ret_digest, struct error *e)
{
	const char *file;
	int r = temporary_file(c, &file, e);

	if (r)
		return r;
	r = program_run((const char *[]){"buildah", "push", insecure ? "--tls-verify=false" : "--tls-verify=true",
					 "--digestfile", file, i->id, arena_printf(c->arena, "docker://%s", reference),
					 NULL},
			NULL, e);
	if (r)
		unlink(file);
	return r ? r : take_line(c, file, ret_digest, e);
}

/* Which registries may go without TLS is the daemon's own setting; those on its machine may. */
static int push_docker(struct cli *c, const struct built_image *i, const char *reference, bool insecure,
		       const char **ret_digest, struct error *e)
{
	_buf_ out = BUF_INIT(INSPECT_MAX);
	struct oci_reference wanted, found;
	struct json *list;
	int r = program_run((const char *[]){"docker", "push", reference, NULL}, NULL, e);

	(void)insecure;
	if (!r)
		r = program_run((const char *[]){"docker", "image", "inspect", i->id, NULL}, &out, e);
	if (!r)
		r = parse(c->arena, out.data ? out.data : "", out.len, &list, e);
	if (!r)
		r = oci_reference_parse(c->arena, reference, &wanted, e);
	if (r)
		return r;
	const struct json *digests = json_get(json_item(list, 0), "RepoDigests");

	for (size_t k = 0; k < json_count(digests); k++)
		if (oci_reference_parse(c->arena, json_str_or(json_item(digests, k), ""), &found, NULL) == 0 &&
		    found.digest && streq(found.registry, wanted.registry) &&
		    streq(found.repository, wanted.repository)) {
			*ret_digest = found.digest;
			return 0;
		}
	return error_set(e, E_INTERNAL, "docker does not say under which digest it pushed %s", reference);
}

int build_push(struct cli *c, const struct built_image *i, const char *reference, bool insecure,
	       const char **ret_digest, struct error *e)
{
	int r = build_tag(c, i, reference, e);

	if (!r)
		r = i->builder->push(c, i, reference, insecure, ret_digest, e);
	if (r)
		return error_prefix(e, "cannot push %s", reference);
	if (!oci_digest_valid(*ret_digest))
		return error_set(e, E_INTERNAL, "%s pushed %s, but says its digest is \"%s\"", i->builder->program,
				 reference, *ret_digest);
	return 0;
}

/* ---- where to push ---- */

static const char *published_registry(struct cli *c, struct error *e)
{
	const char *path = kube_path(c->arena, &KUBE_CONFIGMAPS, "kube-public", "local-registry-hosting", NULL);
	struct json *o, *docs;
	const char *text;

	if (cli_connect(c, e) || kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, c->arena, &o, e))
		return NULL;
	text = json_str_or(json_in(o, "data", "localRegistryHosting.v1"), "");
	if (yaml_parse(c->arena, text, strlen(text), &docs, e))
		return NULL;
	return json_str(json_get(json_item(docs, 0), "host"));
}

int build_registry(struct cli *c, const char *given, const char **ret, struct error *e)
{
	const char *from_env = getenv("BERTH_REGISTRY");
	const char *name = given ? given : from_env && *from_env ? from_env : published_registry(c, e);
	size_t len = name ? strlen(name) : 0;

	if (e->code && e->code != E_NOT_FOUND)
		return error_prefix(e, "asking the cluster for its registry");
	while (len && name[len - 1] == '/')
		len--;
	if (!len)
		return error_set(
			e, E_NOT_FOUND,
			"no registry to push to: name one with --registry HOST[:PORT], or $BERTH_REGISTRY, or let the "
			"cluster publish one in the ConfigMap kube-public/local-registry-hosting");
	const char *text = arena_strndup(c->arena, name, len);
	struct oci_reference ref;

	*e = (struct error){0};
	if (oci_reference_parse(c->arena, arena_printf(c->arena, "%s/image", text), &ref, NULL))
		return error_set(e, E_INVALID, "\"%s\" is no registry: it takes HOST[:PORT][/PATH]", text);
	*ret = text;
	return 0;
}

bool build_is_insecure(struct cli *c, const char *reference, const struct option_list *insecure)
{
	struct oci_reference ref;

	if (oci_reference_parse(c->arena, reference, &ref, NULL))
		return false;
	for (size_t i = 0; i < insecure->count; i++)
		if (streq(insecure->items[i], ref.registry) ||
		    (str_starts(ref.registry, insecure->items[i]) && ref.registry[strlen(insecure->items[i])] == ':'))
			return true;
	return registry_is_local(ref.registry);
}
