/*
 * test_registry.c - the registry client against a registry that does what it should, and against ones that do not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/registry_internal.h"
#include "lib/units.h"
#include "test/unit/fake_registry.h"

#define LIE "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct fixture {
	struct fake_registry *f;
	struct registry *r;
	struct arena *a;
	const char *name; /* "127.0.0.1:port/x" */
	struct fake_layer layer;
};

static int setup(void **state)
{
	struct fixture *x = xcalloc(1, sizeof(*x));

	x->f = fake_start();
	x->r = registry_new(NULL);
	x->a = arena_new();
	x->name = arena_printf(x->a, "127.0.0.1:%u/x", x->f->port);
	x->layer = (struct fake_layer){.blob = "layer", .len = 5};
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	registry_free(x->r);
	fake_stop(x->f);
	arena_free(x->a);
	free(x);
	return 0;
}

static int resolve(struct fixture *x, const char *suffix, const struct registry_credentials *cred,
		   struct oci_image *ret, struct error *e)
{
	struct registry_keys keys = {0};

	if (cred)
		registry_keys_add_one(x->a, &keys, x->name, cred);
	return registry_resolve(x->r, arena_printf(x->a, "%s%s", x->name, suffix), &keys, 0, x->a, ret, NULL, e);
}

static void assert_fails(struct fixture *x, const char *suffix, const struct registry_credentials *cred, int code,
			 const char *part)
{
	struct oci_image image;
	struct error e = {0};
	int r = resolve(x, suffix, cred, &image, &e);

	if (r != -code || !strstr(e.text, part) || strchr(e.text, '\n'))
		fail_msg("%s: %d \"%s\", not %d \"%s\"", suffix, r, e.text, -code, part);
}

static void test_resolve(void **state)
{
	struct fixture *x = *state;
	const char *digest = fake_image(x->f, "v1", &x->layer, 1);
	struct oci_image image;
	struct error e;

	assert_int_equal(resolve(x, ":v1", NULL, &image, &e), 0);
	assert_string_equal(image.digest, digest);
	assert_string_equal(image.reference, arena_printf(x->a, "%s@%s", x->name, digest));
	assert_string_equal(image.config.entrypoint.items[0], "/init");
	assert_int_equal(image.layer_count, 1);
	assert_int_equal(resolve(x, arena_printf(x->a, "@%s", digest), NULL, &image, &e), 0);
}

static void test_resolve_index(void **state)
{
	struct fixture *x = *state;
	const char *digest = fake_image(x->f, "v1", &x->layer, 1);
	size_t len = fake_find(x->f, "/v2/x/manifests/v1")->len;
	char *index = arena_printf(
		x->a,
		"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" FAKE_MANIFEST_TYPE
		"\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}",
		digest, len);
	struct oci_image image;
	struct error e;

	fake_manifest(x->f, "multi", FAKE_INDEX_TYPE, index);
	assert_int_equal(resolve(x, ":multi", NULL, &image, &e), 0);
	assert_string_equal(image.digest, digest);
}

/* Each index points to the next, which a registry that lies about digests could make endless. */
static void test_index_chain(void **state)
{
	struct fixture *x = *state;
	const char *digest = fake_image(x->f, "v1", &x->layer, 1);
	size_t len = fake_find(x->f, "/v2/x/manifests/v1")->len;

	for (int depth = 0; depth < 3; depth++) {
		char *index = arena_printf(
			x->a,
			"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}]}",
			depth ? FAKE_INDEX_TYPE : FAKE_MANIFEST_TYPE, digest, len);

		digest = fake_manifest(x->f, arena_printf(x->a, "deep%d", depth), FAKE_INDEX_TYPE, index);
		len = strlen(index);
	}
	struct oci_image image;
	struct error e;

	assert_int_equal(resolve(x, ":deep1", NULL, &image, &e), 0);
	assert_fails(x, ":deep2", NULL, E_INVALID, "leads through 3 indexes");
}

static void test_missing(void **state)
{
	struct fixture *x = *state;

	assert_fails(x, ":none", NULL, E_NOT_FOUND, "has no tag none");
	assert_fails(x, "@" LIE, NULL, E_NOT_FOUND, "has no manifest " LIE);
	static const char unknown[] = "{\"errors\":[{\"code\":\"NAME_UNKNOWN\"}]}";

	fake_add(x->f, "/v2/x/manifests/gone", "application/json", unknown, strlen(unknown))->status = 404;
	assert_fails(x, ":gone", NULL, E_NOT_FOUND, "has no repository x");
	fake_add(x->f, "/v2/x/manifests/secret", "application/json", "", 0)->status = 403;
	assert_fails(x, ":secret", NULL, E_FORBIDDEN, "does not allow pulling x");
	fake_add(x->f, "/v2/x/manifests/busy", "application/json", "", 0)->status = 429;
	assert_fails(x, ":busy", NULL, E_TOO_MANY, "wants fewer requests");
	fake_add(x->f, "/v2/x/manifests/broken", "application/json", "", 0)->status = 502;
	assert_fails(x, ":broken", NULL, E_UNAVAILABLE, "answered 502");
}

static void test_lies(void **state)
{
	struct fixture *x = *state;
	const char *digest = fake_image(x->f, "v1", &x->layer, 1);
	const struct fake_route *honest = fake_find(x->f, "/v2/x/manifests/v1");

	fake_add(x->f, "/v2/x/manifests/" LIE, FAKE_MANIFEST_TYPE, honest->body, honest->len);
	assert_fails(x, "@" LIE, NULL, E_INVALID, "digest mismatch: the manifest should be " LIE " and is ");
	fake_add(x->f, "/v2/x/manifests/lied", FAKE_MANIFEST_TYPE, honest->body, honest->len)->header =
		"Docker-Content-Digest: " LIE;
	assert_fails(x, ":lied", NULL, E_INVALID, "digest mismatch");
	/* The configuration is another one than the manifest says. */
	for (size_t i = 0; i < x->f->count; i++)
		if (str_starts(x->f->routes[i].path, "/v2/x/blobs/") && x->f->routes[i].len > 5) {
			memcpy(x->f->routes[i].body, "{}", 2);
			x->f->routes[i].len = 2;
		}
	assert_fails(x, arena_printf(x->a, "@%s", digest), NULL, E_INVALID,
		     "digest mismatch: the image's configuration");
}

static void test_too_large(void **state)
{
	struct fixture *x = *state;
	_free_ char *body = xmalloc(OCI_MANIFEST_MAX + 1);

	memset(body, ' ', OCI_MANIFEST_MAX + 1);
	fake_add(x->f, "/v2/x/manifests/huge", FAKE_MANIFEST_TYPE, body, OCI_MANIFEST_MAX + 1);
	assert_fails(x, ":huge", NULL, E_TOO_LARGE, "larger than 4194304 bytes");
}

static void test_basic(void **state)
{
	struct fixture *x = *state;
	const struct registry_credentials right = {"user", "secret", NULL}, wrong = {"user", "wrong", NULL};
	struct oci_image image;
	struct error e;

	fake_image(x->f, "v1", &x->layer, 1);
	x->f->auth = FAKE_BASIC;
	assert_fails(x, ":v1", NULL, E_UNAUTHORIZED, "wants credentials");
	assert_fails(x, ":v1", &wrong, E_UNAUTHORIZED, "wrong credentials for 127.0.0.1:");
	assert_int_equal(resolve(x, ":v1", &right, &image, &e), 0);
	assert_fails(x, ":v1", &wrong, E_UNAUTHORIZED, "wrong credentials");
}

static void test_bearer(void **state)
{
	struct fixture *x = *state;
	const struct registry_credentials right = {"user", "secret", NULL}, wrong = {"user", "wrong", NULL};
	struct oci_image image;
	struct error e;

	fake_image(x->f, "v1", &x->layer, 1);
	x->f->auth = FAKE_BEARER;
	assert_int_equal(resolve(x, ":v1", NULL, &image, &e), 0);
	assert_int_equal(resolve(x, ":v1", NULL, &image, &e), 0);
	assert_int_equal(atomic_load(&x->f->token_requests), 1); /* kept and used again */
	assert_fails(x, ":v1", &wrong, E_UNAUTHORIZED, "wrong credentials");
	assert_int_equal(resolve(x, ":v1", &right, &image, &e), 0);
	x->f->anonymous_denied = true;
	registry_free(x->r);
	x->r = registry_new(NULL);
	assert_fails(x, ":v1", NULL, E_UNAUTHORIZED, "wants credentials");
}

/* Several Secrets: all that fit are tried, the best first; what is said when none works. */
static void test_several_keys(void **state)
{
	struct fixture *x = *state;
	const struct registry_credentials wrong = {"user", "wrong", "Secret n/wrong"},
					  right = {"user", "secret", "Secret n/right"};
	const char *reference = arena_printf(x->a, "%s:v1", x->name),
		   *host = arena_strndup(x->a, x->name, strlen(x->name) - 2);
	struct registry_keys keys = {0};
	struct registry_credentials cred;
	struct oci_image image;
	struct error e;

	fake_image(x->f, "v1", &x->layer, 1);
	x->f->auth = FAKE_BASIC;
	registry_keys_add_one(x->a, &keys, host, &wrong);
	assert_int_equal(registry_resolve(x->r, reference, &keys, 0, x->a, &image, &cred, &e), -E_UNAUTHORIZED);
	assert_non_null(strstr(e.text, "refuses the credentials of Secret n/wrong: correct them"));
	registry_keys_add_one(x->a, &keys, x->name, &wrong); /* a longer path goes first */
	registry_keys_add_one(x->a, &keys, host, &right);
	assert_int_equal(registry_resolve(x->r, reference, &keys, 0, x->a, &image, &cred, &e), 0);
	assert_string_equal(cred.source, "Secret n/right");
	/* A fault that other credentials do not cure ends the tries. */
	fake_add(x->f, "/v2/x/manifests/broken", "application/json", "", 0)->status = 502;
	x->f->auth = FAKE_OPEN;
	reference = arena_printf(x->a, "%s:broken", x->name);
	assert_int_equal(registry_resolve(x->r, reference, &keys, 0, x->a, &image, &cred, &e), -E_UNAVAILABLE);
	assert_int_equal(atomic_load(&fake_find(x->f, "/v2/x/manifests/broken")->hits), 1);
}

static void test_what_a_refusal_says(void **state)
{
	struct fixture *x = *state;
	const struct registry_credentials other = {"user", "secret", "Secret n/other"};
	struct registry_keys none = {0}, missing = {0}, elsewhere = {.sources = "Secret n/other"};
	const struct {
		const struct registry_keys *keys;
		const char *text;
	} cases[] = {
		{NULL, "; name a Secret with them in spec.imagePullSecrets"},
		{&none, "; name a Secret with them in spec.imagePullSecrets"},
		{&missing, "; Secret n/gone does not exist"},
		{&elsewhere, "; Secret n/other of spec.imagePullSecrets holds none for this image"},
	};

	registry_keys_missing(x->a, &missing, "n", "gone", "does not exist");
	registry_keys_add_one(x->a, &elsewhere, "elsewhere.example", &other);
	x->f->auth = FAKE_BASIC;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct oci_image image;
		struct error e;
		const char *reference = arena_printf(x->a, "%s:v1", x->name);

		assert_int_equal(registry_resolve(x->r, reference, cases[i].keys, 0, x->a, &image, NULL, &e),
				 -E_UNAUTHORIZED);
		if (!strstr(e.text, "wants credentials") || !str_ends(e.text, cases[i].text))
			fail_msg("case %zu: %s", i, e.text);
	}
}

static void test_tls_of_a_host(void **state)
{
	(void)state;
	static const struct {
		const char *host, *ca;
		bool insecure;
	} cases[] = {
		{"registry.example.com", "/ca/one", false},
		{"registry.example.com:5000", "/ca/one", false}, /* HOST is for every port */
		{"ported.example.com:5000", "/ca/ported", false},
		{"ported.example.com", "/ca/all", false},
		{"other.example.com", "/ca/all", false},
		{"lan.example.com:80", "/ca/all", true},
		{"localhost:5000", "/ca/all", true},
		{"[::1]:5000", "/ca/all", true},
		{"127.0.0.1:5000", "/ca/local", false}, /* who gives a CA wants it verified */
		{"127.0.0.1:5001", "/ca/all", true},
	};
	const struct registry_options opt = {.insecure = {{"LAN.example.com"}, 1},
					     .ca = {{"/ca/all", "registry.example.com=/ca/one",
						     "ported.example.com:5000=/ca/ported", "127.0.0.1:5000=/ca/local"},
						    4}};
	struct registry *r = registry_new(&opt);
	_arena_ a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_tls tls = registry_tls(r, a, cases[i].host);

		if (!streq(tls.ca_file, cases[i].ca) || tls.insecure != cases[i].insecure)
			fail_msg("%s: %s %d", cases[i].host, tls.ca_file, tls.insecure);
	}
	registry_free(r);
}

static void test_options(void **state)
{
	(void)state;
	static const struct {
		struct registry_options opt;
		const char *text; /* NULL: fine */
	} cases[] = {
		{{.ca = {{"/dev/null", "h:1=/dev/null"}, 2}, .insecure = {{"h", "h:1"}, 2}}, NULL},
		{{.ca = {{"h=/nowhere"}, 1}}, "--registry-ca h=/nowhere: say HOST[:PORT]=FILE"},
		{{.ca = {{"=/dev/null"}, 1}}, "--registry-ca =/dev/null: say"},
		{{.insecure = {{"http://h"}, 1}}, "--insecure-registry http://h: say HOST"},
		{{.ecr_endpoint = "vpce.example"}, "--ecr-endpoint vpce.example: say a URL"},
		{{.ecr_endpoint = "https://vpce.example"}, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error e = {0};
		int r = registry_options_check(&cases[i].opt, &e);

		assert_int_equal(r, cases[i].text ? -E_BAD_REQUEST : 0);
		if (r && !strstr(e.text, cases[i].text))
			fail_msg("%s", e.text);
	}
}

static void test_ecr_answer(void **state)
{
	(void)state;
	/* AWS:pw, for an hour; the part of its life that is not used is a twelfth. */
	static const struct {
		const char *text, *password;
		int64_t life_ms;
	} cases[] = {
		{"{\"authorizationData\":[{\"authorizationToken\":\"QVdTOnB3\",\"expiresAt\":4600.5}]}", "pw", 3300458},
		{"{\"authorizationData\":[{\"authorizationToken\":\"QVdTOnB3\",\"expiresAt\":9e12}]}", "pw", 39600000},
		{"{\"authorizationData\":[{\"authorizationToken\":\"QVdTOnB3\",\"expiresAt\":900}]}", "pw", 0},
		{"{\"authorizationData\":[{\"authorizationToken\":\"QVdTOnB3\"}]}", "pw", 0},
		{"{\"authorizationData\":[{\"authorizationToken\":\"QVdTOg==\",\"expiresAt\":4600}]}", NULL, 0},
		{"{\"authorizationData\":[{\"authorizationToken\":\"cm9vdDpwdw==\",\"expiresAt\":4600}]}", NULL, 0},
		{"{\"authorizationData\":[{\"authorizationToken\":\"!\",\"expiresAt\":4600}]}", NULL, 0},
		{"{\"authorizationData\":[]}", NULL, 0},
		{"[]", NULL, 0},
		{"<html>", NULL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		char *password = NULL;
		int64_t life = -1;
		struct error e;
		int r = registry_ecr_parse_answer(a, cases[i].text, strlen(cases[i].text), 1000000, &password, &life,
						  &e);

		assert_int_equal(r, cases[i].password ? 0 : -E_UNAVAILABLE);
		if (r) {
			assert_null(strstr(e.text, "QVdT"));
			continue;
		}
		assert_string_equal(password, cases[i].password);
		assert_int_equal(life, cases[i].life_ms);
	}
}

static void test_ecr_endpoint(void **state)
{
	(void)state;
	_arena_ a = arena_new();
	const struct registry_options own = {0}, vpc = {.ecr_endpoint = "https://vpce.example/"};
	struct registry_ecr_host h;

	assert_true(registry_ecr_parse(a, "123456789012.dkr.ecr.eu-central-1.amazonaws.com", &h));
	assert_string_equal(registry_ecr_url(a, &own, &h), "https://api.ecr.eu-central-1.amazonaws.com/");
	assert_string_equal(registry_ecr_url(a, &vpc, &h), "https://vpce.example/");
	assert_true(registry_ecr_parse(a, "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", &h));
	assert_string_equal(registry_ecr_url(a, &own, &h), "https://ecr-fips.us-east-1.amazonaws.com/");
	assert_true(registry_ecr_parse(a, "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", &h));
	assert_string_equal(registry_ecr_url(a, &own, &h), "https://api.ecr.cn-north-1.amazonaws.com.cn/");
}

static void test_unreachable(void **state)
{
	struct fixture *x = *state;
	struct oci_image image;
	struct error e = {0};

	/* RFC 6761: .invalid never resolves. */
	assert_true(registry_resolve(x->r, "registry.invalid/x:v1", NULL, 0, x->a, &image, NULL, &e) < 0);
	assert_non_null(strstr(e.text, "registry.invalid"));
	assert_int_equal(registry_resolve(x->r, "127.0.0.1:1/x:v1", NULL, 0, x->a, &image, NULL, &e), -E_UNAVAILABLE);
	assert_int_equal(registry_resolve(x->r, "127.0.0.1:1/x:v1", NULL, 1, x->a, &image, NULL, &e), -E_TIMEOUT);
	assert_int_equal(registry_resolve(x->r, "127.0.0.1:1/X", NULL, 0, x->a, &image, NULL, &e), -E_INVALID);
}

static int collect(void *user, const void *data, size_t len, struct error *e)
{
	(void)e;
	buf_add(user, data, len);
	return 0;
}

static void test_blob(void **state)
{
	struct fixture *x = *state;
	const char *digest;
	struct fake_route *route = fake_blob(x->f, "0123456789", 10, &digest);
	_buf_ got = BUF_INIT(100);
	bool restarted = true;
	struct error e;
	char *reference = arena_printf(x->a, "%s:v", x->name);

	assert_int_equal(registry_read_blob(x->r, reference, NULL, digest, 0, collect, &got, &restarted, &e), 0);
	assert_string_equal(got.data, "0123456789");
	assert_false(restarted);
	buf_reset(&got);
	assert_int_equal(registry_read_blob(x->r, reference, NULL, digest, 7, collect, &got, &restarted, &e), 0);
	assert_string_equal(got.data, "789");
	assert_false(restarted);
	route->no_ranges = true;
	buf_reset(&got);
	assert_int_equal(registry_read_blob(x->r, reference, NULL, digest, 7, collect, &got, &restarted, &e), 0);
	assert_true(restarted);
	route->cut_after = 4;
	assert_int_equal(registry_read_blob(x->r, reference, NULL, digest, 0, collect, &got, &restarted, &e),
			 -E_UNAVAILABLE);
	assert_int_equal(registry_read_blob(x->r, reference, NULL, LIE, 0, collect, &got, &restarted, &e),
			 -E_NOT_FOUND);
}

static void test_challenges(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		bool basic, bearer;
		const char *realm, *scope;
	} cases[] = {
		{"Basic realm=\"x\"", true, false, NULL, NULL},
		{"Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull\"", false, true, "https://a/t",
		 "repository:a/b:pull"},
		{"bearer realm=https://a/t , scope = \"q\\\"q\"", false, true, "https://a/t", "q\"q"},
		{"Basic realm=\"b, Bearer realm=evil\", Bearer realm=\"good\"", true, true, "good", NULL},
		{"Negotiate, Basic", true, false, NULL, NULL},
		{"", false, false, NULL, NULL},
		{"Bearer realm=\"unterminated", false, true, "unterminated", NULL},
		{"Bearer \"=", false, true, NULL, NULL},
		{"=", false, false, NULL, NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct registry_challenge c = {0};

		registry_challenge_parse(a, cases[i].header, &c);
		assert_int_equal(c.basic, cases[i].basic);
		assert_int_equal(c.bearer, cases[i].bearer);
		assert_true(c.realm == cases[i].realm || streq(c.realm, cases[i].realm));
		assert_true(c.scope == cases[i].scope || streq(c.scope, cases[i].scope));
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_resolve),
		T(test_resolve_index),
		T(test_index_chain),
		T(test_missing),
		T(test_lies),
		T(test_too_large),
		T(test_basic),
		T(test_bearer),
		T(test_several_keys),
		T(test_what_a_refusal_says),
		T(test_unreachable),
		T(test_blob),
		cmocka_unit_test(test_challenges),
		cmocka_unit_test(test_tls_of_a_host),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_ecr_answer),
		cmocka_unit_test(test_ecr_endpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
