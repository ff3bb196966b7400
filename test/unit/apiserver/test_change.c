/*
 * test_change.c - read, compute, commit: lost races run again, refused ones do not, nothing is written twice.
 */
#include "test/unit/apiserver/core_fixture.h"
#include <pthread.h>
#include <setjmp.h>

#include <cmocka.h>

#define WRITERS 8
#define ROUNDS 25

/* Adds one to data.value. */
static int compute_add(struct change *ch, const struct json *live, struct error *e)
{
	if (!live)
		return error_set(e, E_NOT_FOUND, "gone");
	struct json *next = json_clone(ch->arena, live);
	int64_t n = json_int_or(json_in(live, "data", "n"), 0);
	json_set_int(ch->arena, json_ensure_object(ch->arena, next, "data"), "n", n + 1);
	ch->next = next;
	ch->action = CHANGE_PUT;
	return 0;
}

static struct change change_of(struct core *c, struct arena *a, const char *name,
			       int (*compute)(struct change *ch, const struct json *live, struct error *e))
{
	return (struct change){.server = &c->server,
			       .arena = a,
			       .kind = core_kind("configmaps"),
			       .ns = "a",
			       .name = name,
			       .compute = compute};
}

static void *add_many(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		_arena_ a = arena_new();
		struct change ch = change_of(arg, a, "x", compute_add);
		struct error e;
		assert_int_equal(change_run(&ch, &e), 0);
		change_clear(&ch);
	}
	return NULL;
}

static void test_no_update_is_lost(void **state)
{
	struct core *c = *state;
	pthread_t threads[WRITERS];

	core_put(c, core_kind("configmaps"), core_configmap(c->arena, "a", "x", NULL, "v"), 0);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, c), 0);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	_object_ o = cache_get(c->server.cache, core_kind("configmaps"), "a/x");
	assert_int_equal(json_int_or(json_in(object_tree(c->arena, o), "data", "n"), 0), WRITERS * ROUNDS);
	assert_int_equal(o->revision, 1 + WRITERS * ROUNDS); /* and no revision was wasted */
}

static int compute_nothing(struct change *ch, const struct json *live, struct error *e)
{
	(void)ch;
	(void)live;
	(void)e;
	return 0;
}

static int compute_remove(struct change *ch, const struct json *live, struct error *e)
{
	int code = compute_add(ch, live, e);

	ch->action = CHANGE_REMOVE;
	return code;
}

static void test_outcomes(void **state)
{
	struct core *c = *state;
	struct change nothing = change_of(c, c->arena, "x", compute_nothing),
		      missing = change_of(c, c->arena, "y", compute_add);
	struct change dry = change_of(c, c->arena, "x", compute_add),
		      gone = change_of(c, c->arena, "x", compute_remove);
	struct error e;

	core_put(c, core_kind("configmaps"), core_configmap(c->arena, "a", "x", NULL, "v"), 0);
	assert_int_equal(change_run(&nothing, &e), 0);
	assert_null(nothing.after);
	assert_int_equal(change_run(&missing, &e), -E_NOT_FOUND);
	dry.dry_run = true;
	assert_int_equal(change_run(&dry, &e), 0);
	assert_null(dry.after);
	assert_int_equal(cache_revision(c->server.cache), 1);
	assert_int_equal(change_run(&gone, &e), 0);
	assert_int_equal(gone.after->revision, 2);
	assert_null(cache_get(c->server.cache, core_kind("configmaps"), "a/x"));
	change_clear(&nothing);
	change_clear(&missing);
	change_clear(&dry);
	change_clear(&gone);
}

/* Chooses "taken" first, then another name. */
static int compute_named(struct change *ch, const struct json *live, struct error *e)
{
	int *tries = ch->user;

	(void)e;
	assert_null(live);
	assert_null(ch->name);
	ch->next = core_configmap(ch->arena, "a", (*tries)++ ? "free" : "taken", NULL, "v");
	ch->action = CHANGE_PUT;
	return 0;
}

static void test_taken_name_is_chosen_again(void **state)
{
	struct core *c = *state;
	struct change ch = change_of(c, c->arena, NULL, compute_named);
	int tries = 0;
	struct error e;

	core_put(c, core_kind("configmaps"), core_configmap(c->arena, "a", "taken", NULL, "v"), 0);
	ch.user = &tries;
	assert_int_equal(change_run(&ch, &e), 0);
	assert_string_equal(ch.after->name, "free");
	assert_int_equal(tries, 2);
	change_clear(&ch);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, core_setup, core_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_update_is_lost),
		TEST(test_outcomes),
		TEST(test_taken_name_is_chosen_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
