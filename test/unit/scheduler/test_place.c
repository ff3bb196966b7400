/*
 * test_place.c - placement: nearest Location, best node, reasons, exact maxInstances.
 */
#include "fixture.h"

#include "scheduler/place.h"

static int setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	fixture_init(f);
	fixture_location(f, "fra", 50.11, 8.68, "WEUR");
	fixture_location(f, "iad", 38.95, -77.45, "ENAM");
	fixture_location(f, "syd", -33.94, 151.18, "OC");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	free(*state);
	return 0;
}

static void test_distance_is_great_circle(void **state)
{
	struct fixture *f = *state;
	struct location *fra = (struct location *)world_find(f->world, WORLD_LOCATION, NULL, "fra");
	struct location *iad = (struct location *)world_find(f->world, WORLD_LOCATION, NULL, "iad");

	/* Frankfurt to Dulles is about 6,540 km. */
	assert_in_range((unsigned long)place_distance_km(fra, iad), 6450, 6650);
	assert_true(place_distance_km(fra, fra) < 0.001);
}

static void test_nearest_location_with_the_image(void **state)
{
	struct fixture *f = *state;

	fixture_node(f, "n-fra", "fra", 4096, "Pulling");
	fixture_node(f, "n-iad", "iad", 4096, "Ready");
	fixture_node(f, "n-syd", "syd", 4096, "Ready");
	fixture_revision(f, fixture_container(f, "shop", ""), 1, "sha256:aa");
	fixture_instance(f, "shop", "a", ", origin: fra");
	fixture_settle(f);

	struct instance *i = fixture_find_instance(f, "shop-a");

	assert_string_equal(i->node_name, "n-iad");
	assert_int_equal(i->vm_generation, 1);
	assert_string_equal(i->revision, "shop-1");
}

static void test_best_node_is_the_emptiest(void **state)
{
	struct fixture *f = *state;
	const char *node[3];

	fixture_node(f, "n1", "fra", 1024, "Ready");
	fixture_node(f, "n2", "fra", 4096, "Ready");
	fixture_revision(f, fixture_container(f, "shop", ""), 1, "sha256:aa");
	for (int k = 0; k < 3; k++) {
		const char *id = arena_printf(f->arena, "u%d", k);

		fixture_instance(f, "shop", id, ", origin: fra");
		fixture_settle(f);
		node[k] = fixture_find_instance(f, arena_printf(f->arena, "shop-%s", id))->node_name;
		assert_string_equal(node[k], "n2");
	}
}

static void test_every_node_says_why_not(void **state)
{
	struct fixture *f = *state;

	fixture_node(f, "n-small", "fra", 128, "Ready");
	fixture_node(f, "n-cold", "iad", 4096, "Failed");
	fixture_revision(f, fixture_container(f, "shop", "placement: {excludeLocations: [syd]}"), 1, "sha256:aa");
	fixture_node(f, "n-syd", "syd", 4096, "Ready");
	fixture_instance(f, "shop", "a", "");
	fixture_settle(f);

	struct instance *i = fixture_find_instance(f, "shop-a");
	const struct json *rows = json_in(i->r.object, "status", "placement", "candidates");

	assert_int_equal(i->phase, PHASE_NONE);
	assert_int_equal(json_count(rows), 3);
	for (size_t k = 0; k < 3; k++)
		assert_non_null(json_str(json_get(json_item(rows, k), "reason")));
	assert_string_equal(fixture_condition(&i->r, "Ready", "reason"), "Unschedulable");
	assert_non_null(strstr(fixture_condition(&i->r, "Ready", "message"), "insufficient memory"));
}

static void test_a_stale_lease_takes_nothing(void **state)
{
	struct fixture *f = *state;

	fixture_node(f, "n1", "fra", 4096, "Ready");
	fixture_revision(f, fixture_container(f, "shop", ""), 1, "sha256:aa");
	f->now += 41000;
	fixture_instance(f, "shop", "a", "");
	fixture_settle(f);
	assert_string_equal(fixture_find_instance(f, "shop-a")->node_name, "");
}

static void test_max_instances_is_exact(void **state)
{
	struct fixture *f = *state;
	struct action_list out;
	size_t binds = 0;

	fixture_node(f, "n1", "fra", 65536, "Ready");
	fixture_revision(f, fixture_container(f, "shop", "maxInstances: 3"), 1, "sha256:aa");
	for (int k = 0; k < 10; k++)
		fixture_instance(f, "shop", arena_printf(f->arena, "u%d", k), "");
	/* Even within one step, before any answer. */
	action_list_init(&out, f->arena);
	scheduler_step(f->world, f->now, &out);
	for (const struct action *x = out.first; x; x = x->next)
		binds += x->type == ACTION_BIND;
	assert_int_equal(binds, 3);
	scheduler_step(f->world, f->now, &out);
	binds = 0;
	for (const struct action *x = out.first; x; x = x->next)
		binds += x->type == ACTION_BIND;
	assert_int_equal(binds, 3);
	for (const struct action *x = out.first; x; x = x->next)
		fixture_answer(f, x);
	fixture_settle(f);
	assert_int_equal(((struct container *)world_find(f->world, WORLD_CONTAINER, "default", "shop"))->running, 3);

	/* One goes to sleep: exactly one of the waiting ones takes its place. */
	struct json *o = json_clone(f->arena, fixture_find_instance(f, "shop-u0")->r.object);

	json_set_str(f->arena, json_get(o, "spec"), "state", "Asleep");
	json_set_str(f->arena, json_get(o, "status"), "phase", "Asleep");
	fixture_store(f, WORLD_INSTANCE, o);
	fixture_settle(f);
	assert_int_equal(((struct container *)world_find(f->world, WORLD_CONTAINER, "default", "shop"))->running, 3);
}

static void test_a_failed_bind_gives_the_room_back(void **state)
{
	struct fixture *f = *state;
	struct action_list out;

	fixture_node(f, "n1", "fra", 256, "Ready");
	fixture_revision(f, fixture_container(f, "shop", ""), 1, "sha256:aa");
	fixture_instance(f, "shop", "a", "");
	action_list_init(&out, f->arena);
	scheduler_step(f->world, f->now, &out);
	for (const struct action *x = out.first; x; x = x->next)
		if (x->type == ACTION_BIND)
			step_answered(f->world, x, -E_CONFLICT, NULL, f->now);
		else
			fixture_answer(f, x);
	struct node *n = (struct node *)world_find(f->world, WORLD_NODE, NULL, "n1");

	assert_int_equal(n->used.memory, 0);
	assert_int_equal(n->instances, 0);
	f->now += 1000;
	fixture_settle(f);
	assert_string_equal(fixture_find_instance(f, "shop-a")->node_name, "n1");
	assert_int_equal(n->used.memory, 256 << 20);
}

static void test_a_wake_may_go_elsewhere(void **state)
{
	struct fixture *f = *state;

	fixture_node(f, "n-fra", "fra", 4096, "Ready");
	fixture_node(f, "n-syd", "syd", 4096, "Ready");
	fixture_revision(f, fixture_container(f, "shop", ""), 1, "sha256:aa");
	fixture_instance(f, "shop", "a", ", origin: fra");
	fixture_settle(f);
	assert_string_equal(fixture_find_instance(f, "shop-a")->node_name, "n-fra");

	struct json *o = json_clone(f->arena, fixture_find_instance(f, "shop-a")->r.object);

	json_set_str(f->arena, json_get(o, "status"), "phase", "Asleep");
	json_set_str(f->arena, json_get(o, "spec"), "origin", "syd");
	fixture_store(f, WORLD_INSTANCE, o);
	fixture_settle(f);
	assert_string_equal(fixture_find_instance(f, "shop-a")->node_name, "n-syd");
	assert_int_equal(fixture_find_instance(f, "shop-a")->vm_generation, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_distance_is_great_circle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nearest_location_with_the_image, setup, teardown),
		cmocka_unit_test_setup_teardown(test_best_node_is_the_emptiest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_node_says_why_not, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_stale_lease_takes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_max_instances_is_exact, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_failed_bind_gives_the_room_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_wake_may_go_elsewhere, setup, teardown),
	};

	return cmocka_run_group_tests_name("scheduler/place", tests, NULL, NULL);
}
