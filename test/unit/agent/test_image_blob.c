/*
 * test_image_blob.c - downloads: resumed, verified, refused; against a registry that breaks off, lies, or forgets
 * ranges.
 */
#include "agent/image_blob.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lib/fsutil.h"
#include "test/unit/agent/image_fixture.h"
#include "test/unit/fake_registry.h"

#define SIZE (1U << 20)

struct fixture {
	struct fake_registry *f;
	struct registry *r;
	char *folder, *reference, *path, *part;
	char data[SIZE];
	struct fake_route *route;
	struct oci_descriptor d;
	struct image_blob_source source;
	atomic_bool cancel;
	atomic_llong done, transferred;
};

static void on_progress(void *user, int64_t delta, bool transferred)
{
	struct fixture *x = user;

	atomic_fetch_add(&x->done, delta);
	if (transferred)
		atomic_fetch_add(&x->transferred, delta);
}

static int setup(void **state)
{
	struct fixture *x = xcalloc(1, sizeof(*x));

	x->f = fake_start();
	x->r = registry_new(NULL);
	x->folder = fixture_folder();
	x->reference = xasprintf("127.0.0.1:%u/x:v", x->f->port);
	random_bytes(x->data, SIZE);
	x->route = fake_blob(x->f, x->data, SIZE, &x->d.digest);
	x->d.size = SIZE;
	x->path = xasprintf("%s/%s", x->folder, x->d.digest + 7);
	x->part = xasprintf("%s.part", x->path);
	x->source = (struct image_blob_source){.registry = x->r,
					       .reference = x->reference,
					       .folder = x->folder,
					       .locks = image_blob_locks_new(),
					       .cancel = &x->cancel,
					       .progress = on_progress,
					       .user = x};
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	registry_free(x->r);
	fake_stop(x->f);
	fixture_remove(x->folder);
	image_blob_locks_free(x->source.locks);
	free(x->reference);
	free(x->path);
	free(x->part);
	free(x);
	return 0;
}

static void assert_there(struct fixture *x)
{
	_buf_ got = BUF_INIT(2 * SIZE);

	assert_int_equal(file_read(x->path, &got, NULL), 0);
	assert_int_equal(got.len, SIZE);
	assert_memory_equal(got.data, x->data, SIZE);
	assert_int_not_equal(access(x->part, F_OK), 0);
	assert_int_equal(atomic_load(&x->done), SIZE);
}

static void assert_fails(struct fixture *x, int code, const char *part)
{
	struct error e = {0};
	int r = image_blob_fetch(&x->source, &x->d, &e);

	if (r != -code || !strstr(e.text, part))
		fail_msg("%d \"%s\", not %d \"%s\"", r, e.text, -code, part);
	assert_int_not_equal(access(x->path, F_OK), 0);
}

static int64_t part_size(struct fixture *x)
{
	struct stat st;

	return stat(x->part, &st) ? -1 : st.st_size;
}

static void test_fetch(void **state)
{
	struct fixture *x = *state;
	struct error e;

	assert_int_equal(image_blob_fetch(&x->source, &x->d, &e), 0);
	assert_there(x);
	/* Again: nothing is transferred. */
	atomic_store(&x->done, 0);
	assert_int_equal(image_blob_fetch(&x->source, &x->d, &e), 0);
	assert_there(x);
	assert_int_equal(atomic_load(&x->route->hits), 1);
	assert_int_equal(atomic_load(&x->transferred), SIZE);
}

/* What an earlier process left is not transferred again. */
static void test_resume(void **state)
{
	struct fixture *x = *state;
	struct error e;

	free(fixture_write(x->folder, strrchr(x->part, '/') + 1, x->data, SIZE - 1000));
	assert_int_equal(image_blob_fetch(&x->source, &x->d, &e), 0);
	assert_there(x);
	assert_int_equal(atomic_load(&x->f->sent), 1000);
}

static void test_resume_whole_part(void **state)
{
	struct fixture *x = *state;

	free(fixture_write(x->folder, strrchr(x->part, '/') + 1, x->data, SIZE));
	assert_int_equal(image_blob_fetch(&x->source, &x->d, NULL), 0);
	assert_there(x);
	assert_int_equal(atomic_load(&x->route->hits), 0);
}

static void test_resume_wrong_part(void **state)
{
	struct fixture *x = *state;
	struct error e;

	free(fixture_write(x->folder, strrchr(x->part, '/') + 1, "not the blob's beginning", 24));
	if (image_blob_fetch(&x->source, &x->d, &e))
		fail_msg("%s", e.text);
	assert_there(x);
}

static void test_resume_without_ranges(void **state)
{
	struct fixture *x = *state;
	struct error e;

	x->route->no_ranges = true;
	free(fixture_write(x->folder, strrchr(x->part, '/') + 1, x->data, SIZE / 2));
	if (image_blob_fetch(&x->source, &x->d, &e))
		fail_msg("%s", e.text);
	assert_there(x);
}

static void test_too_long_part(void **state)
{
	struct fixture *x = *state;
	_free_ char *longer = xcalloc(1, SIZE + 1);

	free(fixture_write(x->folder, strrchr(x->part, '/') + 1, longer, SIZE + 1));
	assert_int_equal(image_blob_fetch(&x->source, &x->d, NULL), 0);
	assert_there(x);
}

/* Every answer breaks off after a third: three transfers make it whole. */
static void test_broken_off(void **state)
{
	struct fixture *x = *state;
	struct error e;

	x->route->cut_after = SIZE / 3 + 1;
	if (image_blob_fetch(&x->source, &x->d, &e))
		fail_msg("%s", e.text);
	assert_there(x);
	assert_int_equal(atomic_load(&x->route->hits), 3);
}

/* It never gets to the end: the part stays for the next try. */
static void test_truncated(void **state)
{
	struct fixture *x = *state;

	x->route->cut_after = SIZE / 100;
	assert_fails(x, E_UNAVAILABLE, "127.0.0.1");
	assert_true(part_size(x) >= SIZE / 100);
	x->route->cut_after = 0;
	atomic_store(&x->done, 0);
	assert_int_equal(image_blob_fetch(&x->source, &x->d, NULL), 0);
	assert_there(x);
}

/* The registry calls it complete, and it is shorter than the manifest says. */
static void test_shorter_than_declared(void **state)
{
	struct fixture *x = *state;

	x->route->len = SIZE - 5;
	assert_fails(x, E_UNAVAILABLE, "it ended after 1048571 of 1048576 bytes");
}

static void test_larger_than_declared(void **state)
{
	struct fixture *x = *state;

	x->d.size = SIZE - 1;
	assert_fails(x, E_INVALID, "it is larger than the 1048575 bytes that the manifest declares");
	assert_int_equal(part_size(x), -1);
}

static void test_lying_digest(void **state)
{
	struct fixture *x = *state;

	((char *)x->route->body)[SIZE / 2] ^= 1;
	assert_fails(x, E_INVALID, "digest mismatch: it should be sha256:");
	assert_int_equal(part_size(x), -1);
}

/* A blob of an earlier run that went bad on the disk. */
static void test_corrupt_cache(void **state)
{
	struct fixture *x = *state;
	_free_ char *corrupt = xmalloc(SIZE);

	memcpy(corrupt, x->data, SIZE);
	corrupt[7] ^= 1;
	for (size_t len = SIZE - 1; len <= SIZE; len++) {
		free(fixture_write(x->folder, x->d.digest + 7, corrupt, len));
		atomic_store(&x->done, 0);
		assert_int_equal(image_blob_fetch(&x->source, &x->d, NULL), 0);
		assert_there(x);
	}
	assert_int_equal(atomic_load(&x->route->hits), 2);
}

static void test_missing(void **state)
{
	struct fixture *x = *state;

	x->route->status = 404;
	x->route->len = 0;
	assert_fails(x, E_NOT_FOUND, "has no blob sha256:");
}

static void test_cancel(void **state)
{
	struct fixture *x = *state;

	atomic_store(&x->cancel, true);
	assert_fails(x, E_UNAVAILABLE, "stopped");
}

static void *fetch_main(void *arg)
{
	struct fixture *x = arg;

	return (void *)(intptr_t)image_blob_fetch(&x->source, &x->d, NULL);
}

static void test_two_at_once(void **state)
{
	struct fixture *x = *state;
	pthread_t threads[4];
	void *r;

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fetch_main, x), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &r);
		assert_null(r);
	}
	assert_int_equal(atomic_load(&x->route->hits), 1);
}

/* A disk of 256 KiB, in a mount namespace of this process. Root only, as the agent is. */
static void test_full_disk(void **state)
{
	struct fixture *x = *state;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", x->folder, "tmpfs", 0, "size=256k"))
		fail_msg("cannot mount a tmpfs: errno %d; this test needs root", errno);
	assert_fails(x, E_NO_SPACE, "No space left on device");
	assert_int_equal(part_size(x), -1); /* nothing stays to fill it further */
	assert_int_equal(umount(x->folder), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_fetch),
		T(test_resume),
		T(test_resume_whole_part),
		T(test_resume_wrong_part),
		T(test_resume_without_ranges),
		T(test_too_long_part),
		T(test_broken_off),
		T(test_truncated),
		T(test_shorter_than_declared),
		T(test_larger_than_declared),
		T(test_lying_digest),
		T(test_corrupt_cache),
		T(test_missing),
		T(test_cancel),
		T(test_two_at_once),
		T(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
