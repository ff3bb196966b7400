/*
 * auth_private.h - what the auth_*.c files share; nobody else includes it.
 */
#ifndef BERTH_APISERVER_AUTH_PRIVATE_H
#define BERTH_APISERVER_AUTH_PRIVATE_H

#include "apiserver/auth.h"
#include "apiserver/auth_token.h"
#include "apiserver/cache.h"
#include <pthread.h>

struct tokens {
	struct arena *arena;
	struct strmap *by_hash; /* SHA-256 in hex → struct identity */
};

struct auth {
	struct cache *cache;
	struct rbac *rbac;
	struct account_tokens *accounts;
	const char *path; /* NULL: no tokens */
	pthread_rwlock_t lock;
	struct tokens tokens;
	struct timespec read_at; /* the file's modification time */
	off_t read_size;
};

/* auth_impersonate.c: whom the Impersonate-… headers name, if any, in place of *who. E_FORBIDDEN, E_BAD_REQUEST. */
int impersonate(struct auth *a, const struct httpd_request *r, struct arena *arena, struct identity *who,
		struct error *e);
/* auth_escalation.c: nobody gives rights that are not theirs. */
int escalation_check(struct auth *a, const struct identity *who, const struct kind *k, struct arena *arena,
		     const struct json *live, const struct json *next, struct error *e);
/* auth_node.c: of what RBAC gives to nodes, only what concerns this one. */
bool node_allows(struct cache *c, const struct identity *who, const struct access *what);
int node_check_write(const struct identity *who, const struct kind *k, const char *sub, struct arena *arena,
		     const struct json *live, const struct json *next, struct error *e);

#endif
