/*
 * auth.h - who is calling, and may they: the functions every request passes through.
 *
 * Credentials are bearer tokens from a file (lines `token,user,uid,"group1,group2"`; only SHA-256 of each is kept in
 * memory), tokens of ServiceAccounts (auth_token.c) and client certificates (common name = user, organisations =
 * groups), which the TLS layer has already checked against the CA. The token file is read again when it changes.
 *
 * Rights: system:masters may everything; everybody else what RBAC says (rbac.h); a node, of that, only what concerns
 * itself (auth_node.h).
 *
 * Thread-safe. Used by handler.c, the write path and the reviews.
 */
#ifndef BERTH_APISERVER_AUTH_H
#define BERTH_APISERVER_AUTH_H

#include "lib/arena.h"
#include "lib/error.h"
#include "lib/httpd.h"

#define AUTH_GROUPS_MAX 32
#define AUTH_GROUPS_GIVEN_MAX 28 /* by a credential; the rest is for those that come with the name */
#define AUTH_ANONYMOUS "system:anonymous"
#define AUTH_MASTERS "system:masters"
#define AUTH_NODES "system:nodes"
#define AUTH_GATEWAYS "berth:gateways" /* what every user berth-gateway:<name> belongs to */
#define AUTH_AUTHENTICATED "system:authenticated"
#define AUTH_UNAUTHENTICATED "system:unauthenticated"
#define AUTH_SERVICE_ACCOUNT "system:serviceaccount:" /* + namespace:name */
#define AUTH_SERVICE_ACCOUNTS "system:serviceaccounts"

struct identity {
	const char *user, *uid;
	const char *groups[AUTH_GROUPS_MAX]; /* with those that come with the name, once identity_complete() ran */
	size_t group_count;
};

/* What is about to be done. Strings are "" when they do not apply. */
struct access {
	const char *verb; /* get list watch create update patch delete deletecollection, … */
	const char *group, *resource, *subresource, *ns, *name;
	const char *fields; /* the fieldSelector of a list or watch, as sent; "" or NULL: none */
	const char *path;   /* for what is not a resource, else NULL */
};

struct cache;
struct kind;
struct json;
struct rbac;
struct account_tokens;
struct auth;

/* token_file may be NULL; key_file too: service account tokens then end with the process. The cache must outlive it.
 * Errors: E_IO, E_BAD_REQUEST naming the line. */
int auth_open(const char *token_file, const char *key_file, struct cache *cache, struct auth **ret, struct error *e);
void auth_close(struct auth *a); /* NULL-safe */
/* Reads the token file again if it has changed. */
void auth_refresh(struct auth *a);
struct rbac *auth_rbac(struct auth *a);
struct account_tokens *auth_accounts(struct auth *a);

/* E_UNAUTHORIZED for credentials that are not valid; no credentials at all are AUTH_ANONYMOUS. Strings are in the
 * request's arena. The user named by Impersonate-… headers is put in its place, or E_FORBIDDEN. */
int authenticate(struct auth *a, const struct httpd_request *r, struct arena *arena, struct identity *ret,
		 struct error *e);
/* Whom a bearer token belongs to; E_UNAUTHORIZED. */
int auth_bearer(struct auth *a, const char *token, struct arena *arena, struct identity *ret, struct error *e);
/* Adds the groups that come with the name. */
void identity_complete(struct arena *a, struct identity *who);
bool identity_add_group(struct identity *who, const char *group);
bool identity_in_group(const struct identity *who, const char *group);

bool authorize(struct auth *a, const struct identity *who, const struct access *what);
/* E_FORBIDDEN, or for anonymous callers E_UNAUTHORIZED, in Kubernetes' words. */
int auth_check(struct auth *a, const struct identity *who, const struct access *what, struct error *e);
/* What depends on the object and not only on its name: a node writes only its own, nobody gives rights that are not
 * theirs. live is NULL for a new object. */
int auth_check_write(struct auth *a, const struct identity *who, const struct kind *k, const char *sub,
		     struct arena *arena, const struct json *live, const struct json *next, struct error *e);

/* One line of a token file, for auth.c and its tests. False for a malformed line. */
bool auth_parse_line(struct arena *a, const char *line, char **ret_token, struct identity *ret);

#endif
