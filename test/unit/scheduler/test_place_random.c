/*
 * test_place_random.c - in random worlds that change, the indexed decision is the one that looking at every node gives.
 */
#include "fixture.h"

#include "scheduler/place.h"

#define WORLDS 40
#define CHANGES 120
#define LOCATIONS 7
#define NODES 24
#define APPS 6

static uint64_t seed;

static int roll(int below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (int)((seed >> 11) % (uint64_t)below);
}

static const char *location_name(struct fixture *f, int n)
{
	return arena_printf(f->arena, "l%d", n);
}

static void change_location(struct fixture *f)
{
	static const char *const regions[] = {"WEUR", "ENAM", "OC"};
	const char *name = location_name(f, roll(LOCATIONS));

	if (roll(6) == 0 && world_find(f->world, WORLD_LOCATION, NULL, name))
		world_remove(f->world, WORLD_LOCATION, fixture_object(f, WORLD_LOCATION, NULL, name));
	else /* coarse, so that some are equally far */
		fixture_location(f, name, roll(5) * 30 - 60, roll(4) * 90 - 180, regions[roll(3)]);
}

static void change_node(struct fixture *f)
{
	static const char *const phases[] = {"Ready", "Ready", "Ready", "Pulling", "Failed"};
	static const char *const specs[] = {
		"", "", "", "", "", "unschedulable: true", "taints: [{key: a, effect: NoSchedule}]"};
	static const char *const more[] = {"", "", "", "", ", {type: DiskPressure, status: 'True'}"};
	const char *name = arena_printf(f->arena, "n%d", roll(NODES));
	char stamp[TIME_TEXT_MAX];

	if (roll(8) == 0 && world_find(f->world, WORLD_NODE, NULL, name)) {
		world_remove(f->world, WORLD_NODE, fixture_object(f, WORLD_NODE, NULL, name));
		return;
	}
	fixture_yaml(f, WORLD_NODE,
		     arena_printf(f->arena,
				  "{metadata: {name: %s, labels: {topology.kubernetes.io/zone: %s%s}}, spec: {%s}, "
				  "status: {allocatable: {cpu: '%d', memory: %dMi, ephemeral-storage: %dG}, "
				  "conditions: [{type: Ready, status: '%s'}%s], "
				  "prefetch: [{digest: 'sha256:aa', phase: %s}, {digest: 'sha256:bb', phase: %s}, "
				  "{digest: 'sha256:aa', phase: Ready}]}}",
				  name, location_name(f, roll(LOCATIONS)),
				  roll(3) ? arena_printf(f->arena, ", topology.berth.dev/rack: r%d", roll(3)) : "",
				  specs[roll((int)ARRAY_SIZE(specs))], 1 + roll(4), 512 * (1 + roll(4)),
				  8 + roll(3) * 8, roll(10) ? "True" : "False", more[roll((int)ARRAY_SIZE(more))],
				  phases[roll(5)], phases[roll(5)]));
	fixture_yaml(
		f, WORLD_LEASE,
		arena_printf(
			f->arena,
			"{metadata: {name: %s, namespace: kube-node-lease}, spec: {renewTime: '%s', leaseDurationSeconds: 40}}",
			name, time_format(f->now - roll(5) / 4 * 60000, stamp)));
}

static void change_container(struct fixture *f)
{
	static const char *const placements[] = {"",
						 "",
						 "placement: {regions: [WEUR]}",
						 "placement: {regions: [OC, ENAM], excludeLocations: [l1]}",
						 "placement: {locations: [l0, l2, l3]}",
						 "placement: {excludeLocations: [l0, l4]}"};
	int n = roll(APPS);
	fixture_container(f, arena_printf(f->arena, "app%d", n), placements[roll(6)]);

	fixture_yaml(
		f, WORLD_REVISION,
		arena_printf(f->arena,
			     "{metadata: {name: app%d-1, namespace: default}, spec: {containerName: app%d, number: 1, "
			     "imageDigest: 'sha256:%s', template: {resources: {vcpu: %dm, memory: %dMi, disk: 1G}}}}",
			     n, n, roll(2) ? "aa" : "bb", 62 << roll(4), 128 << roll(3)));
}

/* Some instance is bound, put to sleep, suspended, or deleted by its object. */
static void change_instance(struct fixture *f)
{
	int app = roll(APPS), id = roll(6), what = roll(5);
	const char *name = arena_printf(f->arena, "app%d.%d", app, id);

	if (what == 0 && fixture_find_instance(f, name)) {
		world_remove(f->world, WORLD_INSTANCE, fixture_object(f, WORLD_INSTANCE, "default", name));
		return;
	}
	fixture_yaml(
		f, WORLD_INSTANCE,
		arena_printf(
			f->arena,
			"{metadata: {name: %s, namespace: default}, spec: {containerName: app%d, id: '%d', state: Running, "
			"origin: %s, nodeName: n%d, revision: app%d-1}, status: {phase: %s}}",
			name, app, id, location_name(f, roll(LOCATIONS + 1)), roll(NODES), app,
			what < 3    ? "Ready"
			: what == 3 ? "Asleep"
				    : "Asleep, suspended: true"));
}

/* What every node has used is what the instances say; so are the counts by which they are spread. */
static void check_books(struct fixture *f)
{
	struct record *x, *y;

	for (size_t pos = 0; (x = world_next(f->world, WORLD_NODE, &pos));) {
		const struct node *n = (struct node *)x;
		int64_t memory = 0, milli_vcpu = 0;
		uint32_t count = 0, suspended = 0;

		for (size_t ip = 0; (y = world_next(f->world, WORLD_INSTANCE, &ip));) {
			const struct instance *i = (struct instance *)y;

			if (!i->is_booked || !streq(i->assumed_node ? i->assumed_node : i->node_name, x->name))
				continue;
			assert_ptr_equal(i->booked_on, n);
			assert_true(i->is_running || !i->booked->milli_vcpu);
			memory += i->booked->memory;
			milli_vcpu += i->booked->milli_vcpu;
			suspended += !i->is_running;
			count++;
		}
		assert_int_equal(n->used.memory, memory);
		assert_int_equal(n->used.milli_vcpu, milli_vcpu);
		assert_int_equal(n->instances, count);
		for (const struct instance *i = n->suspended; i; i = i->next_suspended, suspended--)
			assert_ptr_equal(i->booked_on, n);
		assert_int_equal(suspended, 0);
	}
	for (size_t pos = 0; (x = world_next(f->world, WORLD_CONTAINER, &pos));) {
		int64_t running = 0;

		for (const struct instance *i = ((struct container *)x)->instances; i; i = i->next)
			running += i->is_running;
		assert_int_equal(((struct container *)x)->running, running);
	}
}

static void check_choice(struct fixture *f, struct container *c, const char *origin)
{
	const struct revision *rev = (struct revision *)world_find(f->world, WORLD_REVISION, "default",
								   arena_printf(f->arena, "%s-1", c->r.name));
	const char *interned = intern(f->world->names, origin);

	if (!rev)
		return;
	struct choice fast = place_choose(f->world, c, rev, interned, f->now);
	struct placement slow = place_survey(f->world, c, rev, interned, f->now, f->arena);

	if (fast.node != slow.node)
		fail_msg("seed %llu: %s from %s: %s, not %s", (unsigned long long)seed, c->r.name, origin,
			 fast.node ? fast.node->r.name : "none", slow.node ? slow.node->r.name : "none");
	if (fast.node) {
		struct placement told = place_account(f->world, c, rev, interned, &fast, f->now, f->arena);

		assert_ptr_equal(told.candidates[0].node, fast.node);
		assert_int_equal(told.count + told.omitted, world_count(f->world, WORLD_NODE));
	}
	/* Once more, with what the first time has remembered. */
	assert_ptr_equal(place_choose(f->world, c, rev, interned, f->now).node, slow.node);
	intern_drop(f->world->names, interned);
}

static void check_all(struct fixture *f, size_t *feasible, size_t *total)
{
	struct record *x;

	world_link(f->world);
	check_books(f);
	for (size_t pos = 0; (x = world_next(f->world, WORLD_CONTAINER, &pos));)
		for (int from = 0; from <= LOCATIONS; from++)
			check_choice(f, (struct container *)x, location_name(f, from));
	for (size_t pos = 0; (x = world_next(f->world, WORLD_CONTAINER, &pos));) {
		struct container *c = (struct container *)x;
		struct revision *rev = (struct revision *)world_find(f->world, WORLD_REVISION, "default",
								     arena_printf(f->arena, "%s-1", x->name));

		*feasible += place_survey(f->world, c, rev, "l0", f->now, f->arena).node != NULL;
		++*total;
	}
}

/* Binds as the scheduler does, and sometimes takes it back. */
static void assume_some(struct fixture *f)
{
	struct record *x;

	for (size_t pos = 0; (x = world_next(f->world, WORLD_INSTANCE, &pos));) {
		struct instance *i = (struct instance *)x;
		const struct revision *rev = (struct revision *)world_find(
			f->world, WORLD_REVISION, "default", arena_printf(f->arena, "%s-1", i->container_name));

		if (roll(3) || !i->container || !rev)
			continue;
		if (i->assumed_node) {
			world_settle(f->world, i);
			continue;
		}
		struct choice choice = place_choose(f->world, i->container, rev, i->origin, f->now);

		if (choice.node && !i->is_running)
			world_assume(f->world, i, choice.node, rev->need);
	}
}

static void test_random_worlds(_unused_ void **state)
{
	static void (*const changes[])(struct fixture *) = {change_location,  change_node,     change_node,
							    change_container, change_instance, change_instance,
							    assume_some};
	size_t feasible = 0, total = 0;

	for (int n = 0; n < WORLDS; n++) {
		struct fixture f;

		seed = 88172645463325252U * (uint64_t)(n + 1);
		fixture_init(&f);
		for (int k = 0; k < LOCATIONS; k++)
			change_location(&f);
		for (int k = 0; k < NODES; k++)
			change_node(&f);
		for (int k = 0; k < CHANGES; k++) {
			changes[roll((int)ARRAY_SIZE(changes))](&f);
			if (roll(4) == 0)
				check_all(&f, &feasible, &total);
		}
		fixture_free(&f);
	}
	/* The worlds are neither empty nor full. */
	assert_in_range(feasible, total / 10, total * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_worlds)};

	return cmocka_run_group_tests_name("scheduler/place_random", tests, NULL, NULL);
}
