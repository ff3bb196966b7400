/*
 * test_spawn.c - environments and the search for programs, as a container's user expects them.
 */
#include "guest/spawn.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct request app, exec;

static void set_envs(struct request *r, const char *const *envs)
{
	r->envs = (struct request_words){r->env_at, 0, REQUEST_WORDS_MAX};
	for (; *envs; envs++)
		r->env_at[r->envs.count++] = *envs;
}

static const char *value(const char **envp, const char *name)
{
	size_t len = strlen(name);
	const char *found = NULL;

	for (; *envp; envp++) {
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=') {
			assert_null(found);
			found = *envp + len + 1;
		}
	}
	return found;
}

static void test_defaults(void **state)
{
	static const char *const none[] = {NULL};
	struct spawn s = {.own = &app};
	const char *envp[16];

	(void)state;
	app.tty = 0;
	set_envs(&app, none);
	spawn_environment(&s, "/home/x", envp, 16);
	assert_string_equal(value(envp, "HOME"), "/home/x");
	assert_non_null(strstr(value(envp, "PATH"), "/usr/bin"));
	assert_non_null(value(envp, "HOSTNAME"));
	assert_null(value(envp, "TERM"));
	app.tty = 1;
	spawn_environment(&s, "/", envp, 16);
	assert_string_equal(value(envp, "TERM"), "xterm");
}

static void test_exec_goes_over_app(void **state)
{
	static const char *const of_app[] = {"PATH=/opt/bin", "A=1", "B=1", "A=2", "HOME=/h", "NOVALUE", NULL};
	static const char *const of_exec[] = {"B=2", "C=3", "C=4", NULL};
	struct spawn s = {.own = &exec, .base = &app};
	const char *envp[32];

	(void)state;
	set_envs(&app, of_app);
	set_envs(&exec, of_exec);
	exec.tty = 0;
	spawn_environment(&s, "/ignored", envp, 32);
	assert_string_equal(value(envp, "PATH"), "/opt/bin");
	assert_string_equal(value(envp, "A"), "2");
	assert_string_equal(value(envp, "B"), "2");
	assert_string_equal(value(envp, "C"), "4");
	assert_string_equal(value(envp, "HOME"), "/h");
}

static void test_the_list_has_an_end(void **state)
{
	static const char *const many[] = {"A=1", "B=1", "C=1", "D=1", "E=1", "F=1", NULL};
	struct spawn s = {.own = &app};
	const char *envp[6];

	(void)state;
	app.tty = 0;
	set_envs(&app, many);
	envp[5] = "end";
	spawn_environment(&s, "/", envp, 6);
	assert_null(envp[5]);
}

static void test_search(void **state)
{
	static const struct {
		const char *program, *search, *want[4];
	} rows[] = {
		{"ls", "/bin:/usr/bin", {"/bin/ls", "/usr/bin/ls"}},
		{"ls", "/bin", {"/bin/ls"}},
		{"ls", ":/bin", {"./ls", "/bin/ls"}},
		{"ls", "/bin::rel", {"/bin/ls", "./ls", "rel/ls"}},
		{"/bin/ls", "/usr/bin:/x", {"/bin/ls"}},
		{"./ls", "/usr/bin", {"./ls"}},
		{"a/b", "/usr/bin", {"a/b"}},
	};
	char path[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *search = rows[i].search;

		for (size_t k = 0; rows[i].want[k]; k++) {
			assert_true(spawn_next_path(rows[i].program, &search, path, sizeof(path)));
			assert_string_equal(path, rows[i].want[k]);
		}
		assert_false(spawn_next_path(rows[i].program, &search, path, sizeof(path)));
	}
}

static void test_paths_too_long_are_left_out(void **state)
{
	const char *search = "/a-folder-with-a-name-that-is-long:/bin";
	char path[16];

	(void)state;
	assert_true(spawn_next_path("ls", &search, path, sizeof(path)));
	assert_string_equal(path, "/bin/ls");
	assert_false(spawn_next_path("ls", &search, path, sizeof(path)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_exec_goes_over_app),
		cmocka_unit_test(test_the_list_has_an_end),
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_paths_too_long_are_left_out),
	};

	return cmocka_run_group_tests_name("spawn", tests, NULL, NULL);
}
