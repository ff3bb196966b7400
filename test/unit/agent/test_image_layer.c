/*
 * test_image_layer.c - reading layers: compression, hashes, names, budgets, damage.
 */
#include "agent/image_layer.h"

#include <fcntl.h>
#include <locale.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/image.h"
#include "test/unit/agent/image_fixture.h"

static int index_bytes(const void *data, size_t len, struct image_budget *budget, struct image_index *ret,
		       char diff_id[OCI_DIGEST_LEN + 1], struct error *e)
{
	_cleanup_(image_layer_closep) struct image_layer *l = NULL;
	char *folder = fixture_folder();
	_free_ char *path = fixture_write(folder, "layer", data, len);
	int r = image_layer_open(open(path, O_RDONLY | O_CLOEXEC), budget, &l, e);

	fixture_remove(folder);
	return r ? r : image_layer_index(l, ret, diff_id, e);
}

static const struct image_budget generous = {.unpacked_max = 1 << 30};

static void test_compressions(void **state)
{
	(void)state;
	struct fixture_tar t;
	char hex[SHA256_HEX_MAX], diff_id[OCI_DIGEST_LEN + 1];
	size_t zipped_len;

	fixture_tar_init(&t);
	fixture_file(&t, "a", "hello");
	fixture_entry(&t, '2', "l", "a");
	fixture_end(&t);
	sha256_hex(t.bytes.data, t.bytes.len, hex);
	_free_ char *zipped = fixture_gzip(t.bytes.data, t.bytes.len, &zipped_len);
	/* Two gzip members one after another are one stream (RFC 1952, section 2.2). */
	size_t first_len, second_len;
	_free_ char *first = fixture_gzip(t.bytes.data, 700, &first_len);
	_free_ char *second = fixture_gzip(t.bytes.data + 700, t.bytes.len - 700, &second_len);

	first = xrealloc(first, first_len + second_len);
	memcpy(first + first_len, second, second_len);
	const struct {
		const void *data;
		size_t len;
	} forms[] = {{t.bytes.data, t.bytes.len}, {zipped, zipped_len}, {first, first_len + second_len}};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct image_budget budget = generous;
		struct image_index x;
		struct error e;

		if (index_bytes(forms[i].data, forms[i].len, &budget, &x, diff_id, &e))
			fail_msg("form %zu: %s", i, e.text);
		assert_string_equal(diff_id + 7, hex);
		assert_int_equal(x.count, 2);
		assert_string_equal(x.names + x.entries[0].path, "a");
		assert_int_equal(x.entries[1].kind, ENTRY_SYMLINK);
		assert_string_equal(x.names + x.entries[1].link, "a");
		assert_int_equal(x.file_bytes, 5);
		assert_int_equal(atomic_load(&budget.unpacked), t.bytes.len);
		image_index_free(&x);
	}
	fixture_tar_free(&t);
}

/* Names are bytes: UTF-8 in either normal form, and bytes that are no UTF-8, short (ustar) and long (pax). */
static void test_names(void **state)
{
	(void)state;
	static const char *const names[] = {"caf\xc3\xa9", "cafe\xcc\x81", "latin\xe9", "new\nline",
					    "back\\slash", "a b",	   "\x01"};
	char longer[ARRAY_SIZE(names)][300], diff_id[OCI_DIGEST_LEN + 1];
	struct image_budget budget = generous;
	struct fixture_tar t;
	struct image_index x;
	struct error e;

	fixture_tar_init(&t);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(longer[i], sizeof(longer[i]), "%0200d%s", 0, names[i]);
		fixture_file(&t, names[i], "");
		fixture_file(&t, longer[i], "");
	}
	fixture_end(&t);
	if (index_bytes(t.bytes.data, t.bytes.len, &budget, &x, diff_id, &e))
		fail_msg("%s", e.text);
	assert_int_equal(x.count, 2 * ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(x.names + x.entries[2 * i].path, names[i]);
		assert_string_equal(x.names + x.entries[2 * i + 1].path, longer[i]);
	}
	image_index_free(&x);
	fixture_tar_free(&t);
}

static void test_empty(void **state)
{
	(void)state;
	static const char zeros[10240];
	char diff_id[OCI_DIGEST_LEN + 1];

	for (size_t len = 0; len <= sizeof(zeros); len += 1024) {
		struct image_budget budget = generous;
		struct image_index x;
		struct error e;

		if (index_bytes(zeros, len, &budget, &x, diff_id, &e))
			fail_msg("%zu zeros: %s", len, e.text);
		assert_int_equal(x.count, 0);
		image_index_free(&x);
	}
}

static void test_damage(void **state)
{
	(void)state;
	struct fixture_tar t;
	char diff_id[OCI_DIGEST_LEN + 1];
	size_t zipped_len;

	fixture_tar_init(&t);
	fixture_file(&t, "a", "hello");
	fixture_end(&t);
	_free_ char *zipped = fixture_gzip(t.bytes.data, t.bytes.len, &zipped_len);
	_free_ char *flipped = xmalloc(t.bytes.len);

	memcpy(flipped, t.bytes.data, t.bytes.len);
	flipped[3] ^= 1; /* the header's checksum is wrong now */
	const struct {
		const void *data;
		size_t len;
	} cases[] = {
		{t.bytes.data, 514}, {zipped, zipped_len / 2}, {"{\"not\": \"a tar\"}", 16}, {flipped, t.bytes.len}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image_budget budget = generous;
		struct image_index x;
		struct error e = {0};

		if (index_bytes(cases[i].data, cases[i].len, &budget, &x, diff_id, &e) != -E_INVALID)
			fail_msg("case %zu was taken", i);
		assert_non_null(strstr(e.text, "the archive is damaged"));
	}
	fixture_tar_free(&t);
}

static void test_bomb(void **state)
{
	(void)state;
	enum { SIZE = 32 << 20 };
	_free_ char *zeros = xcalloc(1, SIZE);
	char diff_id[OCI_DIGEST_LEN + 1];
	size_t len;
	_free_ char *zipped = fixture_gzip(zeros, SIZE, &len);
	struct image_budget budget = {.unpacked_max = SIZE};
	struct image_index x;
	struct error e;

	assert_true(len < SIZE / 500);
	assert_int_equal(index_bytes(zipped, len, &budget, &x, diff_id, &e), 0);
	image_index_free(&x);
	budget = (struct image_budget){.unpacked_max = SIZE - 1};
	assert_int_equal(index_bytes(zipped, len, &budget, &x, diff_id, &e), -E_TOO_LARGE);
	assert_non_null(strstr(e.text, "unpacks to more than 33554431 bytes"));
	assert_true(atomic_load(&budget.unpacked) < SIZE + (1 << 20));
}

/* What GNU tar writes for a sparse file: few bytes, a large size. Source: GNU tar manual, "Storing Sparse Files" (1.0).
 */
static void test_sparse_bomb(void **state)
{
	(void)state;
	struct fixture_tar t;
	struct image_budget budget = {.unpacked_max = 1 << 20};
	char map[512] = "1\n0\n1\n", diff_id[OCI_DIGEST_LEN + 1];
	struct image_index x;
	struct error e;
	static const char pax[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.name=large\n"
				  "36 GNU.sparse.realsize=109951162777\n";
	struct image_tar_header h = {.path = "PaxHeader", .type = 'x', .size = sizeof(pax) - 1};

	fixture_tar_init(&t);
	assert_int_equal(image_tar_header(&t.tar, &h, NULL), 0);
	assert_int_equal(image_tar_data(&t.tar, pax, sizeof(pax) - 1, NULL), 0);
	h = (struct image_tar_header){.path = "GNUSparseFile.0/large", .type = '0', .mode = 0644, .size = 513};
	assert_int_equal(image_tar_header(&t.tar, &h, NULL), 0);
	assert_int_equal(image_tar_data(&t.tar, map, sizeof(map), NULL), 0);
	assert_int_equal(image_tar_data(&t.tar, "x", 1, NULL), 0);
	fixture_end(&t);
	int r = index_bytes(t.bytes.data, t.bytes.len, &budget, &x, diff_id, &e);

	if (r != -E_TOO_LARGE)
		fail_msg("%d %s", r, r ? e.text : "taken");
	assert_non_null(strstr(e.text, "files are larger than 1048576 bytes"));
	fixture_tar_free(&t);
}

static void test_entry_limits(void **state)
{
	(void)state;
	struct image_budget budget = generous;
	char path[IMAGE_PATH_MAX + 2], diff_id[OCI_DIGEST_LEN + 1];
	struct error e;

	for (size_t n = IMAGE_PATH_MAX - 1; n <= IMAGE_PATH_MAX; n++) {
		struct fixture_tar t;
		struct image_index x;

		memset(path, 'p', n);
		path[n] = '\0';
		fixture_tar_init(&t);
		fixture_file(&t, path, "");
		fixture_end(&t);
		int r = index_bytes(t.bytes.data, t.bytes.len, &budget, &x, diff_id, &e);

		assert_int_equal(r, n < IMAGE_PATH_MAX ? 0 : -E_INVALID);
		if (!r)
			image_index_free(&x);
		fixture_tar_free(&t);
	}
	struct fixture_tar t;
	struct image_index x;

	fixture_tar_init(&t);
	fixture_file(&t, "a", "");
	fixture_end(&t);
	atomic_store(&budget.entries, IMAGE_ENTRIES_MAX - 1);
	assert_int_equal(index_bytes(t.bytes.data, t.bytes.len, &budget, &x, diff_id, &e), 0);
	image_index_free(&x);
	assert_int_equal(index_bytes(t.bytes.data, t.bytes.len, &budget, &x, diff_id, &e), -E_TOO_LARGE);
	assert_string_equal(e.text, "the image has more than 1000000 files");
	atomic_store(&budget.entries, 0);
	atomic_store(&budget.names, IMAGE_NAMES_MAX);
	assert_int_equal(index_bytes(t.bytes.data, t.bytes.len, &budget, &x, diff_id, &e), -E_TOO_LARGE);
	fixture_tar_free(&t);
}

static void test_cancel(void **state)
{
	(void)state;
	atomic_bool cancel = true;
	struct image_budget budget = {.unpacked_max = 1 << 20, .cancel = &cancel};
	char diff_id[OCI_DIGEST_LEN + 1];
	struct fixture_tar t;
	struct image_index x;
	struct error e;

	fixture_tar_init(&t);
	fixture_file(&t, "a", "");
	fixture_end(&t);
	assert_int_equal(index_bytes(t.bytes.data, t.bytes.len, &budget, &x, diff_id, &e), -E_UNAVAILABLE);
	assert_string_equal(e.text, "stopped");
	fixture_tar_free(&t);
}

int main(void)
{
	setlocale(LC_ALL, "C.UTF-8"); /* the process's locale must not matter */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compressions), cmocka_unit_test(test_names),  cmocka_unit_test(test_empty),
		cmocka_unit_test(test_damage),	     cmocka_unit_test(test_bomb),   cmocka_unit_test(test_sparse_bomb),
		cmocka_unit_test(test_entry_limits), cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
