/*
 * test_build.c - paths as builds, what builders say about an image, and which images are refused.
 */
#include "cli/build.h"
#include "lib/fsutil.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char folder[] = "/tmp/berth-build-XXXXXX";

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

static void test_what_a_path_means(void **state)
{
	struct arena *a = arena_new();
	struct build_request r;
	struct error e = {0};
	const char *sub = arena_printf(a, "%s/api", folder);

	(void)state;
	assert_int_equal(build_request_of(a, sub, &r, &e), -E_NOT_FOUND);
	assert_int_equal(dir_make(sub, 0700, &e), 0);
	assert_int_equal(build_request_of(a, sub, &r, &e), -E_NOT_FOUND);
	assert_non_null(strstr(e.text, "neither a Dockerfile nor a Containerfile"));
	const char *second = arena_printf(a, "%s/Containerfile", sub), *first = arena_printf(a, "%s/Dockerfile", sub);

	assert_int_equal(file_write_atomic(second, "", 0, 0600, &e), 0);
	assert_int_equal(build_request_of(a, sub, &r, &e), 0);
	assert_string_equal(r.file, second);
	assert_int_equal(file_write_atomic(first, "", 0, 0600, &e), 0);
	assert_int_equal(build_request_of(a, sub, &r, &e), 0);
	assert_string_equal(r.file, first);
	assert_string_equal(r.context, sub);
	assert_int_equal(build_request_of(a, second, &r, &e), 0);
	assert_string_equal(r.file, second);
	assert_string_equal(r.context, sub);
	arena_free(a);
}

static void test_what_builders_say(void **state)
{
	static const char buildah[] = "{\"Manifest\":\"{\\\"layers\\\":[{\\\"size\\\":1000},{\\\"size\\\":234}]}\","
				      "\"OCIv1\":{\"os\":\"linux\",\"architecture\":\"arm64\"}}";
	static const char docker[] = "[{\"Os\":\"linux\",\"Architecture\":\"amd64\",\"Size\":4321}]";
	struct arena *a = arena_new();
	struct built_image i;
	struct error e = {0};

	(void)state;
	assert_int_equal(build_parse_buildah(a, buildah, strlen(buildah), &i, &e), 0);
	assert_int_equal(i.unpacked, 1234);
	assert_string_equal(i.architecture, "arm64");
	assert_int_equal(build_check_platform(&i, "shop", &e), -E_INVALID);
	assert_non_null(strstr(e.text, "linux/arm64"));
	assert_int_equal(build_parse_docker(a, docker, strlen(docker), &i, &e), 0);
	assert_int_equal(i.unpacked, 4321);
	assert_int_equal(build_check_platform(&i, "shop", &e), 0);
	assert_true(build_parse_buildah(a, "nonsense", 8, &i, &e) < 0);
	assert_true(build_parse_buildah(a, "{}", 2, &i, &e) < 0);
	/* What says nothing is no image that runs. */
	assert_int_equal(build_parse_docker(a, "[]", 2, &i, &e), 0);
	assert_int_equal(build_check_platform(&i, "shop", &e), -E_INVALID);
	arena_free(a);
}

static void test_sizes_on_both_sides(void **state)
{
	static const struct {
		const char *spec;
		int64_t fits;
	} cases[] = {
		{"{}", INT64_C(2000000000)},
		{"{\"instanceType\":\"basic\"}", INT64_C(4000000000)},
		{"{\"instanceType\":\"standard-4\"}", INT64_C(20000000000)},
		{"{\"instanceType\":\"lite\",\"resources\":{\"disk\":\"3G\"}}", INT64_C(3000000000)},
		{"{\"resources\":{\"disk\":5000}}", 5000},
	};
	struct arena *a = arena_new();
	struct json *spec;
	struct error e = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct built_image image = {.unpacked = cases[i].fits};

		assert_int_equal(json_parse(a, cases[i].spec, strlen(cases[i].spec), NULL, &spec, &e), 0);
		assert_int_equal(build_check_size(&image, spec, "shop", &e), 0);
		image.unpacked++;
		assert_int_equal(build_check_size(&image, spec, "shop", &e), -E_INVALID);
		assert_non_null(strstr(e.text, json_get(spec, "resources") ? "resources.disk" : "spec.instanceType"));
	}
	/* What the server will refuse anyway is its to explain. */
	assert_int_equal(json_parse(a, "{\"instanceType\":\"huge\"}", 23, NULL, &spec, &e), 0);
	assert_int_equal(build_check_size(&(struct built_image){.unpacked = INT64_MAX}, spec, "shop", &e), 0);
	assert_int_equal(json_parse(a, "{\"resources\":{\"disk\":\"x\"}}", 26, NULL, &spec, &e), 0);
	assert_int_equal(build_check_size(&(struct built_image){.unpacked = INT64_MAX}, spec, "shop", &e), 0);
	arena_free(a);
}

static void test_which_registries_go_without_tls(void **state)
{
	struct cli c = {.arena = arena_new()};
	struct option_list list = {.items = {"plain.example", "other.example:5000"}, .count = 2};

	(void)state;
	assert_true(build_is_insecure(&c, "127.0.0.1:5005/shop:1", &list));
	assert_true(build_is_insecure(&c, "localhost:5005/shop:1", &list));
	assert_true(build_is_insecure(&c, "[::1]:5005/shop:1", &list));
	assert_true(build_is_insecure(&c, "plain.example/shop:1", &list));
	assert_true(build_is_insecure(&c, "plain.example:80/shop:1", &list));
	assert_true(build_is_insecure(&c, "other.example:5000/shop:1", &list));
	assert_false(build_is_insecure(&c, "other.example/shop:1", &list));
	assert_false(build_is_insecure(&c, "plain.example.org/shop:1", &list));
	assert_false(build_is_insecure(&c, "shop", &list));
	arena_free(c.arena);
}

static void test_a_registry_is_named_by_flag_then_environment(void **state)
{
	struct cli c = {.arena = arena_new()};
	struct error e = {0};
	const char *name;

	(void)state;
	setenv("BERTH_REGISTRY", "env.example/team//", 1);
	assert_int_equal(build_registry(&c, "flag.example:5000/", &name, &e), 0);
	assert_string_equal(name, "flag.example:5000");
	assert_int_equal(build_registry(&c, NULL, &name, &e), 0);
	assert_string_equal(name, "env.example/team");
	assert_int_equal(build_registry(&c, "/", &name, &e), -E_NOT_FOUND);
	assert_non_null(strstr(e.text, "--registry"));
	assert_int_equal(build_registry(&c, "http://flag.example", &name, &e), -E_INVALID);
	assert_int_equal(build_registry(&c, "two words", &name, &e), -E_INVALID);
	unsetenv("BERTH_REGISTRY");
	arena_free(c.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_path_means),
		cmocka_unit_test(test_what_builders_say),
		cmocka_unit_test(test_sizes_on_both_sides),
		cmocka_unit_test(test_which_registries_go_without_tls),
		cmocka_unit_test(test_a_registry_is_named_by_flag_then_environment),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
