/*
 * jwt.h - signed tokens: JSON Web Tokens with ES256, made with OpenSSL.
 *
 * Sources: RFC 7515 (compact serialization), RFC 7518 section 3.4 (ES256), RFC 7519. Only ES256 is ever taken, whatever
 * a token's header says. A key is read-only once opened: thread-safe. Used by auth.c.
 */
#ifndef BERTH_APISERVER_JWT_H
#define BERTH_APISERVER_JWT_H

#include "lib/json.h"

#define JWT_MAX 16384

struct jwt_key;
/* The private key in a PEM file, which is made when it is missing; NULL: one that lives as long as the process. */
int jwt_key_open(const char *path, struct jwt_key **ret, struct error *e);
void jwt_key_free(struct jwt_key *k); /* NULL-safe */
int jwt_sign(const struct jwt_key *k, struct arena *a, const struct json *claims, char **ret, struct error *e);
/* The claims of a token signed with this key; what they say is the caller's to check. E_UNAUTHORIZED. */
int jwt_verify(const struct jwt_key *k, struct arena *a, const char *token, struct json **ret_claims, struct error *e);

#endif
