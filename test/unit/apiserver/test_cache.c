/*
 * test_cache.c - the watch cache: reads, pages, older states, events, and all of it again after a restart.
 */
#include "test/unit/apiserver/core_fixture.h"
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static int64_t put(struct core *c, const char *ns, const char *name, const char *app, int64_t expect)
{
	return core_put(c, core_kind("configmaps"), core_configmap(c->arena, ns, name, app, "v"), expect);
}

static int64_t drop(struct core *c, const char *ns, const char *name, int64_t expect)
{
	return core_remove(c, core_kind("configmaps"), core_configmap(c->arena, ns, name, NULL, "v"), expect);
}

/* "ns/name@revision " of each object; then "+" when there is more. */
static const char *listed(struct core *c, struct cache_query q)
{
	struct cache_page page;
	_buf_ out = BUF_INIT(65536);
	struct error e;

	q.filter.kind = core_kind("configmaps");
	if (cache_list(c->server.cache, &q, &page, &e) < 0)
		return arena_printf(c->arena, "error %s", error_reason(e.code));
	for (size_t i = 0; i < page.count; i++)
		buf_addf(&out, "%s@%lld ", page.items[i]->key, (long long)page.items[i]->revision);
	if (page.more)
		buf_addf(&out, "+%lld", (long long)page.remaining);
	cache_page_clear(&page);
	return arena_strdup(c->arena, out.data ? out.data : "");
}

static const char *events(struct core *c, int64_t after)
{
	struct event list[64];
	size_t count;
	_buf_ out = BUF_INIT(65536);
	struct error e;

	if (cache_events(c->server.cache, after, ARRAY_SIZE(list), list, &count, &e) < 0)
		return arena_printf(c->arena, "error %s", error_reason(e.code));
	for (size_t i = 0; i < count; i++) {
		buf_addf(&out, "%c%s@%lld<%lld ", "+~-"[list[i].type], list[i].object->key, (long long)list[i].revision,
			 list[i].old ? (long long)list[i].old->revision : 0);
		event_clear(&list[i]);
	}
	return arena_strdup(c->arena, out.data ? out.data : "");
}

static void test_reads_see_writes(void **state)
{
	struct core *c = *state;

	assert_int_equal(put(c, "a", "x", NULL, 0), 1);
	_object_ o = cache_get(c->server.cache, core_kind("configmaps"), "a/x");
	assert_non_null(o);
	assert_int_equal(o->revision, 1);
	assert_string_equal(o->uid, "uid-a-x");
	assert_string_equal(json_str(json_in(object_tree(c->arena, o), "metadata", "resourceVersion")), "1");
	assert_null(cache_get(c->server.cache, core_kind("configmaps"), "a/y"));
	assert_null(cache_get(c->server.cache, core_kind("secrets"), "a/x"));
}

static void test_list_by_namespace_name_and_label(void **state)
{
	struct core *c = *state;
	struct selector *web, *by_name;

	put(c, "a", "x", "web", 0);
	put(c, "a-b", "x", "web", 0);
	put(c, "a", "y", "db", 0);
	put(c, "b", "x", NULL, 0);
	assert_string_equal(listed(c, (struct cache_query){0}), "a-b/x@2 a/x@1 a/y@3 b/x@4 ");
	assert_string_equal(listed(c, (struct cache_query){.filter = {.ns = "a"}}), "a/x@1 a/y@3 ");
	assert_string_equal(listed(c, (struct cache_query){.filter = {.ns = "a", .name = "y"}}), "a/y@3 ");
	assert_string_equal(listed(c, (struct cache_query){.filter = {.name = "x"}}), "a-b/x@2 a/x@1 b/x@4 ");
	assert_string_equal(listed(c, (struct cache_query){.filter = {.ns = "none"}}), "");
	assert_int_equal(selector_parse_labels(c->arena, "app=web", &web, NULL), 0);
	assert_string_equal(listed(c, (struct cache_query){.filter = {.labels = web}}), "a-b/x@2 a/x@1 ");
	assert_int_equal(selector_parse_fields(c->arena, core_kind("configmaps"), "metadata.name!=x", &by_name, NULL),
			 0);
	assert_string_equal(listed(c, (struct cache_query){.filter = {.fields = by_name}}), "a/y@3 ");
}

static void test_pages(void **state)
{
	struct core *c = *state;
	char name[16];

	for (int i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		put(c, "a", name, NULL, 0);
	}
	put(c, "b", "z", NULL, 0);
	assert_string_equal(listed(c, (struct cache_query){.limit = 3}), "a/n0@1 a/n1@2 a/n2@3 +5");
	assert_string_equal(listed(c, (struct cache_query){.limit = 3, .filter = {.ns = "a"}}),
			    "a/n0@1 a/n1@2 a/n2@3 +4");
	assert_string_equal(listed(c, (struct cache_query){.limit = 3, .after = "a/n5"}), "a/n6@7 b/z@8 ");
	assert_string_equal(listed(c, (struct cache_query){.limit = 2, .after = "a/n5"}), "a/n6@7 b/z@8 ");
}

/* The state at every revision, whichever of ring and store it comes from. */
static void check_older_states(struct core *c)
{
	assert_string_equal(listed(c, (struct cache_query){.revision = 3}), "a/x@1 a/y@2 a/z@3 ");
	assert_string_equal(listed(c, (struct cache_query){.revision = 4}), "a/x@4 a/y@2 a/z@3 ");
	assert_string_equal(listed(c, (struct cache_query){.revision = 5}), "a/x@4 a/z@3 ");
	assert_string_equal(listed(c, (struct cache_query){.revision = 5, .after = "a/x"}), "a/z@3 ");
	assert_string_equal(listed(c, (struct cache_query){.revision = 2, .limit = 1}), "a/x@1 +-1");
	assert_string_equal(listed(c, (struct cache_query){.revision = 2, .limit = 1, .after = "a/x"}), "a/y@2 ");
	assert_string_equal(listed(c, (struct cache_query){.revision = 6}), "a/w@6 a/x@4 a/z@3 ");
	assert_string_equal(listed(c, (struct cache_query){.revision = 99}), "error Timeout");
	assert_string_equal(events(c, 3), "~a/x@4<1 -a/y@5<2 +a/w@6<0 ");
	assert_string_equal(events(c, 6), "");
}

static void test_older_states(void **state)
{
	struct core *c = *state;

	put(c, "a", "x", NULL, 0);
	put(c, "a", "y", NULL, 0);
	put(c, "a", "z", NULL, 0);
	put(c, "a", "x", NULL, 1);
	drop(c, "a", "y", 2);
	put(c, "a", "w", NULL, 0);
	check_older_states(c);
	core_restart(c);
	check_older_states(c);
	assert_int_equal(c->store->ops->compact(c->store, 5, NULL), 0);
	assert_string_equal(listed(c, (struct cache_query){.revision = 4}), "error Expired");
	assert_string_equal(events(c, 4), "error Expired");
	assert_string_equal(events(c, 5), "+a/w@6<0 ");
}

static void test_many_objects_stay_sorted(void **state)
{
	struct core *c = *state;
	struct cache_query q = {.filter = {.kind = core_kind("configmaps")}};
	struct cache_page page;
	char name[16];
	unsigned n = 1;

	for (int i = 0; i < 1500; i++) {
		n = (n * 7919) % 10007; /* a permutation, so that blocks split everywhere */
		snprintf(name, sizeof(name), "n%05u", n);
		assert_int_equal(put(c, "a", name, NULL, 0), i + 1);
	}
	assert_int_equal(cache_list(c->server.cache, &q, &page, NULL), 0);
	assert_int_equal(page.count, 1500);
	for (size_t i = 1; i < page.count; i++)
		assert_true(strcmp(page.items[i - 1]->key, page.items[i]->key) < 0);
	for (size_t i = 0; i < page.count; i += 2)
		assert_true(drop(c, "a", page.items[i]->name, page.items[i]->revision) > 0);
	cache_page_clear(&page);
	assert_int_equal(cache_count(c->server.cache, q.filter.kind), 750);
}

static void test_wait(void **state)
{
	struct core *c = *state;

	assert_false(cache_wait(c->server.cache, 0, 1));
	put(c, "a", "x", NULL, 0);
	assert_true(cache_wait(c->server.cache, 0, 60000));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, core_setup, core_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reads_see_writes), TEST(test_list_by_namespace_name_and_label), TEST(test_pages),
		TEST(test_older_states),     TEST(test_many_objects_stay_sorted),	  TEST(test_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
