/*
 * test_user.c - users as the OCI image specification names them, out of files that may be anything.
 */
#include "guest/user.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

static char folder[] = "/tmp/berth-user-XXXXXX";
static char passwd[64], group[64];

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(passwd, sizeof(passwd), "%s/passwd", folder);
	snprintf(group, sizeof(group), "%s/group", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(passwd);
	unlink(group);
	return rmdir(folder);
}

static int write_files(void **state)
{
	(void)state;
	put(passwd, "root:x:0:0:root:/root:/bin/sh\n# no user\nbad:x:abc:0::/:\napp:x:1000:1001:App:/srv/app:/bin/sh\n"
		    "nohome:x:1002:1002:::\n77:x:1077:1077::/seven:/bin/sh\nlast:x:9:9::/last:/bin/sh");
	put(group, "root:x:0:\nextra:x:2000:other,app\nmore:x:2001:app\nnot:x:2002:apple,xapp\napp:x:1001:");
	return 0;
}

struct row {
	const char *spec;
	uint32_t uid, gid;
	size_t groups;
	const char *home;
};

static void test_specs(void **state)
{
	static const struct row rows[] = {
		{"", 0, 0, 0, "/root"},
		{"root", 0, 0, 0, "/root"},
		{"0", 0, 0, 0, "/root"},
		{"app", 1000, 1001, 2, "/srv/app"},
		{"1000", 1000, 1001, 2, "/srv/app"},
		{"app:extra", 1000, 2000, 0, "/srv/app"},
		{"app:2002", 1000, 2002, 0, "/srv/app"},
		{"app:4242", 1000, 4242, 0, "/srv/app"},
		{"app:", 1000, 1001, 2, "/srv/app"},
		{"5555", 5555, 0, 0, "/"},
		{"5555:6666", 5555, 6666, 0, "/"},
		{"5555:more", 5555, 2001, 0, "/"},
		{"nohome", 1002, 1002, 0, "/"},
		{"77", 1077, 1077, 0, "/seven"},
		{"last", 9, 9, 0, "/last"},
		{":extra", 0, 2000, 0, "/root"},
		{"2147483647", 2147483647, 0, 0, "/"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct user u;
		char why[USER_WHY_MAX] = "";

		if (!user_find(rows[i].spec, passwd, group, &u, why))
			fail_msg("%s: %s", rows[i].spec, why);
		assert_int_equal(u.uid, rows[i].uid);
		assert_int_equal(u.gid, rows[i].gid);
		assert_int_equal(u.group_count, rows[i].groups);
		assert_string_equal(u.home, rows[i].home);
	}
}

static void test_refused(void **state)
{
	static const char *const specs[] = {"nobody-here",	    "app:nogroup", "-1", "2147483648",
					    "99999999999999999999", "0x10",	   "bad"};
	struct user u;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		char why[USER_WHY_MAX] = "";

		assert_false(user_find(specs[i], passwd, group, &u, why));
		assert_string_not_equal(why, "");
	}
}

static void test_names_too_long(void **state)
{
	char spec[USER_NAME_MAX + 2], why[USER_WHY_MAX] = "";
	struct user u;

	(void)state;
	memset(spec, 'a', sizeof(spec) - 1);
	spec[sizeof(spec) - 1] = '\0';
	assert_false(user_find(spec, passwd, group, &u, why));
	assert_string_equal(why, "the user's name is too long");
}

static void test_without_files(void **state)
{
	char why[USER_WHY_MAX];
	struct user u;

	(void)state;
	unlink(passwd);
	unlink(group);
	assert_true(user_find("", passwd, group, &u, why));
	assert_int_equal(u.uid, 0);
	assert_string_equal(u.home, "/");
	assert_true(user_find("12:34", passwd, group, &u, why));
	assert_int_equal(u.gid, 34);
	assert_false(user_find("app", passwd, group, &u, why));
}

static void test_hostile_files(void **state)
{
	char why[USER_WHY_MAX], line[20001];
	struct user u;
	FILE *f = fopen(passwd, "w");

	(void)state;
	/* A line longer than the buffer is skipped as a whole, its end is no line of its own; a NUL hides nothing. */
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	fprintf(f, "%s\napp:x:1:1::/a:\n", line);
	fprintf(f, "%.8200sroot:x:7:7::/evil:\n", line);
	(void)fwrite("nul\0l:x:3:3::/n:\n", 1, 17, f);
	fprintf(f, "after:x:4:4::/b:\n");
	fclose(f);
	assert_true(user_find("app", passwd, group, &u, why));
	assert_int_equal(u.uid, 1);
	assert_true(user_find("after", passwd, group, &u, why));
	assert_false(user_find("root", passwd, group, &u, why));
	assert_false(user_find("nul", passwd, group, &u, why));
	/* A pipe would be waited for. */
	unlink(passwd);
	assert_int_equal(mkfifo(passwd, 0600), 0);
	assert_true(user_find("0", passwd, group, &u, why));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_specs, write_files),
		cmocka_unit_test_setup(test_refused, write_files),
		cmocka_unit_test_setup(test_names_too_long, write_files),
		cmocka_unit_test_setup(test_without_files, write_files),
		cmocka_unit_test_setup(test_hostile_files, write_files),
	};

	return cmocka_run_group_tests_name("user", tests, set_up, tear_down);
}
