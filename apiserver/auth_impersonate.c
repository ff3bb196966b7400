/*
 * auth_impersonate.c - acting as somebody else, for who has the verb `impersonate` on that user and each group; see
 * auth_private.h.
 *
 * Source: k8s.io/apiserver pkg/endpoints/filters/impersonation.go. Extra fields of a user are not known here: naming
 * one is refused, as what is ignored would not be what was asked for.
 */
#include "apiserver/auth_private.h"

#define PREFIX "Impersonate-"

static int check(struct auth *a, const struct identity *who, const char *group, const char *resource, const char *ns,
		 const char *name, struct error *e)
{
	const struct access what = {
		.verb = "impersonate", .group = group, .resource = resource, .subresource = "", .ns = ns, .name = name};

	return auth_check(a, who, &what, e);
}

static int check_user(struct auth *a, const struct identity *who, struct arena *arena, const char *user,
		      struct error *e)
{
	bool is_account = str_starts(user, AUTH_SERVICE_ACCOUNT);
	const char *account = is_account ? user + strlen(AUTH_SERVICE_ACCOUNT) : "";

	if (!strchr(account, ':'))
		return check(a, who, "", "users", "", user, e);
	size_t n = strcspn(account, ":");
	return check(a, who, "", "serviceaccounts", arena_strndup(arena, account, n), account + n + 1, e);
}

/* One header into the new identity. */
static int take(struct auth *a, const struct identity *who, struct arena *arena, const char *name, const char *value,
		struct identity *next, struct error *e)
{
	const char *copy = arena_strdup(arena, value);
	int code;

	if (strcasecmp(name, PREFIX "User") == 0) {
		next->user = copy;
		return check_user(a, who, arena, copy, e);
	}
	if (strcasecmp(name, PREFIX "Uid") == 0) {
		next->uid = copy;
		return check(a, who, "authentication.k8s.io", "uids", "", copy, e);
	}
	if (strcasecmp(name, PREFIX "Group") != 0)
		return error_set(e, E_FORBIDDEN, "impersonation of extra fields is not supported: leave %s out", name);
	if ((code = check(a, who, "", "groups", "", copy, e)) < 0)
		return code;
	if (next->group_count == AUTH_GROUPS_GIVEN_MAX)
		return error_set(e, E_BAD_REQUEST, "more than %d groups to impersonate", AUTH_GROUPS_GIVEN_MAX);
	identity_add_group(next, copy);
	return 0;
}

int impersonate(struct auth *a, const struct httpd_request *r, struct arena *arena, struct identity *who,
		struct error *e)
{
	struct identity next = {.user = "", .uid = ""};
	const char *name, *value;
	int code = 0;

	if (!httpd_header_n(r, PREFIX, 0, &name))
		return 0;
	for (size_t i = 0; code == 0 && (value = httpd_header_n(r, PREFIX, i, &name)); i++)
		code = take(a, who, arena, name, value, &next, e);
	if (code < 0)
		return code;
	if (!*next.user)
		return error_set(e, E_BAD_REQUEST,
				 "groups or a uid are impersonated without a user: send " PREFIX "User too");
	identity_complete(arena, &next);
	*who = next;
	return 0;
}
