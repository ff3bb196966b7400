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
	return registry_resolve(x->r, arena_printf(x->a, "%s%s", x->name, suffix), cred, 0, x->a, ret, e);
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
	const struct registry_credentials right = {"user", "secret"}, wrong = {"user", "wrong"};
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
	const struct registry_credentials right = {"user", "secret"}, wrong = {"user", "wrong"};
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

static void test_unreachable(void **state)
{
	struct fixture *x = *state;
	struct oci_image image;
	struct error e = {0};

	/* RFC 6761: .invalid never resolves. */
	assert_true(registry_resolve(x->r, "registry.invalid/x:v1", NULL, 0, x->a, &image, &e) < 0);
	assert_non_null(strstr(e.text, "registry.invalid"));
	assert_int_equal(registry_resolve(x->r, "127.0.0.1:1/x:v1", NULL, 0, x->a, &image, &e), -E_UNAVAILABLE);
	assert_int_equal(registry_resolve(x->r, "127.0.0.1:1/x:v1", NULL, 1, x->a, &image, &e), -E_TIMEOUT);
	assert_int_equal(registry_resolve(x->r, "127.0.0.1:1/X", NULL, 0, x->a, &image, &e), -E_INVALID);
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
		T(test_unreachable),
		T(test_blob),
		cmocka_unit_test(test_challenges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
