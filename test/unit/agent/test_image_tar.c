/*
 * test_image_tar.c - what image_tar.c writes, GNU tar and libarchive read back alike.
 */
#include "agent/image_tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "test/unit/agent/image_fixture.h"

static struct archive *reader(const struct fixture_tar *t)
{
	struct archive *a = archive_read_new();

	archive_read_support_format_tar(a);
	assert_int_equal(archive_read_open_memory(a, t->bytes.data, t->bytes.len), ARCHIVE_OK);
	return a;
}

static void test_fields(void **state)
{
	(void)state;
	char path[3000], link[2500];
	static const struct {
		int64_t uid, mtime;
		unsigned major;
	} values[] = {
		{0, 0, 1}, {2097151, 8589934591, 2097151}, {2097152, 8589934592, 2097152}, {4294967294, 1, 4294967}};

	memset(path, 'p', sizeof(path));
	memset(link, 'l', sizeof(link));
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct fixture_tar t;
		struct archive_entry *entry;
		struct image_tar_header h = {.path = path,
					     .link = link,
					     .type = '2',
					     .mode = 04755,
					     .uid = values[i].uid,
					     .gid = values[i].uid,
					     .mtime = values[i].mtime};

		path[90 + 10 * i] = '\0';
		link[99 + i] = '\0';
		fixture_tar_init(&t);
		assert_int_equal(image_tar_header(&t.tar, &h, NULL), 0);
		h = (struct image_tar_header){
			.path = "dev", .type = '4', .device_major = values[i].major, .device_minor = 5};
		assert_int_equal(image_tar_header(&t.tar, &h, NULL), 0);
		fixture_end(&t);
		struct archive *a = reader(&t);

		assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_OK);
		assert_string_equal(archive_entry_pathname(entry), path);
		assert_string_equal(archive_entry_symlink(entry), link);
		assert_int_equal(archive_entry_uid(entry), values[i].uid);
		assert_int_equal(archive_entry_mtime(entry), values[i].mtime);
		assert_int_equal(archive_entry_perm(entry), 04755);
		assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_OK);
		assert_int_equal(archive_entry_rdevmajor(entry), values[i].major);
		assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_EOF);
		archive_read_free(a);
		fixture_tar_free(&t);
		path[90 + 10 * i] = 'p';
		link[99 + i] = 'l';
	}
}

/* A record's length counts its own digits: values around 10, 100 and 1000. */
static void test_record_lengths(void **state)
{
	(void)state;
	_free_ char *value = xmalloc(1200);

	memset(value, 'v', 1200);
	for (size_t n = 0; n < 1200; n = n < 110 ? n + 1 : n + 37) {
		struct fixture_tar t;
		struct archive_entry *entry;
		const char *name;
		const void *got;
		size_t size;

		fixture_tar_init(&t);
		image_tar_xattr(&t.tar, "user.x", value, n);
		fixture_file(&t, "a", "content");
		fixture_file(&t, "b", "more");
		fixture_end(&t);
		assert_int_equal(t.bytes.len % 512, 0);
		struct archive *a = reader(&t);

		assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_OK);
		assert_int_equal(archive_entry_xattr_reset(entry), 1);
		assert_int_equal(archive_entry_xattr_next(entry, &name, &got, &size), ARCHIVE_OK);
		assert_string_equal(name, "user.x");
		assert_int_equal(size, n);
		assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_OK);
		assert_int_equal(archive_entry_xattr_reset(entry), 0);
		archive_read_free(a);
		fixture_tar_free(&t);
	}
}

static void test_misuse(void **state)
{
	(void)state;
	struct fixture_tar t;
	struct image_tar_header h = {.path = "a", .type = '0', .size = 3};
	_free_ char *large = xcalloc(1, 2 << 20);

	fixture_tar_init(&t);
	assert_int_equal(image_tar_header(&t.tar, &h, NULL), 0);
	assert_int_equal(image_tar_data(&t.tar, "four", 4, NULL), -E_INTERNAL);
	assert_int_equal(image_tar_data(&t.tar, "12", 2, NULL), 0);
	assert_int_equal(image_tar_header(&t.tar, &h, NULL), -E_INTERNAL);
	assert_int_equal(image_tar_end(&t.tar, NULL), -E_INTERNAL);
	assert_int_equal(image_tar_zeros(&t.tar, 1, NULL), 0);
	image_tar_xattr(&t.tar, "user.large", large, 2 << 20);
	assert_int_equal(image_tar_header(&t.tar, &h, NULL), -E_INVALID);
	fixture_tar_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_record_lengths),
		cmocka_unit_test(test_misuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
