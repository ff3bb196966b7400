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

	struct instance *i = fixture_find_instance(f, "shop.a");

	assert_string_equal(i->node_name, "n-iad");
	assert_int_equal(i->vm_generation, 1);
	assert_string_equal(i->revision, "shop-1");
}

static void test_best_node_is_the_emptiest(void **state)
{
	struct fixture *f = *state;

	fixture_node(f, "n1", "fra", 1024, "Ready");
	fixture_node(f, "n2", "fra", 4096, "Ready");
	for (int k = 0; k < 3; k++) {
		const char *name = arena_printf(f->arena, "shop%d", k);

		fixture_revision(f, fixture_container(f, name, ""), 1, "sha256:aa");
		fixture_instance(f, name, "a", ", origin: fra");
		fixture_settle(f);
		assert_string_equal(fixture_find_instance(f, arena_printf(f->arena, "%s.a", name))->node_name, "n2");
	}
}

/* A live node that holds the image; more goes into its metadata, spec and conditions. */
static struct node *node(struct fixture *f, const char *name, const char *labels, const char *spec,
			 const char *conditions)
{
	char stamp[TIME_TEXT_MAX];

	fixture_yaml(f, WORLD_LEASE,
		     arena_printf(f->arena,
				  "{metadata: {name: %s, namespace: kube-node-lease}, spec: {renewTime: '%s'}}", name,
				  time_format(f->now, stamp)));
	return (struct node *)fixture_yaml(
		f, WORLD_NODE,
		arena_printf(
			f->arena,
			"{metadata: {name: %s, labels: {topology.kubernetes.io/zone: fra%s}}, spec: {%s}, "
			"status: {allocatable: {cpu: '64', memory: 4096Mi, ephemeral-storage: 1000G}, "
			"conditions: [{type: Ready, status: 'True'}%s], prefetch: [{digest: 'sha256:aa', phase: Ready}]}}",
			name, labels, spec, conditions));
}

static void shop(struct fixture *f, int count)
{
	fixture_revision(f, fixture_container(f, "shop", ""), 1, "sha256:aa");
	for (int k = 0; k < count; k++)
		fixture_instance(f, "shop", arena_printf(f->arena, "u%d", k), ", origin: fra");
	fixture_settle(f);
}

static void test_instances_are_spread_over_nodes(void **state)
{
	struct fixture *f = *state;
	struct node *n[3];

	/* However much more room one has. */
	fixture_node(f, "large", "fra", 65536, "Ready");
	for (int k = 0; k < 3; k++)
		n[k] = node(f, arena_printf(f->arena, "n%d", k), "", "", "");
	shop(f, 8);
	for (int k = 0; k < 3; k++)
		assert_int_equal(n[k]->instances, 2);
}

static void test_instances_are_spread_over_racks(void **state)
{
	struct fixture *f = *state;
	struct node *n[4];

	for (int k = 0; k < 4; k++)
		n[k] = node(f, arena_printf(f->arena, "n%d", k),
			    k < 3 ? ", topology.berth.dev/rack: a" : ", topology.berth.dev/rack: b", "", "");
	shop(f, 6);
	assert_int_equal(n[0]->instances + n[1]->instances + n[2]->instances, 3);
	assert_int_equal(n[0]->instances, 1);
	assert_int_equal(n[1]->instances, 1);
	assert_int_equal(n[3]->instances, 3);

	/* Its label changes: what runs there counts for the other rack from now on. */
	node(f, "n3", ", topology.berth.dev/rack: a", "", "");
	node(f, "n2", ", topology.berth.dev/rack: b", "", "");
	fixture_instance(f, "shop", "later", ", origin: fra");
	fixture_settle(f);
	assert_string_equal(fixture_find_instance(f, "shop.later")->node_name, "n2");
	assert_int_equal(n[2]->instances, 2);
}

static void test_closed_nodes_get_nothing_new(void **state)
{
	static const struct {
		const char *spec, *conditions, *reason;
	} cases[] = {
		{"unschedulable: true", "", "node is cordoned"},
		{"unschedulable: true, taints: [{key: node.kubernetes.io/unschedulable, effect: NoSchedule}]", "",
		 "node is cordoned"},
		{"taints: [{key: gpu, value: 'yes', effect: NoSchedule}]", "", "node has the taint gpu=yes:NoSchedule"},
		{"taints: [{key: broken, effect: NoExecute}]", "", "node has the taint broken:NoExecute"},
		{"", ", {type: MemoryPressure, status: 'True'}", "node is overloaded (MemoryPressure)"},
		{"", ", {type: Ready, status: 'False'}", "node is not ready"},
	};
	struct fixture *f = *state;

	shop(f, 1);
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		node(f, "n1", "", cases[k].spec, cases[k].conditions);
		fixture_settle(f);
		assert_string_equal(fixture_find_instance(f, "shop.u0")->node_name, "");
		assert_string_equal(fixture_condition(&fixture_find_instance(f, "shop.u0")->r, "Ready", "message"),
				    arena_printf(f->arena, "1 node: %s", cases[k].reason));
	}
	/* A preference is none of these, nor is a pressure that is over. */
	node(f, "n1", "", "taints: [{key: old, effect: PreferNoSchedule}]", ", {type: DiskPressure, status: 'False'}");
	fixture_settle(f);
	assert_string_equal(fixture_find_instance(f, "shop.u0")->node_name, "n1");

	/* What runs there stays when the node is closed. */
	node(f, "n1", "", "unschedulable: true", "");
	fixture_agents(f);
	fixture_settle(f);
	assert_string_equal(fixture_find_instance(f, "shop.u0")->node_name, "n1");
}

static const char *event_of(const struct action_list *out, const char *reason)
{
	for (const struct action *x = out->first; x; x = x->next)
		for (const struct action_event *ev = x->events; ev; ev = ev->next)
			if (streq(ev->reason, reason))
				return ev->text;
	return NULL;
}

static void test_a_full_location_redirects(void **state)
{
	struct fixture *f = *state;
	struct action_list out;

	fixture_node(f, "n-fra", "fra", 256, "Ready");
	fixture_node(f, "n-iad", "iad", 4096, "Ready");
	fixture_node(f, "n-syd", "syd", 4096, "Ready");
	shop(f, 1);
	assert_string_equal(fixture_find_instance(f, "shop.u0")->node_name, "n-fra");
	fixture_instance(f, "shop", "second", ", origin: fra");
	action_list_init(&out, f->arena);
	scheduler_step(f->world, f->now, &out);
	assert_string_equal(event_of(&out, "Scheduled"), "Bound to node n-iad with Revision shop-1");
	assert_string_equal(event_of(&out, "Redirected"), "From Location fra to iad: insufficient memory");
	for (const struct action *x = out.first; x; x = x->next)
		fixture_answer(f, x);

	/* A Location that has no copy of the image is none that was full. */
	fixture_location(f, "ber", 52.52, 13.40, "WEUR");
	fixture_node(f, "n-ber", "ber", 4096, "Pulling");
	fixture_instance(f, "shop", "third", ", origin: ber");
	action_list_init(&out, f->arena);
	scheduler_step(f->world, f->now, &out);
	assert_string_equal(event_of(&out, "Redirected"), "From Location fra to iad: insufficient memory");
	for (const struct action *x = out.first; x; x = x->next)
		fixture_answer(f, x);

	/* Back from sleep it is chosen anew: there is room in the nearest one again. */
	struct json *o = fixture_copy(f, "shop.u0");

	json_set_str(f->arena, json_get(o, "spec"), "state", "Asleep");
	json_set_str(f->arena, json_get(o, "status"), "phase", "Asleep");
	fixture_store(f, WORLD_INSTANCE, o);
	o = fixture_copy(f, "shop.second");
	json_set_str(f->arena, json_get(o, "status"), "phase", "Asleep");
	fixture_store(f, WORLD_INSTANCE, o);
	action_list_init(&out, f->arena);
	scheduler_step(f->world, f->now, &out);
	assert_string_equal(event_of(&out, "Scheduled"), "Bound to node n-fra with Revision shop-1");
	assert_null(event_of(&out, "Redirected"));
}

static void test_a_warm_instance_stays(void **state)
{
	struct fixture *f = *state;

	fixture_node(f, "n-syd", "syd", 4096, "Ready");
	shop(f, 1);
	fixture_agents(f);
	fixture_node(f, "n-fra", "fra", 4096, "Ready");
	fixture_settle(f);
	assert_string_equal(fixture_find_instance(f, "shop.u0")->node_name, "n-syd");
	assert_int_equal(fixture_find_instance(f, "shop.u0")->vm_generation, 1);
}

static void test_the_client_is_nearer_than_the_gateway(void **state)
{
	struct fixture *f = *state;

	fixture_node(f, "n-fra", "fra", 4096, "Ready");
	fixture_node(f, "n-syd", "syd", 4096, "Ready");
	fixture_revision(f, fixture_container(f, "shop", ""), 1, "sha256:aa");
	fixture_instance(f, "shop", "a", ", origin: fra, clientLocation: syd");
	fixture_settle(f);
	assert_string_equal(fixture_find_instance(f, "shop.a")->node_name, "n-syd");
}

static void test_placement_is_explained(void **state)
{
	struct fixture *f = *state;
	struct action_list out;
	const struct json *p = NULL;

	fixture_node(f, "n-fra", "fra", 64, "Ready");
	for (int k = 0; k < PLACE_EXPLAIN_MAX + 3; k++)
		fixture_node(f, arena_printf(f->arena, "n-iad-%02d", k), "iad", 4096, "Ready");
	fixture_node(f, "n-syd", "syd", 4096, "Ready");
	fixture_revision(f, fixture_container(f, "shop", ""), 1, "sha256:aa");
	fixture_instance(f, "shop", "a", ", origin: fra");
	action_list_init(&out, f->arena);
	scheduler_step(f->world, f->now, &out);
	for (const struct action *x = out.first; x; x = x->next)
		if (x->type == ACTION_BIND)
			p = json_get(x->body, "placement");
	const struct json *list = json_get(p, "candidates"), *first = json_item(list, 0);
	const struct json *last = json_item(list, PLACE_EXPLAIN_MAX - 1);

	assert_int_equal(json_count(list), PLACE_EXPLAIN_MAX);
	assert_int_equal(json_int_or(json_get(p, "omitted"), -1), 5);
	assert_string_equal(json_str(json_get(p, "origin")), "fra");
	assert_string_equal(json_str(json_get(first, "node")), "n-iad-00");
	assert_in_range((unsigned long)json_int_or(json_get(first, "distanceKm"), 0), 6450, 6650);
	assert_int_equal(json_int_or(json_get(first, "score"), -1), 978);
	assert_int_equal(json_int_or(json_get(first, "sameNode"), -1), 0);
	assert_string_equal(json_str(json_get(last, "node")), "n-fra");
	assert_string_equal(json_str(json_get(last, "reason")), "insufficient memory");
	assert_int_equal(json_int_or(json_get(last, "distanceKm"), -1), 0);
	assert_null(json_get(last, "score"));
}

static void test_instances_may_come_before_what_they_name(void **state)
{
	struct fixture *f = *state;

	fixture_yaml(
		f, WORLD_INSTANCE,
		"{metadata: {name: shop.a, namespace: default, finalizers: [berth.dev/vm]}, spec: {containerName: shop, "
		"id: a, state: Running, nodeName: n1, revision: shop-1, vmGeneration: 1}, status: {phase: Ready}}");
	assert_int_equal(f->world->unresolved, 1);
	fixture_node(f, "n1", "fra", 4096, "Ready");
	struct container *c = fixture_container(f, "shop", "");

	fixture_revision(f, c, 1, "sha256:aa");
	world_link(f->world);
	assert_int_equal(f->world->unresolved, 0);
	assert_int_equal(f->world->attention_count, 0);
	assert_int_equal(c->running, 1);
	assert_int_equal(((struct node *)world_find(f->world, WORLD_NODE, NULL, "n1"))->used.memory, 256 << 20);

	/* The node goes and comes back. */
	world_remove(f->world, WORLD_NODE, fixture_object(f, WORLD_NODE, NULL, "n1"));
	assert_int_equal(f->world->unresolved, 1);
	assert_int_equal(c->running, 1);
	fixture_node(f, "n1", "fra", 4096, "Ready");
	world_link(f->world);
	assert_int_equal(((struct node *)world_find(f->world, WORLD_NODE, NULL, "n1"))->used.memory, 256 << 20);

	/* The Container goes: nothing points to it any more. */
	world_remove(f->world, WORLD_CONTAINER, fixture_object(f, WORLD_CONTAINER, "default", "shop"));
	assert_null(fixture_find_instance(f, "shop.a")->container);
	assert_int_equal(f->world->attention_count, 1);
}

static void test_objects_are_kept_only_where_they_are_needed(void **state)
{
	struct fixture *f = *state;

	shop(f, 1);
	assert_non_null(fixture_find_instance(f, "shop.u0")->r.object); /* it waits for a node */
	fixture_node(f, "n-fra", "fra", 4096, "Ready");
	fixture_settle(f);
	fixture_agents(f);
	assert_null(fixture_find_instance(f, "shop.u0")->r.object);
	struct json *o = fixture_copy(f, "shop.u0");

	json_set_str(f->arena, json_get(o, "metadata"), "deletionTimestamp", "2030-01-01T00:00:00Z");
	fixture_store(f, WORLD_INSTANCE, o);
	assert_non_null(fixture_find_instance(f, "shop.u0")->r.object);

	/* Another Instance of that name, although nobody said that the first one is gone. */
	json_unset(json_get(o, "metadata"), "deletionTimestamp");
	json_set_str(f->arena, json_get(o, "metadata"), "uid", "another, and longer, uid");
	json_unset(o, "status");
	fixture_store(f, WORLD_INSTANCE, o);
	assert_string_equal(fixture_find_instance(f, "shop.u0")->r.uid, "another, and longer, uid");
	assert_int_equal(world_count(f->world, WORLD_INSTANCE), 1);
	assert_int_equal(((struct container *)world_find(f->world, WORLD_CONTAINER, "default", "shop"))->running, 0);
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

	struct instance *i = fixture_find_instance(f, "shop.a");
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
	assert_string_equal(fixture_find_instance(f, "shop.a")->node_name, "");
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
	struct json *o = fixture_copy(f, "shop.u0");

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
	assert_string_equal(fixture_find_instance(f, "shop.a")->node_name, "n1");
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
	assert_string_equal(fixture_find_instance(f, "shop.a")->node_name, "n-fra");

	struct json *o = fixture_copy(f, "shop.a");

	json_set_str(f->arena, json_get(o, "status"), "phase", "Asleep");
	json_set_str(f->arena, json_get(o, "spec"), "origin", "syd");
	fixture_store(f, WORLD_INSTANCE, o);
	fixture_settle(f);
	assert_string_equal(fixture_find_instance(f, "shop.a")->node_name, "n-syd");
	assert_int_equal(fixture_find_instance(f, "shop.a")->vm_generation, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_distance_is_great_circle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nearest_location_with_the_image, setup, teardown),
		cmocka_unit_test_setup_teardown(test_best_node_is_the_emptiest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_instances_are_spread_over_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_instances_are_spread_over_racks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed_nodes_get_nothing_new, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_location_redirects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_warm_instance_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_client_is_nearer_than_the_gateway, setup, teardown),
		cmocka_unit_test_setup_teardown(test_placement_is_explained, setup, teardown),
		cmocka_unit_test_setup_teardown(test_instances_may_come_before_what_they_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_objects_are_kept_only_where_they_are_needed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_node_says_why_not, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_stale_lease_takes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_max_instances_is_exact, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_failed_bind_gives_the_room_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_wake_may_go_elsewhere, setup, teardown),
	};

	return cmocka_run_group_tests_name("scheduler/place", tests, NULL, NULL);
}
