/*
 * core_fixture.c - see core_fixture.h.
 */
#include "test/unit/apiserver/core_fixture.h"
#include "apiserver/work.h"
#include "lib/fsutil.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static void core_open(struct core *c)
{
	_free_ char *path = xasprintf("%s/store.db", c->dir);
	struct store_sqlite_options opt = {.path = path};

	assert_int_equal(store_sqlite_open(&opt, &c->store, NULL), 0);
	assert_int_equal(cache_open(c->store, &c->server.cache, NULL), 0);
	c->server.store = c->store;
	c->server.writer = writer_start(c->store, c->server.cache);
	c->server.work = work_start(1);
}

static void core_close(struct core *c)
{
	work_stop(c->server.work);
	writer_stop(c->server.writer);
	cache_close(c->server.cache);
	store_close(c->store);
}

int core_setup(void **state)
{
	struct core *c = xcalloc(1, sizeof(*c));
	static bool kinds_ready;
	struct error e;

	if (!kinds_ready && kind_table_init(&e) < 0)
		fail_msg("kinds: %s", e.text);
	kinds_ready = true;
	snprintf(c->dir, sizeof(c->dir), "/tmp/berth-test-core-XXXXXX");
	assert_non_null(mkdtemp(c->dir));
	c->arena = arena_new();
	core_open(c);
	*state = c;
	return 0;
}

int core_teardown(void **state)
{
	struct core *c = *state;

	core_close(c);
	arena_free(c->arena);
	int code = tree_remove(c->dir, NULL);
	free(c);
	return code;
}

void core_restart(struct core *c)
{
	core_close(c);
	core_open(c);
}

const struct kind *core_kind(const char *plural)
{
	for (size_t i = 0; i < kind_count(); i++)
		if (streq(kind_at(i)->plural, plural))
			return kind_at(i);
	fail_msg("no kind %s", plural);
	return NULL;
}

struct json *core_json(struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text);
	struct json *tree;
	struct error e;

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	if (json_parse(a, copy, strlen(copy), NULL, &tree, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return tree;
}

struct json *core_configmap(struct arena *a, const char *ns, const char *name, const char *app, const char *value)
{
	struct json *tree = json_object(a), *meta = json_object(a);

	json_set_str(a, tree, "kind", "ConfigMap");
	json_set_str(a, tree, "apiVersion", "v1");
	json_set(a, tree, "metadata", meta);
	json_set_str(a, meta, "name", name);
	json_set_str(a, meta, "namespace", ns);
	json_set(a, meta, "uid", json_stringf(a, "uid-%s-%s", ns, name));
	if (app)
		json_set_str(a, json_ensure_object(a, meta, "labels"), "app", app);
	json_set_str(a, json_ensure_object(a, tree, "data"), "value", value);
	return tree;
}

struct done {
	pthread_mutex_t lock;
	pthread_cond_t told;
	bool is;
};

static void on_done(struct commit *c)
{
	struct done *done = c->user;

	pthread_mutex_lock(&done->lock);
	done->is = true;
	pthread_cond_signal(&done->told);
	pthread_mutex_unlock(&done->lock);
}

static int64_t write_object(struct core *c, const struct kind *k, const struct json *tree, int64_t expect, bool remove)
{
	struct done done = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};
	_buf_ text = BUF_INIT(BUF_UNLIMITED);
	struct commit commit = {.object = object_new(k, tree), .done = on_done, .user = &done};

	object_text(tree, &text, &commit.write.revision_at);
	commit.write.key = object_store_key(c->arena, k, commit.object->ns, commit.object->name);
	commit.write.expect = expect;
	commit.write.remove = remove;
	commit.write.value = text.data;
	commit.write.len = text.len;
	writer_submit(c->server.writer, &commit);
	pthread_mutex_lock(&done.lock);
	while (!done.is)
		pthread_cond_wait(&done.told, &done.lock);
	pthread_mutex_unlock(&done.lock);
	object_unref(commit.object);
	return commit.write.result ? commit.write.result : commit.write.revision;
}

int64_t core_put(struct core *c, const struct kind *k, const struct json *tree, int64_t expect)
{
	return write_object(c, k, tree, expect, false);
}

int64_t core_remove(struct core *c, const struct kind *k, const struct json *tree, int64_t expect)
{
	return write_object(c, k, tree, expect, true);
}
