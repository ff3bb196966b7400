/*
 * test_setup.c - init and issue: complete, idempotent, and only as far as needed.
 */
#include "apiserver/setup.h"
#include "lib/fsutil.h"
#include "lib/kube.h"
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static char dir[64], out[80];
static struct setup setup;

static int prepare(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/berth-test-setup-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(out, sizeof(out), "%s/out", dir);
	setup = (struct setup){.state_dir = dir, .port = 6443, .addresses = {.items = {"192.0.2.7"}, .count = 1}};
	return 0;
}

static int clean(void **state)
{
	(void)state;
	return tree_remove(dir, NULL);
}

static char *read_file(struct arena *a, const char *folder, const char *name)
{
	_buf_ text = BUF_INIT(1U << 20);
	struct error e;

	if (file_read(arena_printf(a, "%s/%s", folder, name), &text, &e) < 0)
		fail_msg("%s", e.text);
	return arena_strdup(a, text.data);
}

static void init(void)
{
	struct error e;

	if (setup_init(&setup, NULL, 0, &e) < 0)
		fail_msg("%s", e.text);
}

static void test_init_is_idempotent(void **state)
{
	static const char *const names[] = {"tokens.csv",	   "pki/ca.crt",	  "pki/ca.key",
					    "pki/apiserver.crt",   "pki/node-client.crt", "admin.kubeconfig",
					    "scheduler.kubeconfig"};
	char *before[ARRAY_SIZE(names)];
	_arena_ a = arena_new();

	(void)state;
	init();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		before[i] = read_file(a, dir, names[i]);
	init();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(read_file(a, dir, names[i]), before[i]);
}

static void test_another_address_renews_only_the_serving_certificate(void **state)
{
	_arena_ a = arena_new();

	(void)state;
	init();
	char *ca = read_file(a, dir, "pki/ca.crt"), *serving = read_file(a, dir, "pki/apiserver.crt");
	char *tokens = read_file(a, dir, "tokens.csv");
	setup.addresses.items[0] = "192.0.2.8";
	init();
	assert_string_equal(read_file(a, dir, "pki/ca.crt"), ca);
	assert_string_equal(read_file(a, dir, "tokens.csv"), tokens);
	assert_string_not_equal(read_file(a, dir, "pki/apiserver.crt"), serving);
}

static void test_kubeconfigs_are_complete(void **state)
{
	static const char *const names[] = {"admin.kubeconfig", "scheduler.kubeconfig", "gateway.kubeconfig"};
	struct kube_config config;
	_arena_ a = arena_new();
	struct error e;

	(void)state;
	init();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (kube_config_load(a, arena_printf(a, "%s/%s", dir, names[i]), NULL, &config, &e) < 0)
			fail_msg("%s: %s", names[i], e.text);
		assert_string_equal(config.server, "https://192.0.2.7:6443");
		assert_non_null(config.ca_file);
		assert_true((config.token != NULL) == (i == 0)); /* the others carry certificates */
		assert_true((config.cert_file != NULL) == (i != 0));
	}
}

static void test_issue(void **state)
{
	const char *const node[] = {"node", "fra-1"}, *const gateway[] = {"gateway", "fra"},
			  *const bad[] = {"node", "Fra 1"};
	_arena_ a = arena_new();
	struct error e;

	(void)state;
	setup.out = out;
	assert_true(setup_issue(&setup, node, 2, &e) < 0); /* no CA yet */
	init();
	assert_int_equal(setup_issue(&setup, bad, 2, &e), -E_BAD_REQUEST);
	assert_int_equal(setup_issue(&setup, node, 1, &e), -E_BAD_REQUEST);
	assert_int_equal(setup_issue(&setup, node, 2, &e), 0);
	assert_string_equal(read_file(a, out, "ca.crt"), read_file(a, dir, "pki/ca.crt"));
	read_file(a, out, "serving.crt");
	read_file(a, out, "serving.key");
	read_file(a, out, "kubeconfig");
	assert_int_equal(setup_issue(&setup, gateway, 2, &e), 0);
	setup.addresses.count = 0;
	assert_int_equal(setup_issue(&setup, node, 2, &e), -E_BAD_REQUEST);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, prepare, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_init_is_idempotent),
		TEST(test_another_address_renews_only_the_serving_certificate),
		TEST(test_kubeconfigs_are_complete),
		TEST(test_issue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
