/*
 * auth_token.c - see auth_token.h. `lock` guards the tokens known, which are forgotten together when they are too many.
 */
#include "apiserver/auth_token.h"
#include "apiserver/cache.h"
#include "apiserver/jwt.h"
#include "lib/codec.h"
#include "lib/strmap.h"
#include "lib/units.h"
#include <pthread.h>

/* What a good signature proved. */
struct known {
	const char *ns, *name, *uid;
	int64_t not_before, expires; /* seconds */
};

struct account_tokens {
	struct jwt_key *key;
	struct cache *cache;
	pthread_mutex_t lock;
	struct arena *arena;
	struct strmap *by_hash; /* SHA-256 in hex → struct known */
};

int account_tokens_open(const char *key_file, struct cache *c, struct account_tokens **ret, struct error *e)
{
	struct jwt_key *key;
	int code = jwt_key_open(key_file, &key, e);

	if (code < 0)
		return code;
	struct account_tokens *t = xcalloc(1, sizeof(*t));
	t->key = key;
	t->cache = c;
	pthread_mutex_init(&t->lock, NULL);
	t->arena = arena_new();
	t->by_hash = strmap_new();
	*ret = t;
	return 0;
}

void account_tokens_close(struct account_tokens *t)
{
	if (!t)
		return;
	jwt_key_free(t->key);
	strmap_free(t->by_hash);
	arena_free(t->arena);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

int account_token_issue(struct account_tokens *t, struct arena *a, const struct account_token_request *r, char **ret,
			struct error *e)
{
	struct json *claims = json_object(a), *about, *account;
	char jti[UUID_TEXT_MAX];

	uuid_generate_text(jti);
	json_set_str(a, claims, "iss", ACCOUNT_TOKEN_AUDIENCE);
	json_set_str(a, claims, "sub", arena_printf(a, AUTH_SERVICE_ACCOUNT "%s:%s", r->ns, r->name));
	if (json_count(r->audiences))
		json_set(a, claims, "aud", json_clone(a, r->audiences));
	else
		json_append(a, json_ensure_array(a, claims, "aud"), json_string(a, ACCOUNT_TOKEN_AUDIENCE));
	json_set_int(a, claims, "exp", r->now_ms / 1000 + r->seconds);
	json_set_int(a, claims, "iat", r->now_ms / 1000);
	json_set_int(a, claims, "nbf", r->now_ms / 1000);
	json_set_str(a, claims, "jti", jti);
	about = json_ensure_object(a, claims, "kubernetes.io");
	json_set_str(a, about, "namespace", r->ns);
	account = json_ensure_object(a, about, "serviceaccount");
	json_set_str(a, account, "name", r->name);
	json_set_str(a, account, "uid", r->uid);
	return jwt_sign(t->key, a, claims, ret, e);
}

static bool is_for_us(const struct json *claims)
{
	const struct json *audiences = json_get(claims, "aud");

	for (size_t i = 0; i < json_count(audiences); i++)
		if (streq(json_str(json_item(audiences, i)), ACCOUNT_TOKEN_AUDIENCE))
			return true;
	return false;
}

/* The signature and everything that cannot change. */
static int verify(struct account_tokens *t, const char *token, struct arena *a, struct known *ret, struct error *e)
{
	struct json *claims;
	int code = jwt_verify(t->key, a, token, &claims, e);

	if (code < 0)
		return code;
	const struct json *about = json_get(claims, "kubernetes.io"), *account = json_get(about, "serviceaccount");
	*ret = (struct known){.ns = json_str_or(json_get(about, "namespace"), ""),
			      .name = json_str_or(json_get(account, "name"), ""),
			      .uid = json_str_or(json_get(account, "uid"), ""),
			      .not_before = json_int_or(json_get(claims, "nbf"), INT64_MAX),
			      .expires = json_int_or(json_get(claims, "exp"), 0)};
	if (!is_for_us(claims) || !streq(json_str(json_get(claims, "iss")), ACCOUNT_TOKEN_AUDIENCE))
		return error_set(e, E_UNAUTHORIZED, "the token is for another audience");
	return 0;
}

static void copy_known(struct arena *a, const struct known *from, struct known *ret)
{
	*ret = *from;
	ret->ns = arena_strdup(a, from->ns);
	ret->name = arena_strdup(a, from->name);
	ret->uid = arena_strdup(a, from->uid);
}

static void remember(struct account_tokens *t, const char *hash, const struct known *k)
{
	pthread_mutex_lock(&t->lock);
	if (strmap_count(t->by_hash) >= ACCOUNT_TOKENS_KNOWN_MAX) {
		strmap_free(t->by_hash);
		arena_free(t->arena);
		t->by_hash = strmap_new();
		t->arena = arena_new();
	}
	struct known *copy = arena_calloc(t->arena, sizeof(*copy));
	copy_known(t->arena, k, copy);
	strmap_put(t->by_hash, hash, copy);
	pthread_mutex_unlock(&t->lock);
}

static bool recall(struct account_tokens *t, const char *hash, struct arena *a, struct known *ret)
{
	pthread_mutex_lock(&t->lock);
	const struct known *k = strmap_get(t->by_hash, hash);
	if (k)
		copy_known(a, k, ret);
	pthread_mutex_unlock(&t->lock);
	return k != NULL;
}

int account_token_check(struct account_tokens *t, const char *token, struct arena *a, struct identity *ret,
			struct error *e)
{
	const struct kind *accounts = kind_find("", "v1", "serviceaccounts");
	int64_t now = time_now_ms() / 1000;
	char hash[SHA256_HEX_MAX];
	struct known k;
	int code;

	sha256_hex(token, strlen(token), hash);
	if (!recall(t, hash, a, &k)) {
		if ((code = verify(t, token, a, &k, e)) < 0)
			return code;
		remember(t, hash, &k);
	}
	if (now < k.not_before || now >= k.expires)
		return error_set(e, E_UNAUTHORIZED, "the token has expired");
	_object_ account = cache_get(t->cache, accounts, object_key(a, accounts, k.ns, k.name));
	if (!account || account->terminating || !streq(account->uid, k.uid))
		return error_set(e, E_UNAUTHORIZED, "the service account of the token is gone");
	*ret = (struct identity){.user = arena_printf(a, AUTH_SERVICE_ACCOUNT "%s:%s", k.ns, k.name), .uid = k.uid};
	return 0;
}
