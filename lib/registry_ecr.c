/*
 * registry_ecr.c - Amazon ECR: an access key is traded for a password that lives for twelve hours.
 *
 * Sources: Amazon ECR API Reference, GetAuthorizationToken; Amazon ECR User Guide, "Private registry authentication".
 * What AWS answers to a refused request is told by its type alone: its text can repeat what was signed.
 */
#include "lib/registry_internal.h"

#include <ctype.h>

#include "lib/codec.h"
#include "lib/units.h"

#define ECR_LIFE_MAX_MS (INT64_C(12) * 3600 * 1000)
#define ECR_LIFE_MIN_MS 1000
#define ECR_ANSWER_MAX 65536U
#define ECR_TIMEOUT_MS 15000
/* A password is not used in the last part of its life: it has to last for a whole pull, and clocks differ. */
#define ECR_MARGIN_PART 12

char *registry_ecr_url(struct arena *a, const struct registry_options *opt, const struct registry_ecr_host *host)
{
	if (opt->ecr_endpoint)
		return arena_strdup(a, opt->ecr_endpoint);
	return arena_printf(a, host->fips ? "https://ecr-fips.%s.%s/" : "https://api.ecr.%s.%s/", host->region,
			    host->domain);
}

int registry_ecr_parse_answer(struct arena *a, const char *text, size_t len, int64_t now_ms, char **ret_password,
			      int64_t *ret_life_ms, struct error *e)
{
	static const char user[] = "AWS:";
	_buf_ plain = BUF_INIT(REGISTRY_TOKEN_MAX);
	struct json *doc;
	int err = json_parse(a, text, len, NULL, &doc, NULL);
	const struct json *data = err ? NULL : json_item(json_get(doc, "authorizationData"), 0);
	const char *token = json_str(json_get(data, "authorizationToken"));
	double expires = json_real_or(json_get(data, "expiresAt"), 0) * 1000;

	if (!token || base64_decode(token, strlen(token), &plain, NULL) || plain.over || !plain.len ||
	    !str_starts(plain.data, user) || strlen(plain.data) != plain.len || plain.len == strlen(user))
		return error_set(e, E_UNAVAILABLE, "the answer of Amazon ECR holds no authorization token");
	double life = expires - (double)now_ms;

	life = life > ECR_LIFE_MAX_MS ? ECR_LIFE_MAX_MS : life;
	*ret_life_ms = life < ECR_LIFE_MIN_MS ? 0 : (int64_t)(life - life / ECR_MARGIN_PART);
	*ret_password = arena_strdup(a, plain.data + strlen(user));
	explicit_bzero(plain.data, plain.len);
	return 0;
}

/* ---- refusals ---- */

static const struct {
	const char *type;
	int code;
	const char *advice;
} refusals[] = {
	{"UnrecognizedClientException", E_UNAUTHORIZED, "there is no such key: correct AWS_ACCESS_KEY_ID"},
	{"InvalidClientTokenId", E_UNAUTHORIZED, "there is no such key: correct AWS_ACCESS_KEY_ID"},
	{"InvalidSignatureException", E_UNAUTHORIZED, "correct AWS_SECRET_ACCESS_KEY, or this machine's clock"},
	{"IncompleteSignatureException", E_UNAUTHORIZED, "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
	{"ExpiredTokenException", E_UNAUTHORIZED, "its AWS_SESSION_TOKEN has expired: put new temporary credentials"},
	{"AccessDeniedException", E_FORBIDDEN, "allow that key the action ecr:GetAuthorizationToken"},
};

/* "com.amazonaws.ecr#AccessDeniedException" → "AccessDeniedException"; "" for anything that is no such word. */
static const char *refusal_type(struct arena *a, const struct http_response *res)
{
	struct json *doc;
	const char *type = json_parse(a, res->body, res->body_len, NULL, &doc, NULL)
				   ? ""
				   : json_str_or(json_get(doc, "__type"), "");
	const char *hash = strrchr(type, '#');
	size_t n = 0;

	type = hash ? hash + 1 : type;
	while (isalnum((unsigned char)type[n]))
		n++;
	return type[n] || n > 64 ? "" : type;
}

static int refused(struct arena *a, const struct registry_key *key, const struct http_response *res, struct error *e)
{
	const char *type = refusal_type(a, res);

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		if (streq(refusals[i].type, type))
			return error_set(e, refusals[i].code, "AWS refuses the key of %s (%s): %s", key->cred.source,
					 type, refusals[i].advice);
	if (res->status == 401 || res->status == 403)
		return error_set(e, E_UNAUTHORIZED, "AWS refuses the key of %s (%d %s)", key->cred.source, res->status,
				 type);
	return error_set(e, E_UNAVAILABLE, "Amazon ECR answered %d %s to the request for an authorization token",
			 res->status, type);
}

/* ---- asking ---- */

static int ask(struct registry *r, const struct registry_ecr_host *host, const struct registry_key *key,
	       int64_t timeout_ms, struct arena *a, struct http_response *ret, struct error *e)
{
	static const char body[] = "{}";
	char *url = registry_ecr_url(a, &r->opt, host);
	const char *authority = strstr(url, "://") + strlen("://");
	struct http_tls tls = registry_tls(r, a, arena_strndup(a, authority, strcspn(authority, "/")));
	struct http_request req = {
		.method = "POST",
		.url = url,
		.headers = {"Content-Type: application/x-amz-json-1.1",
			    "X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"},
		.username = key->cred.username,
		.password = key->cred.password,
		.aws_sigv4 = arena_printf(a, "aws:amz:%s:ecr", host->region),
		.body = body,
		.body_len = sizeof(body) - 1,
		.tls = &tls,
		.timeout_ms = timeout_ms,
		.max_response = ECR_ANSWER_MAX};
	struct http_client *client = registry_client_take(r);

	if (key->session_token)
		req.headers[2] = arena_printf(a, "X-Amz-Security-Token: %s", key->session_token);
	int err = http_do(client, &req, a, ret, e);

	registry_client_give_back(r, client);
	return err ? error_prefix(e, "cannot get an authorization token of Amazon ECR") : 0;
}

/* What the password is kept under. Another secret is another key, so a rotated Secret counts at once. */
static char *cache_key(struct arena *a, const struct registry_ecr_host *host, const struct registry_key *key)
{
	char *secrets = arena_printf(a, "%s %s", key->cred.password, key->session_token ? key->session_token : "");
	char hash[SHA256_HEX_MAX];

	sha256_hex(secrets, strlen(secrets), hash);
	return arena_printf(a, "ecr %s%s.%s %s %s", host->fips ? "fips-" : "", host->region, host->domain,
			    key->cred.username, hash);
}

int registry_ecr_login(struct registry *r, const char *host, const struct registry_key *key, bool fresh,
		       int64_t deadline_ms, struct arena *a, struct registry_credentials *ret, struct error *e)
{
	struct registry_ecr_host ecr;
	struct http_response res;
	char *password = NULL;
	int64_t life_ms = 0, left = deadline_ms - time_mono_ms();

	if (!registry_ecr_parse(a, host, &ecr))
		return error_set(e, E_INTERNAL, "%s is no registry of Amazon ECR", host);
	const char *kept = cache_key(a, &ecr, key);

	if (fresh || !registry_token_get(r, kept, a, &password)) {
		if (left <= 0)
			return error_set(e, E_TIMEOUT, "Amazon ECR did not answer in time");
		int err = ask(r, &ecr, key, left < ECR_TIMEOUT_MS ? left : ECR_TIMEOUT_MS, a, &res, e);

		if (!err && res.status != 200)
			err = refused(a, key, &res, e);
		if (!err)
			err = registry_ecr_parse_answer(a, res.body, res.body_len, time_now_ms(), &password, &life_ms,
							e);
		if (err)
			return err;
		registry_token_put(r, kept, password, life_ms);
	}
	*ret = (struct registry_credentials){.username = "AWS", .password = password, .source = key->cred.source};
	return 0;
}
