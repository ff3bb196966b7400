/*
 * test_haproxy_cfg.c - haproxy.cfg as golden files, for the smallest and the largest shape.
 */
#include "gateway/haproxy_cfg.h"
#include "test/unit/gateway/fixture.h"
#include "test/unit/golden.h"

static const struct haproxy_settings small = {.listen = "127.0.0.1:8080",
					      .map_dir = "/s/maps",
					      .lua_file = "/s/berth.lua",
					      .lua_digest = "0123",
					      .admin_socket = "/s/run/admin.sock",
					      .resolver_socket = "/s/run/resolver.sock",
					      .again_socket = "/s/run/again.sock",
					      .wake_timeout_ms = 1500,
					      .max_connections = 8000};

static void test_small(_unused_ void **state)
{
	struct route_extractor extractors[] = {{.tag = "s2", .segment = 2}};
	struct route_shape shape = {.extractors = extractors, .extractor_count = 1};
	_buf_ text = BUF_INIT(65536);

	haproxy_cfg_write(&small, &shape, &text);
	assert_golden("gateway/haproxy-small.cfg", text.data);
}

static void test_large(_unused_ void **state)
{
	struct haproxy_settings s = small;
	struct route_extractor extractors[] = {{.tag = "h:x-user", .header = "x-user"}, {.tag = "s1", .segment = 1}};
	int strips[] = {1, 3};
	struct route_shape shape = {.hosts = true,
				    .suffixes = true,
				    .exact = true,
				    .fixed = true,
				    .extractors = extractors,
				    .extractor_count = 2,
				    .strips = strips,
				    .strip_count = 2};
	_buf_ text = BUF_INIT(65536);

	s.source = "192.0.2.7";
	s.user = "haproxy";
	s.metrics_listen = "127.0.0.1:9101";
	s.threads = 4;
	haproxy_cfg_write(&s, &shape, &text);
	assert_golden("gateway/haproxy-large.cfg", text.data);
}

static void test_behind_proxies(_unused_ void **state)
{
	static const char *const proxies[] = {"10.0.0.0/8", "2001:db8::/32"};
	struct haproxy_settings s = small;
	struct route_shape shape = {0};
	_buf_ text = BUF_INIT(65536);

	s.trusted_proxies = proxies;
	s.trusted_proxy_count = 2;
	haproxy_cfg_write(&s, &shape, &text);
	assert_golden("gateway/haproxy-proxied.cfg", text.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_small), cmocka_unit_test(test_large),
					   cmocka_unit_test(test_behind_proxies)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
