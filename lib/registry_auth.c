/*
 * registry_auth.c - how a registry is convinced: challenges, bearer tokens, basic authentication.
 *
 * Sources: RFC 9110 section 11, RFC 6750, and the token flow of github.com/distribution (docs/spec/auth/token.md).
 */
#include "lib/registry_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "lib/codec.h"
#include "lib/json.h"
#include "lib/units.h"

#define TOKEN_LIFE_DEFAULT_S 60 /* when the token server does not say */
#define TOKEN_LIFE_MAX_S 86400
#define TOKEN_MARGIN_MS 10000
#define TOKEN_ANSWER_MAX 65536

/* ---- challenges ---- */

static const char *skip(const char *s, const char *set)
{
	return s + strspn(s, set);
}

static size_t token_length(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || (s[n] && strchr("!#$%&'*+-.^_`|~", s[n])))
		n++;
	return n;
}

/* The value at s, quoted or not; *s is moved behind it. */
static char *challenge_value(struct arena *a, const char **s)
{
	const char *p = *s;
	char *out = arena_alloc(a, strlen(p) + 1);
	size_t n = 0;

	if (*p == '"') {
		for (p++; *p && *p != '"'; p++) {
			if (*p == '\\' && p[1])
				p++;
			out[n++] = *p;
		}
		p += *p == '"';
	} else {
		while (*p && !strchr(", \t", *p))
			out[n++] = *p++;
	}
	out[n] = '\0';
	*s = p;
	return out;
}

void registry_challenge_parse(struct arena *a, const char *header, struct registry_challenge *c)
{
	bool bearer = false;
	const char *s = skip(header, ", \t");

	while (*s) {
		size_t n = token_length(s);
		const char *name = s, *after = skip(s + n, " \t");

		if (!n)
			return;	     /* malformed: what was understood so far counts */
		if (*after != '=') { /* a scheme */
			bearer = n == 6 && strncasecmp(name, "Bearer", n) == 0;
			c->bearer = c->bearer || bearer;
			c->basic = c->basic || (n == 5 && strncasecmp(name, "Basic", n) == 0);
			s = skip(after, ", \t");
			continue;
		}
		s = skip(after + 1, " \t");
		const char *value = challenge_value(a, &s);

		if (bearer && n == 5 && strncasecmp(name, "realm", n) == 0)
			c->realm = value;
		else if (bearer && n == 7 && strncasecmp(name, "service", n) == 0)
			c->service = value;
		else if (bearer && n == 5 && strncasecmp(name, "scope", n) == 0)
			c->scope = value;
		s = skip(s, ", \t");
	}
}

/* ---- the token cache ---- */

void registry_token_free(struct registry_token *t)
{
	if (t)
		free(t->text);
	free(t);
}

/* The password is part of the key, as a hash, so that changed credentials are tried at once. */
static char *token_key(struct arena *a, const struct registry_target *t)
{
	char hash[SHA256_HEX_MAX] = "";

	if (t->cred && t->cred->password)
		sha256_hex(t->cred->password, strlen(t->cred->password), hash);
	return arena_printf(a, "%s %s %s %s", t->host, t->ref.repository,
			    t->cred && t->cred->username ? t->cred->username : "", hash);
}

bool registry_token_get(struct registry *r, const char *key, struct arena *a, char **ret_text)
{
	pthread_mutex_lock(&r->lock);
	const struct registry_token *t = strmap_get(r->tokens, key);
	bool known = t && t->expires_ms > time_mono_ms();

	if (known)
		*ret_text = t->text ? arena_strdup(a, t->text) : NULL;
	pthread_mutex_unlock(&r->lock);
	return known;
}

void registry_token_put(struct registry *r, const char *key, const char *text, int64_t life_ms)
{
	struct registry_token *t = xmalloc(sizeof(*t));

	*t = (struct registry_token){text ? xstrdup(text) : NULL, time_mono_ms() + life_ms};
	pthread_mutex_lock(&r->lock);
	if (strmap_count(r->tokens) >= REGISTRY_TOKENS_KEPT) {
		const char *victim;
		void *old;
		size_t position = 0;

		if (strmap_next(r->tokens, &position, &victim, &old)) {
			strmap_remove(r->tokens, victim);
			registry_token_free(old);
		}
	}
	registry_token_free(strmap_put(r->tokens, key, t));
	pthread_mutex_unlock(&r->lock);
}

/* ---- the token flow ---- */

static bool has_credentials(const struct registry_target *t)
{
	return t->cred && t->cred->username;
}

static int refused(const struct registry_target *t, struct error *e)
{
	if (!has_credentials(t))
		return error_set(e, E_UNAUTHORIZED, "%s wants credentials, or there is no such repository",
				 t->ref.registry);
	if (!t->cred->source)
		return error_set(e, E_UNAUTHORIZED, "wrong credentials for %s, or no right to pull", t->ref.registry);
	return error_set(e, E_UNAUTHORIZED,
			 "%s refuses the credentials of %s: correct them, or give that account the right to pull",
			 t->ref.registry, t->cred->source);
}

static char *token_url(struct arena *a, const struct registry_target *t, const struct registry_challenge *c)
{
	_buf_ url = BUF_INIT(8192);
	char *scope = arena_printf(a, "repository:%s:pull", t->ref.repository);

	buf_addf(&url, "%s%cscope=", c->realm, strchr(c->realm, '?') ? '&' : '?');
	percent_encode(c->scope && *c->scope ? c->scope : scope, &url);
	if (c->service) {
		buf_adds(&url, "&service=");
		percent_encode(c->service, &url);
	}
	return url.over ? NULL : arena_strdup(a, url.data);
}

static int token_parse(struct arena *a, const struct http_response *res, char **ret, int64_t *ret_life_ms,
		       struct error *e)
{
	struct json *doc;
	int r = json_parse(a, res->body, res->body_len, NULL, &doc, e);

	if (r)
		return error_prefix(e, "the token server's answer");
	const char *token = json_str(json_get(doc, "token"));
	int64_t life = json_int_or(json_get(doc, "expires_in"), TOKEN_LIFE_DEFAULT_S);

	if (!token || !*token)
		token = json_str(json_get(doc, "access_token"));
	if (!token || !*token || strlen(token) > REGISTRY_TOKEN_MAX)
		return error_set(e, E_UNAVAILABLE, "the token server's answer has no usable token");
	for (const char *p = token; *p; p++)
		if (!isgraph((unsigned char)*p))
			return error_set(e, E_UNAVAILABLE, "the token server's answer has no usable token");
	life = life < 1 ? TOKEN_LIFE_DEFAULT_S : life > TOKEN_LIFE_MAX_S ? TOKEN_LIFE_MAX_S : life;
	*ret = arena_strdup(a, token);
	*ret_life_ms = life * 1000 - TOKEN_MARGIN_MS;
	return 0;
}

static int token_fetch(struct registry *r, const struct registry_target *t, const struct registry_challenge *c,
		       const char *key, struct arena *a, char **ret, struct error *e)
{
	struct http_request req = {.tls = &t->tls, .max_response = TOKEN_ANSWER_MAX, .timeout_ms = 30000};
	struct http_response res;
	int64_t left, life_ms = 0;

	if (!c->realm || (!str_starts(c->realm, "https://") && !str_starts(c->realm, "http://")))
		return error_set(e, E_UNAVAILABLE, "the registry asks for a token without saying where to get one");
	if (has_credentials(t) && !t->insecure && !str_starts(c->realm, "https://"))
		return error_set(e, E_UNAVAILABLE,
				 "the registry wants credentials sent to %.200s without TLS, which is refused",
				 c->realm);
	req.url = token_url(a, t, c);
	if (!req.url)
		return error_set(e, E_UNAVAILABLE, "the registry's challenge is too long");
	if (registry_time_left(t, &left, e))
		return -E_TIMEOUT;
	if (left)
		req.timeout_ms = left;
	if (has_credentials(t)) {
		req.username = t->cred->username;
		req.password = t->cred->password;
	}
	int err = http_do(t->client, &req, a, &res, e);

	if (err)
		return error_prefix(e, "cannot get a token");
	if (res.status == 401 || res.status == 403)
		return refused(t, e);
	if (res.status != 200)
		return error_set(e, error_code_from_http(res.status, NULL), "the token server answered %d", res.status);
	err = token_parse(a, &res, ret, &life_ms, e);
	if (!err && life_ms > 0)
		registry_token_put(r, key, *ret, life_ms);
	return err;
}

/* Meets the challenges of a 401 by setting req's authorisation. */
static int answer_challenge(struct registry *r, const struct registry_target *t, const struct http_response *res,
			    const char *key, struct http_request *req, struct arena *a, struct error *e)
{
	struct registry_challenge c = {0};
	char *token = NULL;

	for (size_t i = 0; i < res->header_count; i++)
		if (strcasecmp(res->headers[i].name, "WWW-Authenticate") == 0)
			registry_challenge_parse(a, res->headers[i].value, &c);
	if (c.bearer) {
		int err = token_fetch(r, t, &c, key, a, &token, e);

		if (!err) {
			req->bearer_token = token;
			req->username = req->password = NULL;
		}
		return err;
	}
	if (!c.basic || !has_credentials(t))
		return refused(t, e);
	registry_token_put(r, key, NULL, INT64_C(3600) * 1000);
	req->bearer_token = NULL;
	req->username = t->cred->username;
	req->password = t->cred->password;
	return 0;
}

int registry_do_authorized(struct registry *r, const struct registry_target *t, struct http_request *req,
			   struct arena *a, struct http_response *ret, struct error *e)
{
	const char *key = token_key(a, t);
	char *token = NULL;

	if (registry_token_get(r, key, a, &token)) {
		req->bearer_token = token;
		req->username = token ? NULL : t->cred->username;
		req->password = token ? NULL : t->cred->password;
	}
	for (int attempt = 0;; attempt++) {
		struct http_response res;
		int64_t left = 0;
		int err = registry_time_left(t, &left, e);

		if (err)
			return err;
		req->timeout_ms = left;
		err = http_do(t->client, req, a, &res, e);
		if (err)
			return err;
		if (res.status != 401) {
			*ret = res;
			return 0;
		}
		if (attempt)
			return refused(t, e);
		err = answer_challenge(r, t, &res, key, req, a, e);
		if (err)
			return err;
	}
}
