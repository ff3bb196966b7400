/*
 * test_rollout.c - revisions, prefetch and rollouts under simulated time.
 */
#include "fixture.h"

#include "scheduler/revision.h"

static int setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	fixture_init(f);
	fixture_location(f, "fra", 50.11, 8.68, "WEUR");
	fixture_node(f, "n1", "fra", 65536, "Ready");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	free(*state);
	return 0;
}

static struct container *container(struct fixture *f)
{
	return (struct container *)world_find(f->world, WORLD_CONTAINER, "default", "shop");
}

static void renew_lease(struct fixture *f)
{
	char stamp[TIME_TEXT_MAX];

	fixture_yaml(
		f, WORLD_LEASE,
		arena_printf(
			f->arena,
			"{metadata: {name: n1, namespace: kube-node-lease}, spec: {renewTime: '%s', leaseDurationSeconds: 40}}",
			time_format(f->now, stamp)));
}

/* Ten running instances on revision 1, then a new image whose digest the node holds or not. */
static void start_rollout(struct fixture *f, const char *spec, int count, bool image_ready)
{
	fixture_revision(f, fixture_container(f, "shop", spec), 1, "sha256:aa");
	for (int k = 0; k < count; k++)
		fixture_instance(f, "shop", arena_printf(f->arena, "u%d", k), "");
	fixture_settle(f);
	fixture_agents(f);
	fixture_settle(f);

	struct json *o = json_clone(f->arena, container(f)->r.object);

	json_set_str(f->arena, json_get(o, "spec"), "image", "r/shop:v2");
	json_set_int(f->arena, json_get(o, "metadata"), "generation", 2);
	fixture_store(f, WORLD_CONTAINER, o);
	fixture_revision(f, container(f), 2, "sha256:bb");
	if (image_ready)
		fixture_yaml(
			f, WORLD_NODE,
			"{metadata: {name: n1, labels: {topology.kubernetes.io/zone: fra}}, status: {allocatable: {cpu: '64', "
			"memory: 65536Mi, ephemeral-storage: 1000G}, conditions: [{type: Ready, status: 'True'}], prefetch: "
			"[{digest: 'sha256:aa', phase: Ready}, {digest: 'sha256:bb', phase: Ready}]}}");
}

static int moved(struct fixture *f)
{
	struct record *x;
	int n = 0;

	for (size_t pos = 0; (x = world_next(f->world, WORLD_INSTANCE, &pos));)
		n += streq(((struct instance *)x)->revision, "shop-2");
	return n;
}

static const char *phase(struct fixture *f)
{
	return json_str(json_in(container(f)->r.object, "status", "rollout", "phase"));
}

static void test_ten_percent_then_the_rest(void **state)
{
	struct fixture *f = *state;

	start_rollout(f, "", 20, true);
	fixture_settle(f);
	assert_int_equal(moved(f), 2);
	assert_string_equal(phase(f), "Progressing");
	/* The step waits for its instances to be Ready with the new revision, however long that takes. */
	for (int k = 0; k < 10; k++) {
		f->now += 10000;
		renew_lease(f);
		fixture_settle(f);
		assert_int_equal(moved(f), 2);
	}
	fixture_agents(f);
	fixture_settle(f);
	assert_int_equal(moved(f), 20);
	assert_string_equal(phase(f), "Progressing");
	fixture_agents(f);
	fixture_settle(f);
	assert_string_equal(phase(f), "Complete");
	assert_string_equal(container(f)->current_revision, "shop-2");
	assert_int_equal(json_int_or(json_in(container(f)->r.object, "status", "rollout", "updated"), 0), 20);
}

static void test_a_step_is_at_least_one_instance(void **state)
{
	struct fixture *f = *state;

	start_rollout(f, "", 3, true);
	fixture_settle(f);
	assert_int_equal(moved(f), 1);
	fixture_agents(f);
	fixture_settle(f);
	assert_int_equal(moved(f), 3);
}

static void test_nothing_moves_before_the_image_is_there(void **state)
{
	struct fixture *f = *state;

	start_rollout(f, "", 5, false);
	fixture_settle(f);
	assert_int_equal(moved(f), 0);
	assert_string_equal(phase(f), "Prefetching");
	assert_string_equal(container(f)->current_revision, "shop-1");
}

static void test_active_instances_keep_their_grace(void **state)
{
	struct fixture *f = *state;

	start_rollout(f, "rollout: {activeGracePeriod: 5m, stepPercentage: [100]}", 4, true);
	fixture_settle(f);
	assert_int_equal(moved(f), 0);
	f->now += 299 * 1000;
	renew_lease(f);
	fixture_settle(f);
	assert_int_equal(moved(f), 0);
	f->now += 1000;
	renew_lease(f);
	fixture_settle(f);
	assert_int_equal(moved(f), 4);
}

static void test_a_failure_halts(void **state)
{
	struct fixture *f = *state;
	struct record *x;

	start_rollout(f, "", 20, true);
	fixture_settle(f);
	for (size_t pos = 0; (x = world_next(f->world, WORLD_INSTANCE, &pos));) {
		struct json *o = fixture_copy(f, x->name);

		if (!streq(((struct instance *)x)->revision, "shop-2"))
			continue;
		json_set_str(f->arena, json_get(o, "status"), "phase", "Failed");
		fixture_store(f, WORLD_INSTANCE, o);
		break;
	}
	fixture_settle(f);
	assert_int_equal(moved(f), 2);
	assert_string_equal(fixture_condition(&container(f)->r, "Progressing", "reason"), "Halted");
}

static void test_manual_steps_wait_for_promotion(void **state)
{
	struct fixture *f = *state;

	start_rollout(f, "rollout: {kind: FullManual}", 10, true);
	fixture_settle(f);
	fixture_agents(f);
	fixture_settle(f);
	assert_int_equal(moved(f), 1);
	assert_string_equal(phase(f), "Paused");

	struct json *o = json_clone(f->arena, container(f)->r.object);
	struct json *meta = json_get(o, "metadata");

	json_set_str(f->arena, json_ensure_object(f->arena, meta, "annotations"), "berth.dev/promoted-step", "1");
	fixture_store(f, WORLD_CONTAINER, o);
	fixture_settle(f);
	assert_int_equal(moved(f), 10);
}

static void test_kind_none_only_concerns_new_starts(void **state)
{
	struct fixture *f = *state;

	start_rollout(f, "rollout: {kind: None}", 4, true);
	fixture_settle(f);
	assert_int_equal(moved(f), 0);
	assert_string_equal(container(f)->current_revision, "shop-2");
	fixture_instance(f, "shop", "new", "");
	fixture_settle(f);
	assert_string_equal(fixture_find_instance(f, "shop.new")->revision, "shop-2");
}

static void test_a_changed_template_is_resolved_once(void **state)
{
	struct fixture *f = *state;
	struct action_list out;
	size_t resolutions = 0;

	fixture_container(f, "shop", "");
	for (int k = 0; k < 3; k++) {
		action_list_init(&out, f->arena);
		scheduler_step(f->world, f->now, &out);
		for (const struct action *x = out.first; x; x = x->next) {
			resolutions += x->type == ACTION_RESOLVE;
			if (x->type != ACTION_RESOLVE)
				fixture_answer(f, x);
		}
	}
	assert_int_equal(resolutions, 1);
}

static void test_instances_without_a_container_are_deleted(void **state)
{
	struct fixture *f = *state;

	fixture_instance(f, "gone", "a", "");
	fixture_settle(f);
	assert_null(fixture_find_instance(f, "gone.a"));
	assert_int_equal(world_count(f->world, WORLD_INSTANCE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ten_percent_then_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_step_is_at_least_one_instance, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_moves_before_the_image_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_active_instances_keep_their_grace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_failure_halts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_manual_steps_wait_for_promotion, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kind_none_only_concerns_new_starts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_changed_template_is_resolved_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_instances_without_a_container_are_deleted, setup, teardown),
	};

	return cmocka_run_group_tests_name("scheduler/rollout", tests, NULL, NULL);
}
