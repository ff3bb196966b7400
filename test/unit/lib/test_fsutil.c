/*
 * test_fsutil.c - lib/fsutil.c, in a folder of its own below /tmp.
 */
#include "lib/fsutil.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[64];

static const char *at(const char *name)
{
	static char path[4][512];
	static unsigned i;
	char *p = path[i++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", root, name);
	return p;
}

static int setup(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/berth-fsutil-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return tree_remove(root, NULL);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static size_t entries(const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void test_read_and_write(void **state)
{
	_buf_ b = BUF_INIT(100000), small = BUF_INIT(4);
	struct error e;
	struct stat st;
	char big[50000];

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(file_write_atomic(at("f"), big, sizeof(big), 0640, &e), 0);
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(file_read(at("f"), &b, &e), 0);
	assert_int_equal(b.len, sizeof(big));
	assert_int_equal(file_write_atomic(at("f"), "new\0", 4, 0600, &e), 0);
	buf_reset(&b);
	assert_int_equal(file_read(at("f"), &b, &e), 0);
	assert_memory_equal(b.data, "new\0", 4);
	assert_int_equal(file_read(at("f"), &small, &e), 0);
	buf_reset(&small);
	assert_int_equal(file_write_atomic(at("f"), "12345", 5, 0600, &e), 0);
	assert_int_equal(file_read(at("f"), &small, &e), -E_TOO_LARGE);
	assert_int_equal(file_write_atomic(at("f"), "", 0, 0600, &e), 0);
	assert_int_equal(entries(root), 1);
}

static void test_failures(void **state)
{
	_buf_ b = BUF_INIT(100);
	struct error e;

	(void)state;
	assert_int_equal(file_read(at("missing"), &b, &e), -E_NOT_FOUND);
	assert_non_null(strstr(e.text, at("missing")));
	assert_int_equal(file_read(root, &b, &e), -E_IO);
	assert_int_equal(file_write_atomic(at("missing/f"), "x", 1, 0600, &e), -E_NOT_FOUND);
	/* The target is a folder: the old content stays, and no temporary file is left. */
	assert_int_equal(dir_make(at("d"), 0755, &e), 0);
	size_t before = entries(root);

	assert_int_equal(file_write_atomic(at("d"), "x", 1, 0600, &e), -E_IO);
	assert_int_equal(entries(root), before);
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_int_equal(fd_write_all(fd, "x", 1, &e), -E_NO_SPACE);
	close(fd);
}

static void test_dir_make(void **state)
{
	struct error e;

	(void)state;
	assert_int_equal(dir_make(at("a/b//c/"), 0700, &e), 0);
	assert_true(exists(at("a/b/c")));
	assert_int_equal(dir_make(at("a/b/c"), 0700, &e), 0);
	assert_int_equal(dir_make("/", 0700, &e), 0);
	assert_int_equal(dir_make("", 0700, &e), -E_NOT_FOUND);
	assert_int_equal(file_write_atomic(at("a/file"), "x", 1, 0600, &e), 0);
	assert_int_equal(dir_make(at("a/file"), 0700, &e), -E_IO);
	assert_int_equal(dir_make(at("a/file/x"), 0700, &e), -E_IO);
}

static void test_tree_remove(void **state)
{
	struct error e;

	(void)state;
	assert_int_equal(dir_make(at("outside"), 0755, &e), 0);
	assert_int_equal(file_write_atomic(at("outside/keep"), "x", 1, 0600, &e), 0);
	assert_int_equal(dir_make(at("t/a/b"), 0755, &e), 0);
	assert_int_equal(file_write_atomic(at("t/a/b/f"), "x", 1, 0600, &e), 0);
	assert_int_equal(symlink(at("outside"), at("t/link")), 0);
	assert_int_equal(symlink("/nowhere", at("t/dangling")), 0);
	assert_int_equal(symlink(at("outside"), at("top-link")), 0);
	assert_int_equal(mkfifo(at("t/fifo"), 0600), 0);
	assert_int_equal(tree_remove(at("t"), &e), 0);
	assert_false(exists(at("t")));
	assert_int_equal(tree_remove(at("top-link"), &e), 0);
	assert_true(exists(at("outside/keep")));
	assert_int_equal(tree_remove(at("t"), &e), 0);
	assert_int_equal(tree_remove(at("outside/keep"), &e), 0);
	assert_false(exists(at("outside/keep")));
	assert_int_equal(tree_remove(at("missing/also"), &e), 0);
}

/* 256 levels are removed, more are refused with nothing but an error. */
static void test_deep_tree(void **state)
{
	struct error e;
	int top = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = top, next;

	(void)state;
	for (int i = 0; i < 257; i++) {
		assert_int_equal(mkdirat(fd, i ? "d" : "deep", 0700), 0);
		next = openat(fd, i ? "d" : "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd != top)
			close(fd);
		fd = next;
	}
	assert_int_equal(mkdirat(fd, "d", 0700), 0);
	assert_int_equal(tree_remove(at("deep"), &e), -E_IO);
	assert_non_null(strstr(e.text, "nested too deep"));
	assert_int_equal(tree_remove(at("deep"), NULL), -E_IO);
	assert_int_equal(unlinkat(fd, "d", AT_REMOVEDIR), 0);
	close(fd);
	close(top);
	assert_int_equal(tree_remove(at("deep"), &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_and_write), cmocka_unit_test(test_failures),
		cmocka_unit_test(test_dir_make),       cmocka_unit_test(test_tree_remove),
		cmocka_unit_test(test_deep_tree),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
