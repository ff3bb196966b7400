/*
 * registry_internal.h - what registry.c and registry_auth.c share: one request to one repository, authorised.
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
	char **insecure;
	size_t insecure_count;
	char *ca_file;

	pthread_mutex_t lock; /* of all below */
	struct http_client *clients[REGISTRY_CLIENTS_KEPT];
	size_t client_count;
	struct strmap *schemes; /* host of the insecure list → what it turned out to speak, "http" or "https" */
	struct strmap *tokens;	/* "host repository user" → struct registry_token */
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
void registry_token_free(struct registry_token *t);

#endif
