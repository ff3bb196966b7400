/*
 * registry_internal.h - what the registry*.c files share: one request to one repository, authorised.
 *
 * Used by lib/registry*.c and their tests only.
 */
#ifndef BERTH_LIB_REGISTRY_INTERNAL_H
#define BERTH_LIB_REGISTRY_INTERNAL_H

#include "lib/http.h"
#include "lib/registry.h"
#include "lib/strmap.h"

#include <pthread.h>

#define REGISTRY_CLIENTS_KEPT 8
#define REGISTRY_TOKENS_KEPT 256
#define REGISTRY_TOKEN_MAX 16384

struct registry_token {
	char *text; /* NULL: the registry wants Basic */
	int64_t expires_ms;
};

struct registry {
	struct registry_options opt;

	pthread_mutex_t lock; /* of all below */
	struct http_client *clients[REGISTRY_CLIENTS_KEPT];
	size_t client_count;
	struct strmap *schemes; /* host of the insecure list → what it turned out to speak, "http" or "https" */
	struct strmap *tokens;	/* "host repository user" → struct registry_token; of ECR "ecr …" */
};

/* Where one call goes. */
struct registry_target {
	struct oci_reference ref;
	const char *host; /* registry, docker.io's real one */
	bool insecure, plain;
	const struct registry_credentials *cred;
	struct http_tls tls;
	struct http_client *client;
	int64_t deadline_ms; /* 0: none */
};

/* A challenge of WWW-Authenticate (RFC 9110 section 11.6.1). */
struct registry_challenge {
	bool basic, bearer;
	const char *realm, *service, *scope; /* of Bearer */
};
/* Takes the Bearer and Basic challenges out of a header's value; adds to *c. */
void registry_challenge_parse(struct arena *a, const char *header, struct registry_challenge *c);

/* Does the request with whatever authorisation the registry is known to want, and once more after a challenge. The
 * answer may have any status but 401. */
int registry_do_authorized(struct registry *r, const struct registry_target *t, struct http_request *req,
			   struct arena *a, struct http_response *ret, struct error *e);
/* Milliseconds left until the target's deadline; 0 when it has none. Errors: E_TIMEOUT. */
int registry_time_left(const struct registry_target *t, int64_t *ret, struct error *e);
/* registry_resolve() with one set of credentials, NULL for none. */
int registry_resolve_as(struct registry *r, const char *reference, const struct registry_credentials *cred,
			int64_t deadline_ms, struct arena *a, struct oci_image *ret, struct error *e);
/* How TLS is done with a host ("registry.example.com:5000"). */
struct http_tls registry_tls(const struct registry *r, struct arena *a, const char *host);

void registry_token_free(struct registry_token *t);
/* False when nothing is known. *ret_text: NULL for Basic. */
bool registry_token_get(struct registry *r, const char *key, struct arena *a, char **ret_text);
void registry_token_put(struct registry *r, const char *key, const char *text, int64_t life_ms);

struct http_client *registry_client_take(struct registry *r);
void registry_client_give_back(struct registry *r, struct http_client *c);

/* registry_ecr.c: the user name and password that an AWS access key stands for at a registry of ECR. fresh: what is
 * kept was refused. Errors: E_UNAUTHORIZED and E_FORBIDDEN naming the Secret, E_UNAVAILABLE, E_TIMEOUT, E_IO. */
int registry_ecr_login(struct registry *r, const char *host, const struct registry_key *key, bool fresh,
		       int64_t deadline_ms, struct arena *a, struct registry_credentials *ret, struct error *e);
/* The answer of GetAuthorizationToken; *ret_life_ms is counted from now_ms (time_now_ms()). Errors: E_UNAVAILABLE. */
int registry_ecr_parse_answer(struct arena *a, const char *text, size_t len, int64_t now_ms, char **ret_password,
			      int64_t *ret_life_ms, struct error *e);
/* Where that is asked of a registry. */
char *registry_ecr_url(struct arena *a, const struct registry_options *opt, const struct registry_ecr_host *host);

#endif
