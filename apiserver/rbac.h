/*
 * rbac.h - role-based access control: Roles, ClusterRoles and their bindings, ready to be asked.
 *
 * An index kept current from the watch cache: each version of an object is read once, and the index is put together
 * anew, by whoever asks first, when one of the four kinds has changed. So a write is in force for every request that
 * begins after its answer, and a request costs a few hash lookups. Rules of a ClusterRole with an aggregationRule are
 * those its selectors find, whatever its stored rules say.
 *
 * Source: k8s.io/kubernetes pkg/registry/rbac/validation (semantics of rules, and of covering).
 * Thread-safe. Used by auth.c and the write path.
 */
#ifndef BERTH_APISERVER_RBAC_H
#define BERTH_APISERVER_RBAC_H

#include "apiserver/auth.h"
#include "lib/json.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"
#define RBAC_COVER_STEPS_MAX 1000000 /* single comparisons of one check; what needs more is refused */

/* Lists are NULL-terminated and never NULL. */
struct rbac_rule {
	const char *const *verbs, *const *groups, *const *resources, *const *names, *const *urls;
};
struct rbac_rules {
	const struct rbac_rule **items;
	size_t count;
};

/* ---- pure ---- */
/* Of a list as in a Role's `rules`; everything is in a, nothing stays in the tree. */
void rbac_rules_parse(struct arena *a, const struct json *list, struct rbac_rules *ret);
bool rbac_rule_allows(const struct rbac_rule *r, const struct access *what);
/* Everything that `rule` allows is allowed by `held` too. Otherwise *ret_missing says, in a, what is not. *steps counts
 * on from call to call of one check: beyond RBAC_COVER_STEPS_MAX nothing is covered any more. */
bool rbac_covers(struct arena *a, const struct rbac_rules *held, const struct rbac_rule *rule, size_t *steps,
		 char **ret_missing);
/* "{APIGroups:[""], Resources:["pods"], Verbs:["get"]}" */
char *rbac_rule_text(struct arena *a, const struct rbac_rule *r);
/* As in a Role's `rules`. */
struct json *rbac_rule_json(struct arena *a, const struct rbac_rule *r);
/* The selector of a LabelSelector object as text. */
char *rbac_selector_text(struct arena *a, const struct json *selector);

/* ---- the index ---- */
struct rbac;
struct rbac *rbac_new(struct cache *c); /* the cache must outlive it */
void rbac_free(struct rbac *r);		/* NULL-safe */
bool rbac_allows(struct rbac *r, const struct identity *who, const struct access *what);
/* All rules that hold for somebody in a namespace, "" for those that hold everywhere; copied into a. */
void rbac_rules_of(struct rbac *r, const struct identity *who, const char *ns, struct arena *a, struct rbac_rules *ret);
/* The rules of a role, copied into a; ns "" for a ClusterRole. False when there is no such role. */
bool rbac_role_rules(struct rbac *r, const char *ns, const char *name, struct arena *a, struct rbac_rules *ret);

#endif
