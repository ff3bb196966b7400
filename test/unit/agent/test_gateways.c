/*
 * test_gateways.c - which addresses are let in to VMs as those of gateways.
 */
#include "agent/gateways.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CIDR_BASE 0x0a580000 /* 10.88.0.0 */
#define CIDR_BITS 16

static void test_sorted_and_once(void **state)
{
	const char *list[] = {"192.0.2.9", "10.87.255.255", "192.0.2.9", "10.89.0.0", "1.0.0.1", "223.255.255.255"};
	static const char *const wanted[] = {"1.0.0.1", "10.87.255.255", "10.89.0.0", "192.0.2.9", "223.255.255.255"};

	(void)state;
	assert_int_equal(gateways_tidy(list, ARRAY_SIZE(list), CIDR_BASE, CIDR_BITS), ARRAY_SIZE(wanted));
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_string_equal(list[i], wanted[i]);
	assert_int_equal(gateways_tidy(list, 0, CIDR_BASE, CIDR_BITS), 0);
}

/* Whatever a Location's status says: VMs, ranges, and texts that nft would read differently stay out of the rules. */
static void test_refused(void **state)
{
	static const char *const bad[] = {
		"10.88.0.0",   "10.88.255.255",	      "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255",
		"0.0.0.0/0",   "192.0.2.0/24",	      "gw-1",	 "",	      "::1",	   "192.0.2.1 ",
		"192.0.2.300", "192.0.2.1, 10.88.0.5"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *list[] = {bad[i]};
		if (gateways_tidy(list, 1, CIDR_BASE, CIDR_BITS) != 0)
			fail_msg("\"%s\" is let in", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sorted_and_once),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
