/*
 * build.h - images from Dockerfiles, built and pushed by the user's own builder: buildah when it is installed, else
 * docker.
 *
 * A build is named by its ID (the digest of its configuration), so the same content has the same tag, and building
 * again what did not change changes nothing that runs. The check_ functions and parsers do no I/O.
 */
#ifndef BERTH_CLI_BUILD_H
#define BERTH_CLI_BUILD_H

#include "cli/cli.h"

struct builder;
/* The one that is installed. Errors: E_NOT_FOUND with the command that installs one. */
int builder_find(const struct builder **ret, struct error *e);

/* Is a spec.image a path to build from? No reference begins like one. */
bool build_is_path(const char *image);

struct build_request {
	const char *context;		     /* a folder */
	const char *file;		     /* NULL: its Dockerfile or Containerfile */
	const struct option_list *arguments; /* K=V, may be NULL */
};
/* What a path in spec.image (or an argument) means: a folder with a Dockerfile, or a Dockerfile, whose folder is then
 * the context. Errors: E_NOT_FOUND. */
int build_request_of(struct arena *a, const char *path, struct build_request *ret, struct error *e);

struct built_image {
	const struct builder *builder;
	const char *id; /* sha256:<64 hex>, of the image's configuration */
	const char *os, *architecture;
	int64_t unpacked; /* bytes of its layers; of layers held compressed their compressed size, thus at least that */
};
int build_run(struct cli *c, const struct build_request *r, struct built_image *ret, struct error *e);
int build_tag(struct cli *c, const struct built_image *i, const char *reference, struct error *e);
/* Pushes what the registry lacks. *ret_digest is the manifest's. insecure: TLS is not verified, plain HTTP will do. */
int build_push(struct cli *c, const struct built_image *i, const char *reference, bool insecure,
	       const char **ret_digest, struct error *e);

/* `buildah inspect --type image` and `docker image inspect`. */
int build_parse_buildah(struct arena *a, const char *text, size_t len, struct built_image *ret, struct error *e);
int build_parse_docker(struct arena *a, const char *text, size_t len, struct built_image *ret, struct error *e);
/* What Berth runs is linux/amd64. what names the image in errors. Errors: E_INVALID. */
int build_check_platform(const struct built_image *i, const char *what, struct error *e);
/* Does it fit the disk that a Container's spec gives its instances? Errors: E_INVALID naming both sizes. */
int build_check_size(const struct built_image *i, const struct json *spec, const char *what, struct error *e);
/* The part of the ID that tags are made of. */
const char *build_short_id(struct arena *a, const struct built_image *i);

/* ---- where to push ---- */

/* "HOST[:PORT][/PATH]" without a slash at its end: given (a flag), else $BERTH_REGISTRY, else what the cluster
 * publishes in the ConfigMap kube-public/local-registry-hosting (KEP-1755). Errors: E_NOT_FOUND saying how to name one.
 */
int build_registry(struct cli *c, const char *given, const char **ret, struct error *e);
/* Is TLS left unverified for a reference's registry: on this machine, or in the list? */
bool build_is_insecure(struct cli *c, const char *reference, const struct option_list *insecure);

#endif
