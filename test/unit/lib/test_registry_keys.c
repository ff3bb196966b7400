/*
 * test_registry_keys.c - what Secrets are understood, which of their entries fit an image, and what is said of the
 * rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/codec.h"
#include "lib/registry_keys.h"

/* A Secret n/s of that type whose key holds text. */
static struct json *secret_of(struct arena *a, const char *type, const char *key, const char *text)
{
	struct json *s = json_object(a);
	_buf_ encoded = BUF_INIT(1U << 20);

	base64_encode(text, strlen(text), &encoded);
	json_set_str(a, json_ensure_object(a, s, "metadata"), "namespace", "n");
	json_set_str(a, json_get(s, "metadata"), "name", "s");
	json_set_str(a, s, "type", type);
	json_set_str(a, json_ensure_object(a, s, "data"), key, encoded.len ? encoded.data : "");
	return s;
}

static struct registry_keys keys_of(struct arena *a, const char *type, const char *key, const char *text)
{
	struct registry_keys k = {0};

	registry_keys_add(a, &k, secret_of(a, type, key, text));
	assert_string_equal(k.sources, "Secret n/s");
	return k;
}

static struct registry_keys docker_keys(struct arena *a, const char *text)
{
	return keys_of(a, "kubernetes.io/dockerconfigjson", ".dockerconfigjson", text);
}

/* Base64: dTpw u:p, dTpwOng= u:p:x, OnRva2Vu :token, dXNlcg== user, 8J+YgDrDvA== non-ASCII. */
static void test_entries(void **state)
{
	static const struct {
		const char *config, *pattern, *username, *password;
	} cases[] = {
		{"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", "r.example", "u", "p"},
		{"{\"auths\":{\"r.example\":{\"auth\":\"dTpwOng=\"}}}", "r.example", "u", "p:x"},
		{"{\"auths\":{\"r.example\":{\"auth\":\"dTpwOng\"}}}", "r.example", "u", "p:x"},
		{"{\"auths\":{\"r.example\":{\"auth\":\"OnRva2Vu\"}}}", "r.example", "", "token"},
		{"{\"auths\":{\"r.example\":{\"username\":\"u\",\"password\":\"p\",\"email\":\"e\"}}}", "r.example",
		 "u", "p"},
		{"{\"auths\":{\"r.example\":{\"username\":\"u\",\"password\":\"p\",\"auth\":\"\"}}}", "r.example", "u",
		 "p"},
		/* auth wins, as in the kubelet */
		{"{\"auths\":{\"r.example\":{\"username\":\"x\",\"password\":\"y\",\"auth\":\"dTpw\"}}}", "r.example",
		 "u", "p"},
		{"{\"auths\":{\"https://r.example:5000/v2/\":{\"auth\":\"dTpw\"}}}", "r.example:5000", "u", "p"},
		{"{\"auths\":{\"http://r.example/team/\":{\"auth\":\"dTpw\"}}}", "r.example/team/", "u", "p"},
		{"{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"dTpw\"}}}", "index.docker.io", "u", "p"},
		{"{\"auths\":{\"r.example/v1/x\":{\"auth\":\"dTpw\"}},\"credsStore\":\"x\"}", "r.example/x", "u", "p"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct registry_keys k = docker_keys(a, cases[i].config);

		assert_null(k.problem);
		assert_int_equal(k.count, 1);
		assert_string_equal(k.items[0].pattern, cases[i].pattern);
		assert_string_equal(k.items[0].cred.username, cases[i].username);
		assert_string_equal(k.items[0].cred.password, cases[i].password);
		assert_string_equal(k.items[0].cred.source, "Secret n/s");
	}
}

/* Each leaves no key, and one line that says what is wrong without showing what is in the Secret. */
static void test_malformed(void **state)
{
	static const struct {
		const char *type, *key, *text, *problem;
	} cases[] = {
		{"kubernetes.io/dockerconfigjson", ".dockerconfigjson", "hunter2{", "holds no docker configuration"},
		{"kubernetes.io/dockerconfigjson", ".dockerconfigjson", "", "holds no docker configuration"},
		{"kubernetes.io/dockerconfigjson", ".dockerconfigjson", "[]", "holds no docker configuration"},
		{"kubernetes.io/dockerconfigjson", ".dockerconfigjson", "{\"r\":{\"auth\":\"hunter2\"}}",
		 "it should be JSON with an object \"auths\""},
		{"kubernetes.io/dockerconfigjson", "config.json", "hunter2", "has no .dockerconfigjson: make it anew"},
		{"kubernetes.io/dockerconfigjson", ".dockerconfigjson", "{\"auths\":{\"r\":{\"auth\":\"hunter2!\"}}}",
		 "a broken entry for r: its auth is not the base64"},
		{"kubernetes.io/dockerconfigjson", ".dockerconfigjson",
		 "{\"auths\":{\"r\":{\"auth\":\"aHVudGVyMg==\"}}}", "a broken entry for r"}, /* no colon */
		{"kubernetes.io/dockerconfigjson", ".dockerconfigjson", "{\"auths\":{\"r\":{}}}",
		 "holds no password for r: a docker config.json whose passwords are in a credential helper"},
		{"kubernetes.io/dockerconfigjson", ".dockerconfigjson", "{\"auths\":{\"r\":\"hunter2\"}}",
		 "holds no password for r"},
		{"kubernetes.io/dockerconfigjson", ".dockerconfigjson", "{\"auths\":{\"a b\":{}}}",
		 "holds no password for a registry:"},
		{"kubernetes.io/dockerconfigjson", ".dockerconfigjson",
		 "{\"auths\":{\"https:///x\":{\"auth\":\"dTpw\"}}}", "an entry without a registry's name"},
		{"kubernetes.io/dockercfg", ".dockerconfigjson", "{}", "has no .dockercfg"},
		{"Opaque", ".dockerconfigjson", "hunter2", "is of type Opaque: an image pull Secret is of type"},
		{"berth.dev/aws", "AWS_ACCESS_KEY_ID", "hunter2",
		 "needs both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
		{"berth.dev/aws", "AWS_SECRET_ACCESS_KEY", "hunter2", "needs both"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct registry_keys k = keys_of(a, cases[i].type, cases[i].key, cases[i].text);

		if (k.count || !k.problem || !str_starts(k.problem, "Secret n/s ") ||
		    !strstr(k.problem, cases[i].problem) || strstr(k.problem, "hunter2") || strchr(k.problem, '\n'))
			fail_msg("case %zu: %zu keys, %s", i, k.count, k.problem);
	}
}

/* A bad entry does not spoil the good ones, and data that is not base64 is no crash. */
static void test_partly_good(void **state)
{
	_arena_ a = arena_new();
	struct registry_keys k = docker_keys(
		a, "{\"auths\":{\"bad\":{\"auth\":\"!\"},\"good\":{\"auth\":\"dTpw\"},\"empty\":{}}}");
	struct json *secret = secret_of(a, "kubernetes.io/dockerconfigjson", ".dockerconfigjson", "");

	(void)state;
	assert_int_equal(k.count, 1);
	assert_string_equal(k.items[0].pattern, "good");
	assert_non_null(strstr(k.problem, "bad")); /* the first */
	json_set_str(a, json_get(secret, "data"), ".dockerconfigjson", "%%%");
	registry_keys_add(a, &k, secret);
	registry_keys_add(a, &k, NULL);
	registry_keys_missing(a, &k, "n", "gone", "does not exist");
	assert_int_equal(k.count, 1);
	assert_string_equal(k.sources, "Secret n/s, Secret n/s, Secret default/(without a name), Secret n/gone");
}

static void test_limits(void **state)
{
	(void)state;
	for (size_t n = REGISTRY_KEYS_MAX; n <= REGISTRY_KEYS_MAX + 1; n++) {
		_arena_ a = arena_new();
		struct registry_keys k = {0};
		const struct registry_credentials cred = {"u", "p", NULL};
		const struct registry_key *fit[REGISTRY_KEY_TRIES];
		struct oci_reference ref = {.registry = "r", .repository = "x"};

		for (size_t i = 0; i < n; i++)
			registry_keys_add_one(a, &k, "r", &cred);
		assert_int_equal(k.count, REGISTRY_KEYS_MAX);
		assert_int_equal(registry_keys_match(&k, &ref, fit), REGISTRY_KEY_TRIES);
		assert_ptr_equal(fit[0], &k.items[0]);
		assert_ptr_equal(fit[REGISTRY_KEY_TRIES - 1], &k.items[REGISTRY_KEY_TRIES - 1]);
	}
}

static void test_legacy_and_aws(void **state)
{
	_arena_ a = arena_new();
	struct registry_keys k = keys_of(a, "kubernetes.io/dockercfg", ".dockercfg",
					 "{\"r.example\":{\"auth\":\"dTpw\"}}");
	struct json *aws = secret_of(a, "berth.dev/aws", "AWS_ACCESS_KEY_ID", "AKIDEXAMPLE\n");

	(void)state;
	assert_int_equal(k.count, 1);
	assert_string_equal(k.items[0].cred.password, "p");
	json_set_str(a, json_get(aws, "data"), "AWS_SECRET_ACCESS_KEY", "c2VjcmV0Cg==");
	registry_keys_add(a, &k, aws);
	assert_int_equal(k.count, 2);
	assert_null(k.problem);
	assert_null(k.items[1].pattern);
	assert_string_equal(k.items[1].cred.username, "AKIDEXAMPLE");
	assert_string_equal(k.items[1].cred.password, "secret");
	assert_null(k.items[1].session_token);
	json_set_str(a, json_get(aws, "data"), "AWS_SESSION_TOKEN", "dG9rZW4=");
	registry_keys_add(a, &k, aws);
	assert_string_equal(k.items[2].session_token, "token");
	/* What could end a header is no key. */
	json_set_str(a, json_get(aws, "data"), "AWS_SECRET_ACCESS_KEY", "YQ1hCmI=");
	registry_keys_add(a, &k, aws);
	assert_int_equal(k.count, 3);
}

/* Source of the table: Kubernetes, "Images", "Interpretation of config.json". */
static void test_matching(void **state)
{
	static const struct {
		const char *pattern, *image;
		bool fits;
	} cases[] = {
		{"r.example", "r.example/x", true},
		{"R.Example", "r.example/x", true},
		{"r.example", "r.example/team/x:v1", true},
		{"r.example", "s.r.example/x", false},
		{"r.example", "r.example:5000/x", false},
		{"r.example:5000", "r.example:5000/x", true},
		{"r.example:5000", "r.example/x", false},
		{"r.example:5000", "r.example:50000/x", false},
		{"*.example", "r.example/x", true},
		{"*.example", "s.r.example/x", false},
		{"*.*.example", "s.r.example/x", true},
		{"prefix*.example", "prefix-1.example/x", true},
		{"prefix*.example", "other.example/x", false},
		{"*.example:5000", "r.example:5000/x", true},
		{"*", "r.example/x", false},
		{"r.example/team", "r.example/team/x", true},
		{"r.example/team/", "r.example/team/x", true},
		{"r.example/team/x",
		 "r.example/team/x@sha256:"
		 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		 true},
		{"r.example/team/x", "r.example/team", false},
		{"r.example/other", "r.example/team/x", false},
		{"*.example/team", "r.example/team/x", true},
		{"index.docker.io", "nginx", true},
		{"index.docker.io", "someone/nginx:v1", true},
		{"index.docker.io", "docker.io/library/nginx", true},
		{"index.docker.io", "r.example/nginx", false},
		{"docker.io", "nginx", true},
		{"docker.io/library", "nginx", true},
		{"docker.io/someone", "nginx", false},
		{"127.0.0.1:5005", "127.0.0.1:5005/hello:v1", true},
		{"localhost:5005", "localhost:5005/hello:v1", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct registry_keys k = {0};
		const struct registry_credentials cred = {"u", "p", NULL};
		const struct registry_key *fit[REGISTRY_KEY_TRIES];
		struct oci_reference ref;

		registry_keys_add_one(a, &k, cases[i].pattern, &cred);
		assert_int_equal(oci_reference_parse(a, cases[i].image, &ref, NULL), 0);
		if ((registry_keys_match(&k, &ref, fit) == 1) != cases[i].fits)
			fail_msg("%s and %s", cases[i].pattern, cases[i].image);
	}
	assert_int_equal(registry_keys_match(NULL, &(struct oci_reference){.registry = "r", .repository = "x"},
					     (const struct registry_key *[REGISTRY_KEY_TRIES]){0}),
			 0);
}

static void test_the_most_specific_first(void **state)
{
	static const char *const given[] = {"*.example", "r.example", "r.example/team", "r.example/team/x",
					    "r.example"};
	static const char *const order[] = {"r.example/team/x", "r.example/team", "r.example", "r.example",
					    "*.example"};
	_arena_ a = arena_new();
	struct registry_keys k = {0};
	const struct registry_key *fit[REGISTRY_KEY_TRIES];
	struct oci_reference ref;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		registry_keys_add_one(a, &k, given[i],
				      &(struct registry_credentials){arena_printf(a, "u%zu", i), "p", NULL});
	assert_int_equal(oci_reference_parse(a, "r.example/team/x", &ref, NULL), 0);
	assert_int_equal(registry_keys_match(&k, &ref, fit), ARRAY_SIZE(order));
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		assert_string_equal(fit[i]->pattern, order[i]);
	assert_string_equal(fit[2]->cred.username, "u1"); /* equals stay in their order */
	assert_string_equal(fit[3]->cred.username, "u4");
}

static void test_ecr_hosts(void **state)
{
	static const struct {
		const char *host, *region, *domain;
		bool fips;
	} cases[] = {
		{"123456789012.dkr.ecr.eu-central-1.amazonaws.com", "eu-central-1", "amazonaws.com", false},
		{"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", "amazonaws.com", true},
		{"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", "amazonaws.com.cn", false},
		{"12345678901.dkr.ecr.eu-central-1.amazonaws.com", NULL, NULL, false},
		{"123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example", NULL, NULL, false},
		{"123456789012.dkr.ecr.eu-central-1.amazonaws.com:5000", NULL, NULL, false},
		{"123456789012.dkr.ecr.x.evil.example", NULL, NULL, false},
		{"123456789012.dkr.ecr..amazonaws.com", NULL, NULL, false},
		{"123456789012.dkr.ecr.a.b.amazonaws.com", NULL, NULL, false},
		{"public.ecr.aws", NULL, NULL, false},
		{"", NULL, NULL, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct registry_ecr_host h;
		bool is = registry_ecr_parse(a, cases[i].host, &h);

		if (is != (cases[i].region != NULL))
			fail_msg("%s", cases[i].host);
		if (!is)
			continue;
		assert_string_equal(h.region, cases[i].region);
		assert_string_equal(h.domain, cases[i].domain);
		assert_int_equal(h.fips, cases[i].fips);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_partly_good),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_legacy_and_aws),
		cmocka_unit_test(test_matching),
		cmocka_unit_test(test_the_most_specific_first),
		cmocka_unit_test(test_ecr_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
