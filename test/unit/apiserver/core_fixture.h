/*
 * core_fixture.h - a store, cache and writer in a temporary folder, and objects to put there, for tests of the core.
 */
#ifndef BERTH_TEST_CORE_FIXTURE_H
#define BERTH_TEST_CORE_FIXTURE_H

#include "apiserver/change.h"

struct core {
	char dir[64];
	struct store *store;
	struct server server; /* cache, writer and work are started */
	struct arena *arena;
};

/* cmocka set-up and tear-down: *state is a struct core. */
int core_setup(void **state);
int core_teardown(void **state);
/* Ends everything and opens it again from the same files. */
void core_restart(struct core *c);

/* A ConfigMap's tree with the label app=<app> (NULL: none). */
struct json *core_configmap(struct arena *a, const char *ns, const char *name, const char *app, const char *value);
/* Stores a tree: a create when expect is 0. Returns the revision or the negative result. */
int64_t core_put(struct core *c, const struct kind *k, const struct json *tree, int64_t expect);
int64_t core_remove(struct core *c, const struct kind *k, const struct json *tree, int64_t expect);
const struct kind *core_kind(const char *plural);

/* JSON with single quotes for double ones. */
struct json *core_json(struct arena *a, const char *text);

#endif
