/*
 * test_status.c - what the scheduler counts: how far a prefetch is, and what a Location has.
 */
#include "fixture.h"

#include "scheduler/prefetch.h"

static void test_prefetch_progress(_unused_ void **state)
{
	struct fixture f;

	fixture_init(&f);
	fixture_location(&f, "fra", 50.11, 8.68, "WEUR");
	fixture_location(&f, "iad", 38.95, -77.45, "ENAM");
	fixture_location(&f, "syd", -33.94, 151.18, "OC");
	fixture_location(&f, "ber", 52.52, 13.40, "WEUR");
	fixture_node(&f, "n1", "fra", 4096, "Ready");
	fixture_node(&f, "n2", "fra", 4096, "Pulling");
	fixture_node(&f, "n3", "iad", 4096, "Failed");
	fixture_node(&f, "n4", "iad", 4096, "Ready");
	fixture_node(&f, "n5", "syd", 4096, "Ready"); /* not wanted there */
	fixture_node(&f, "n6", "nowhere", 4096, "Ready");
	struct container *c = fixture_container(&f, "shop", "placement: {excludeLocations: [syd]}");

	fixture_revision(&f, c, 1, "sha256:aa");
	fixture_settle(&f);

	struct prefetch_progress p = prefetch_progress(f.world, c);

	assert_int_equal(p.wanted, 4);
	assert_int_equal(p.ready, 2);
	assert_int_equal(p.percent, (100 + 40 + 40 + 100) / 4);
	assert_non_null(p.failure);
	assert_string_equal(fixture_condition(&c->r, "Prefetched", "reason"), "PrefetchFailed");

	/* It goes on, and one node leaves. */
	fixture_node(&f, "n2", "fra", 4096, "Ready");
	world_remove(f.world, WORLD_NODE, fixture_object(&f, WORLD_NODE, NULL, "n3"));
	fixture_settle(&f);
	p = prefetch_progress(f.world, c);
	assert_int_equal(p.wanted, 3);
	assert_int_equal(p.ready, 3);
	assert_int_equal(p.percent, 100);
	assert_null(p.failure);
	assert_string_equal(fixture_condition(&c->r, "Prefetched", "status"), "True");
	fixture_free(&f);
}

static void test_locations_are_counted(_unused_ void **state)
{
	struct fixture f;

	fixture_init(&f);
	fixture_location(&f, "fra", 50.11, 8.68, "WEUR");
	fixture_location(&f, "iad", 38.95, -77.45, "ENAM");
	fixture_node(&f, "n1", "fra", 4096, "Ready");
	f.now += 41000; /* n1 has stopped renewing its lease */
	fixture_node(&f, "n2", "fra", 1024, "Ready");
	fixture_settle(&f);

	const struct json *fra = json_get(world_find(f.world, WORLD_LOCATION, NULL, "fra")->object, "status");
	const struct json *iad = json_get(world_find(f.world, WORLD_LOCATION, NULL, "iad")->object, "status");

	assert_int_equal(json_int_or(json_get(fra, "nodes"), -1), 2);
	assert_int_equal(json_int_or(json_get(fra, "readyNodes"), -1), 1);
	assert_string_equal(json_str(json_in(fra, "capacity", "memory")), "1024Mi");
	assert_int_equal(json_int_or(json_get(iad, "nodes"), -1), 0);
	assert_int_equal(json_int_or(json_get(iad, "readyNodes"), -1), 0);
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefetch_progress),
		cmocka_unit_test(test_locations_are_counted),
	};

	return cmocka_run_group_tests_name("scheduler/status", tests, NULL, NULL);
}
