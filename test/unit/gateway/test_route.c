/*
 * test_route.c - which rule a request finds, by looking up as HAProxy does; conflicts and other faults; the shape.
 */
#include "gateway/route.h"
#include "test/unit/gateway/fixture.h"

#include <stdio.h>

#define ROUTES_MAX 8

struct fixture {
	struct arena *a;
	const struct json *routes[ROUTES_MAX];
	size_t count;
	struct route_table *t;
};

static const struct json *find_container(void *user, const char *ns, const char *name)
{
	struct fixture *f = user;

	if (streq(name, "none") || !streq(ns, "default"))
		return NULL;
	if (streq(name, "portless"))
		return fixture_json(f->a, "{'spec': {}}");
	return fixture_json(f->a, "{'spec': {'ports': [{'containerPort': 8080}, {'containerPort': 9090}]}}");
}

/* hosts and rules are JSON arrays; Routes are as old as they are added late. */
static void add(struct fixture *f, const char *name, const char *hosts, const char *rules)
{
	if (!f->a)
		f->a = arena_new();
	f->routes[f->count] = fixture_jsonf(
		f->a,
		"{'metadata': {'namespace': 'default', 'name': '%s', 'creationTimestamp': '2026-01-01T00:00:0%zuZ', 'generation': 1},"
		" 'spec': {'hostnames': %s, 'rules': %s}}",
		name, f->count, hosts, rules);
	f->count++;
}

/* One rule: a path, its type, a Container, where the ID is. */
static const char *rule(struct fixture *f, const char *path, const char *type, const char *container,
			const char *instance)
{
	if (!f->a)
		f->a = arena_new();
	return arena_printf(f->a,
			    "[{'matches': [{'path': {'type': '%s', 'value': '%s'}}],"
			    "'backend': {'container': '%s', 'instance': {%s}}}]",
			    type, path, container, instance);
}

static void build(struct fixture *f)
{
	f->t = route_table_build(f->a, f->routes, f->count, find_container, f);
}

static const char *lookup_exact(const struct route_map *m, const char *key)
{
	for (size_t i = 0; i < m->count; i++)
		if (streq(m->lines[i].key, key))
			return m->lines[i].value;
	return NULL;
}

/* The rules of haproxy.cfg, in C. */
static const char *lookup(const struct fixture *f, const char *host, const char *path)
{
	const struct route_table *t = f->t;
	const char *pattern = lookup_exact(&t->hosts, host), *found;
	char key[512];
	size_t best = 0;

	for (size_t i = 0; !pattern && i < t->suffixes.count; i++)
		if (str_ends(host, t->suffixes.lines[i].key))
			pattern = t->suffixes.lines[i].value;
	bool any_host = t->shape.hosts || t->shape.suffixes;

	snprintf(key, sizeof(key), "%s%s%s", any_host ? "=" : "", any_host && pattern ? pattern : "", path);
	found = lookup_exact(&t->exact, key);
	if (found)
		return found;
	size_t used = strlen(key);

	snprintf(key + used, sizeof(key) - used, "/");
	for (size_t i = 0; i < t->prefix.count; i++) {
		const struct route_line *l = &t->prefix.lines[i];

		if (str_starts(key, l->key) && strlen(l->key) > best) {
			best = strlen(l->key);
			found = l->value;
		}
	}
	return found;
}

static void drop(struct fixture *f)
{
	arena_free(f->a);
}

static void test_longest_prefix_of_whole_segments(_unused_ void **state)
{
	_cleanup_(drop) struct fixture f = {0};

	add(&f, "short", "[]", rule(&f, "/hello", "PathPrefix", "one", "'pathSegment': 2"));
	add(&f, "long", "[]", rule(&f, "/hello/deep/", "PathPrefix", "two", "'header': 'X-User'"));
	build(&f);
	assert_string_equal(lookup(&f, "x", "/hello/u1"), "s2|8080|0|default/one/|");
	assert_string_equal(lookup(&f, "x", "/hello"), "s2|8080|0|default/one/|");
	assert_string_equal(lookup(&f, "x", "/hello/deep"), "h:x-user|8080|0|default/two/|");
	assert_string_equal(lookup(&f, "x", "/hello/deep/er"), "h:x-user|8080|0|default/two/|");
	assert_string_equal(lookup(&f, "x", "/hello/deeper"), "s2|8080|0|default/one/|");
	assert_null(lookup(&f, "x", "/helloworld"));
	assert_null(lookup(&f, "x", "/"));
	assert_int_equal(f.t->shape.extractor_count, 2);
	assert_string_equal(f.t->shape.extractors[0].tag, "h:x-user");
	assert_int_equal(f.t->shape.extractors[1].segment, 2);
	assert_false(f.t->shape.exact || f.t->shape.hosts || f.t->shape.suffixes || f.t->shape.fixed);
	assert_true(f.t->verdicts[0].accepted && f.t->verdicts[1].accepted);
}

static void test_root_exact_and_fixed(_unused_ void **state)
{
	_cleanup_(drop) struct fixture f = {0};

	add(&f, "root", "[]", rule(&f, "/", "PathPrefix", "one", "'fixed': 'a b'"));
	add(&f, "exact", "[]", rule(&f, "/x", "Exact", "two", "'fixed': 'e'"));
	build(&f);
	assert_string_equal(lookup(&f, "x", "/"), "f|8080|0|default/one/|a%20b");
	assert_string_equal(lookup(&f, "x", "/x"), "f|8080|0|default/two/|e");
	assert_string_equal(lookup(&f, "x", "/x/"), "f|8080|0|default/one/|a%20b");
	assert_true(f.t->shape.exact && f.t->shape.fixed);
}

static void test_hosts_before_paths(_unused_ void **state)
{
	_cleanup_(drop) struct fixture f = {0};

	add(&f, "any", "[]", rule(&f, "/a/b", "PathPrefix", "any", "'pathSegment': 1"));
	add(&f, "any-exact", "[]", rule(&f, "/e", "Exact", "any", "'pathSegment': 1"));
	add(&f, "exact", "['h.example.com']", rule(&f, "/a", "PathPrefix", "host", "'pathSegment': 1"));
	add(&f, "wide", "['*.com']", rule(&f, "/w", "PathPrefix", "wide", "'pathSegment': 1"));
	add(&f, "narrow", "['*.example.com']", rule(&f, "/a", "Exact", "narrow", "'pathSegment': 1"));
	build(&f);
	const char *host = "s1|8080|0|default/host/|", *narrow = "s1|8080|0|default/narrow/|";
	const char *wide = "s1|8080|0|default/wide/|", *any = "s1|8080|0|default/any/|";

	assert_string_equal(lookup(&f, "h.example.com", "/a/b/c"),
			    host); /* the host counts more than the longer path */
	assert_string_equal(lookup(&f, "h.example.com", "/a"), host);
	assert_string_equal(lookup(&f, "h.example.com", "/e"), any);
	assert_string_equal(lookup(&f, "h.example.com", "/w/x"), wide);
	assert_string_equal(lookup(&f, "g.example.com", "/a"), narrow);
	assert_string_equal(lookup(&f, "g.example.com", "/a/b"), any);
	assert_null(lookup(&f, "g.example.com", "/a/c"));
	assert_string_equal(lookup(&f, "x.com", "/w"), wide);
	assert_string_equal(lookup(&f, "else.org", "/a/b"), any);
	assert_null(lookup(&f, "else.org", "/w"));
	assert_string_equal(f.t->suffixes.lines[0].key, ".example.com");
}

static void test_exact_path_of_a_wider_pattern(_unused_ void **state)
{
	_cleanup_(drop) struct fixture f = {0};

	add(&f, "any", "[]", rule(&f, "/a/x", "Exact", "any", "'pathSegment': 1"));
	add(&f, "host", "['h']", rule(&f, "/a", "PathPrefix", "host", "'pathSegment': 1"));
	build(&f);
	assert_string_equal(lookup(&f, "h", "/a/x"), "s1|8080|0|default/host/|");
	assert_string_equal(lookup(&f, "g", "/a/x"), "s1|8080|0|default/any/|");
}

static void test_strip_and_port(_unused_ void **state)
{
	_cleanup_(drop) struct fixture f = {0};

	f.a = arena_new();
	add(&f, "strip", "[]",
	    "[{'matches': [{'path': {'value': '/a/b'}}], 'filters': {'stripPrefix': true},"
	    "  'backend': {'container': 'x', 'port': 9, 'instance': {'pathSegment': 3}}},"
	    " {'matches': [{'path': {'value': '/c/d'}}], 'filters': {'stripPrefix': true},"
	    "  'backend': {'container': 'x', 'instance': {'header': 'H'}}},"
	    " {'backend': {'container': 'x', 'instance': {'pathSegment': 1}}}]");
	build(&f);
	assert_string_equal(lookup(&f, "", "/a/b/id"), "s3|9|3|default/x/|");
	assert_string_equal(lookup(&f, "", "/c/d"), "h:h|8080|2|default/x/|");
	assert_string_equal(lookup(&f, "", "/z"), "s1|8080|0|default/x/|");
	assert_int_equal(f.t->shape.strip_count, 2);
	assert_int_equal(f.t->shape.strips[0], 2);
	assert_int_equal(f.t->shape.strips[1], 3);
}

static void test_conflict_goes_to_the_older(_unused_ void **state)
{
	_cleanup_(drop) struct fixture f = {0};

	add(&f, "older", "['h']", rule(&f, "/a", "PathPrefix", "one", "'pathSegment': 1"));
	add(&f, "younger", "['h', 'g']", rule(&f, "/a/", "PathPrefix", "two", "'pathSegment': 1"));
	/* The order of the list does not count. */
	const struct json *first = f.routes[0];

	f.routes[0] = f.routes[1];
	f.routes[1] = first;
	build(&f);
	assert_false(f.t->verdicts[0].accepted);
	assert_string_equal(f.t->verdicts[0].reason, "Conflict");
	assert_string_equal(f.t->verdicts[0].message, "h/a belongs to the older Route default/older");
	assert_true(f.t->verdicts[1].accepted);
	assert_string_equal(lookup(&f, "h", "/a"), "s1|8080|0|default/one/|");
	assert_string_equal(lookup(&f, "g", "/a"), "s1|8080|0|default/two/|"); /* what it has alone is served */
}

static void test_same_match_twice_in_one_route(_unused_ void **state)
{
	_cleanup_(drop) struct fixture f = {0};

	f.a = arena_new();
	add(&f, "r", "[]",
	    "[{'backend': {'container': 'first', 'instance': {'pathSegment': 1}}},"
	    " {'backend': {'container': 'second', 'instance': {'pathSegment': 1}}}]");
	build(&f);
	assert_true(f.t->verdicts[0].accepted);
	assert_string_equal(lookup(&f, "", "/x"), "s1|8080|0|default/first/|");
}

static void test_faults(_unused_ void **state)
{
	_cleanup_(drop) struct fixture f = {0};

	add(&f, "portless", "[]", rule(&f, "/p", "PathPrefix", "portless", "'pathSegment': 1"));
	add(&f, "nobody", "[]", rule(&f, "/n", "PathPrefix", "none", "'pathSegment': 1"));
	add(&f, "both", "[]", rule(&f, "/b", "PathPrefix", "x", "'pathSegment': 1, 'fixed': 'y'"));
	add(&f, "neither", "[]", rule(&f, "/i", "PathPrefix", "x", ""));
	add(&f, "header", "[]", rule(&f, "/h", "PathPrefix", "x", "'header': 'a b'"));
	add(&f, "path", "[]", rule(&f, "/x y", "PathPrefix", "x", "'pathSegment': 1"));
	build(&f);
	static const char *const reasons[] = {"NoPort",		 "ContainerNotFound", "InvalidInstance",
					      "InvalidInstance", "InvalidInstance",   "InvalidPath"};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		assert_false(f.t->verdicts[i].accepted);
		assert_string_equal(f.t->verdicts[i].reason, reasons[i]);
	}
	assert_null(lookup(&f, "", "/p/x"));
	assert_string_equal(lookup(&f, "", "/n/x"), "s1|0|0|default/none/|"); /* the resolver says why */
	assert_int_equal(f.t->prefix.count, 1);
}

static void test_limit_of_matches(_unused_ void **state)
{
	_cleanup_(drop) struct fixture f = {.a = arena_new()};
	_buf_ matches = BUF_INIT(1 << 20);

	for (int i = 0; i <= ROUTE_MATCHES_MAX; i++)
		buf_addf(&matches, "%s{'path': {'value': '/%d'}}", i ? "," : "", i);
	f.routes[f.count++] = fixture_json(
		f.a,
		arena_printf(f.a,
			     "{'metadata': {'namespace': 'default', 'name': 'r'}, 'spec': {'rules': [{'matches': [%s],"
			     "'backend': {'container': 'x', 'instance': {'pathSegment': 1}}}]}}",
			     matches.data));
	build(&f);
	assert_int_equal(f.t->prefix.count, ROUTE_MATCHES_MAX);
	assert_string_equal(f.t->verdicts[0].reason, "TooManyMatches");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_prefix_of_whole_segments),
		cmocka_unit_test(test_root_exact_and_fixed),
		cmocka_unit_test(test_hosts_before_paths),
		cmocka_unit_test(test_exact_path_of_a_wider_pattern),
		cmocka_unit_test(test_strip_and_port),
		cmocka_unit_test(test_conflict_goes_to_the_older),
		cmocka_unit_test(test_same_match_twice_in_one_route),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_limit_of_matches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
