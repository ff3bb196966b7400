/*
 * test_netconf.c - addresses as the agent writes them.
 */
#include "guest/netconf.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		const char *address, *mask;
	} rows[] = {
		{"10.88.0.5/32", true, "10.88.0.5", "255.255.255.255"},
		{"10.88.0.5", true, "10.88.0.5", "255.255.255.255"},
		{"10.0.2.15/24", true, "10.0.2.15", "255.255.255.0"},
		{"10.0.2.15/0", true, "10.0.2.15", "0.0.0.0"},
		{"10.0.2.15/33", false, NULL, NULL},
		{"10.0.2.15/", false, NULL, NULL},
		{"10.0.2.15/-1", false, NULL, NULL},
		{"10.0.2.15/ 4", false, NULL, NULL},
		{"10.0.2.15/4x", false, NULL, NULL},
		{"10.0.2", false, NULL, NULL},
		{"", false, NULL, NULL},
		{"/32", false, NULL, NULL},
		{"1000.1000.1000.1000/32", false, NULL, NULL},
		{"::1/128", false, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct netconf_address a;
		char text[INET_ADDRSTRLEN];

		assert_int_equal(netconf_parse(rows[i].text, &a), rows[i].ok);
		if (!rows[i].ok)
			continue;
		assert_string_equal(inet_ntop(AF_INET, &a.address, text, sizeof(text)), rows[i].address);
		assert_string_equal(inet_ntop(AF_INET, &a.mask, text, sizeof(text)), rows[i].mask);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse)};

	return cmocka_run_group_tests_name("netconf", tests, NULL, NULL);
}
