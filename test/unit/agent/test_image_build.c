/*
 * test_image_build.c - layers → squashfs with the real sqfstar, read back with unsquashfs.
 */
#include "agent/image_build.h"

#include <setjmp.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "test/unit/agent/image_fixture.h"

#define LAYERS_MAX 4

struct fixture {
	char *folder, *output;
	struct fixture_tar tars[LAYERS_MAX];
	size_t count;
	atomic_bool cancel;
};

static int setup(void **state)
{
	struct fixture *x = xcalloc(1, sizeof(*x));

	x->folder = fixture_folder();
	x->output = xasprintf("%s/out.sqfs", x->folder);
	for (size_t i = 0; i < LAYERS_MAX; i++)
		fixture_tar_init(&x->tars[i]);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	for (size_t i = 0; i < LAYERS_MAX; i++)
		fixture_tar_free(&x->tars[i]);
	fixture_remove(x->folder);
	free(x->output);
	free(x);
	return 0;
}

static int build(struct fixture *x, int64_t output_max, struct error *e)
{
	struct image_budget budget = {.unpacked_max = 1 << 30};
	struct image_build_layer layers[LAYERS_MAX] = {0};
	struct image_build b = {.layers = layers,
				.count = x->count,
				.output = x->output,
				.output_max = output_max,
				.cancel = &x->cancel};
	char *paths[LAYERS_MAX] = {0}, *diff_ids[LAYERS_MAX] = {0};
	int r = 0;

	for (size_t i = 0; i < x->count; i++) {
		char hex[SHA256_HEX_MAX], name[32];

		fixture_end(&x->tars[i]);
		snprintf(name, sizeof(name), "layer%zu", i);
		sha256_hex(x->tars[i].bytes.data, x->tars[i].bytes.len, hex);
		paths[i] = fixture_write(x->folder, name, x->tars[i].bytes.data, x->tars[i].bytes.len);
		diff_ids[i] = xasprintf("sha256:%s", hex);
		layers[i].path = paths[i];
		layers[i].diff_id = diff_ids[i];
		if (!r)
			r = image_build_index(&layers[i], &budget, e);
	}
	if (!r)
		r = image_build(&b, e);
	for (size_t i = 0; i < x->count; i++) {
		image_index_free(&layers[i].index);
		free(paths[i]);
		free(diff_ids[i]);
	}
	return r;
}

/* "MODE OWNER SIZE-OR-DEVICE PATH" of every name; unsquashfs pads with blanks, which are squeezed. */
static char *listing(struct fixture *x)
{
	char *text = fixture_run((const char *const[]){"unsquashfs", "-lln", x->output, NULL});
	char *out = text;

	for (const char *p = text; *p; p++)
		if (*p != ' ' || p[1] != ' ')
			*out++ = *p;
	*out = '\0';
	return text;
}

static void assert_lists(struct fixture *x, const char *line)
{
	_free_ char *text = listing(x);

	if (!strstr(text, line))
		fail_msg("\"%s\" is not in:\n%s", line, text);
}

static void assert_lacks(struct fixture *x, const char *line)
{
	_free_ char *text = listing(x);

	if (strstr(text, line))
		fail_msg("\"%s\" is in:\n%s", line, text);
}

static void assert_content(struct fixture *x, const char *path, const char *content)
{
	_free_ char *got = fixture_run((const char *const[]){"unsquashfs", "-cat", x->output, path, NULL});

	assert_string_equal(got, content);
}

static void test_everything(void **state)
{
	struct fixture *x = *state;
	struct image_tar *t = &x->tars[0].tar;
	struct error e;

	x->count = 3;
	struct image_tar_header root = {.path = "./", .type = '5', .mode = 0711, .uid = 3, .gid = 4, .mtime = 86400};

	image_tar_header(t, &root, NULL);
	fixture_entry(&x->tars[0], '5', "etc", NULL);
	fixture_file(&x->tars[0], "etc/a", "lower a");
	fixture_file(&x->tars[0], "etc/b", "lower b");
	fixture_entry(&x->tars[0], '1', "etc/linked", "etc/a");
	fixture_entry(&x->tars[0], '2', "etc/sym", "../nowhere");
	fixture_entry(&x->tars[0], '1', "etc/symlinked", "etc/sym");
	fixture_file(&x->tars[0], "gone/deep/file", "x");
	struct image_tar_header device = {
		.path = "dev/null", .type = '3', .mode = 0666, .device_major = 1, .device_minor = 3};
	struct image_tar_header fifo = {.path = "run/pipe", .type = '6', .mode = 0600, .uid = 70000};

	image_tar_header(t, &device, NULL);
	image_tar_header(t, &fifo, NULL);
	image_tar_xattr(t, "user.kept", "v", 1);
	image_tar_xattr(t, "trusted.overlay.opaque", "y", 1);
	image_tar_xattr(t, "com.example.dropped", "y", 1);
	fixture_file(&x->tars[0], "etc/attr", "attr");
	fixture_file(&x->tars[1], "etc/a", "middle a");
	fixture_entry(&x->tars[1], '0', ".wh.gone", NULL);
	fixture_entry(&x->tars[1], '0', ".wh.never", NULL);
	fixture_file(&x->tars[2], "/etc/b", "upper b");
	fixture_file(&x->tars[2], "new\nline", "odd");
	if (build(x, 1 << 30, &e))
		fail_msg("%s", e.text);
	assert_content(x, "etc/a", "middle a");
	assert_content(x, "etc/b", "upper b");
	assert_content(x, "etc/linked", "lower a");
	assert_lists(x, "drwx--x--x 0/0");
	assert_lists(x, "squashfs-root/etc/sym -> ../nowhere");
	assert_lists(x, "squashfs-root/etc/symlinked -> ../nowhere");
	assert_lists(x, "crw-rw-rw- 0/0 1, 3 1970-01-01 00:00 squashfs-root/dev/null");
	assert_lists(x, "drwxr-xr-x 0/0 27 1970-01-01 00:00 squashfs-root/dev"); /* implied */
	assert_lists(x, "prw------- 70000/0");
	assert_lists(x, "squashfs-root/new\nline");
	assert_lacks(x, "gone");
	assert_lacks(x, ".wh.");
}

/* The same layers give the same file, whenever and however often. */
static void test_reproducible(void **state)
{
	struct fixture *x = *state;
	_free_ char *other = xasprintf("%s/first.sqfs", x->folder);
	struct error e;

	x->count = 1;
	for (int i = 0; i < 200; i++) {
		char name[32], content[64];

		snprintf(name, sizeof(name), "d%d/f%d", i % 7, i);
		snprintf(content, sizeof(content), "content %d", i);
		fixture_file(&x->tars[0], name, content);
	}
	assert_int_equal(build(x, 1 << 30, &e), 0);
	assert_int_equal(rename(x->output, other), 0);
	x->tars[0].bytes.len -= 1024; /* build() ends it again */
	assert_int_equal(build(x, 1 << 30, &e), 0);
	free(fixture_run((const char *const[]){"cmp", other, x->output, NULL}));
	assert_lists(x, "1970-01-01 00:00 squashfs-root\n"); /* no time of ours */
}

static void test_wrong_diff_id(void **state)
{
	struct fixture *x = *state;
	struct image_budget budget = {.unpacked_max = 1 << 20};
	struct error e;

	fixture_file(&x->tars[0], "a", "b");
	fixture_end(&x->tars[0]);
	_free_ char *path = fixture_write(x->folder, "layer", x->tars[0].bytes.data, x->tars[0].bytes.len);
	struct image_build_layer layer = {.path = path, .diff_id = "sha256:00"};

	assert_int_equal(image_build_index(&layer, &budget, &e), -E_INVALID);
	assert_non_null(strstr(e.text, "and the image's configuration says sha256:00"));
}

static void assert_refused(struct fixture *x, int64_t output_max, int code, const char *part)
{
	struct stat st;
	struct error e = {0};
	int r = build(x, output_max, &e);

	if (r != -code || !strstr(e.text, part))
		fail_msg("%d \"%s\", not %d \"%s\"", r, e.text, -code, part);
	assert_int_not_equal(stat(x->output, &st), 0);
}

static void test_traversal(void **state)
{
	struct fixture *x = *state;

	x->count = 2;
	fixture_file(&x->tars[0], "a", "b");
	fixture_file(&x->tars[1], "../../../../tmp/escaped", "x");
	assert_refused(x, 1 << 30, E_INVALID, "layer 2: the path ../../../../tmp/escaped leads out of the image");
}

static void test_owner_range(void **state)
{
	struct fixture *x = *state;
	struct image_tar_header h = {.path = "a", .type = '5', .uid = INT64_C(1) << 32};

	x->count = 1;
	image_tar_header(&x->tars[0].tar, &h, NULL);
	assert_refused(x, 1 << 30, E_INVALID, "layer 1: /a: its owner 4294967296:0 is out of range");
}

/* sqfstar hits its limit while we still write. */
static void test_output_limit(void **state)
{
	struct fixture *x = *state;
	_free_ char *noise = xmalloc((4 << 20) + 1);

	x->count = 1;
	random_bytes(noise, 4 << 20);
	for (size_t i = 0; i < 4 << 20; i++)
		noise[i] |= 1; /* no NUL */
	noise[4 << 20] = '\0';
	fixture_file(&x->tars[0], "noise", noise);
	assert_refused(x, 1 << 20, E_NO_SPACE, "no space left");
}

static void test_cancel(void **state)
{
	struct fixture *x = *state;

	x->count = 1;
	fixture_file(&x->tars[0], "a", "b");
	atomic_store(&x->cancel, true);
	assert_refused(x, 1 << 30, E_UNAVAILABLE, "stopped");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_everything),  T(test_reproducible), T(test_wrong_diff_id), T(test_traversal),
		T(test_owner_range), T(test_output_limit), T(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
