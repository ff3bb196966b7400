/*
 * test_world.c - what the world is built of: tallies, interned strings, the table of records, sites.
 */
#include "fixture.h"

static void test_tally_counts(_unused_ void **state)
{
	struct tally t = {0};

	assert_int_equal(tally_get(&t, 7), 0);
	for (uint32_t round = 1; round <= 3; round++)
		for (uint32_t key = 1; key <= 1000; key++)
			tally_add(&t, key);
	for (uint32_t key = 1; key <= 1000; key++)
		assert_int_equal(tally_get(&t, key), 3);
	assert_int_equal(tally_get(&t, 1001), 0);
	for (uint32_t key = 1; key <= 1000; key += 2)
		for (int n = 0; n < 3; n++)
			tally_subtract(&t, key);
	assert_int_equal(tally_get(&t, 1), 0);
	assert_int_equal(tally_get(&t, 2), 3);
	tally_free(&t);
	assert_int_equal(tally_get(&t, 2), 0);
}

static void test_tally_forgets_what_counts_nothing(_unused_ void **state)
{
	struct tally t = {0};

	/* A Container that has been everywhere costs what it costs where it is now. */
	for (uint32_t key = 1; key <= 100000; key++) {
		tally_add(&t, key);
		if (key > 3)
			tally_subtract(&t, key - 3);
	}
	assert_in_range(t.size, 4, 16);
	assert_int_equal(tally_get(&t, 100000), 1);
	assert_int_equal(tally_get(&t, 99997), 0);
	tally_free(&t);
}

static void test_interned_strings_are_shared(_unused_ void **state)
{
	struct interns *t = interns_new();
	const char *a = intern(t, "fra"), *b = intern(t, "fra"), *c = intern(t, "iad"), *none = intern(t, NULL);

	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_string_equal(none, "");
	assert_int_equal(interns_count(t), 3);
	*intern_tag(a) = t;
	assert_ptr_equal(*intern_tag(b), t);
	assert_null(*intern_tag(c));
	intern_set(t, &c, "fra");
	assert_ptr_equal(c, a);
	assert_int_equal(interns_count(t), 2);
	intern_drop(t, a);
	intern_drop(t, b);
	assert_string_equal(intern_again(c), "fra");
	intern_drop(t, c);
	intern_drop(t, c);
	intern_drop(t, none);
	intern_drop(t, NULL);
	assert_int_equal(interns_count(t), 0);
	interns_free(t);
	interns_free(NULL);
}

#define RECORDS 5000

static void test_records_are_found(_unused_ void **state)
{
	struct record *records = calloc(RECORDS, sizeof(*records));
	struct record_table t = {0};
	_arena_ a = arena_new();
	size_t walked = 0, pos = 0;

	assert_null(record_table_find(&t, "ns", "name"));
	for (int n = 0; n < RECORDS; n++) {
		records[n].ns = n % 2 ? "one" : "";
		records[n].name = arena_printf(a, "name-%d", n / 2);
		record_table_add(&t, &records[n]);
	}
	/* Every third goes: none of the others may get lost by that. */
	for (int n = 0; n < RECORDS; n += 3)
		record_table_remove(&t, &records[n]);
	for (int n = 0; n < RECORDS; n++)
		assert_ptr_equal(record_table_find(&t, n % 2 ? "one" : NULL, records[n].name),
				 n % 3 ? &records[n] : NULL);
	assert_null(record_table_find(&t, "two", "name-1"));
	while (record_table_next(&t, &pos))
		walked++;
	assert_int_equal(walked, t.count);
	assert_int_equal(walked, RECORDS - (RECORDS + 2) / 3);
	record_table_free(&t);
	free(records);
}

/* Every node of a site is once in its order, and no later one goes before it. */
static void check_order(const struct site *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		assert_int_equal(s->rank[s->order[i]], i);
		assert_ptr_equal(s->slots[s->order[i]].node->site, s);
		assert_int_equal(s->slots[s->order[i]].node->slot, s->order[i]);
		if (i)
			assert_true(s->slots[s->order[i - 1]].score >= s->slots[s->order[i]].score);
	}
}

static void test_sites_keep_their_order(_unused_ void **state)
{
	struct fixture f;
	struct site *fra;
	size_t count;

	fixture_init(&f);
	fixture_location(&f, "fra", 50.11, 8.68, "WEUR");
	fixture_location(&f, "iad", 38.95, -77.45, "ENAM");
	fixture_location(&f, "syd", -33.94, 151.18, "OC");
	fra = sites_get(&f.world->sites, "fra");
	for (int n = 0; n < 20; n++) {
		fixture_node(&f, arena_printf(f.arena, "n%d", n), "fra", 512 + n * 37 % 11 * 256, "Ready");
		check_order(fra);
	}
	for (int n = 0; n < 20; n += 2) {
		if (n % 4)
			world_remove(f.world, WORLD_NODE,
				     fixture_object(&f, WORLD_NODE, NULL, arena_printf(f.arena, "n%d", n)));
		else
			fixture_node(&f, arena_printf(f.arena, "n%d", n), "iad", 1024, "Ready");
		check_order(fra);
	}
	assert_int_equal(fra->count, 10);

	const struct neighbour *near = sites_near(&f.world->sites, fra, &count);

	assert_int_equal(count, 3);
	assert_string_equal(near[0].site->name, "fra");
	assert_string_equal(near[1].site->name, "iad");
	assert_string_equal(near[2].site->name, "syd");
	/* It has moved to the antipodes. */
	fixture_location(&f, "fra", -50.11, -171.32, "OC");
	near = sites_near(&f.world->sites, fra, &count);
	assert_string_equal(near[1].site->name, "syd");
	assert_string_equal(sites_near(&f.world->sites, NULL, &count)[0].site->name, "fra");
	assert_true(sites_near(&f.world->sites, NULL, &count)[0].km < 0);
	world_remove(f.world, WORLD_LOCATION, fixture_object(&f, WORLD_LOCATION, NULL, "syd"));
	sites_near(&f.world->sites, fra, &count);
	assert_int_equal(count, 2);
	fixture_free(&f);
}

static void test_a_site_remembers_what_did_not_fit(_unused_ void **state)
{
	struct resources small = {100, 100, 100}, large = {200, 200, 200}, odd = {50, 500, 50};
	struct fixture f;
	struct site *fra;

	fixture_init(&f);
	fixture_location(&f, "fra", 50.11, 8.68, "WEUR");
	fixture_node(&f, "n1", "fra", 512, "Ready");
	fra = sites_get(&f.world->sites, "fra");
	assert_false(site_is_full_for(fra, &small));
	site_note_full(fra, &small);
	assert_true(site_is_full_for(fra, &small));
	assert_true(site_is_full_for(fra, &large));
	assert_false(site_is_full_for(fra, &odd));
	/* Room that is given back is room for all. */
	site_update_node((struct node *)world_find(f.world, WORLD_NODE, NULL, "n1"), false);
	assert_true(site_is_full_for(fra, &small));
	site_update_node((struct node *)world_find(f.world, WORLD_NODE, NULL, "n1"), true);
	assert_false(site_is_full_for(fra, &small));
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tally_counts),
		cmocka_unit_test(test_tally_forgets_what_counts_nothing),
		cmocka_unit_test(test_interned_strings_are_shared),
		cmocka_unit_test(test_records_are_found),
		cmocka_unit_test(test_sites_keep_their_order),
		cmocka_unit_test(test_a_site_remembers_what_did_not_fit),
	};

	return cmocka_run_group_tests_name("scheduler/world", tests, NULL, NULL);
}
