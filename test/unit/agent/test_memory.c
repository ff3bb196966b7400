/*
 * test_memory.c - trimming never loses what is this process's own, whatever the protection of its pages says now.
 */
#include "agent/memory.h"

#include "lib/fsutil.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#define SIZE 65536

/* Like a library's relocated tables: changed in private, then made read-only. */
static void test_private_changes_stay(void **state)
{
	char path[] = "/tmp/berth-test-memory-XXXXXX";
	_free_ char *content = xmalloc(SIZE);

	(void)state;
	_close_ int fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	unlink(path);
	memset(content, 'a', SIZE);
	assert_int_equal(fd_write_all(fd, content, SIZE, NULL), 0);
	char *clean = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
	char *changed = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_true(clean != MAP_FAILED && changed != MAP_FAILED);
	changed[5] = 'b';
	assert_int_equal(mprotect(changed, SIZE, PROT_READ), 0);
	memory_trim();
	assert_int_equal(changed[5], 'b');
	assert_int_equal(changed[4], 'a');
	assert_int_equal(clean[5], 'a');
	munmap(clean, SIZE);
	munmap(changed, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_private_changes_stay)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
