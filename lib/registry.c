/*
 * registry.c - manifests and blobs from a registry; see registry.h. Authorisation is registry_auth.c's.
 */
#include "lib/registry_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "lib/codec.h"
#include "lib/units.h"

#define STALL_MS 30000
#define INDEX_DEPTH_MAX 3 /* documents from a tag to its manifest: an index, an index in it, a manifest */
#define DOCKER_HUB "registry-1.docker.io"

/* ---- the client ---- */

struct registry *registry_new(const struct registry_options *opt)
{
	struct registry *r = xcalloc(1, sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	r->schemes = strmap_new();
	r->tokens = strmap_new();
	if (opt)
		r->opt = *opt;
	return r;
}

void registry_free(struct registry *r)
{
	size_t position = 0;
	void *token;

	if (!r)
		return;
	while (r->client_count)
		http_client_free(r->clients[--r->client_count]);
	while (strmap_next(r->tokens, &position, NULL, &token))
		registry_token_free(token);
	strmap_free(r->tokens);
	strmap_free(r->schemes);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

struct http_client *registry_client_take(struct registry *r)
{
	struct http_client *c = NULL;

	pthread_mutex_lock(&r->lock);
	if (r->client_count)
		c = r->clients[--r->client_count];
	pthread_mutex_unlock(&r->lock);
	return c ? c : http_client_new();
}

void registry_client_give_back(struct registry *r, struct http_client *c)
{
	pthread_mutex_lock(&r->lock);
	if (r->client_count < REGISTRY_CLIENTS_KEPT) {
		r->clients[r->client_count++] = c;
		c = NULL;
	}
	pthread_mutex_unlock(&r->lock);
	if (c)
		http_client_free(c);
}

/* ---- targets ---- */

/* The host part of "host:port" or "[v6]:port", without brackets. */
static char *host_name(struct arena *a, const char *registry)
{
	const char *end;

	if (*registry == '[' && (end = strchr(registry, ']')))
		return arena_strndup(a, registry + 1, (size_t)(end - registry - 1));
	return arena_strndup(a, registry, strcspn(registry, ":"));
}

static bool host_is_local(const char *name)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (strcasecmp(name, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, name, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool host_is(const char *registry, const char *name, const char *given, size_t given_len)
{
	return (strlen(registry) == given_len && strncasecmp(registry, given, given_len) == 0) ||
	       (strlen(name) == given_len && strncasecmp(name, given, given_len) == 0);
}

/* The CA file of the host's own, else of all others; NULL: the system's. *ret_own: it is the host's. */
static const char *ca_of(const struct registry *r, const char *registry, const char *name, bool *ret_own)
{
	const char *common = NULL;

	*ret_own = false;
	for (size_t i = 0; i < r->opt.ca.count; i++) {
		const char *given = r->opt.ca.items[i], *equals = strchr(given, '=');

		if (!equals)
			common = given;
		else if (host_is(registry, name, given, (size_t)(equals - given)))
			return *ret_own = true, equals + 1;
	}
	return common;
}

struct http_tls registry_tls(const struct registry *r, struct arena *a, const char *host)
{
	const char *name = host_name(a, host);
	struct http_tls tls = {0};
	bool own;

	tls.ca_file = ca_of(r, host, name, &own);
	tls.insecure = !own && host_is_local(name);
	for (size_t i = 0; i < r->opt.insecure.count; i++)
		tls.insecure |= host_is(host, name, r->opt.insecure.items[i], strlen(r->opt.insecure.items[i]));
	return tls;
}

int registry_options_check(const struct registry_options *opt, struct error *e)
{
	for (size_t i = 0; i < opt->ca.count; i++) {
		const char *given = opt->ca.items[i], *equals = strchr(given, '='), *file = equals ? equals + 1 : given;

		if (equals == given || access(file, R_OK) || strchr(file, '='))
			return error_set(e, E_BAD_REQUEST,
					 "--registry-ca %s: say HOST[:PORT]=FILE or FILE, a file that can be read",
					 given);
	}
	for (size_t i = 0; i < opt->insecure.count; i++)
		if (!*opt->insecure.items[i] || strchr(opt->insecure.items[i], '/'))
			return error_set(e, E_BAD_REQUEST,
					 "--insecure-registry %s: say HOST or HOST:PORT, without a scheme",
					 opt->insecure.items[i]);
	if (opt->ecr_endpoint && !str_starts(opt->ecr_endpoint, "https://") &&
	    !str_starts(opt->ecr_endpoint, "http://"))
		return error_set(e, E_BAD_REQUEST, "--ecr-endpoint %s: say a URL that begins with https://",
				 opt->ecr_endpoint);
	return 0;
}

bool registry_is_local(const char *host)
{
	_arena_ a = arena_new();

	return host_is_local(host_name(a, host));
}

int registry_time_left(const struct registry_target *t, int64_t *ret, struct error *e)
{
	int64_t left = t->deadline_ms - time_mono_ms();

	if (t->deadline_ms && left <= 0)
		return error_set(e, E_TIMEOUT, "%s did not answer in time", t->ref.registry);
	*ret = t->deadline_ms ? left : 0;
	return 0;
}

static char scheme_plain[] = "http", scheme_tls[] = "https";

static const char *scheme_known(struct registry *r, const char *host)
{
	pthread_mutex_lock(&r->lock);
	const char *scheme = strmap_get(r->schemes, host);
	pthread_mutex_unlock(&r->lock);
	return scheme;
}

static void scheme_remember(struct registry *r, const char *host, char *scheme)
{
	pthread_mutex_lock(&r->lock);
	strmap_put(r->schemes, host, scheme);
	pthread_mutex_unlock(&r->lock);
}

static int probe_one(const struct registry_target *t, const char *scheme, struct arena *a, struct error *e)
{
	struct http_request req = {.url = arena_printf(a, "%s://%s/v2/", scheme, t->host),
				   .tls = &t->tls,
				   .stall_timeout_ms = STALL_MS,
				   .max_response = 65536};
	struct http_response res;
	int err = registry_time_left(t, &req.timeout_ms, e);

	return err ? err : http_do(t->client, &req, a, &res, e);
}

/* A registry of the insecure list is asked over TLS first; when that does not come about, in plain HTTP. */
static int target_probe(struct registry *r, struct registry_target *t, struct arena *a, struct error *e)
{
	const char *known = t->insecure ? scheme_known(r, t->host) : scheme_tls;

	t->plain = known == scheme_plain;
	if (known)
		return 0;
	if (probe_one(t, scheme_tls, a, NULL)) {
		int err = probe_one(t, scheme_plain, a, e);

		if (err)
			return err;
		t->plain = true;
	}
	scheme_remember(r, t->host, t->plain ? scheme_plain : scheme_tls);
	return 0;
}

/* Fills *t; t->client is to be given back when t->client is set, whatever is returned. */
static int target_open(struct registry *r, const char *reference, const struct registry_credentials *cred,
		       int64_t deadline_ms, struct arena *a, struct registry_target *t, struct error *e)
{
	*t = (struct registry_target){.cred = cred, .deadline_ms = deadline_ms};
	int err = oci_reference_parse(a, reference, &t->ref, e);

	if (err)
		return err;
	t->host = streq(t->ref.registry, "docker.io") ? DOCKER_HUB : t->ref.registry;
	t->tls = registry_tls(r, a, t->host);
	t->insecure = t->tls.insecure;
	t->client = registry_client_take(r);
	err = target_probe(r, t, a, e);
	return err ? error_prefix(e, "%s", oci_reference_format(a, &t->ref)) : 0;
}

static void target_close(struct registry *r, struct registry_target *t)
{
	if (t->client)
		registry_client_give_back(r, t->client);
}

static char *target_url(const struct registry_target *t, struct arena *a, const char *kind, const char *what)
{
	return arena_printf(a, "%s://%s/v2/%s/%s/%s", t->plain ? "http" : "https", t->host, t->ref.repository, kind,
			    what);
}

/* ---- answers that are errors ---- */

/* The registry's own error code ("MANIFEST_UNKNOWN"), "" when its answer has none. */
static const char *answer_code(struct arena *a, const struct http_response *res)
{
	struct json *doc;

	if (json_parse(a, res->body, res->body_len, NULL, &doc, NULL))
		return "";
	return json_str_or(json_get(json_item(json_get(doc, "errors"), 0), "code"), "");
}

static int not_found(const struct registry_target *t, struct arena *a, const char *kind, const char *what,
		     const struct http_response *res, struct error *e)
{
	if (streq(answer_code(a, res), "NAME_UNKNOWN"))
		return error_set(e, E_NOT_FOUND, "%s has no repository %s", t->ref.registry, t->ref.repository);
	if (streq(kind, "manifests") && !str_starts(what, "sha256:"))
		return error_set(e, E_NOT_FOUND, "%s/%s has no tag %s", t->ref.registry, t->ref.repository, what);
	return error_set(e, E_NOT_FOUND, "%s/%s has no %s %s", t->ref.registry, t->ref.repository,
			 streq(kind, "manifests") ? "manifest" : "blob", what);
}

static int answer_error(const struct registry_target *t, struct arena *a, const char *kind, const char *what,
			const struct http_response *res, struct error *e)
{
	const char *retry = http_response_header(res, "Retry-After");

	switch (res->status) {
	case 403:
		return error_set(e, E_FORBIDDEN, "%s does not allow pulling %s%s%s", t->ref.registry, t->ref.repository,
				 t->cred && t->cred->source ? " with " : "",
				 t->cred && t->cred->source ? t->cred->source : "");
	case 404:
		return not_found(t, a, kind, what, res, e);
	case 429:
		error_set(e, E_TOO_MANY, "%s wants fewer requests (429); try again later", t->ref.registry);
		if (e && retry)
			e->retry_after = (int)strtol(retry, NULL, 10);
		return -E_TOO_MANY;
	default:
		return error_set(e, res->status >= 500 ? E_UNAVAILABLE : E_IO,
				 "%s answered %d to the request for %s %s", t->ref.registry, res->status,
				 streq(kind, "manifests") ? "manifest" : "blob", what);
	}
}

/* A transport error with what to do about it. */
static int transport_error(const struct registry_target *t, struct error *e)
{
	if (e && e->code == E_IO)
		return error_set(e, E_IO,
				 "%s (give scheduler and agents the registry's CA with --registry-ca %s=FILE, or name "
				 "it in --insecure-registry %s)",
				 e->text, t->ref.registry, t->ref.registry);
	return e ? -e->code : -E_UNAVAILABLE;
}

/* ---- manifests ---- */

static int get_whole(struct registry *r, const struct registry_target *t, struct arena *a, const char *kind,
		     const char *what, size_t max, struct http_response *ret, struct error *e)
{
	struct http_request req = {
		.url = target_url(t, a, kind, what), .tls = &t->tls, .follow_redirects = true, .max_response = max};

	if (streq(kind, "manifests"))
		req.headers[0] = "Accept: " OCI_ACCEPT_MANIFEST;
	int err = registry_do_authorized(r, t, &req, a, ret, e);

	if (err)
		return transport_error(t, e);
	return ret->status == 200 ? 0 : answer_error(t, a, kind, what, ret, e);
}

/* "sha256:<hex>" of data, in a. */
static char *digest_of(struct arena *a, const void *data, size_t len)
{
	char hex[SHA256_HEX_MAX];

	sha256_hex(data, len, hex);
	return arena_printf(a, "sha256:%s", hex);
}

/* Reads one manifest or index and verifies it: against `what` when that is a digest, else against what the registry
 * itself says. */
static int get_document(struct registry *r, const struct registry_target *t, struct arena *a, const char *what,
			struct http_response *ret, char **ret_digest, struct error *e)
{
	int err = get_whole(r, t, a, "manifests", what, OCI_MANIFEST_MAX, ret, e);

	if (err)
		return err;
	char *digest = digest_of(a, ret->body, ret->body_len);
	const char *claimed = str_starts(what, "sha256:") ? what : http_response_header(ret, "Docker-Content-Digest");

	if (claimed && str_starts(claimed, "sha256:") && !streq(claimed, digest))
		return error_set(e, E_INVALID, "digest mismatch: the manifest should be %s and is %s", claimed, digest);
	*ret_digest = digest;
	return 0;
}

static int get_manifest(struct registry *r, const struct registry_target *t, struct arena *a, struct oci_image *ret,
			struct error *e)
{
	struct oci_descriptor child = {.digest = t->ref.digest ? t->ref.digest : t->ref.tag, .size = -1};

	for (int depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
		struct http_response res;
		struct oci_image image;
		enum oci_document kind;
		char *digest = NULL;
		int err = get_document(r, t, a, child.digest, &res, &digest, e);

		if (err)
			return err;
		if (child.size >= 0 && (int64_t)res.body_len != child.size)
			return error_set(e, E_INVALID, "manifest %s has %zu bytes, its index says %lld", digest,
					 res.body_len, (long long)child.size);
		err = oci_document_parse(a, res.content_type, res.body, res.body_len, &kind, &child, &image, e);
		if (err)
			return err;
		if (kind == OCI_MANIFEST) {
			image.digest = digest;
			*ret = image;
			return 0;
		}
	}
	return error_set(e, E_INVALID, "the image's index leads through %d indexes without reaching a manifest",
			 INDEX_DEPTH_MAX);
}

static int get_config(struct registry *r, const struct registry_target *t, struct arena *a, struct oci_image *image,
		      struct error *e)
{
	const struct oci_descriptor *d = &image->config_blob;
	struct http_response res;
	int err = get_whole(r, t, a, "blobs", d->digest, (size_t)d->size, &res, e);

	if (err && e && e->code == E_TOO_LARGE)
		return error_set(e, E_INVALID,
				 "the image's configuration is larger than the %lld bytes its manifest declares",
				 (long long)d->size);
	if (err)
		return err;
	const char *digest = digest_of(a, res.body, res.body_len);

	if (!streq(digest, d->digest) || (int64_t)res.body_len != d->size)
		return error_set(e, E_INVALID,
				 "digest mismatch: the image's configuration should be %s with %lld bytes and is %s",
				 d->digest, (long long)d->size, digest);
	return oci_config_parse(a, res.body, res.body_len, image, e);
}

static int resolve(struct registry *r, const struct registry_target *t, struct arena *a, struct oci_image *ret,
		   struct error *e)
{
	struct oci_image image;
	int err = get_manifest(r, t, a, &image, e);

	if (!err)
		err = get_config(r, t, a, &image, e);
	if (err)
		return err;
	image.reference = arena_printf(a, "%s/%s@%s", t->ref.registry, t->ref.repository, image.digest);
	*ret = image;
	return 0;
}

int registry_resolve_as(struct registry *r, const char *reference, const struct registry_credentials *cred,
			int64_t deadline_ms, struct arena *a, struct oci_image *ret, struct error *e)
{
	struct error own;
	struct registry_target t;

	e = e ? e : &own;
	int err = target_open(r, reference, cred, deadline_ms, a, &t, e);

	if (!err) {
		err = resolve(r, &t, a, ret, e);
		if (err)
			error_prefix(e, "%s", oci_reference_format(a, &t.ref));
	}
	target_close(r, &t);
	return err;
}

/* ---- blobs ---- */

static int read_blob(struct registry *r, const struct registry_target *t, struct arena *a, const char *digest,
		     int64_t offset, registry_sink *sink, void *user, bool *ret_restarted, struct error *e)
{
	struct http_request req = {.url = target_url(t, a, "blobs", digest),
				   .tls = &t->tls,
				   .follow_redirects = true,
				   .stall_timeout_ms = STALL_MS,
				   .max_response = 65536,
				   .sink = sink,
				   .sink_user = user};
	struct http_response res;

	if (offset > 0)
		req.headers[0] = arena_printf(a, "Range: bytes=%lld-", (long long)offset);
	int err = registry_do_authorized(r, t, &req, a, &res, e);

	if (err)
		return transport_error(t, e);
	if (res.status != 200 && res.status != 206 && res.status != 416)
		return answer_error(t, a, "blobs", digest, &res, e);
	*ret_restarted = offset > 0 && res.status != 206;
	return 0;
}

int registry_read_blob(struct registry *r, const char *reference, const struct registry_credentials *cred,
		       const char *digest, int64_t offset, registry_sink *sink, void *user, bool *ret_restarted,
		       struct error *e)
{
	_arena_ a = arena_new();
	struct registry_target t;
	struct error own;

	e = e ? e : &own;
	int err = target_open(r, reference, cred, 0, a, &t, e);

	if (!err)
		err = read_blob(r, &t, a, digest, offset, sink, user, ret_restarted, e);
	target_close(r, &t);
	return err;
}
