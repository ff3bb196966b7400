/*
 * test_suspended.c - suspended VMs: what they take of nodes, where they run on, and when they are given up.
 */
#include "fixture.h"

#include "scheduler/suspended.h"

static int setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	fixture_init(f);
	fixture_location(f, "fra", 50.11, 8.68, "WEUR");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	free(*state);
	return 0;
}

static struct instance *find(struct fixture *f, const char *name)
{
	return fixture_find_instance(f, name);
}

static struct node *node(struct fixture *f, const char *name)
{
	return (struct node *)world_find(f->world, WORLD_NODE, NULL, name);
}

static struct container *container(struct fixture *f)
{
	return (struct container *)world_find(f->world, WORLD_CONTAINER, "default", "shop");
}

/* As the gateway and the agent write it. */
static void set(struct fixture *f, const char *name, const char *state, const char *phase, bool suspended)
{
	struct json *o = fixture_copy(f, name);
	struct json *status = json_ensure_object(f->arena, o, "status");

	json_set_str(f->arena, json_get(o, "spec"), "state", state);
	json_set_str(f->arena, status, "phase", phase);
	json_unset(status, "suspended");
	if (suspended)
		json_set_bool(f->arena, status, "suspended", true);
	fixture_store(f, WORLD_INSTANCE, o);
}

static void start(struct fixture *f, const char *id)
{
	fixture_instance(f, "shop", id, "");
	fixture_settle(f);
	fixture_agents(f);
	fixture_settle(f);
}

/* A Container with one suspended instance, shop.a, on n1. */
static void start_suspended(struct fixture *f, const char *spec, int memory_mib)
{
	fixture_node(f, "n1", "fra", memory_mib, "Ready");
	fixture_revision(f, fixture_container(f, "shop", spec), 1, "sha256:aa");
	start(f, "a");
	set(f, "shop.a", "Asleep", "Asleep", true);
	fixture_settle(f);
}

static bool is_dropped(struct fixture *f, const char *name)
{
	const struct instance *i = find(f, name);

	return i->dropping == i->vm_generation;
}

static void test_it_takes_memory_and_no_cpu(void **state)
{
	struct fixture *f = *state;

	start_suspended(f, "maxInstances: 1", 4096);
	assert_int_equal(node(f, "n1")->used.memory, 256 << 20);
	assert_int_equal(node(f, "n1")->used.milli_vcpu, 0);
	assert_int_equal(container(f)->running, 0);
	const struct json *counts = json_in(container(f)->r.object, "status", "instances");
	assert_int_equal(json_int_or(json_get(counts, "suspended"), -1), 1);
	assert_int_equal(json_int_or(json_get(counts, "asleep"), -1), 1);
	assert_int_equal(json_int_or(json_get(counts, "running"), -1), 0);
	start(f, "b"); /* there is room for one that runs */
	assert_int_equal(container(f)->running, 1);
	assert_int_equal(node(f, "n1")->used.memory, 512 << 20);

	/* The suspended one has to wait for its turn, and keeps its memory. */
	set(f, "shop.a", "Running", "Asleep", true);
	fixture_settle(f);
	assert_string_equal(fixture_condition(&find(f, "shop.a")->r, "Ready", "reason"), "MaxInstancesReached");
	assert_int_equal(find(f, "shop.a")->vm_generation, 1);
	assert_int_equal(node(f, "n1")->used.memory, 512 << 20);
	assert_false(is_dropped(f, "shop.a"));
	set(f, "shop.b", "Asleep", "Asleep", false);
	fixture_settle(f);
	assert_int_equal(find(f, "shop.a")->vm_generation, 2);
	assert_int_equal(container(f)->running, 1);
}

static void test_it_runs_on_where_it_is(void **state)
{
	struct fixture *f = *state;

	start_suspended(f, "", 256); /* full with it, and yet it fits */
	fixture_node(f, "n0", "fra", 65536, "Ready");
	set(f, "shop.a", "Running", "Asleep", true);
	fixture_settle(f);
	assert_string_equal(find(f, "shop.a")->node_name, "n1");
	assert_int_equal(find(f, "shop.a")->vm_generation, 2);
	assert_int_equal(find(f, "shop.a")->phase, PHASE_SCHEDULED);
	assert_int_equal(node(f, "n1")->used.memory, 256 << 20);
	assert_true(node(f, "n1")->used.milli_vcpu > 0);
	assert_int_equal(container(f)->running, 1);
}

static void test_another_revision_gives_it_up_first(void **state)
{
	struct fixture *f = *state;

	start_suspended(f, "", 4096);
	fixture_revision(f, fixture_container(f, "shop", "rollout: {kind: None}"), 2, "sha256:aa");
	fixture_settle(f);
	set(f, "shop.a", "Running", "Asleep", true);
	fixture_settle(f);
	assert_true(is_dropped(f, "shop.a"));
	assert_int_equal(find(f, "shop.a")->vm_generation, 1); /* not bound while it is there */
	set(f, "shop.a", "Running", "Stopping", true);
	fixture_settle(f);
	assert_int_equal(container(f)->running, 0);
	assert_int_equal(node(f, "n1")->used.memory, 256 << 20);
	set(f, "shop.a", "Running", "Asleep", false);
	fixture_settle(f);
	assert_string_equal(find(f, "shop.a")->revision, "shop-2");
	assert_int_equal(find(f, "shop.a")->vm_generation, 2);
}

static void set_node(struct fixture *f, const char *cpu, bool cordoned)
{
	fixture_yaml(
		f, WORLD_NODE,
		arena_printf(
			f->arena,
			"{metadata: {name: n1, labels: {topology.kubernetes.io/zone: fra}}, spec: {unschedulable: %s}, status: "
			"{allocatable: {cpu: %s, memory: 4096Mi, ephemeral-storage: 1000G}, conditions: [{type: Ready, status: "
			"'True'}], prefetch: [{digest: 'sha256:aa', phase: Ready}]}}",
			cordoned ? "true" : "false", cpu));
}

/* Its node is cordoned, or its CPUs are taken: it is given up if it can run elsewhere, and waits if it cannot. */
static void test_given_up_for_another_node_only(void **state)
{
	for (int cordoned = 0; cordoned < 2; cordoned++) {
		struct fixture *f = *state;
		if (cordoned) {
			fixture_free(f);
			fixture_init(f);
			fixture_location(f, "fra", 50.11, 8.68, "WEUR");
		}
		start_suspended(f, "", 4096);
		set_node(f, cordoned ? "'64'" : "10m", cordoned);
		set(f, "shop.a", "Running", "Asleep", true);
		fixture_settle(f);
		assert_false(is_dropped(f, "shop.a"));
		assert_string_equal(fixture_condition(&find(f, "shop.a")->r, "Ready", "reason"), "Unschedulable");
		fixture_node(f, "n2", "fra", 4096, "Ready");
		fixture_settle(f);
		assert_true(is_dropped(f, "shop.a"));
		assert_int_equal(find(f, "shop.a")->vm_generation, 1);
		set(f, "shop.a", "Running", "Asleep", false);
		fixture_settle(f);
		assert_string_equal(find(f, "shop.a")->node_name, "n2");
	}
}

/* Nobody there could give it up, and it stands still: it does not hold up the Instance. */
static void test_a_dead_node_is_not_waited_for(void **state)
{
	struct fixture *f = *state;

	start_suspended(f, "", 4096);
	f->now += 41000;
	fixture_node(f, "n2", "fra", 4096, "Ready");
	set(f, "shop.a", "Running", "Asleep", true);
	fixture_settle(f);
	assert_string_equal(find(f, "shop.a")->node_name, "n2");
	assert_int_equal(find(f, "shop.a")->vm_generation, 2);
	assert_int_equal(node(f, "n1")->used.memory, 0);
}

static void test_memory_goes_to_those_that_run(void **state)
{
	struct fixture *f = *state;

	start_suspended(f, "", 3 * 256);
	start(f, "b");
	start(f, "c");
	set(f, "shop.c", "Asleep", "Asleep", true);
	set(f, "shop.b", "Asleep", "Asleep", true);
	/* The node is full of sleepers. a has slept longest, and one is enough. */
	fixture_instance(f, "shop", "d", "");
	fixture_settle(f);
	assert_true(is_dropped(f, "shop.a"));
	assert_false(is_dropped(f, "shop.b"));
	assert_false(is_dropped(f, "shop.c"));
	assert_string_equal(find(f, "shop.d")->node_name, "");
	set(f, "shop.a", "Asleep", "Stopping", true);
	fixture_settle(f);
	assert_false(is_dropped(f, "shop.c")); /* what is on its way is waited for */
	set(f, "shop.a", "Asleep", "Asleep", false);
	fixture_settle(f);
	assert_string_equal(find(f, "shop.d")->node_name, "n1");
	assert_int_equal(node(f, "n1")->used.memory, 3LL * 256 << 20);

	/* Those about to run on are not given up for others. */
	set(f, "shop.c", "Running", "Asleep", true);
	fixture_instance(f, "shop", "e", "");
	fixture_settle(f);
	assert_int_equal(find(f, "shop.c")->vm_generation, 2);
	assert_false(is_dropped(f, "shop.c"));
	assert_true(is_dropped(f, "shop.b"));
}

/* Those that wait in one step do not count on the same memory. */
static void test_each_has_its_own_room_made(void **state)
{
	struct fixture *f = *state;

	start_suspended(f, "", 3 * 256);
	start(f, "b");
	start(f, "c");
	set(f, "shop.b", "Asleep", "Asleep", true);
	set(f, "shop.c", "Asleep", "Asleep", true);
	fixture_instance(f, "shop", "d", "");
	fixture_instance(f, "shop", "e", "");
	fixture_settle(f);
	assert_true(is_dropped(f, "shop.a"));
	assert_true(is_dropped(f, "shop.b"));
	assert_false(is_dropped(f, "shop.c"));
	set(f, "shop.a", "Asleep", "Asleep", false);
	set(f, "shop.b", "Asleep", "Asleep", false);
	fixture_settle(f);
	assert_string_equal(find(f, "shop.d")->node_name, "n1");
	assert_string_equal(find(f, "shop.e")->node_name, "n1");
}

/* Instances keep away from each other's nodes, but not from sleepers. */
static void test_they_do_not_count_for_spreading(void **state)
{
	struct fixture *f = *state;

	fixture_node(f, "n2", "fra", 4096, "Ready");
	start_suspended(f, "", 65536); /* n1 has the higher score */
	assert_string_equal(find(f, "shop.a")->node_name, "n1");
	start(f, "b");
	assert_string_equal(find(f, "shop.b")->node_name, "n1");
	start(f, "c");
	assert_string_equal(find(f, "shop.c")->node_name, "n2");
	assert_int_equal(tally_get(&container(f)->spread, node(f, "n1")->id), 1);
	set(f, "shop.a", "Running", "Asleep", true);
	fixture_settle(f);
	assert_string_equal(find(f, "shop.a")->node_name, "n1");
	assert_int_equal(tally_get(&container(f)->spread, node(f, "n1")->id), 2);
	assert_null(node(f, "n1")->suspended);
}

/* When even all of them would not make enough room, or room is not what is missing, none is given up. */
static void test_nothing_is_given_up_in_vain(void **state)
{
	struct fixture *f = *state;

	start_suspended(f, "", 256);
	fixture_revision(f, fixture_container(f, "large", "instanceType: basic"), 1, "sha256:aa");
	struct json *o = json_clone(f->arena, world_find(f->world, WORLD_REVISION, "default", "large-1")->object);
	json_set_str(f->arena, json_in(o, "spec", "template"), "instanceType", "basic");
	fixture_store(f, WORLD_REVISION, o);
	fixture_instance(f, "large", "x", "");
	fixture_settle(f);
	assert_false(is_dropped(f, "shop.a"));
	assert_string_equal(fixture_condition(&find(f, "large.x")->r, "Ready", "reason"), "Unschedulable");
	set_node(f, "10m", false);
	fixture_settle(f);
	assert_false(is_dropped(f, "shop.a"));
}

/* A rollout counts those that run, and leaves sleepers for their wake. */
static void test_a_rollout_passes_them_by(void **state)
{
	struct fixture *f = *state;

	start_suspended(f, "", 4096);
	fixture_revision(f, fixture_container(f, "shop", ""), 2, "sha256:aa");
	fixture_settle(f);
	assert_string_equal(json_str(json_in(container(f)->r.object, "status", "rollout", "phase")), "Complete");
	assert_string_equal(find(f, "shop.a")->revision, "shop-1");
	assert_false(is_dropped(f, "shop.a"));
	assert_non_null(world_find(f->world, WORLD_REVISION, "default", "shop-1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_it_takes_memory_and_no_cpu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_runs_on_where_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_revision_gives_it_up_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given_up_for_another_node_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_dead_node_is_not_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_goes_to_those_that_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_has_its_own_room_made, setup, teardown),
		cmocka_unit_test_setup_teardown(test_they_do_not_count_for_spreading, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_given_up_in_vain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_rollout_passes_them_by, setup, teardown),
	};

	return cmocka_run_group_tests_name("scheduler/suspended", tests, NULL, NULL);
}
