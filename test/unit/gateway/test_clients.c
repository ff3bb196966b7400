/*
 * test_clients.c - networks, and which Location a client is near.
 */
#include "gateway/clients.h"
#include "test/unit/gateway/fixture.h"

static void test_parse(_unused_ void **state)
{
	static const char *const good[] = {"10.0.0.0/8",    "0.0.0.0/0", "192.0.2.1", "192.0.2.1/32",
					   "2001:db8::/32", "::/0",	 "::1"};
	static const char *const bad[] = {"",
					  "/8",
					  "10.0.0.0/",
					  "10.0.0.0/33",
					  "10.0.0/8",
					  "::/129",
					  "10.0.0.0/8x",
					  "10.0.0.0/-1",
					  "x",
					  "10.0.0.0/ 8",
					  "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb/8"};
	struct client_net net;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(client_net_parse(good[i], &net, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error e = {0};

		assert_int_equal(client_net_parse(bad[i], &net, &e), -E_BAD_REQUEST);
		assert_true(*e.text);
	}
}

static bool has(const char *net, const char *address)
{
	struct client_net n, a;

	assert_int_equal(client_net_parse(net, &n, NULL), 0);
	assert_int_equal(client_net_parse(address, &a, NULL), 0);
	return client_net_has(&n, &a);
}

static void test_has(_unused_ void **state)
{
	assert_true(has("10.0.0.0/8", "10.255.255.255"));
	assert_false(has("10.0.0.0/8", "11.0.0.0"));
	assert_true(has("192.0.2.128/25", "192.0.2.128"));
	assert_false(has("192.0.2.128/25", "192.0.2.127"));
	assert_true(has("192.0.2.1", "192.0.2.1"));
	assert_false(has("192.0.2.1", "192.0.2.0"));
	assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
	/* IPv4 clients of a socket for both families come as mapped addresses. */
	assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
	assert_true(has("0.0.0.0/0", "1.2.3.4"));
	assert_false(has("0.0.0.0/0", "2001:db8::1"));
}

static int put(struct clients *c, const char *name, const char *nets)
{
	_arena_ a = arena_new();

	return clients_put(
		c, fixture_jsonf(a, "{'metadata': {'name': '%s'}, 'spec': {'clientCIDRs': [%s]}}", name, nets), NULL);
}

static void test_find(_unused_ void **state)
{
	struct clients *c = clients_new();

	assert_null(clients_find(c, "10.1.2.3"));
	assert_int_equal(put(c, "fra", "'10.0.0.0/8', 'nonsense', '2001:db8::/32'"), -E_BAD_REQUEST);
	assert_int_equal(put(c, "iad", "'10.1.0.0/16'"), 0);
	put(c, "syd", "'10.1.0.0/16'");
	assert_string_equal(clients_find(c, "10.2.0.1"), "fra");
	assert_string_equal(clients_find(c, "10.1.2.3"), "iad"); /* longer goes first, then the name */
	assert_string_equal(clients_find(c, "2001:db8::5"), "fra");
	assert_null(clients_find(c, "192.0.2.1"));
	assert_null(clients_find(c, ""));
	assert_null(clients_find(c, "not an address"));
	put(c, "iad", "");
	assert_string_equal(clients_find(c, "10.1.2.3"), "syd");
	clients_remove(c, "syd");
	clients_remove(c, "nowhere");
	assert_string_equal(clients_find(c, "10.1.2.3"), "fra");
	clients_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_has),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
