/*
 * auth.h - who is calling, and may they: the two functions every request passes through.
 *
 * Credentials are bearer tokens from a file (lines `token,user,uid,"group1,group2"`; only SHA-256 of each is kept in
 * memory) and client certificates (common name = user, organisations = groups), which the TLS layer has already checked
 * against the CA. The token file is read again when it changes. Rights are a static table in auth_rules.c.
 *
 * Thread-safe. Used by server.c.
 */
#ifndef BERTH_APISERVER_AUTH_H
#define BERTH_APISERVER_AUTH_H

#include "lib/arena.h"
#include "lib/error.h"
#include "lib/httpd.h"

#define AUTH_GROUPS_MAX 16
#define AUTH_ANONYMOUS "system:anonymous"
#define AUTH_MASTERS "system:masters"
#define AUTH_NODES "system:nodes"

struct identity {
	const char *user, *uid;
	const char *groups[AUTH_GROUPS_MAX]; /* without system:authenticated, which everybody but anonymous has */
	size_t group_count;
};

/* What is about to be done. Strings are "" when they do not apply. */
struct access {
	const char *verb; /* get list watch create update patch delete deletecollection */
	const char *group, *resource, *subresource, *ns, *name;
	const char *path; /* for what is not a resource, else NULL */
};

struct auth;
/* token_file may be NULL. Errors: E_IO, E_BAD_REQUEST naming the line. */
int auth_open(const char *token_file, struct auth **ret, struct error *e);
void auth_close(struct auth *a); /* NULL-safe */
/* Reads the token file again if it has changed. */
void auth_refresh(struct auth *a);

/* E_UNAUTHORIZED for credentials that are not valid; no credentials at all are AUTH_ANONYMOUS. Strings are in the
 * request's arena. */
int authenticate(struct auth *a, const struct httpd_request *r, struct arena *arena, struct identity *ret,
		 struct error *e);
bool authorize(const struct identity *who, const struct access *what);
bool auth_in_group(const struct identity *who, const char *group);

/* One line of a token file, for auth.c and its tests. False for a malformed line. */
bool auth_parse_line(struct arena *a, const char *line, char **ret_token, struct identity *ret);

#endif
