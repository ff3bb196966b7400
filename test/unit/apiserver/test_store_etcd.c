/*
 * test_store_etcd.c - what the store in etcd adds: lost answers, endpoints that are away, a full etcd, several
 * processes on one store, and migration from and to SQLite.
 */
#include "apiserver/migrate.h"
#include "apiserver/store_etcd_private.h"
#include "lib/fsutil.h"
#include "test/unit/apiserver/etcd_fixture.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#define VALUE_HEAD "{\"kind\":\"K\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\""
#define OBJECT(revision) VALUE_HEAD revision "\",\"name\":\"x\"}}"
#define VALUE OBJECT("")
#define VALUE_AT strlen(VALUE_HEAD)

static struct etcd etcd;
static unsigned tests_begun;

static struct store *open_at(const char *const *endpoints, size_t count)
{
	_free_ char *prefix = xasprintf("/test/%u", tests_begun);
	struct store_etcd_options opt = {.endpoints = endpoints, .endpoint_count = count, .prefix = prefix};
	struct store *s;
	struct error e;

	if (store_etcd_open(&opt, &s, &e) < 0)
		fail_msg("open: %s", e.text);
	return s;
}

static struct store *open_one(void)
{
	const char *endpoint = etcd.url;

	return open_at(&endpoint, 1);
}

static int setup(void **state)
{
	(void)state;
	tests_begun++;
	return 0;
}

static int begin_group(void **state)
{
	(void)state;
	etcd_begin(&etcd, NULL);
	return 0;
}

static int end_group(void **state)
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

static int64_t commit(struct store *s, struct store_write w)
{
	struct store_write *writes[] = {&w};

	s->ops->commit(s, writes, 1, NULL);
	chunk_unref(w.stored);
	return w.result ? w.result : w.revision;
}

/* ---- faults ---- */

static void test_lost_answer_is_resolved(void **state)
{
	struct lossy_line *line = lossy_line_new(&etcd);
	const char *endpoint = lossy_line_url(line);
	struct store *s = open_at(&endpoint, 1);
	char key[16];

	(void)state;
	for (int i = 1; i <= 20; i++) {
		lossy_line_lose(line,
				i % 4); /* up to three answers in a row, those of the question what became of it too */
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(commit(s, put(key, STORE_ABSENT)), i);
		assert_int_equal(lossy_line_left(line), 0);
	}
	assert_int_equal(commit(s, put("k1", STORE_ABSENT)), -E_ALREADY_EXISTS);
	store_close(s);
	s = open_one();
	assert_int_equal(s->ops->revision(s), 20);
	store_close(s);
	lossy_line_free(line);
}

/* The answer is lost, and before the question can be asked again somebody else has written. */
static void test_lost_answer_of_a_lost_race(void **state)
{
	struct lossy_line *line = lossy_line_new(&etcd);
	const char *endpoint = lossy_line_url(line);
	struct store *s = open_at(&endpoint, 1), *other = open_one();

	(void)state;
	assert_int_equal(commit(other, put("a", STORE_ABSENT)), 1);
	lossy_line_lose(line, 1); /* of a transaction that fails, because the head has moved */
	assert_int_equal(commit(s, put("b", STORE_ABSENT)), 2);
	assert_int_equal(commit(s, put("a", STORE_ABSENT)), -E_ALREADY_EXISTS);
	store_close(s);
	store_close(other);
	lossy_line_free(line);
}

static void test_endpoints_that_are_away(void **state)
{
	_free_ char *nobody = xasprintf("http://127.0.0.1:%d", free_loopback_port());
	const char *endpoints[] = {nobody, etcd.url};
	struct store *s = open_at(endpoints, 2);

	(void)state;
	assert_int_equal(commit(s, put("a", STORE_ABSENT)), 1);
	etcd_kill(&etcd);
	assert_int_equal(commit(s, put("b", STORE_ABSENT)), -E_UNAVAILABLE);
	assert_int_equal(commit(s, put("a", STORE_ABSENT)), -E_UNAVAILABLE); /* refused only by what is known here */
	assert_int_equal(s->ops->revision(s), 1);
	etcd_start(&etcd);
	assert_int_equal(commit(s, put("b", STORE_ABSENT)), 2);
	store_close(s);
}

static void test_nobody_there_at_the_start(void **state)
{
	_free_ char *nobody = xasprintf("http://127.0.0.1:%d", free_loopback_port());
	const char *endpoint = nobody, *malformed = "127.0.0.1:2379";
	struct store_etcd_options opt = {.endpoints = &endpoint, .endpoint_count = 1};
	struct store *s;
	struct error e;

	(void)state;
	assert_int_equal(store_etcd_open(&opt, &s, &e), -E_UNAVAILABLE);
	opt.endpoints = &malformed;
	assert_int_equal(store_etcd_open(&opt, &s, &e), -E_BAD_REQUEST);
	opt.endpoint_count = 0;
	assert_int_equal(store_etcd_open(&opt, &s, &e), -E_BAD_REQUEST);
	opt = (struct store_etcd_options){.endpoints = &endpoint, .endpoint_count = 1, .prefix = "/a/"};
	assert_int_equal(store_etcd_open(&opt, &s, &e), -E_BAD_REQUEST);
}

static void test_too_large_alone_is_refused(void **state)
{
	static char big[1500 << 10];
	struct store *s = open_one();
	struct store_write a = put("a", STORE_ABSENT), b = {.key = "b", .value = big, .len = sizeof(big)},
			   c = put("c", STORE_ABSENT), d = {.key = "d", .value = big, .len = 1300 << 10};
	struct store_write *writes[] = {&a, &b, &c, &d};

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(s->ops->commit(s, writes, 4, NULL), 0);
	assert_int_equal(a.revision, 1);
	assert_int_equal(b.result, -E_TOO_LARGE);
	assert_int_equal(c.revision, 2);
	assert_int_equal(d.revision, 3);
	for (size_t i = 0; i < 4; i++)
		chunk_unref(writes[i]->stored);
	store_close(s);
}

static int add_length(void *user, const struct store_entry *entry)
{
	*(size_t *)user += entry->len;
	return 0;
}

/* What is read at once may be more than gRPC's 4 MiB. */
static void test_large_objects_are_read(void **state)
{
	enum { COUNT = 6 };
	static char big[1300 << 10];
	struct store *s = open_one();
	size_t length = 0;
	char key[16];

	(void)state;
	memset(big, 'x', sizeof(big));
	for (int i = 0; i < COUNT; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(commit(s, (struct store_write){.key = key, .value = big, .len = sizeof(big)}), i + 1);
	}
	assert_int_equal(s->ops->range(s, "", NULL, 0, 0, add_length, &length, NULL), 0);
	assert_int_equal(length, COUNT * (sizeof(big) + 1));
	assert_int_equal(s->ops->history(s, 0, COUNT, add_length, &length, NULL), 0);
	assert_int_equal(length, 2 * COUNT * (sizeof(big) + 1));
	store_close(s);
}

static void test_full_etcd_refuses_and_recovers(void **state)
{
	static char big[1 << 20];
	static struct etcd small;
	char key[16];
	int64_t result = 0;
	int i;

	(void)state;
	etcd_begin(&small, "8388608");
	const char *endpoint = small.url;
	struct store *s = open_at(&endpoint, 1);
	memset(big, 'x', sizeof(big));
	for (i = 1; i < 20; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		result = commit(s, (struct store_write){.key = key, .value = big, .len = sizeof(big)});
		if (result < 0)
			break;
	}
	assert_int_equal(result, -E_NO_SPACE);
	int64_t revision = s->ops->revision(s);
	assert_int_equal(commit(s, put("x", STORE_ABSENT)), -E_NO_SPACE);
	etcd_kill(&small);
	small.quota = "67108864";
	etcd_start(&small);
	etcd_disarm(&small);
	assert_int_equal(commit(s, put("x", STORE_ABSENT)), revision + 1);
	store_close(s);
	etcd_end(&small);
}

static void test_newer_format_is_refused(void **state)
{
	const char *endpoint = etcd.url;
	_free_ char *prefix = xasprintf("/test/%u", tests_begun);
	struct store_etcd_options opt = {.endpoints = &endpoint, .endpoint_count = 1, .prefix = prefix};
	struct etcd_target target = {.endpoints = (char **)&endpoint, .count = 1};
	_buf_ body = BUF_INIT(TXN_MAX);
	_arena_ a = arena_new();
	struct etcd_rpc rpc;
	struct json *answer;
	struct store *s;
	struct error e;

	(void)state;
	store_close(open_one());
	etcd_rpc_open(&rpc, &target, 5000);
	txn_begin(&body);
	txn_success(&body);
	txn_put(&body, arena_printf(a, "%s/format", prefix), "2", 1);
	txn_end(&body);
	assert_int_equal(etcd_call(&rpc, a, "kv/txn", &body, NULL, &answer, &e), 0);
	etcd_rpc_close(&rpc);
	assert_int_equal(store_etcd_open(&opt, &s, &e), -E_INTERNAL);
	assert_non_null(strstr(e.text, "newer version"));
}

static void test_records(void **state)
{
	struct version v;
	struct record r;

	(void)state;
	assert_string_equal(log_key_parse("/p", "/p/log/000000000000001f/+g/a/n/x", &v), "g/a/n/x");
	assert_int_equal(v.revision, 31);
	assert_false(v.deleted);
	assert_string_equal(log_key_parse("/p", "/p/log/000000000000001f/-x", &v), "x");
	assert_true(v.deleted);
	assert_null(log_key_parse("/p", "/p/log/1f/+x", &v));
	assert_null(log_key_parse("/p", "/p/log/000000000000001f/x", &v));
	assert_null(log_key_parse("/p", "/p/log/000000000000001f", &v));
	assert_null(log_key_parse("/p", "/q/log/000000000000001f/+x", &v));
	assert_true(record_parse("12 ab-1\n{}", 10, &r));
	assert_int_equal(r.previous, 12);
	assert_int_equal(r.transaction_len, 4);
	assert_int_equal(r.len, 2);
	assert_false(record_parse("", 0, &r));
	assert_false(record_parse("12 ab", 5, &r));
	assert_false(record_parse("-1 ab\n", 6, &r));
	assert_false(record_parse("ab\n", 3, &r));
}

/* ---- several processes ---- */

struct followed {
	struct store_follower f;
	pthread_mutex_t lock;
	pthread_cond_t told;
	bool news;
	int64_t revisions[2048];
	size_t count;
};

static int follow_visit(void *user, const struct store_entry *entry)
{
	struct followed *f = user;

	f->revisions[f->count++] = entry->revision;
	return 0;
}

static void follow_news(void *user)
{
	struct followed *f = user;

	pthread_mutex_lock(&f->lock);
	f->news = true;
	pthread_cond_signal(&f->told);
	pthread_mutex_unlock(&f->lock);
}

static void follow(struct store *s, struct followed *f)
{
	*f = (struct followed){.f = {follow_visit, follow_news, f},
			       .lock = PTHREAD_MUTEX_INITIALIZER,
			       .told = PTHREAD_COND_INITIALIZER};
	s->ops->follow(s, &f->f);
}

static void wait_news(struct followed *f)
{
	pthread_mutex_lock(&f->lock);
	while (!f->news)
		pthread_cond_wait(&f->told, &f->lock);
	f->news = false;
	pthread_mutex_unlock(&f->lock);
}

static void test_others_writes_are_seen(void **state)
{
	struct store *a = open_one(), *b = open_one();
	struct followed seen;

	(void)state;
	follow(b, &seen);
	assert_int_equal(commit(a, put("x", STORE_ABSENT)), 1);
	assert_int_equal(commit(a, put("x", 1)), 2);
	while (seen.count < 2) {
		wait_news(&seen);
		assert_int_equal(b->ops->catch_up(b, false, NULL), 0);
	}
	assert_int_equal(seen.revisions[0], 1);
	assert_int_equal(seen.revisions[1], 2);
	assert_int_equal(b->ops->revision(b), 2);
	assert_int_equal(commit(b, put("x", 2)), 3);
	/* a has not been told: what it thinks is judged against etcd */
	assert_int_equal(commit(a, put("x", 2)), -E_CONFLICT);
	assert_int_equal(commit(b, put("y", STORE_ABSENT)), 4);
	assert_int_equal(commit(a, put("y", STORE_ABSENT)), -E_ALREADY_EXISTS);
	struct store_write w = put("z", STORE_ABSENT);
	assert_int_equal(commit(b, put("ns", STORE_ABSENT)), 5);
	w.require = "ns";
	assert_int_equal(commit(a, w), 6);
	b->ops->follow(b, NULL);
	store_close(a);
	store_close(b);
}

#define WRITES 300
struct load {
	struct store *store;
	struct followed seen;
	int64_t own[WRITES];
	char name;
};

static void *load_run(void *arg)
{
	struct load *l = arg;
	char key[16];

	for (int i = 0; i < WRITES; i++) {
		snprintf(key, sizeof(key), "%c%d", l->name, i);
		l->own[i] = commit(l->store, put(key, STORE_ABSENT));
	}
	return NULL;
}

static void test_several_under_load(void **state)
{
	static struct load loads[2];
	pthread_t threads[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		loads[i] = (struct load){.store = open_one(), .name = (char)('a' + i)};
		follow(loads[i].store, &loads[i].seen);
	}
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, load_run, &loads[i]), 0);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < 2; i++) {
		struct load *mine = &loads[i], *other = &loads[1 - i];
		assert_int_equal(mine->store->ops->catch_up(mine->store, true, NULL), 0);
		assert_int_equal(mine->store->ops->revision(mine->store), 2 * WRITES);
		assert_int_equal(mine->seen.count, WRITES); /* exactly the other's, each once, in order */
		for (size_t k = 0; k < WRITES; k++)
			assert_int_equal(mine->seen.revisions[k], other->own[k]);
	}
	for (size_t i = 0; i < 2; i++) {
		loads[i].store->ops->follow(loads[i].store, NULL);
		store_close(loads[i].store);
	}
}

static void test_compaction_by_both(void **state)
{
	struct store *a = open_one(), *b = open_one();

	(void)state;
	for (int64_t i = 0; i < 10; i++)
		assert_int_equal(commit(a, put("x", i)), i + 1);
	assert_int_equal(b->ops->catch_up(b, true, NULL), 0);
	assert_int_equal(a->ops->compact(a, 6, NULL), 0);
	assert_int_equal(b->ops->compact(b, 4, NULL), 0);
	assert_int_equal(b->ops->compacted(b), 6);
	assert_int_equal(b->ops->compact(b, 8, NULL), 0);
	store_close(a);
	a = open_one();
	assert_int_equal(a->ops->compacted(a), 8);
	assert_int_equal(commit(a, put("x", 10)), 11);
	assert_int_equal(commit(b, put("x", 11)), 12);
	store_close(a);
	store_close(b);
}

/* ---- migration ---- */

static int see_value(void *user, const struct store_entry *entry)
{
	char *text = user;
	size_t n = strlen(text);

	snprintf(text + n, 512 - n, "%s@%" PRId64 "%.*s ", entry->key, entry->revision, (int)entry->len, entry->value);
	return 0;
}

static void assert_objects(struct store *s, const char *expected)
{
	char text[512] = "";

	assert_int_equal(s->ops->range(s, "", NULL, 0, 0, see_value, text, NULL), 0);
	if (strcmp(text, expected) != 0)
		fail_msg("%s", text);
}

static void test_migrate_there_and_back(void **state)
{
	char dir[] = "/tmp/berth-test-migrate-XXXXXX";
	_free_ char *prefix = xasprintf("/test/%u", tests_begun);
	struct etcd_choice choice = {.prefix = prefix};
	struct store *s;
	struct error e;
	size_t count;

	(void)state;
	assert_non_null(mkdtemp(dir));
	_free_ char *path = xasprintf("%s/a.db", dir), *from = xasprintf("sqlite:%s", path),
		    *back = xasprintf("sqlite:%s/b.db", dir), *to = xasprintf("etcd:%s", etcd.url),
		    *missing = xasprintf("sqlite:%s/c.db", dir);
	assert_int_equal(store_sqlite_open(&(struct store_sqlite_options){.path = path}, &s, NULL), 0);
	for (int64_t i = 0; i < 5; i++)
		assert_int_equal(commit(s, put("g/a/n/x", i)), i + 1);
	assert_int_equal(commit(s, put("g/a/n/y", STORE_ABSENT)), 6);
	store_close(s);

	if (migrate(from, to, &choice, &count, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(count, 2);
	s = open_one();
	assert_objects(s, "g/a/n/x@7" OBJECT("7") " g/a/n/y@8" OBJECT("8") " ");
	assert_int_equal(s->ops->compacted(s), 6); /* what clients have seen before is told to be too old */
	store_close(s);
	assert_int_equal(migrate(from, to, &choice, &count, &e), -E_CONFLICT);
	assert_int_equal(migrate(missing, to, &choice, &count, &e), -E_NOT_FOUND);
	assert_int_equal(migrate("file:x", to, &choice, &count, &e), -E_BAD_REQUEST);
	assert_int_equal(migrate(from, NULL, &choice, &count, &e), -E_BAD_REQUEST);

	assert_int_equal(migrate(to, back, &choice, &count, &e), 0);
	_free_ char *back_path = xstrdup(back + strlen("sqlite:"));
	assert_int_equal(store_sqlite_open(&(struct store_sqlite_options){.path = back_path}, &s, NULL), 0);
	assert_objects(s, "g/a/n/x@9" OBJECT("9") " g/a/n/y@10" OBJECT("10") " ");
	store_close(s);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_records),
		TEST(test_lost_answer_is_resolved),
		TEST(test_lost_answer_of_a_lost_race),
		TEST(test_endpoints_that_are_away),
		TEST(test_nobody_there_at_the_start),
		TEST(test_too_large_alone_is_refused),
		TEST(test_large_objects_are_read),
		TEST(test_full_etcd_refuses_and_recovers),
		TEST(test_newer_format_is_refused),
		TEST(test_others_writes_are_seen),
		TEST(test_several_under_load),
		TEST(test_compaction_by_both),
		TEST(test_migrate_there_and_back),
	};

	return cmocka_run_group_tests(tests, begin_group, end_group);
}
