/*
 * auth_authorize.c - may they: the order in which rights are looked up, and the words of a refusal; see auth.h.
 */
#include "apiserver/auth_private.h"
#include "apiserver/rbac.h"

bool identity_in_group(const struct identity *who, const char *group)
{
	for (size_t i = 0; i < who->group_count; i++)
		if (streq(who->groups[i], group))
			return true;
	return false;
}

bool identity_add_group(struct identity *who, const char *group)
{
	if (identity_in_group(who, group))
		return true;
	if (who->group_count == AUTH_GROUPS_MAX)
		return false;
	who->groups[who->group_count++] = group;
	return true;
}

void identity_complete(struct arena *a, struct identity *who)
{
	bool is_account = str_starts(who->user, AUTH_SERVICE_ACCOUNT);
	const char *account = is_account ? who->user + strlen(AUTH_SERVICE_ACCOUNT) : "";

	if (strchr(account, ':')) {
		identity_add_group(who, AUTH_SERVICE_ACCOUNTS);
		identity_add_group(who,
				   arena_printf(a, AUTH_SERVICE_ACCOUNTS ":%.*s", (int)strcspn(account, ":"), account));
	}
	if (str_starts(who->user, "berth-gateway:"))
		identity_add_group(who, AUTH_GATEWAYS);
	identity_add_group(who, streq(who->user, AUTH_ANONYMOUS) ? AUTH_UNAUTHENTICATED : AUTH_AUTHENTICATED);
}

struct rbac *auth_rbac(struct auth *a)
{
	return a->rbac;
}

struct account_tokens *auth_accounts(struct auth *a)
{
	return a->accounts;
}

bool authorize(struct auth *a, const struct identity *who, const struct access *what)
{
	if (identity_in_group(who, AUTH_MASTERS))
		return true;
	return rbac_allows(a->rbac, who, what) &&
	       (!identity_in_group(who, AUTH_NODES) || node_allows(a->cache, who, what));
}

int auth_check(struct auth *a, const struct identity *who, const struct access *what, struct error *e)
{
	if (authorize(a, who, what))
		return 0;
	if (streq(who->user, AUTH_ANONYMOUS))
		return error_set(e, E_UNAUTHORIZED, "Unauthorized");
	if (what->path)
		return error_set(e, E_FORBIDDEN, "forbidden: User \"%s\" cannot %s path \"%s\"", who->user, what->verb,
				 what->path);
	return error_set(
		e, E_FORBIDDEN,
		"%s%s%s%s%s%s is forbidden: User \"%s\" cannot %s resource \"%s%s%s\" in API group \"%s\" %s%s%s",
		what->resource, *what->group ? "." : "", what->group, *what->name ? " \"" : "", what->name,
		*what->name ? "\"" : "", who->user, what->verb, what->resource, *what->subresource ? "/" : "",
		what->subresource, what->group, *what->ns ? "in the namespace \"" : "at the cluster scope", what->ns,
		*what->ns ? "\"" : "");
}

int auth_check_write(struct auth *a, const struct identity *who, const struct kind *k, const char *sub,
		     struct arena *arena, const struct json *live, const struct json *next, struct error *e)
{
	if (identity_in_group(who, AUTH_MASTERS))
		return 0;
	if (identity_in_group(who, AUTH_NODES))
		return node_check_write(who, k, sub, arena, live, next, e);
	return streq(k->group, RBAC_GROUP) ? escalation_check(a, who, k, arena, live, next, e) : 0;
}
