/*
 * test_manifest.c - reading manifests: documents, Lists, folders, and errors that name the place.
 */
#include "cli/manifest.h"
#include "lib/fsutil.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static char folder[] = "/tmp/berth-manifest-XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return tree_remove(folder, NULL);
}

static const char *put(struct cli *c, const char *name, const char *text)
{
	const char *path = arena_printf(c->arena, "%s/%s", folder, name);

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
	return path;
}

static void test_documents_and_lists(void **state)
{
	struct cli c = {.arena = arena_new()};
	struct option_list files = {.count = 1};
	struct json *all;
	struct error e;

	(void)state;
	files.items[0] = put(&c, "many.yaml",
			     "# first\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n---\n"
			     "apiVersion: v1\nkind: List\nitems:\n"
			     "- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n"
			     "- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n");
	assert_int_equal(manifest_read(&c, &files, &all, &e), 0);
	assert_int_equal(json_count(all), 3);
	assert_string_equal(json_str(json_in(json_item(all, 2), "metadata", "name")), "c");
	arena_free(c.arena);
}

static void test_a_folder_in_name_order(void **state)
{
	struct cli c = {.arena = arena_new()};
	struct option_list files = {.items = {folder}, .count = 1};
	struct json *all;
	struct error e;

	(void)state;
	unlink(arena_printf(c.arena, "%s/many.yaml", folder));
	put(&c, "2.json", "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"two\"}}");
	put(&c, "1.yml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n");
	put(&c, "notes.txt", "not: [a manifest");
	assert_int_equal(manifest_read(&c, &files, &all, &e), 0);
	assert_int_equal(json_count(all), 2);
	assert_string_equal(json_str(json_in(json_item(all, 0), "metadata", "name")), "one");
	arena_free(c.arena);
}

static void test_errors_name_the_file_and_the_document(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"kind: X\nmetadata: {name: a}\n", "document 1 has no apiVersion"},
		{"apiVersion: v1\nkind: X\nmetadata: {name: a}\n---\napiVersion: v1\n", "document 2 has no kind"},
		{"apiVersion: v1\nkind: X\n", "document 1 has no metadata.name"},
		{"- 1\n- 2\n", "document 1 is not an object"},
		{"a: [\n", "line 2"},
		{"a: 1\na: 2\n", "duplicate key a"},
		{"# nothing\n", "there are no objects in"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cli c = {.arena = arena_new()};
		struct option_list files = {.count = 1};
		struct json *all;
		struct error e = {0};

		files.items[0] = put(&c, "bad.yaml", cases[i].text);
		assert_int_not_equal(manifest_read(&c, &files, &all, &e), 0);
		if (!strstr(e.text, cases[i].says))
			fail_msg("\"%s\" does not say \"%s\"", e.text, cases[i].says);
		assert_non_null(strstr(e.text, "bad.yaml"));
		arena_free(c.arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents_and_lists),
		cmocka_unit_test(test_a_folder_in_name_order),
		cmocka_unit_test(test_errors_name_the_file_and_the_document),
	};

	return cmocka_run_group_tests_name("cli/manifest", tests, setup, teardown);
}
