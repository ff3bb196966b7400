/*
 * test_config.c - flags that make sense, and flags that do not.
 */
#include "gateway/config.h"
#include "test/unit/gateway/fixture.h"

#include <stdio.h>

static struct gateway_config good(void)
{
	struct gateway_config c;

	gateway_config_init(&c);
	c.location = "fra";
	c.name = "gw-1";
	c.state_dir = "/var/lib/berth/gateway";
	return c;
}

static void test_good(_unused_ void **state)
{
	static const char *const listens[] = {"127.0.0.1:8080", "[::1]:80", "*:65535", "0.0.0.0:1"};
	_arena_ a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(listens); i++) {
		struct gateway_config c = good();
		struct error e = {0};

		c.listen = listens[i];
		if (gateway_config_finish(&c, a, &e))
			fail_msg("%s", e.text);
		assert_string_equal(c.again_socket, "/var/lib/berth/gateway/run/again.sock");
	}
}

static void test_address(_unused_ void **state)
{
	static const struct {
		const char *listen, *flag, *address;
	} cases[] = {
		{"192.0.2.7:80", NULL, "192.0.2.7"},
		{"192.0.2.7:80", "192.0.2.8", "192.0.2.8"},
		{"*:80", "192.0.2.8", "192.0.2.8"},
		{"*:80", NULL, NULL},
		{"0.0.0.0:80", NULL, NULL},
		{"127.0.0.1:80", NULL, NULL},
		{"[::1]:80", NULL, NULL},
	};
	_arena_ a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct gateway_config c = good();
		struct error e = {0};

		c.listen = cases[i].listen;
		c.address = cases[i].flag;
		assert_int_equal(gateway_config_finish(&c, a, &e), 0);
		if (!streq(c.address, cases[i].address) && (c.address || cases[i].address))
			fail_msg("%s: %s", cases[i].listen, c.address);
	}
}

static void test_address_of_this_host(_unused_ void **state)
{
	struct gateway_config c = good();
	struct error e = {0};

	assert_int_equal(gateway_config_check_address(&c, &e), 0);
	c.address = "127.0.0.1";
	assert_int_equal(gateway_config_check_address(&c, &e), 0);
	c.address = "192.0.2.7";
	assert_int_equal(gateway_config_check_address(&c, &e), -E_BAD_REQUEST);
	assert_non_null(strstr(e.text, "192.0.2.7 is not an address of this host"));
}

static void expect_fault(struct gateway_config c, const char *text)
{
	_arena_ a = arena_new();
	struct error e = {0};

	assert_int_equal(gateway_config_finish(&c, a, &e), -E_BAD_REQUEST);
	if (!strstr(e.text, text))
		fail_msg("\"%s\" does not name %s", e.text, text);
}

static void test_trusted_proxies(_unused_ void **state)
{
	_arena_ a = arena_new();
	struct gateway_config c = good();
	struct error e = {0};

	c.trusted_proxies = (struct option_list){.items = {"10.0.0.0/8", "::1"}, .count = 2};
	assert_int_equal(gateway_config_finish(&c, a, &e), 0);
	c = good();
	c.trusted_proxies = (struct option_list){.items = {"10.0.0.0/8", "proxy.example"}, .count = 2};
	expect_fault(c, "--trusted-proxy: \"proxy.example\"");
}

static void test_bad(_unused_ void **state)
{
	static const char *const listens[] = {"8080",
					      ":80",
					      "127.0.0.1:",
					      "127.0.0.1:0",
					      "127.0.0.1:65536",
					      "127.0.0.1:80x",
					      "127.0.0.1:80 ssl",
					      "host name:80",
					      ""};
	struct gateway_config c;
	char longer[120];

	for (size_t i = 0; i < ARRAY_SIZE(listens); i++) {
		c = good();
		c.listen = listens[i];
		expect_fault(c, "--listen");
	}
	c = good();
	c.haproxy_metrics_listen = "9101";
	expect_fault(c, "--haproxy-metrics-listen");
	static const char *const addresses[] = {"", "gw-1", "127.0.0.1", "0.0.0.0", "224.0.0.1", "::1", "192.0.2.7:80"};
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		c = good();
		c.address = addresses[i];
		expect_fault(c, "--address");
	}
	c = good();
	c.location = NULL;
	expect_fault(c, "--location");
	c = good();
	c.name = "Not A Name";
	expect_fault(c, "--name");
	c = good();
	c.state_dir = "relative";
	expect_fault(c, "--state-dir");
	c.state_dir = "/with space";
	expect_fault(c, "--state-dir");
	snprintf(longer, sizeof(longer), "/%0100d", 0);
	c.state_dir = longer;
	expect_fault(c, "too long");
	c = good();
	c.wake_timeout_ms = 999;
	expect_fault(c, "--wake-timeout");
	c = good();
	c.max_waiting = 0;
	expect_fault(c, "--max-waiting");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_address),
					   cmocka_unit_test(test_address_of_this_host), cmocka_unit_test(test_bad),
					   cmocka_unit_test(test_trusted_proxies)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
