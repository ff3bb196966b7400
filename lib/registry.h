/*
 * registry.h - a client of container registries (OCI distribution-spec v1.1), blocking, for worker threads.
 *
 * Thread-safe: any number of threads may share one struct registry; connections and tokens are kept and reused.
 * Authentication: a 401 is answered by its challenge, Bearer (a token is fetched, Docker's token flow) or Basic. For
 * Amazon ECR an access key is first traded for a password, which is kept until shortly before it expires.
 * Credentials are sent to the registry and its token server only, and over TLS only, unless the registry is in the
 * insecure list or on this machine. TLS is verified with the system's certificates and those of the registry's own CA
 * option, except for registries in the insecure list, which are spoken to by TLS without verification, then by plain
 * HTTP. Registries on this machine (localhost, 127.0.0.0/8, ::1) count as insecure, as with docker, unless they are
 * given a CA. Digests of manifests and configurations are verified here; whoever reads a blob verifies it.
 *
 * Used by scheduler (to resolve a tag), agent (to pull) and cli (to tell how to push).
 */
#ifndef BERTH_LIB_REGISTRY_H
#define BERTH_LIB_REGISTRY_H

#include "lib/options.h"
#include "lib/registry_keys.h"

/* What a process is told about registries on its command line. Texts are borrowed for the client's life. */
struct registry_options {
	struct option_list insecure; /* "HOST" or "HOST:PORT" */
	struct option_list ca;	     /* "HOST[:PORT]=FILE", or "FILE" for all that have none of their own; PEM */
	const char *ecr_endpoint;    /* NULL: Amazon's own */
};
/* Rows of an option table that fill it. */
/* clang-format off */
#define REGISTRY_OPTION_SPECS(o) \
	{"insecure-registry", 0, OPT_LIST, &(o).insecure, "HOST[:PORT]", \
	 "Registry that may be without valid TLS (may be repeated)"}, \
	{"registry-ca", 0, OPT_LIST, &(o).ca, "[HOST=]FILE", \
	 "CA certificates of a registry, or of all, PEM (may be repeated)"}, \
	{"ecr-endpoint", 0, OPT_STRING, &(o).ecr_endpoint, "URL", "Amazon ECR's API, for VPC endpoints"}
/* clang-format on */

/* Errors: E_BAD_REQUEST naming the flag. */
int registry_options_check(const struct registry_options *opt, struct error *e);

/* Does "HOST[:PORT]" name this machine? Such a registry counts as insecure. */
bool registry_is_local(const char *host);

struct registry;
struct registry *registry_new(const struct registry_options *opt); /* opt may be NULL */
void registry_free(struct registry *r);				   /* NULL-safe */

/* Looks a reference up and reads its linux/amd64 manifest and configuration into *ret (in a). The keys that fit are
 * tried one after another while the registry refuses; without any it is asked anonymously; keys may be NULL. *ret_cred
 * (may be NULL; in a, or of the keys) is what worked, for registry_read_blob(). deadline_ms is a time of
 * time_mono_ms(), 0 for 60 seconds from now. Errors, each one line that names the image: E_INVALID (bad reference, not
 * an image we can run, a digest that lies), E_NOT_FOUND (no such repository or tag), E_UNAUTHORIZED and E_FORBIDDEN
 * (credentials; names the Secret at fault), E_TOO_LARGE, E_TOO_MANY, E_UNAVAILABLE, E_TIMEOUT, E_IO (TLS). */
int registry_resolve(struct registry *r, const char *reference, const struct registry_keys *keys, int64_t deadline_ms,
		     struct arena *a, struct oci_image *ret, struct registry_credentials *ret_cred, struct error *e);

/* Gets bytes; not 0 ends the transfer with that code. */
typedef int registry_sink(void *user, const void *data, size_t len, struct error *e);

/* Streams a blob from offset to its end into sink. *ret_restarted tells that the registry does not know ranges and
 * nothing was kept: start again at 0 (offset > 0 only; the sink's bytes are then worthless). A transfer that moves less
 * than a byte a second for 30 seconds fails. Errors as above. */
int registry_read_blob(struct registry *r, const char *reference, const struct registry_credentials *cred,
		       const char *digest, int64_t offset, registry_sink *sink, void *user, bool *ret_restarted,
		       struct error *e);

#endif
