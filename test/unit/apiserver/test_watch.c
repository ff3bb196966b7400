/*
 * test_watch.c - watches over HTTP: where they begin, what they see, how they end.
 */
#include "apiserver/cache.h"
#include "apiserver/watch.h"
#include "test/unit/apiserver/server_fixture.h"
#include <pthread.h>
#include <setjmp.h>

#include <cmocka.h>

static const char *revision(struct served *s)
{
	return arena_printf(s->arena, "%lld", (long long)cache_revision(s->server->cache));
}

static void make(struct served *s, const char *name, const char *app)
{
	served_expect(s, 201, "POST", CONFIGMAPS,
		      arena_printf(s->arena, "{'metadata': {'name': '%s', 'labels': {'app': '%s'}}}", name, app));
}

/* Something for a watch to see: one object made, relabelled away and back, changed, deleted. */
static void make_history(struct served *s)
{
	make(s, "x", "web");
	served_patch(s, 200, CONFIGMAPS "/x", "{'metadata': {'labels': {'app': 'db'}}}");
	served_patch(s, 200, CONFIGMAPS "/x", "{'metadata': {'labels': {'app': 'web'}}}");
	served_patch(s, 200, CONFIGMAPS "/x", "{'data': {'a': 'b'}}");
	served_expect(s, 200, "DELETE", CONFIGMAPS "/x", NULL);
}

static void check_history(struct served *s, const char *from)
{
	const char *path = arena_printf(s->arena, CONFIGMAPS "?watch=1&resourceVersion=%s", from);
	struct json *events = served_watch(s, path, 5);

	assert_string_equal(served_events(s, events), "ADDED x MODIFIED x MODIFIED x MODIFIED x DELETED x ");
	for (size_t i = 1; i < json_count(events); i++) {
		const char *was = json_str(json_in(json_item(events, i - 1), "object", "metadata", "resourceVersion"));
		const char *now = json_str(json_in(json_item(events, i), "object", "metadata", "resourceVersion"));
		assert_true(strtoll(was, NULL, 10) < strtoll(now, NULL, 10));
	}
	events = served_watch(s, arena_printf(s->arena, "%s&labelSelector=app%%3Dweb", path), 5);
	assert_string_equal(served_events(s, events), "ADDED x DELETED x ADDED x MODIFIED x DELETED x ");
	events = served_watch(s, arena_printf(s->arena, "%s&fieldSelector=metadata.name%%3Dy&timeoutSeconds=1", path),
			      5);
	assert_string_equal(served_events(s, events), "");
}

static void test_history_from_memory_and_store(void **state)
{
	struct served *s = *state;
	const char *from = revision(s);

	make_history(s);
	check_history(s, from);
	served_restart(s);
	check_history(s, from);
}

static void test_expired_and_future(void **state)
{
	struct served *s = *state;

	make_history(s);
	assert_int_equal(s->server->store->ops->compact(s->server->store, cache_revision(s->server->cache), NULL), 0);
	served_restart(s);
	served_expect(s, 410, "GET", CONFIGMAPS "?watch=true&resourceVersion=2", NULL);
	served_expect(s, 504, "GET", CONFIGMAPS "?watch=true&resourceVersion=99999", NULL);
	served_expect(s, 422, "GET", CONFIGMAPS "?watch=true&sendInitialEvents=true", NULL);
}

static void test_initial_state(void **state)
{
	struct served *s = *state;

	make(s, "x", "web");
	make(s, "y", "db");
	assert_string_equal(served_events(s, served_watch(s, CONFIGMAPS "?watch=true", 2)), "ADDED x ADDED y ");
	struct json *events = served_watch(s,
					   CONFIGMAPS "?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&"
						      "resourceVersionMatch=NotOlderThan",
					   3);
	assert_string_equal(served_events(s, events), "ADDED x ADDED y BOOKMARK - ");
	const struct json *bookmark = json_get(json_item(events, 2), "object");
	assert_string_equal(
		json_str(json_get(json_in(bookmark, "metadata", "annotations"), "k8s.io/initial-events-end")), "true");
	assert_string_equal(json_str(json_in(bookmark, "metadata", "resourceVersion")), revision(s));
}

static void test_timeout_ends_with_a_bookmark(void **state)
{
	struct served *s = *state;
	const char *path = arena_printf(
		s->arena, CONFIGMAPS "?watch=true&resourceVersion=%s&timeoutSeconds=1&allowWatchBookmarks=true",
		revision(s));

	assert_string_equal(served_events(s, served_watch(s, path, 9)), "BOOKMARK - ");
	assert_int_equal(watch_hub_count(s->server->hub), 0);
}

#define WRITES 200

static void *write_many(void *arg)
{
	struct served *s = arg;
	struct served own = {.server = s->server, .token = ADMIN, .arena = arena_new(), .client = http_client_new()};

	for (int i = 0; i < WRITES; i++)
		make(&own, arena_printf(own.arena, "n%03d", i), "web");
	http_client_free(own.client);
	arena_free(own.arena);
	return NULL;
}

/* Watches that begin in the middle of writes miss nothing and see nothing twice. */
static void test_watch_while_writing(void **state)
{
	struct served *s = *state;
	const char *from = revision(s);
	pthread_t writer;

	assert_int_equal(pthread_create(&writer, NULL, write_many, s), 0);
	for (int round = 0; round < 5; round++) {
		struct json *events = served_watch(
			s, arena_printf(s->arena, CONFIGMAPS "?watch=1&resourceVersion=%s", from), WRITES);
		assert_int_equal(json_count(events), WRITES);
		for (size_t i = 0; i < WRITES; i++)
			assert_string_equal(json_str(json_in(json_item(events, i), "object", "metadata", "name")),
					    arena_printf(s->arena, "n%03zu", i));
	}
	pthread_join(writer, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, served_setup, served_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_history_from_memory_and_store), TEST(test_expired_and_future),  TEST(test_initial_state),
		TEST(test_timeout_ends_with_a_bookmark),  TEST(test_watch_while_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
