/*
 * test_instance.c - keys, decoding, and which address may be used when.
 */
#include "gateway/instance.h"
#include "test/unit/gateway/fixture.h"

struct world {
	struct arena *a;
	struct instance_table *t;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->a = arena_new();
	w->t = instance_table_new();
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	instance_table_free(w->t);
	arena_free(w->a);
	free(w);
	return 0;
}

static struct instance *put(struct world *w, const char *uid, int version, const char *spec, const char *status)
{
	return instance_table_put(
		w->t,
		fixture_jsonf(w->a,
			      "{'metadata': {'namespace': 'n', 'name': 'c.u', 'uid': '%s', 'resourceVersion': '%d'},"
			      " 'spec': {'containerName': 'c', 'id': 'u', %s}, 'status': {%s}}",
			      uid, version, spec, status));
}

static void test_keys(_unused_ void **state)
{
	static const struct {
		const char *id, *key;
	} cases[] = {{"u", "n/c/u"},   {"a b", "n/c/a%20b"},	   {"a/b", "n/c/a%2Fb"},
		     {"%", "n/c/%25"}, {"A.b_c~-", "n/c/A.b_c~-"}, {"\xc3\xa4;'", "n/c/%C3%A4%3B%27"}};
	_arena_ a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char key[INSTANCE_KEY_MAX], *ns, *container, *id, *name;

		assert_true(instance_key("n", "c", cases[i].id, key));
		assert_string_equal(key, cases[i].key);
		assert_int_equal(instance_key_split(a, key, &ns, &container, &id, &name, NULL), 0);
		assert_string_equal(ns, "n");
		assert_string_equal(container, "c");
		assert_string_equal(id, cases[i].id);
	}
}

static void test_bad_keys(_unused_ void **state)
{
	static const struct {
		const char *key;
		int code;
	} cases[] = {{"", E_INVALID},
		     {"n/c", E_INVALID},
		     {"n/c/", E_BAD_REQUEST},
		     {"n/c/%zz", E_BAD_REQUEST},
		     {"n/c/%00", E_BAD_REQUEST},
		     {"n/c/%0A", E_BAD_REQUEST}};
	_arena_ a = arena_new();
	char *ns, *container, *id, *name, *longer;
	struct error e;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(instance_key_split(a, cases[i].key, &ns, &container, &id, &name, &e), -cases[i].code);
	longer = arena_printf(a, "n/c/%0256d", 0);
	assert_int_equal(instance_key_split(a, longer, &ns, &container, &id, &name, &e), 0);
	longer = arena_printf(a, "n/c/%0257d", 0);
	assert_int_equal(instance_key_split(a, longer, &ns, &container, &id, &name, &e), -E_BAD_REQUEST);
}

#define RUNNING "'state': 'Running', 'nodeName': 'a', 'vmGeneration': 3"

static void test_address_needs_ready_and_running(void **state)
{
	struct world *w = *state;

	struct instance *i = put(w, "1", 1, RUNNING,
				 "'phase': 'Ready', 'address': '10.0.0.1', 'vmGeneration': 3, 'nodeName': 'a'");
	assert_string_equal(instance_address(i), "10.0.0.1");
	assert_true(instance_is_awake(i));
	put(w, "1", 2, RUNNING, "'phase': 'Running', 'address': '10.0.0.1', 'vmGeneration': 3, 'nodeName': 'a'");
	assert_null(instance_address(i));
	assert_true(instance_is_awake(i)); /* it may still fall asleep */
	put(w, "1", 3, RUNNING, "'phase': 'Starting', 'address': '10.0.0.1', 'vmGeneration': 3, 'nodeName': 'a'");
	assert_null(instance_address(i));
	assert_false(instance_is_awake(i));
	put(w, "1", 4, "'state': 'Asleep'", "'phase': 'Ready', 'address': '10.0.0.1'");
	assert_null(instance_address(i));
	put(w, "1", 5, RUNNING, "'phase': 'Ready', 'address': 'evil;del map', 'vmGeneration': 3, 'nodeName': 'a'");
	assert_null(instance_address(i));
	assert_int_equal(instance_table_count(w->t), 1);
}

static void test_generations(void **state)
{
	struct world *w = *state;

	/* A rollout on the same node: the old VM serves on until the agent says otherwise. */
	struct instance *i = put(w, "1", 1, RUNNING,
				 "'phase': 'Ready', 'address': '10.0.0.1', 'vmGeneration': 2, 'nodeName': 'a'");
	assert_string_equal(instance_address(i), "10.0.0.1");
	put(w, "1", 2, RUNNING, "'phase': 'Ready', 'address': '10.0.0.2', 'vmGeneration': 3, 'nodeName': 'a'");
	assert_string_equal(instance_address(i), "10.0.0.2");
	/* A late word about the old one. */
	put(w, "1", 3, RUNNING, "'phase': 'Ready', 'address': '10.0.0.1', 'vmGeneration': 2, 'nodeName': 'a'");
	assert_null(instance_address(i));
	/* A node that has lost it says Ready. */
	put(w, "2", 4, "'state': 'Running', 'nodeName': 'b', 'vmGeneration': 9",
	    "'phase': 'Ready', 'address': '10.0.0.1', 'vmGeneration': 8, 'nodeName': 'a'");
	assert_null(instance_address(i));
	/* Another Instance under the same name starts from the beginning. */
	put(w, "3", 5, "'state': 'Running', 'nodeName': 'a', 'vmGeneration': 1",
	    "'phase': 'Ready', 'address': '10.0.0.7', 'vmGeneration': 1, 'nodeName': 'a'");
	assert_string_equal(instance_address(i), "10.0.0.7");
}

static void test_stale_after_a_write(void **state)
{
	struct world *w = *state;
	struct instance *i = put(w, "1", 5, RUNNING,
				 "'phase': 'Ready', 'address': '10.0.0.1', 'vmGeneration': 3, 'nodeName': 'a'");

	i->min_version = 6;
	assert_null(instance_address(i));
	put(w, "1", 6, RUNNING, "'phase': 'Ready', 'address': '10.0.0.1', 'vmGeneration': 3, 'nodeName': 'a'");
	assert_string_equal(instance_address(i), "10.0.0.1");
}

static void test_other_names_do_not_count(void **state)
{
	struct world *w = *state;

	assert_null(instance_table_put(w->t, fixture_json(w->a, "{'metadata': {'namespace': 'n', 'name': 'mine'},"
								" 'spec': {'containerName': 'c', 'id': 'u'}}")));
	assert_int_equal(instance_table_count(w->t), 0);
	struct instance *i = put(w, "1", 1, "'state': 'Asleep'", "");
	assert_ptr_equal(instance_table_get(w->t, "n/c/u"), i);
	instance_table_remove(w->t, i);
	assert_null(instance_table_get(w->t, "n/c/u"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_bad_keys),
		cmocka_unit_test_setup_teardown(test_address_needs_ready_and_running, setup, teardown),
		cmocka_unit_test_setup_teardown(test_generations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale_after_a_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_names_do_not_count, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
