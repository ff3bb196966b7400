/*
 * oci.h - what an OCI image says about itself: references, indexes, manifests, configurations. No I/O.
 *
 * Ownership: everything returned belongs to the arena passed in. All input is hostile: limits are below, and every
 * refusal is one line that says what is wrong. Sources: OCI image-spec v1.1 and distribution-spec v1.1, Docker image
 * manifest version 2 schema 2, github.com/distribution/reference.
 *
 * Used by scheduler (through registry.h), agent and cli.
 */
#ifndef BERTH_LIB_OCI_H
#define BERTH_LIB_OCI_H

#include "lib/arena.h"
#include "lib/error.h"
#include "lib/json.h"

#define OCI_MANIFEST_MAX (4U * 1024 * 1024) /* bytes of a manifest or an index, as registries limit them */
#define OCI_CONFIG_MAX (4U * 1024 * 1024)
#define OCI_LAYERS_MAX 256U
#define OCI_BLOB_MAX (INT64_C(1) << 40) /* largest size a descriptor may declare */
#define OCI_DIGEST_LEN 71		/* "sha256:" and 64 hex digits, without the NUL */

#define OCI_ACCEPT_MANIFEST                                      \
	"application/vnd.oci.image.manifest.v1+json, "           \
	"application/vnd.docker.distribution.manifest.v2+json, " \
	"application/vnd.oci.image.index.v1+json, "              \
	"application/vnd.docker.distribution.manifest.list.v2+json"

/* "nginx" → docker.io, library/nginx, latest. Exactly one of tag and digest is the address: with a digest the tag is
 * only a remark. */
struct oci_reference {
	const char *registry;	/* "docker.io", "localhost:5000" */
	const char *repository; /* "library/nginx" */
	const char *tag;	/* NULL when only a digest was given; "latest" when neither was */
	const char *digest;	/* "sha256:<64 hex>", or NULL */
};
/* Errors: E_INVALID saying what is wrong and what a reference looks like. */
int oci_reference_parse(struct arena *a, const char *text, struct oci_reference *ret, struct error *e);
/* "registry/repository@digest", or "registry/repository:tag" without a digest. */
char *oci_reference_format(struct arena *a, const struct oci_reference *ref);
/* "sha256:" and 64 lower-case hex digits? */
bool oci_digest_valid(const char *digest);

struct oci_strings {
	const char **items;
	size_t count;
};

struct oci_descriptor {
	const char *media_type, *digest;
	int64_t size;
};

struct oci_layer {
	struct oci_descriptor blob;
	const char *diff_id; /* digest of the uncompressed tar */
};

/* How to run the image. Absent fields are "" and empty lists. */
struct oci_config {
	struct oci_strings entrypoint, cmd, env, volumes, ports; /* ports: "8080/tcp" */
	const char *user, *working_dir, *stop_signal;
};

struct oci_image {
	const char *reference; /* "registry/repository@digest" */
	const char *digest;    /* of the linux/amd64 manifest */
	int64_t size;	       /* manifest, configuration and layers as transferred */
	struct oci_descriptor config_blob;
	struct oci_layer *layers; /* lowest first */
	size_t layer_count;
	struct oci_config config;
};

/* What a manifest document turned out to be. */
enum oci_document { OCI_MANIFEST, OCI_INDEX };
/* Sorts out a manifest or index by media_type (the Content-Type, may be "") and content; schema 1, artifacts that are
 * no images, and foreign layers are refused. For an index *ret_child is its linux/amd64 manifest; when there is none
 * the error lists what exists. For a manifest *ret gets everything but the configuration. Errors: E_INVALID. */
int oci_document_parse(struct arena *a, const char *media_type, const char *text, size_t len,
		       enum oci_document *ret_kind, struct oci_descriptor *ret_child, struct oci_image *ret,
		       struct error *e);
/* The image configuration: checks os and architecture, fills image->config and the layers' diff_ids. Errors: E_INVALID.
 */
int oci_config_parse(struct arena *a, const char *text, size_t len, struct oci_image *image, struct error *e);

/* Revision.spec.template.imageConfig and back: {entrypoint, cmd, env, user, workingDir, volumes, stopSignal}; empty
 * fields are left out. */
struct json *oci_config_to_json(struct arena *a, const struct oci_config *c);
void oci_config_from_json(struct arena *a, const struct json *v, struct oci_config *ret);

#endif
