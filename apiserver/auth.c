/*
 * auth.c - authentication by token file and client certificate; see auth.h.
 *
 * Locking: one read-write lock around the token table, which is replaced as a whole.
 */
#include "apiserver/auth_private.h"
#include "apiserver/rbac.h"
#include "lib/codec.h"
#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/strmap.h"
#include <sys/stat.h>

#define TOKEN_FILE_MAX (1U << 20)

/* ---- the file ---- */

/* One CSV field at *p, which moves behind its comma. */
static char *csv_field(struct arena *a, const char **p)
{
	const char *s = *p;
	bool quoted = *s == '"';

	s += quoted;
	size_t n = strcspn(s, quoted ? "\"" : ",");
	char *field = arena_strndup(a, s, n);
	s += n;
	if (quoted && *s == '"')
		s++;
	*p = *s == ',' ? s + 1 : s;
	return field;
}

bool auth_parse_line(struct arena *a, const char *line, char **ret_token, struct identity *ret)
{
	const char *p = line;
	char *token = csv_field(a, &p);
	const char *user = csv_field(a, &p), *uid = csv_field(a, &p);
	char *groups = csv_field(a, &p), *save = NULL;

	if (!*token || !*user || *p)
		return false;
	*ret = (struct identity){.user = user, .uid = uid};
	for (char *g = strtok_r(groups, ",", &save); g; g = strtok_r(NULL, ",", &save)) {
		if (ret->group_count == AUTH_GROUPS_GIVEN_MAX)
			return false;
		ret->groups[ret->group_count++] = g;
	}
	*ret_token = token;
	return true;
}

static void tokens_free(struct tokens *t)
{
	strmap_free(t->by_hash);
	arena_free(t->arena);
}

static int tokens_read(const char *path, struct tokens *ret, struct error *e)
{
	_buf_ text = BUF_INIT(TOKEN_FILE_MAX);
	struct tokens t = {.arena = arena_new(), .by_hash = strmap_new()};
	char *save = NULL, hash[SHA256_HEX_MAX];
	int line_number = 0;
	int code = file_read(path, &text, e);

	for (char *line = code < 0 || !text.data ? NULL : strtok_r(text.data, "\n", &save); line && code == 0;
	     line = strtok_r(NULL, "\n", &save)) {
		struct identity *who = arena_calloc(t.arena, sizeof(*who));
		char *token;
		line_number++;
		if (*line == '#')
			continue;
		if (!auth_parse_line(t.arena, line, &token, who)) {
			code = error_set(e, E_BAD_REQUEST, "%s: line %d is not token,user,uid,\"group1,group2\"", path,
					 line_number);
			continue;
		}
		sha256_hex(token, strlen(token), hash);
		explicit_bzero(token, strlen(token));
		strmap_put(t.by_hash, hash, who);
	}
	if (text.data)
		explicit_bzero(text.data, text.cap);
	if (code < 0) {
		tokens_free(&t);
		return code;
	}
	*ret = t;
	return 0;
}

static bool file_changed(const struct auth *a, struct stat *ret)
{
	return stat(a->path, ret) == 0 && (ret->st_size != a->read_size || ret->st_mtim.tv_sec != a->read_at.tv_sec ||
					   ret->st_mtim.tv_nsec != a->read_at.tv_nsec);
}

void auth_refresh(struct auth *a)
{
	struct tokens fresh;
	struct stat st;
	struct error e;

	if (!a->path || !file_changed(a, &st))
		return;
	if (tokens_read(a->path, &fresh, &e) < 0) {
		log_error("token file not read again, the tokens known stay valid", "error", e.text, NULL);
		return;
	}
	pthread_rwlock_wrlock(&a->lock);
	struct tokens old = a->tokens;
	a->tokens = fresh;
	a->read_at = st.st_mtim;
	a->read_size = st.st_size;
	pthread_rwlock_unlock(&a->lock);
	tokens_free(&old);
	log_info("token file read", "tokens", log_num((int64_t)strmap_count(fresh.by_hash)), NULL);
}

int auth_open(const char *token_file, const char *key_file, struct cache *cache, struct auth **ret, struct error *e)
{
	struct account_tokens *accounts;
	struct tokens t = {0};
	struct stat st = {0};

	if (token_file) {
		if (stat(token_file, &st) < 0)
			st.st_size = -1;
		if (tokens_read(token_file, &t, e) < 0)
			return error_prefix(e, "token file");
	}
	int code = account_tokens_open(key_file, cache, &accounts, e);
	if (code < 0) {
		tokens_free(&t);
		return code;
	}
	struct auth *a = xcalloc(1, sizeof(*a));
	a->cache = cache;
	a->rbac = rbac_new(cache);
	a->accounts = accounts;
	a->path = token_file ? xstrdup(token_file) : NULL;
	a->tokens = t;
	a->read_at = st.st_mtim;
	a->read_size = st.st_size;
	pthread_rwlock_init(&a->lock, NULL);
	*ret = a;
	return 0;
}

void auth_close(struct auth *a)
{
	if (!a)
		return;
	tokens_free(&a->tokens);
	account_tokens_close(a->accounts);
	rbac_free(a->rbac);
	pthread_rwlock_destroy(&a->lock);
	free((char *)a->path);
	free(a);
}

/* ---- a request ---- */

static void identity_copy(struct arena *a, const struct identity *from, struct identity *ret)
{
	*ret = (struct identity){.user = arena_strdup(a, from->user), .uid = arena_strdup(a, from->uid)};
	for (size_t i = 0; i < from->group_count; i++)
		ret->groups[ret->group_count++] = arena_strdup(a, from->groups[i]);
}

static bool token_lookup(struct auth *a, const char *token, struct arena *arena, struct identity *ret)
{
	char hash[SHA256_HEX_MAX];

	sha256_hex(token, strlen(token), hash);
	pthread_rwlock_rdlock(&a->lock);
	const struct identity *who = a->tokens.by_hash ? strmap_get(a->tokens.by_hash, hash) : NULL;
	if (who)
		identity_copy(arena, who, ret);
	pthread_rwlock_unlock(&a->lock);
	return who != NULL;
}

int auth_bearer(struct auth *a, const char *token, struct arena *arena, struct identity *ret, struct error *e)
{
	if (!token_lookup(a, token, arena, ret) && account_token_check(a->accounts, token, arena, ret, NULL) < 0)
		return error_set(e, E_UNAUTHORIZED, "Unauthorized");
	identity_complete(arena, ret);
	return 0;
}

static void certificate_identity(const struct httpd_request *r, struct arena *arena, struct identity *ret)
{
	const char *cn = httpd_peer_cn(r), *org;

	*ret = (struct identity){.user = AUTH_ANONYMOUS, .uid = ""};
	if (cn) {
		ret->user = arena_strdup(arena, cn);
		while (ret->group_count < AUTH_GROUPS_GIVEN_MAX && (org = httpd_peer_org(r, ret->group_count)))
			ret->groups[ret->group_count++] = arena_strdup(arena, org);
	}
	identity_complete(arena, ret);
}

int authenticate(struct auth *a, const struct httpd_request *r, struct arena *arena, struct identity *ret,
		 struct error *e)
{
	const char *header = httpd_header(r, "Authorization");
	int code = 0;

	if (header) {
		const char *token = header + strcspn(header, " ");
		token += strspn(token, " ");
		if (strncasecmp(header, "Bearer ", 7) != 0 || !*token)
			return error_set(e, E_UNAUTHORIZED, "Unauthorized");
		code = auth_bearer(a, token, arena, ret, e);
	} else {
		certificate_identity(r, arena, ret);
	}
	return code < 0 ? code : impersonate(a, r, arena, ret, e);
}
