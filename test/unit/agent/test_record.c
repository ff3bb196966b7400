/*
 * test_record.c - records and ids survive, foreign and broken files are refused; the small parsers of the flags.
 */
#include "agent/config.h"
#include "agent/exec.h"
#include "agent/record.h"
#include "lib/fsutil.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UID "0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0"

static int setup(void **state)
{
	char *dir = xstrdup("/tmp/berth-test-record-XXXXXX");

	if (!mkdtemp(dir))
		return -1;
	*state = dir;
	return 0;
}

static int teardown(void **state)
{
	tree_remove(*state, NULL);
	free(*state);
	return 0;
}

static const struct record sample = {.ns = "default",
				     .name = "shop-u1",
				     .uid = UID,
				     .highest = 9,
				     .spent = 8,
				     .generation = 7,
				     .made_as = 6,
				     .over = OVER_APP_FAILED,
				     .grace_ms = 5000,
				     .term_since = 12345,
				     .restarts = 2,
				     .run = 4,
				     .app_started = true,
				     .ready = true,
				     .internet = true,
				     .suspend = true,
				     .resuming = true,
				     .started_at = 111,
				     .ready_at = 222};

static void save_sample(const char *dir)
{
	_arena_ a = arena_new();

	assert_int_equal(dir_make(record_dir(a, dir, UID), 0700, NULL), 0);
	assert_int_equal(record_save(dir, &sample, NULL), 0);
}

static void test_there_and_back(void **state)
{
	_arena_ a = arena_new();
	struct record r;
	const char **uids;
	size_t n;

	save_sample(*state);
	assert_int_equal(record_load(a, *state, UID, &r, NULL), 0);
	assert_string_equal(r.ns, "default");
	assert_string_equal(r.name, "shop-u1");
	assert_int_equal(r.highest, 9);
	assert_int_equal(r.spent, 8);
	assert_int_equal(r.generation, 7);
	assert_int_equal(r.made_as, 6);
	assert_int_equal(r.over, OVER_APP_FAILED);
	assert_int_equal(r.term_since, 12345);
	assert_int_equal(r.grace_ms, 5000);
	assert_int_equal(r.run, 4);
	assert_true(r.app_started && r.ready && r.internet && r.suspend && r.resuming);
	assert_int_equal(r.ready_at, 222);
	assert_int_equal(record_list(a, *state, &uids, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(uids[0], UID);
}

static void write_record(const char *dir, const char *text)
{
	_arena_ a = arena_new();

	assert_int_equal(dir_make(record_dir(a, dir, UID), 0700, NULL), 0);
	assert_int_equal(file_write_atomic(arena_printf(a, "%s/record.json", record_dir(a, dir, UID)), text,
					   strlen(text), 0600, NULL),
			 0);
}

static void test_bad_records(void **state)
{
	static const char *const bad[] = {"",
					  "{",
					  "[]",
					  "{}",
					  "{\"namespace\":\"a\",\"name\":\"b\",\"uid\":\"other\"}",
					  "{\"namespace\":\"a\",\"name\":\"b\",\"uid\":\"" UID "\",\"over\":99}"};
	_arena_ a = arena_new();
	struct record r;

	assert_int_equal(record_load(a, *state, UID, &r, NULL), -E_NOT_FOUND);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		write_record(*state, bad[i]);
		assert_true(record_load(a, *state, UID, &r, NULL) < 0);
	}
}

/* The clock of term_since starts anew with the host. */
static void test_other_boot_of_the_host(void **state)
{
	_arena_ a = arena_new();
	struct record r;

	write_record(*state, "{\"namespace\":\"a\",\"name\":\"b\",\"uid\":\"" UID
			     "\",\"hostBootId\":\"another\",\"termSince\":5,\"spent\":3}");
	assert_int_equal(record_load(a, *state, UID, &r, NULL), 0);
	assert_int_equal(r.term_since, 0);
	assert_int_equal(r.spent, 3);
}

static void test_owner_is_kept(void **state)
{
	_arena_ a = arena_new();
	const char *first, *second;

	assert_int_equal(record_owner(a, *state, &first, NULL), 0);
	assert_int_equal(record_owner(a, *state, &second, NULL), 0);
	assert_string_equal(first, second);
	assert_int_equal(strlen(first), 36);
}

static void test_cidr(void **state)
{
	static const char *const bad[] = {"",
					  "10.88.0.0",
					  "10.88.0.0/",
					  "10.88.0.0/30",
					  "10.88.0.0/8",
					  "10.88.0.1/16",
					  "10.88.0.0/16x",
					  "300.1.1.0/24",
					  "::/64"};
	struct error e = {0};
	uint32_t base;
	unsigned bits;

	(void)state;
	assert_int_equal(config_parse_cidr("10.88.0.0/16", &base, &bits, &e), 0);
	assert_int_equal(base, 0x0a580000);
	assert_int_equal(bits, 16);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(config_parse_cidr(bad[i], &base, &bits, &e), -E_INVALID);
}

static void test_ranges_of_vms_are_private(void **state)
{
	static const char *const good[] = {"10.255.255.0/24", "172.16.0.0/12", "172.31.255.0/24", "192.168.0.0/16",
					   "100.127.0.0/16"};
	static const char *const bad[] = {"11.0.0.0/16", "172.32.0.0/16", "192.169.0.0/16", "100.128.0.0/16",
					  "8.8.8.0/24"};
	struct error e = {0};
	uint32_t base;
	unsigned bits;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (config_parse_cidr(good[i], &base, &bits, &e) != 0)
			fail_msg("%s", e.text);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(config_parse_cidr(bad[i], &base, &bits, &e), -E_INVALID);
}

static void test_resolv_conf(void **state)
{
	char dns[CONFIG_DNS_MAX][CONFIG_ADDRESS_TEXT_MAX];

	(void)state;
	assert_int_equal(
		config_parse_resolv("# x\nsearch a\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver ::1\n"
				    "nameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n",
				    dns),
		3);
	assert_string_equal(dns[0], "192.0.2.1");
	assert_string_equal(dns[2], "192.0.2.3");
	assert_int_equal(config_parse_resolv("", dns), 0);
}

static void assert_status(int64_t code, int64_t sig, const char *text, const char *want)
{
	_buf_ out = BUF_INIT(4096);

	exec_status(code, sig, text, &out);
	assert_string_equal(out.data, want);
}

static void test_exec_status(void **state)
{
	(void)state;
	assert_status(0, 0, "", "{\"metadata\":{},\"status\":\"Success\"}");
	assert_status(
		3, 0, "",
		"{\"metadata\":{},\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"message\":\"command terminated with "
		"non-zero exit code: exit status 3\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}");
	assert_status(
		0, 9, "gone",
		"{\"metadata\":{},\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"message\":\"gone\",\"details\":{"
		"\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"137\"}]}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_boot_of_the_host, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owner_is_kept, setup, teardown),
		cmocka_unit_test(test_cidr),
		cmocka_unit_test(test_ranges_of_vms_are_private),
		cmocka_unit_test(test_resolv_conf),
		cmocka_unit_test(test_exec_status),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
