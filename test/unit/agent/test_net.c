/*
 * test_net.c - packet rules as golden files, and the handing out of addresses.
 */
#include "agent/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/unit/golden.h"

static const struct net_vm vms[] = {{"bt00000001", "10.88.0.5", true}, {"bt00000002", "10.88.0.6", false}};

static void test_table(void **state)
{
	static const char *const gateways[] = {"192.0.2.10", "192.0.2.11"}, *const dns[] = {"192.0.2.53"};
	const struct net_rules rules = {.table = "berth",
					.gateway_uid = 104,
					.gateways = gateways,
					.gateway_count = 2,
					.dns = dns,
					.dns_count = 1};
	_buf_ text = BUF_INIT(65536);

	(void)state;
	net_nft_table(&rules, vms, ARRAY_SIZE(vms), &text);
	assert_golden("agent/nft-table.nft", text.data);
}

static void test_empty_table(void **state)
{
	const struct net_rules rules = {.table = "berth", .gateway_uid = 104};
	_buf_ text = BUF_INIT(65536);

	(void)state;
	net_nft_table(&rules, NULL, 0, &text);
	assert_golden("agent/nft-empty.nft", text.data);
}

static void test_changes(void **state)
{
	_buf_ text = BUF_INIT(65536);

	(void)state;
	net_nft_add("berth", &vms[0], &text);
	net_nft_add("berth", &vms[1], &text);
	net_nft_remove("berth", &vms[1], &text);
	static const char *const gateways[] = {"192.0.2.10", "192.0.2.12"};
	net_nft_gateways("berth", gateways, ARRAY_SIZE(gateways), &text);
	net_nft_gateways("berth", NULL, 0, &text);
	net_nft_delete("berth", &text);
	assert_golden("agent/nft-changes.nft", text.data);
}

static void test_every_address_once(void **state)
{
	struct net_addresses *p = net_addresses_new(0x0a580000, 29); /* 10.88.0.0/29: six usable */
	char address[NET_ADDRESS_MAX];
	bool seen[8] = {false};
	struct error e = {0};

	(void)state;
	for (int i = 0; i < 6; i++) {
		assert_int_equal(net_address_take(p, address, &e), 0);
		int last = (int)strtol(strrchr(address, '.') + 1, NULL, 10);
		assert_memory_equal(address, "10.88.0.", 8);
		assert_in_range(last, 1, 6);
		assert_false(seen[last]);
		seen[last] = true;
	}
	assert_int_equal(net_address_take(p, address, &e), -E_TOO_MANY);
	net_address_release(p, "10.88.0.3");
	assert_int_equal(net_address_take(p, address, &e), 0);
	assert_string_equal(address, "10.88.0.3");
	net_addresses_free(p);
}

static void test_released_address_rests(void **state)
{
	struct net_addresses *p = net_addresses_new(0x0a580000, 29);
	char first[NET_ADDRESS_MAX], address[NET_ADDRESS_MAX];

	(void)state;
	assert_int_equal(net_address_take(p, first, NULL), 0);
	for (int i = 0; i < 5; i++) {
		net_address_release(p, i ? address : first);
		assert_int_equal(net_address_take(p, address, NULL), 0);
		assert_string_not_equal(address, first);
	}
	net_addresses_free(p);
}

static void test_claims(void **state)
{
	static const char *const bad[] = {"10.88.0.0", "10.88.0.255", "10.89.0.1", "10.87.255.255", "", "x", "::1"};
	struct net_addresses *p = net_addresses_new(0x0a580000, 24);

	(void)state;
	assert_true(net_address_claim(p, "10.88.0.9"));
	assert_false(net_address_claim(p, "10.88.0.9"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(net_address_claim(p, bad[i]));
	assert_false(net_address_claim(p, NULL));
	net_address_release(p, NULL);
	net_addresses_free(p);
	net_addresses_free(NULL);
}

static void test_tap_name(void **state)
{
	char tap[NET_TAP_MAX];

	(void)state;
	net_tap_name("0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0", tap);
	assert_string_equal(tap, "bt0f1e2d3c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_empty_table),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_every_address_once),
		cmocka_unit_test(test_released_address_rests),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_tap_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
