/*
 * test_store.c - one suite for both stores, SQLite and a real etcd: compare-and-swap, revisions, ranges, history,
 * compaction, advancing, kill -9; and what only one of them has. test_store_etcd.c has what etcd adds.
 */
#include "apiserver/store.h"
#include "lib/fsutil.h"
#include "test/unit/apiserver/etcd_fixture.h"
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include <setjmp.h>

#include <cmocka.h>

#define VALUE "{\"v\":\"\"}" /* the revision goes behind the sixth byte */
#define VALUE_AT 6

static char dir[64], path[96];
static struct etcd etcd; /* one for all tests, each under a prefix of its own */
static bool in_etcd;
static unsigned tests_begun;

static struct store *open_sqlite(int64_t max_bytes)
{
	struct store_sqlite_options opt = {.path = path, .max_bytes = max_bytes};
	struct store *s;
	struct error e;

	if (store_sqlite_open(&opt, &s, &e) < 0)
		fail_msg("open: %s", e.text);
	return s;
}

static struct store *open_etcd(void)
{
	const char *endpoint = etcd.url;
	_free_ char *prefix = xasprintf("/test/%u", tests_begun);
	struct store_etcd_options opt = {.endpoints = &endpoint, .endpoint_count = 1, .prefix = prefix};
	struct store *s;
	struct error e;

	if (store_etcd_open(&opt, &s, &e) < 0)
		fail_msg("open: %s", e.text);
	return s;
}

static struct store *open_store(void)
{
	return in_etcd ? open_etcd() : open_sqlite(0);
}

static int setup(void **state)
{
	tests_begun++;
	snprintf(dir, sizeof(dir), "/tmp/berth-test-store-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/store.db", dir);
	*state = open_store();
	return 0;
}

static int teardown(void **state)
{
	store_close(*state);
	return tree_remove(dir, NULL);
}

static int group_setup_etcd(void **state)
{
	(void)state;
	in_etcd = true;
	etcd_begin(&etcd, NULL);
	return 0;
}

static int group_teardown_etcd(void **state)
{
	(void)state;
	etcd_end(&etcd);
	return 0;
}

static struct store_write put(const char *key, int64_t expect)
{
	return (struct store_write){
		.key = key, .expect = expect, .value = VALUE, .len = strlen(VALUE), .revision_at = VALUE_AT};
}

static struct store_write drop(const char *key, int64_t expect)
{
	struct store_write w = put(key, expect);

	w.remove = true;
	return w;
}

/* Commits one; returns its revision, or its negative result. */
static int64_t commit(struct store *s, struct store_write w)
{
	struct store_write *writes[] = {&w};

	s->ops->commit(s, writes, 1, NULL);
	chunk_unref(w.stored);
	return w.result ? w.result : w.revision;
}

struct seen {
	char text[8192];
	int stop_after, count;
};

static int see(void *user, const struct store_entry *entry)
{
	struct seen *seen = user;
	size_t n = strlen(seen->text);

	assert_true(n < sizeof(seen->text));
	snprintf(seen->text + n, sizeof(seen->text) - n, "%s@%lld%s ", entry->key, (long long)entry->revision,
		 entry->deleted	   ? "-"
		 : entry->previous ? "~"
				   : "+");
	return ++seen->count == seen->stop_after ? 7 : 0;
}

/* "new(old) " of each. */
static int see_values(void *user, const struct store_entry *entry)
{
	char *text = user;
	size_t n = strlen(text);

	snprintf(text + n, 256 - n, "%.*s(%.*s) ", (int)entry->len, entry->value, (int)entry->old_len,
		 entry->old ? entry->old : "");
	return 0;
}

static void assert_range(struct store *s, const char *prefix, const char *after, int64_t revision, size_t limit,
			 const char *expected)
{
	struct seen seen = {0};

	assert_int_equal(s->ops->range(s, prefix, after, revision, limit, see, &seen, NULL), 0);
	assert_string_equal(seen.text, expected);
}

static void assert_history(struct store *s, int64_t after, const char *expected)
{
	struct seen seen = {0};

	assert_int_equal(s->ops->history(s, after, INT64_MAX, see, &seen, NULL), 0);
	assert_string_equal(seen.text, expected);
}

static void test_compare_and_swap(void **state)
{
	struct store *s = *state;

	assert_int_equal(commit(s, put("g/a/n/x", STORE_ABSENT)), 1);
	assert_int_equal(commit(s, put("g/a/n/x", STORE_ABSENT)), -E_ALREADY_EXISTS);
	assert_int_equal(commit(s, put("g/a/n/x", 9)), -E_CONFLICT);
	assert_int_equal(commit(s, put("g/a/n/x", 1)), 2);
	assert_int_equal(commit(s, drop("g/a/n/x", 1)), -E_CONFLICT);
	assert_int_equal(commit(s, drop("g/a/n/x", 2)), 3);
	assert_int_equal(commit(s, put("g/a/n/x", 2)), -E_NOT_FOUND);
	assert_int_equal(commit(s, put("g/a/n/x", STORE_ABSENT)), 4); /* failed writes took no revision */
	assert_int_equal(s->ops->revision(s), 4);
}

static void test_batch_sees_itself(void **state)
{
	struct store *s = *state;
	struct store_write a = put("k", STORE_ABSENT), b = put("k", STORE_ABSENT), c = put("k", 1),
			   d = put("l", STORE_ABSENT);
	struct store_write *writes[] = {&a, &b, &c, &d};

	assert_int_equal(s->ops->commit(s, writes, 4, NULL), 0);
	assert_int_equal(a.revision, 1);
	assert_int_equal(b.result, -E_ALREADY_EXISTS);
	assert_null(b.stored);
	assert_int_equal(c.revision, 2);
	assert_int_equal(d.revision, 3);
	assert_int_equal(chunk_len(c.stored), strlen(VALUE) + 1);
	assert_memory_equal(chunk_data(c.stored), "{\"v\":\"2\"}", chunk_len(c.stored));
	for (size_t i = 0; i < 4; i++)
		chunk_unref(writes[i]->stored);
}

static void test_required_key(void **state)
{
	struct store *s = *state;
	struct store_write w = put("g/a/n/x", STORE_ABSENT);

	w.require = "/namespaces//n";
	assert_int_equal(commit(s, w), -E_NOT_FOUND);
	commit(s, put("/namespaces//n", STORE_ABSENT));
	assert_int_equal(commit(s, w), 2);
	commit(s, drop("/namespaces//n", 1));
	w.key = "g/a/n/y";
	assert_int_equal(commit(s, w), -E_NOT_FOUND);
}

static void test_range_at_revision(void **state)
{
	struct store *s = *state;

	commit(s, put("g/a/n/x", STORE_ABSENT));  /* 1 */
	commit(s, put("g/a/n/y", STORE_ABSENT));  /* 2 */
	commit(s, put("g/ab/n/z", STORE_ABSENT)); /* 3 */
	commit(s, put("g/a/n/x", 1));		  /* 4 */
	commit(s, drop("g/a/n/y", 2));		  /* 5 */
	assert_range(s, "g/a/", NULL, 0, 0, "g/a/n/x@4~ ");
	assert_range(s, "g/a/", NULL, 4, 0, "g/a/n/x@4~ g/a/n/y@2+ ");
	assert_range(s, "g/a/", NULL, 2, 1, "g/a/n/x@1+ ");
	assert_range(s, "g/a/", "g/a/n/x", 2, 0, "g/a/n/y@2+ ");
	assert_range(s, "", NULL, 0, 0, "g/a/n/x@4~ g/ab/n/z@3+ ");
}

static void test_history_and_stop(void **state)
{
	struct store *s = *state;
	struct seen seen = {.stop_after = 1};

	commit(s, put("a", STORE_ABSENT));
	commit(s, put("a", 1));
	commit(s, drop("a", 2));
	assert_history(s, 0, "a@1+ a@2~ a@3- ");
	assert_history(s, 2, "a@3- ");
	assert_int_equal(s->ops->history(s, 0, 9, see, &seen, NULL), 7);
	assert_history(s, 0, "a@1+ a@2~ a@3- "); /* a stopped walk leaves nothing behind */
}

static void test_compaction(void **state)
{
	struct store *s = *state;
	struct seen seen = {0};

	commit(s, put("a", STORE_ABSENT)); /* 1 */
	commit(s, put("a", 1));		   /* 2 */
	commit(s, put("b", STORE_ABSENT)); /* 3 */
	commit(s, drop("b", 3));	   /* 4 */
	assert_int_equal(s->ops->compact(s, 3, NULL), 0);
	assert_int_equal(s->ops->compacted(s), 3);
	assert_range(s, "", NULL, 3, 0, "a@2~ b@3+ ");
	assert_history(s, 3, "b@4- ");
	assert_int_equal(s->ops->history(s, 2, 9, see, &seen, NULL), -E_EXPIRED);
	assert_int_equal(s->ops->range(s, "", NULL, 2, 0, see, &seen, NULL), -E_EXPIRED);
}

static void test_history_with_what_was_replaced(void **state)
{
	struct store *s = *state;
	char text[256] = "";

	commit(s, put("a", STORE_ABSENT));
	commit(s, put("a", 1));
	commit(s, drop("a", 2));
	commit(s, put("a", STORE_ABSENT));
	assert_int_equal(s->ops->history(s, 0, 9, see_values, text, NULL), 0);
	assert_string_equal(
		text, "{\"v\":\"1\"}() {\"v\":\"2\"}({\"v\":\"1\"}) {\"v\":\"3\"}({\"v\":\"2\"}) {\"v\":\"4\"}() ");
}

static int count_visit(void *user, const struct store_entry *entry)
{
	(void)entry;
	++*(size_t *)user;
	return 0;
}

/* More than one transaction, page and scan take. */
static void test_many_at_once(void **state)
{
	enum { MANY = 1800, ACCEPTED = MANY / 3 * 2 };
	static struct store_write writes[MANY];
	static char keys[MANY][16];
	struct store_write *all[MANY];
	struct store *s = *state;
	size_t count = 0;

	for (size_t i = 0; i < MANY; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k/%04zu", i);
		writes[i] = put(keys[i], i % 3 == 2 ? 77 : STORE_ABSENT); /* every third is refused */
		all[i] = &writes[i];
	}
	assert_int_equal(s->ops->commit(s, all, MANY, NULL), 0);
	for (size_t i = 0, revision = 0; i < MANY; i++) {
		assert_int_equal(writes[i].result, i % 3 == 2 ? -E_NOT_FOUND : 0);
		if (i % 3 != 2)
			assert_int_equal(writes[i].revision, ++revision);
		chunk_unref(writes[i].stored);
	}
	store_close(s);
	*state = s = open_store();
	assert_int_equal(s->ops->revision(s), ACCEPTED);
	assert_int_equal(s->ops->range(s, "k/", NULL, 0, 0, count_visit, &count, NULL), 0);
	assert_int_equal(count, ACCEPTED);
	assert_int_equal(s->ops->history(s, 10, INT64_MAX, count_visit, &count, NULL), 0);
	assert_int_equal(count, 2 * ACCEPTED - 10);
	assert_range(s, "k/", "k/0150", 200, 2, "k/0151@102+ k/0153@103+ ");
}

static void test_advance(void **state)
{
	struct store *s = *state;
	struct seen seen = {0};

	assert_int_equal(s->ops->advance(s, 50, NULL), 0);
	assert_int_equal(s->ops->revision(s), 50);
	assert_int_equal(s->ops->history(s, 49, 99, see, &seen, NULL), -E_EXPIRED);
	assert_int_equal(s->ops->advance(s, 50, NULL), -E_CONFLICT);
	assert_int_equal(commit(s, put("a", STORE_ABSENT)), 51);
	assert_history(s, 50, "a@51+ ");
	store_close(s);
	*state = s = open_store();
	assert_int_equal(s->ops->revision(s), 51);
}

static void test_revision_survives_compacted_deletion(void **state)
{
	struct store *s = *state;

	commit(s, put("a", STORE_ABSENT));
	commit(s, drop("a", 1));
	assert_int_equal(s->ops->compact(s, 99, NULL), 0);
	store_close(s);
	*state = s = open_store();
	assert_int_equal(s->ops->revision(s), 2);
	assert_int_equal(commit(s, put("a", STORE_ABSENT)), 3);
}

static void test_second_process_is_refused(void **state)
{
	struct store_sqlite_options opt = {.path = path};
	struct store *second;
	struct error e;

	(void)state;
	assert_int_equal(store_sqlite_open(&opt, &second, &e), -E_UNAVAILABLE);
}

static void test_full_store_refuses_and_recovers(void **state)
{
	static char big[300000];
	struct store *s = *state;
	int64_t refused = 0, revision;
	char key[32];

	store_close(s);
	*state = s = open_sqlite(2 << 20);
	memset(big, 'x', sizeof(big));
	for (int i = 0; i < 20; i++) {
		struct store_write w = {.key = key, .value = big, .len = sizeof(big)};
		snprintf(key, sizeof(key), "k%d", i);
		refused = commit(s, w);
		if (refused < 0)
			break;
	}
	assert_int_equal(refused, -E_NO_SPACE);
	revision = s->ops->revision(s);
	store_close(s);
	*state = s = open_store();
	assert_int_equal(s->ops->revision(s), revision);
	assert_int_equal(commit(s, put("after", STORE_ABSENT)), revision + 1);
}

static void test_damaged_file_is_reported(void **state)
{
	struct store_sqlite_options opt = {.path = path};
	struct store *s;
	struct error e;

	store_close(*state);
	*state = NULL;
	assert_int_equal(file_write_atomic(path, "this is no database, only text that is long enough to be read", 61,
					   0600, NULL),
			 0);
	assert_int_equal(store_sqlite_open(&opt, &s, &e), -E_INTERNAL);
}

/* Writes for ever and says each revision it was acknowledged. */
static void write_until_killed(int out)
{
	struct store *s = open_store();
	char key[32];

	for (int i = 0;; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		int64_t revision = commit(s, put(key, STORE_ABSENT));
		if (write(out, &revision, sizeof(revision)) != sizeof(revision))
			_exit(1);
	}
}

static void test_kill_loses_nothing_acknowledged(void **state)
{
	int pipes[2], status;
	int64_t revision = 0, last = 0;

	store_close(*state);
	assert_int_equal(pipe(pipes), 0);
	pid_t child = fork();
	if (child == 0)
		write_until_killed(pipes[1]);
	close(pipes[1]);
	while (last < 200 && read(pipes[0], &revision, sizeof(revision)) == sizeof(revision))
		last = revision;
	kill(child, SIGKILL);
	while (read(pipes[0], &revision, sizeof(revision)) == sizeof(revision))
		last = revision;
	waitpid(child, &status, 0);
	close(pipes[0]);
	struct store *s = *state = open_store();
	assert_true(last >= 200);
	assert_true(s->ops->revision(s) >= last);
	struct seen seen = {.stop_after = (int)last};
	assert_int_equal(s->ops->history(s, 0, last, see, &seen, NULL), 7); /* every one is there */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#define COMMON                                                                                                        \
	TEST(test_compare_and_swap), TEST(test_batch_sees_itself), TEST(test_required_key),                           \
		TEST(test_range_at_revision), TEST(test_history_and_stop), TEST(test_history_with_what_was_replaced), \
		TEST(test_compaction), TEST(test_many_at_once), TEST(test_advance),                                   \
		TEST(test_revision_survives_compacted_deletion), TEST(test_kill_loses_nothing_acknowledged)

int main(void)
{
	const struct CMUnitTest in_sqlite[] = {
		COMMON,
		TEST(test_second_process_is_refused),
		TEST(test_full_store_refuses_and_recovers),
		TEST(test_damaged_file_is_reported),
	};
	const struct CMUnitTest with_etcd[] = {COMMON};
	int failed = cmocka_run_group_tests_name("sqlite", in_sqlite, NULL, NULL);

	return failed + cmocka_run_group_tests_name("etcd", with_etcd, group_setup_etcd, group_teardown_etcd);
}
