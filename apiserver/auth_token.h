/*
 * auth_token.h - tokens of ServiceAccounts: made on request, bound to the account's uid, and valid until they expire or
 * the account is gone.
 *
 * Claims as in Kubernetes: iss, sub, aud, exp, iat, nbf, jti and kubernetes.io{namespace, serviceaccount{name, uid}}.
 * A token that was verified is remembered by its SHA-256, so that its signature is checked once. Thread-safe.
 * Used by auth.c and review.c.
 */
#ifndef BERTH_APISERVER_AUTH_TOKEN_H
#define BERTH_APISERVER_AUTH_TOKEN_H

#include "apiserver/auth.h"

#define ACCOUNT_TOKEN_AUDIENCE "https://berth.dev" /* also the issuer */
#define ACCOUNT_TOKEN_SECONDS_MIN 600
#define ACCOUNT_TOKEN_SECONDS_DEFAULT 3600
#define ACCOUNT_TOKEN_SECONDS_MAX (1LL << 32)
#define ACCOUNT_TOKENS_KNOWN_MAX 4096

struct account_tokens;
int account_tokens_open(const char *key_file, struct cache *c, struct account_tokens **ret, struct error *e);
void account_tokens_close(struct account_tokens *t); /* NULL-safe */

/* audiences: an array of texts, or NULL for ACCOUNT_TOKEN_AUDIENCE. */
struct account_token_request {
	const char *ns, *name, *uid;
	const struct json *audiences;
	int64_t now_ms, seconds;
};
int account_token_issue(struct account_tokens *t, struct arena *a, const struct account_token_request *r, char **ret,
			struct error *e);
/* E_UNAUTHORIZED: not ours, expired, for another audience, or its account is not there any more. */
int account_token_check(struct account_tokens *t, const char *token, struct arena *a, struct identity *ret,
			struct error *e);

#endif
