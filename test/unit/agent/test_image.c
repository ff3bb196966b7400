/*
 * test_image.c - the store: wanted → Ready, retries, restarts, corruption; against a registry on loopback.
 */
#include "agent/image.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/image_internal.h"
#include "agent/image_prefetch.h"
#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/units.h"
#include "test/unit/agent/image_fixture.h"
#include "test/unit/fake_registry.h"

#define LIMIT_MS 30000

struct fixture {
	struct fake_registry *f;
	char *folder, *reference;
	const char *digest, *manifest_path;
	struct fixture_tar tar;
	struct fake_layer layer;
	uv_loop_t loop;
	uv_timer_t tick; /* wakes the loop, so that waiting has an end */
	struct image_store *s;
	size_t changes;
	_Atomic int keys_asked;
	const char *password; /* that the Secret "s" holds; NULL: it cannot be read */
};

/* On a thread of the store. */
static int read_keys(void *user, const struct json *names, struct arena *a, struct registry_keys *ret, struct error *e)
{
	struct fixture *x = user;
	const char *name = json_str(json_get(json_item(names, 0), "name"));

	atomic_fetch_add(&x->keys_asked, 1);
	if (!x->password)
		return error_set(e, E_UNAVAILABLE, "cannot read Secret n/s");
	if (streq(name, "s"))
		registry_keys_add_one(a, ret, arena_strndup(a, x->reference, strcspn(x->reference, "/")),
				      &(struct registry_credentials){"user", x->password, "Secret n/s"});
	return 0;
}

static void on_changed(void *user, const struct image_status *s)
{
	struct fixture *x = user;

	x->changes++;
	assert_true(s->percent >= 0 && s->percent <= 100);
}

static void on_tick(uv_timer_t *t)
{
	(void)t;
}

static void open_store(struct fixture *x)
{
	struct image_store_options opt = {
		.state_dir = x->folder, .read_keys = read_keys, .changed = on_changed, .user = x};
	struct error e;

	if (image_store_open(&x->loop, &opt, &x->s, &e))
		fail_msg("%s", e.text);
}

static void close_store(struct fixture *x)
{
	image_store_close(x->s);
	x->s = NULL;
	uv_run(&x->loop, UV_RUN_NOWAIT);
}

static int setup(void **state)
{
	struct fixture *x = xcalloc(1, sizeof(*x));

	x->f = fake_start();
	x->folder = fixture_folder();
	fixture_tar_init(&x->tar);
	fixture_file(&x->tar, "init", "#!/bin/sh\n");
	fixture_end(&x->tar);
	x->layer = (struct fake_layer){.blob = x->tar.bytes.data, .len = x->tar.bytes.len};
	x->digest = fake_image(x->f, "v", &x->layer, 1);
	x->manifest_path = arena_printf(x->f->a, "/v2/x/manifests/%s", x->digest);
	x->reference = xasprintf("127.0.0.1:%u/x@%s", x->f->port, x->digest);
	uv_loop_init(&x->loop);
	uv_timer_init(&x->loop, &x->tick);
	uv_timer_start(&x->tick, on_tick, 20, 20);
	open_store(x);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	image_store_close(x->s);
	uv_close((uv_handle_t *)&x->tick, NULL);
	uv_run(&x->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&x->loop), 0);
	fake_stop(x->f);
	fixture_tar_free(&x->tar);
	fixture_remove(x->folder);
	free(x->reference);
	free(x);
	return 0;
}

static void want(struct fixture *x, bool urgent)
{
	struct error e;

	if (image_want(x->s, x->reference, NULL, urgent, &e))
		fail_msg("%s", e.text);
}

static struct image_status await(struct fixture *x, enum image_phase phase)
{
	int64_t deadline = time_mono_ms() + LIMIT_MS;
	struct image_status s = {.message = ""};

	while (!image_get(x->s, x->digest, &s) || s.phase != phase) {
		if (time_mono_ms() > deadline)
			fail_msg("still %s (%s), not %s", image_phase_name(s.phase), s.message,
				 image_phase_name(phase));
		uv_run(&x->loop, UV_RUN_ONCE);
	}
	return s;
}

static void test_ready(void **state)
{
	struct fixture *x = *state;
	_arena_ a = arena_new();
	struct oci_config config;
	struct error e;

	assert_int_equal(image_config(x->s, x->digest, a, &config, &e), -E_NOT_FOUND);
	want(x, false);
	want(x, false);
	struct image_status s = await(x, IMAGE_READY);

	assert_int_equal(s.percent, 100);
	assert_string_equal(s.reference, x->reference);
	assert_string_equal(s.message, "");
	assert_int_equal(s.bytes_done, s.bytes_total);
	_free_ char *text = fixture_run((const char *const[]){"unsquashfs", "-cat", s.path, "init", NULL});

	assert_string_equal(text, "#!/bin/sh\n");
	assert_int_equal(image_config(x->s, x->digest, a, &config, &e), 0);
	assert_string_equal(config.entrypoint.items[0], "/init");
	assert_string_equal(config.env.items[0], "A=b");
	assert_int_equal(image_count(x->s), 1);
	char *json = json_to_string(a, image_prefetch_json(x->s, a));

	assert_string_equal(
		json,
		arena_printf(
			a,
			"[{\"digest\":\"%s\",\"phase\":\"Ready\",\"percent\":100,\"bytesDone\":%lld,\"bytesTotal\":%lld}]",
			x->digest, (long long)s.bytes_total, (long long)s.bytes_total));
	json = json_to_string(a, image_list_json(x->s, a));
	assert_string_equal(json, arena_printf(a, "[{\"names\":[\"%s\"],\"sizeBytes\":%lld}]", x->reference,
					       (long long)s.disk_bytes));
	assert_true(x->changes >= 2);
	assert_int_equal(atomic_load(&fake_find(x->f, arena_printf(a, "/v2/x/manifests/%s", x->digest))->hits), 1);
}

static void want_with(struct fixture *x, const char *secret)
{
	_arena_ a = arena_new();
	struct json *names = json_array(a), *name = json_append(a, names, json_object(a));
	struct error e;

	json_set_str(a, name, "namespace", "n");
	json_set_str(a, name, "name", secret);
	if (image_want(x->s, x->reference, names, false, &e))
		fail_msg("%s", e.text);
}

/* Other Secrets are tried at once; what a Secret holds is read anew for each pull. */
static void test_pull_secrets(void **state)
{
	struct fixture *x = *state;

	x->f->auth = FAKE_BASIC;
	x->password = "secret";
	want(x, false);
	assert_non_null(strstr(await(x, IMAGE_FAILED).message, "name a Secret with them in spec.imagePullSecrets"));
	assert_int_equal(x->keys_asked, 0);
	x->password = "wrong";
	want_with(x, "s");
	while (!strstr(await(x, IMAGE_FAILED).message, "refuses the credentials of Secret n/s"))
		uv_run(&x->loop, UV_RUN_ONCE);
	x->password = NULL;
	want_with(x, "other");
	while (!strstr(await(x, IMAGE_FAILED).message, "cannot read Secret n/s"))
		uv_run(&x->loop, UV_RUN_ONCE);
	x->password = "secret"; /* rotated; tried again by itself */
	want_with(x, "s");
	await(x, IMAGE_READY);
	assert_true(x->keys_asked >= 3);
}

static void test_needs_digest(void **state)
{
	struct fixture *x = *state;
	struct error e;

	assert_int_equal(image_want(x->s, "localhost/x:v", NULL, false, &e), -E_INVALID);
	assert_string_equal(e.text, "image \"localhost/x:v\" is not given by its digest");
	assert_int_equal(image_want(x->s, "localhost/X", NULL, false, &e), -E_INVALID);
	assert_int_equal(image_count(x->s), 0);
}

/* A restarted agent has what it had, without the registry. */
static void test_restart(void **state)
{
	struct fixture *x = *state;
	struct image_status s;

	want(x, false);
	await(x, IMAGE_READY);
	close_store(x);
	x->f->auth = FAKE_BASIC; /* whatever is asked now fails */
	open_store(x);
	assert_true(image_get(x->s, x->digest, &s));
	assert_int_equal(s.phase, IMAGE_READY);
	want(x, true);
	await(x, IMAGE_READY);
	assert_int_equal(image_count(x->s), 1);
}

static char *file_path(struct fixture *x, const char *suffix)
{
	return xasprintf("%s/images/%s.%s", x->folder, x->digest + 7, suffix);
}

/* Changes one byte; with `quietly` the file's time stays, as when the disk itself went bad. */
static void corrupt(struct fixture *x, bool quietly)
{
	_free_ char *path = file_path(x, "sqfs");
	_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	char c;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &c, 1, 200), 1);
	c ^= 1;
	assert_int_equal(pwrite(fd, &c, 1, 200), 1);
	if (quietly)
		assert_int_equal(futimens(fd, (struct timespec[]){st.st_atim, st.st_mtim}), 0);
}

static bool file_is(const char *path, const struct buf *content)
{
	_buf_ got = BUF_INIT(1U << 20);

	return file_read(path, &got, NULL) == 0 && got.len == content->len &&
	       memcmp(got.data, content->data, got.len) == 0;
}

/* The change is seen at once by the file's time, else in the background while the image counts as Ready. */
static void test_corrupt_is_made_anew(void **state)
{
	struct fixture *x = *state;
	_free_ char *path = file_path(x, "sqfs");
	_buf_ good = BUF_INIT(1U << 20);

	want(x, false);
	await(x, IMAGE_READY);
	assert_int_equal(file_read(path, &good, NULL), 0);
	for (int quietly = 0; quietly < 2; quietly++) {
		int64_t deadline = time_mono_ms() + LIMIT_MS;

		close_store(x);
		corrupt(x, quietly);
		assert_false(file_is(path, &good));
		open_store(x);
		want(x, false);
		while (!file_is(path, &good) && time_mono_ms() < deadline)
			uv_run(&x->loop, UV_RUN_ONCE);
		assert_true(file_is(path, &good));
		await(x, IMAGE_READY);
	}
}

static void test_truncated_is_dropped(void **state)
{
	struct fixture *x = *state;
	_free_ char *path = file_path(x, "sqfs");

	want(x, false);
	await(x, IMAGE_READY);
	close_store(x);
	assert_int_equal(truncate(path, 100), 0);
	open_store(x);
	assert_int_equal(image_count(x->s), 0);
	assert_int_not_equal(access(path, F_OK), 0);
}

/* What a crash can leave behind. */
static void test_leftovers(void **state)
{
	struct fixture *x = *state;
	static const char *const names[] = {"tmp/a.sqfs", "images/0123.sqfs", "images/0123.json.new-abc",
					    "images/README"};

	close_store(x);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		free(fixture_write(x->folder, names[i], "x", 1));
	open_store(x);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_free_ char *path = xasprintf("%s/%s", x->folder, names[i]);

		assert_int_equal(access(path, F_OK) == 0, streq(names[i], "images/README"));
	}
}

static void test_failure_and_retry(void **state)
{
	struct fixture *x = *state;

	x->f->auth = FAKE_BASIC;
	want(x, false);
	struct image_status s = await(x, IMAGE_FAILED);

	assert_non_null(strstr(s.message, "name a Secret with them in spec.imagePullSecrets; trying again in 1s"));
	x->f->auth = FAKE_OPEN;
	await(x, IMAGE_READY); /* by itself */
}

/* Whoever waits asks again at every turn of the loop; that must not become a pull at every turn. */
static void test_urgent_is_not_a_storm(void **state)
{
	struct fixture *x = *state;

	struct fake_route *route = fake_find(x->f, x->manifest_path);

	route->status = 503;
	want(x, false);
	await(x, IMAGE_FAILED);
	int before = atomic_load(&route->hits);

	for (int i = 0; i < 20; i++) {
		want(x, true);
		uv_run(&x->loop, UV_RUN_ONCE);
	}
	await(x, IMAGE_FAILED);
	assert_in_range(atomic_load(&route->hits) - before, 1, 10);
	route->status = 200;
	await(x, IMAGE_READY);
}

static void test_hostile_image(void **state)
{
	struct fixture *x = *state;
	struct fixture_tar bad;

	fixture_tar_init(&bad);
	fixture_file(&bad, "evil\n/../../x", "x");
	fixture_end(&bad);
	x->layer.blob = bad.bytes.data;
	x->layer.len = bad.bytes.len;
	x->digest = fake_image(x->f, "bad", &x->layer, 1);
	free(x->reference);
	x->reference = xasprintf("127.0.0.1:%u/x@%s", x->f->port, x->digest);
	want(x, false);
	struct image_status s = await(x, IMAGE_FAILED);

	assert_string_equal(s.message, "layer 1: the path evil?/../../x leads out of the image; trying again in 5m");
	fixture_tar_free(&bad);
	_free_ char *tmp = xasprintf("%s/tmp", x->folder);

	assert_int_equal(rmdir(tmp), 0); /* empty */
}

static void test_unwant(void **state)
{
	struct fixture *x = *state;
	struct image_status s;

	x->f->auth = FAKE_BASIC;
	want(x, false);
	await(x, IMAGE_FAILED);
	image_unwant(x->s, x->digest);
	assert_false(image_get(x->s, x->digest, &s));
	assert_int_equal(image_count(x->s), 0);
	uv_run(&x->loop, UV_RUN_ONCE);
	x->f->auth = FAKE_OPEN;
	want(x, true);
	await(x, IMAGE_READY);
	image_unwant(x->s, x->digest); /* a finished one stays */
	assert_true(image_get(x->s, x->digest, &s));
	assert_int_equal(s.phase, IMAGE_READY);
	image_unwant(x->s, "sha256:unknown");
}

/* One pull, even when it is unwanted and wanted again while it runs. */
static void test_unwant_while_pulling(void **state)
{
	struct fixture *x = *state;

	for (int i = 0; i < 20; i++) {
		want(x, false);
		uv_run(&x->loop, UV_RUN_NOWAIT);
		image_unwant(x->s, x->digest);
	}
	want(x, false);
	struct image_status s = await(x, IMAGE_READY);

	assert_string_equal(s.message, "");
}

static void test_one_process(void **state)
{
	struct fixture *x = *state;
	struct image_store_options opt = {.state_dir = x->folder};
	struct image_store *other;
	struct error e;

	assert_int_equal(image_store_open(&x->loop, &opt, &other, &e), -E_CONFLICT);
	assert_non_null(strstr(e.text, "in use by another berth-agent"));
}

/* Many images at a time, sharing a layer. */
static void test_many(void **state)
{
	struct fixture *x = *state;
	const char *digests[12];
	_arena_ a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
		struct fixture_tar top;

		fixture_tar_init(&top);
		fixture_file(&top, "number", arena_printf(a, "%zu", i));
		fixture_end(&top);
		struct fake_layer layers[] = {x->layer, {.blob = top.bytes.data, .len = top.bytes.len}};

		digests[i] = fake_image(x->f, arena_printf(x->f->a, "n%zu", i), layers, 2);
		fixture_tar_free(&top);
	}
	char hex[SHA256_HEX_MAX];

	sha256_hex(x->layer.blob, x->layer.len, hex);
	for (size_t i = 0; i < ARRAY_SIZE(digests); i++)
		assert_int_equal(image_want(x->s, arena_printf(a, "127.0.0.1:%u/x@%s", x->f->port, digests[i]), NULL,
					    i == 11, NULL),
				 0);
	for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
		x->digest = digests[i];
		await(x, IMAGE_READY);
	}
	int hits = 0;

	for (size_t i = 0; i < x->f->count; i++)
		if (strstr(x->f->routes[i].path, hex))
			hits += atomic_load(&x->f->routes[i].hits);
	assert_int_equal(hits, 1);
}

static void test_retry_delays(void **state)
{
	(void)state;
	static const int64_t expected[] = {1000,  1000,	 2000,	 4000,	 8000,	 16000,
					   32000, 64000, 128000, 256000, 300000, 300000};

	for (unsigned n = 0; n < ARRAY_SIZE(expected); n++)
		assert_int_equal(image_retry_delay_ms(n, E_UNAVAILABLE, false, 0), expected[n]);
	assert_int_equal(image_retry_delay_ms(UINT32_MAX, E_NOT_FOUND, false, 0), 300000);
	assert_int_equal(image_retry_delay_ms(5, E_NOT_FOUND, true, 0), 16000);
	assert_int_equal(image_retry_delay_ms(6, E_NOT_FOUND, true, 0), 30000);
	assert_int_equal(image_retry_delay_ms(1, E_INVALID, true, 0), 300000);
	assert_int_equal(image_retry_delay_ms(1, E_TOO_LARGE, false, 0), 300000);
	assert_int_equal(image_retry_delay_ms(1, E_TOO_MANY, false, 60), 60000);
	assert_int_equal(image_retry_delay_ms(1, E_TOO_MANY, false, INT32_MAX), 300000);
	assert_int_equal(image_retry_delay_ms(1, E_TOO_MANY, false, -5), 1000);
	assert_int_equal(image_retry_delay_ms(9, E_UNAUTHORIZED, false, 0), 60000);
	assert_int_equal(image_retry_delay_ms(9, E_FORBIDDEN, true, 0), 30000);
}

static void test_prefetch_wanted(void **state)
{
	(void)state;
	static const struct {
		const char *image, *wanted;
	} cases[] = {
		{"{\"spec\":{\"reference\":\"r\",\"locations\":[\"iad\",\"fra\"]}}", "r"},
		{"{\"spec\":{\"reference\":\"r\",\"locations\":[\"iad\"]}}", NULL},
		{"{\"spec\":{\"reference\":\"r\"}}", NULL},
		{"{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"},\"spec\":{\"reference\":\"r\",\"locations\":[\"fra\"]}}",
		 NULL},
		{"{\"spec\":{\"locations\":[\"fra\"]}}", NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct json *image;

		assert_int_equal(json_parse(a, cases[i].image, strlen(cases[i].image), NULL, &image, NULL), 0);
		const char *got = image_prefetch_wanted(image, "fra");

		assert_true(got == cases[i].wanted || streq(got, cases[i].wanted));
	}
	assert_null(image_prefetch_wanted(NULL, "fra"));
}

int main(void)
{
	log_init("test", LOG_ERROR);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_ready),
		T(test_needs_digest),
		T(test_pull_secrets),
		T(test_restart),
		T(test_corrupt_is_made_anew),
		T(test_truncated_is_dropped),
		T(test_leftovers),
		T(test_failure_and_retry),
		T(test_urgent_is_not_a_storm),
		T(test_hostile_image),
		T(test_unwant),
		T(test_unwant_while_pulling),
		T(test_one_process),
		T(test_many),
		cmocka_unit_test(test_retry_delays),
		cmocka_unit_test(test_prefetch_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
