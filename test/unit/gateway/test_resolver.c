/*
 * test_resolver.c - the resolver's socket as HAProxy sees it, with an API server in this process.
 *
 * The test plays the informer: it puts Instances into the table and says so.
 */
#include "gateway/resolver.h"
#include "lib/fsutil.h"
#include "lib/httpd.h"
#include "lib/units.h"
#include "test/unit/gateway/fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PATIENCE_MS 20000
#define CALLS_MAX 64

struct api {
	struct httpd *h;
	pthread_mutex_t lock;
	int status;		/* of every answer */
	const char *answer;	/* its body */
	char *calls[CALLS_MAX]; /* "METHOD path body" */
	size_t count;
};

struct world {
	struct arena *a;
	char dir[64];
	char *socket;
	uv_loop_t loop;
	struct api api;
	struct kube *kube;
	struct instance_table *t;
	struct resolver *r;
	struct resolver_options opt;
	bool synced;
	const struct json *container;
	int written;
};

/* The time in berth.dev/wanted-at becomes "T", once it is known to be one. */
static char *without_stamp(char *text)
{
	static const char key[] = "\"berth.dev/wanted-at\":\"";
	char *at = strstr(text, key), *end = at ? strchr(at + strlen(key), '"') : NULL;
	int64_t ms;

	if (!end)
		return text;
	at += strlen(key);
	*end = '\0';
	assert_int_equal(time_parse(at, &ms, NULL), 0);
	*at = 'T';
	memmove(at + 2, end + 1, strlen(end + 1) + 1);
	at[1] = '"';
	return text;
}

static void on_call(struct httpd_request *r, void *user)
{
	struct api *api = user;
	size_t len;
	const char *body = httpd_body(r, &len);

	pthread_mutex_lock(&api->lock);
	if (api->count < CALLS_MAX)
		api->calls[api->count++] = without_stamp(
			xasprintf("%s %s %.*s", httpd_method(r), httpd_path(r), (int)len, body));
	int status = api->status;
	const char *answer = api->answer;

	pthread_mutex_unlock(&api->lock);
	httpd_reply(r, status, "application/json", answer, strlen(answer));
}

static void api_says(struct world *w, int status, const char *answer)
{
	pthread_mutex_lock(&w->api.lock);
	w->api.status = status;
	w->api.answer = answer;
	pthread_mutex_unlock(&w->api.lock);
}

static size_t api_count(struct world *w)
{
	pthread_mutex_lock(&w->api.lock);
	size_t n = w->api.count;

	pthread_mutex_unlock(&w->api.lock);
	return n;
}

static bool is_synced(void *user)
{
	return ((struct world *)user)->synced;
}

static const struct json *find_container(void *user, _unused_ const char *ns, const char *name)
{
	return streq(name, "c") ? ((struct world *)user)->container : NULL;
}

static void on_written(void *user, _unused_ struct instance *i)
{
	((struct world *)user)->written++;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct error e = {0};

	w->a = arena_new();
	snprintf(w->dir, sizeof(w->dir), "%s", "/tmp/berth-resolver-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->socket = arena_printf(w->a, "%s/resolver.sock", w->dir);
	uv_loop_init(&w->loop);
	pthread_mutex_init(&w->api.lock, NULL);
	w->api.status = 200;
	w->api.answer = "{\"metadata\": {\"resourceVersion\": \"10\"}}";
	assert_int_equal(httpd_start(
				 &(struct httpd_config){
					 .listen = "127.0.0.1:0", .threads = 1, .handler = on_call, .user = &w->api},
				 &w->api.h, &e),
			 0);
	struct kube_config cfg = {.server = arena_printf(w->a, "http://127.0.0.1:%u", httpd_port(w->api.h))};

	assert_int_equal(kube_new(&cfg, &w->loop, "test/1", &w->kube, &e), 0);
	w->t = instance_table_new();
	w->synced = true;
	w->container = fixture_json(w->a, "{'metadata': {'name': 'c'}}");
	w->opt = (struct resolver_options){.loop = &w->loop,
					   .kube = w->kube,
					   .instances = w->t,
					   .socket_path = w->socket,
					   .location = "here",
					   .wake_timeout_ms = 60000,
					   .max_waiting = 100,
					   .max_waiting_per_key = 100,
					   .synced = is_synced,
					   .container = find_container,
					   .written = on_written,
					   .user = w};
	*state = w;
	return 0;
}

static void start(struct world *w)
{
	struct error e = {0};

	if (resolver_start(&w->opt, &w->r, &e))
		fail_msg("%s", e.text);
}

static int teardown(void **state)
{
	struct world *w = *state;

	resolver_stop(w->r);
	uv_run(&w->loop, UV_RUN_NOWAIT);
	kube_free(w->kube);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	httpd_stop(w->api.h);
	for (size_t i = 0; i < w->api.count; i++)
		free(w->api.calls[i]);
	instance_table_free(w->t);
	tree_remove(w->dir, NULL);
	arena_free(w->a);
	free(w);
	return 0;
}

/* ---- HAProxy's side ---- */

static int ask(struct world *w, const char *line)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", w->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(write(fd, line, strlen(line)), (ssize_t)strlen(line));
	return fd;
}

/* Turns the loop until cond holds. */
#define loop_until(w, cond)                                       \
	do {                                                      \
		int64_t deadline_ = time_mono_ms() + PATIENCE_MS; \
		while (!(cond) && time_mono_ms() < deadline_) {   \
			uv_run(&(w)->loop, UV_RUN_NOWAIT);        \
			usleep(500);                              \
		}                                                 \
		assert_true(cond);                                \
	} while (0)

static bool readable(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) >= 0;
}

/* The answer, once it is there; closes. */
static void assert_answer(struct world *w, int fd, const char *want)
{
	char line[1024];
	ssize_t n;

	loop_until(w, readable(fd));
	n = read(fd, line, sizeof(line) - 1);
	line[n > 0 ? n : 0] = 0;
	assert_string_equal(line, want);
	close(fd);
}

/* ---- the informer's side ---- */

static void watch_says(struct world *w, int version, const char *spec, const char *status)
{
	instance_table_put(
		w->t,
		fixture_jsonf(w->a,
			      "{'metadata': {'namespace': 'n', 'name': 'c.u', 'uid': '1', 'resourceVersion': '%d'},"
			      " 'spec': {'containerName': 'c', 'id': 'u', %s}, 'status': {%s}}",
			      version, spec, status));
	resolver_instance_changed(w->r, "n/c/u");
}

#define READY "'phase': 'Ready', 'address': '10.0.0.1', 'vmGeneration': 1"
#define BOUND "'state': 'Running', 'vmGeneration': 1"

static void test_ready_is_answered_at_once(void **state)
{
	struct world *w = *state;

	start(w);
	watch_says(w, 1, BOUND, READY);
	assert_answer(w, ask(w, "resolve n/c/u\n"), "ok 10.0.0.1\n");
	assert_answer(w, ask(w, "retry n/c/u 10.0.0.1\n"), "ok 10.0.0.1\n");
	assert_int_equal(api_count(w), 0);
}

static void test_hundred_ask_and_one_is_made(void **state)
{
	struct world *w = *state;
	int fds[100];

	start(w);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = ask(w, "resolve n/c/u\n");
	loop_until(w, resolver_waiting(w->r) == ARRAY_SIZE(fds) && api_count(w) == 1);
	watch_says(w, 10, "'state': 'Running'", "");
	watch_says(w, 11, BOUND, "'phase': 'Starting', 'vmGeneration': 1");
	watch_says(w, 12, BOUND, READY);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		assert_answer(w, fds[i], "ok 10.0.0.1\n");
	assert_int_equal(api_count(w), 1);
	assert_string_equal(
		w->api.calls[0],
		"POST /apis/berth.dev/v1/namespaces/n/instances {\"metadata\":{\"name\":\"c.u\",\"namespace\":\"n\","
		"\"labels\":{\"berth.dev/container\":\"c\"},\"annotations\":{\"berth.dev/wanted-at\":\"T\"}},\"spec\":{\"containerName\":\"c\",\"id\":\"u\","
		"\"state\":\"Running\",\"origin\":\"here\"},\"apiVersion\":\"berth.dev/v1\",\"kind\":\"Instance\"}");
	loop_until(w, resolver_waiting(w->r) == 0);
}

static void test_wakes_one_that_sleeps(void **state)
{
	struct world *w = *state;

	start(w);
	watch_says(w, 5, "'state': 'Asleep', 'vmGeneration': 1", "'phase': 'Asleep'");
	int fd = ask(w, "resolve n/c/u\n");

	loop_until(w, w->written == 1);
	assert_string_equal(w->api.calls[0],
			    "PATCH /apis/berth.dev/v1/namespaces/n/instances/c.u "
			    "{\"metadata\":{\"resourceVersion\":\"5\",\"annotations\":{\"berth.dev/wanted-at\":\"T\"}},"
			    "\"spec\":{\"state\":\"Running\",\"origin\":\"here\"}}");
	/* Until the watch has caught up with our write, what it says is old. */
	resolver_instance_changed(w->r, "n/c/u");
	assert_int_equal(api_count(w), 1);
	watch_says(w, 12, "'state': 'Running', 'vmGeneration': 2",
		   "'phase': 'Ready', 'address': '10.0.0.2', 'vmGeneration': 2");
	assert_answer(w, fd, "ok 10.0.0.2\n");
	assert_int_equal(api_count(w), 1);
}

static void test_starts_a_failed_one_anew(void **state)
{
	struct world *w = *state;

	start(w);
	watch_says(
		w, 5, BOUND,
		"'phase': 'Failed', 'conditions': [{'type': 'Ready', 'reason': 'AppExited', 'lastTransitionTime': '2020-01-01T00:00:00Z'}]");
	int fd = ask(w, "resolve n/c/u\n");

	loop_until(w, w->written == 1);
	assert_non_null(strstr(w->api.calls[0], "\"state\":\"Asleep\""));
	api_says(w, 200, "{\"metadata\": {\"resourceVersion\": \"20\"}}");
	watch_says(w, 11, "'state': 'Asleep', 'vmGeneration': 1", "'phase': 'Asleep'");
	loop_until(w, w->written == 2);
	assert_non_null(strstr(w->api.calls[1], "\"state\":\"Running\""));
	watch_says(
		w, 21, "'state': 'Running', 'vmGeneration': 2",
		"'phase': 'Failed', 'vmGeneration': 2, 'conditions': [{'type': 'Ready', 'reason': 'AppExited', 'message': 'exit code 7', 'lastTransitionTime': '2020-01-01T00:00:00Z'}]");
	assert_answer(w, fd, "err 503 1 InstanceFailed the instance failed: AppExited: exit code 7\n");
	assert_int_equal(api_count(w), 2);
}

static void test_apiserver_away(void **state)
{
	struct world *w = *state;

	api_says(w, 503,
		 "{\"kind\": \"Status\", \"reason\": \"ServiceUnavailable\", \"message\": \"not now\", \"code\": 503}");
	start(w);
	int fd = ask(w, "resolve n/c/u\n");

	loop_until(w, api_count(w) >= 2); /* it tries again */
	api_says(w, 201, "{\"metadata\": {\"resourceVersion\": \"10\"}}");
	size_t tried = api_count(w);

	loop_until(w, api_count(w) > tried);
	watch_says(w, 12, BOUND, READY);
	assert_answer(w, fd, "ok 10.0.0.1\n");
}

static void test_apiserver_refuses(void **state)
{
	struct world *w = *state;

	api_says(w, 422, "{\"kind\": \"Status\", \"reason\": \"Invalid\", \"message\": \"no\\nway\", \"code\": 422}");
	start(w);
	assert_answer(w, ask(w, "resolve n/c/u\n"), "err 503 5 InstanceRejected the apiserver refused: no way\n");
	assert_int_equal(api_count(w), 1);
}

static void test_lost_a_race(void **state)
{
	struct world *w = *state;

	api_says(w, 409,
		 "{\"kind\": \"Status\", \"reason\": \"AlreadyExists\", \"message\": \"exists\", \"code\": 409}");
	start(w);
	int fd = ask(w, "resolve n/c/u\n");

	loop_until(w, api_count(w) >= 1);
	watch_says(w, 12, BOUND, READY);
	assert_answer(w, fd, "ok 10.0.0.1\n");
}

static void test_time_is_up(void **state)
{
	struct world *w = *state;

	w->opt.wake_timeout_ms = 50;
	start(w);
	watch_says(w, 5, BOUND, "'phase': 'Starting', 'vmGeneration': 1");
	assert_answer(w, ask(w, "resolve n/c/u\n"),
		      "err 503 5 WakeTimeout the instance is not ready after 0s: it is Starting\n");
	w->synced = false;
	assert_answer(w, ask(w, "resolve n/c/v\n"),
		      "err 503 5 ApiserverUnavailable the apiserver cannot be reached; try again\n");
	loop_until(w, resolver_waiting(w->r) == 0);
}

static void test_refusals(void **state)
{
	struct world *w = *state;

	start(w);
	assert_answer(w, ask(w, "resolve n/none/u\n"),
		      "err 503 5 ContainerNotFound the Container of this Route does not exist\n");
	int fd = ask(w, "resolve n/c/%00\n");
	char line[256];

	loop_until(w, readable(fd));
	assert_true(read(fd, line, sizeof(line)) > 0);
	assert_true(str_starts(line, "err 400 0 InvalidID "));
	close(fd);
	assert_answer(w, ask(w, "hello\n"), "err 500 0 InternalError unknown question\n");
	assert_answer(w, ask(w, "hello world\n"), "err 500 0 InternalError unknown question\n");
	assert_int_equal(api_count(w), 0);
}

static void test_limits(void **state)
{
	struct world *w = *state;

	w->opt.max_waiting = 3;
	w->opt.max_waiting_per_key = 2;
	start(w);
	w->synced = false;
	int a = ask(w, "resolve n/c/u\n"), b = ask(w, "resolve n/c/u\n");

	loop_until(w, resolver_waiting(w->r) == 2);
	assert_answer(w, ask(w, "resolve n/c/u\n"), "err 503 1 TooManyWaiting too many requests wait for instances\n");
	int c = ask(w, "resolve n/c/v\n");

	loop_until(w, resolver_waiting(w->r) == 3);
	assert_answer(w, ask(w, "resolve n/c/w\n"), "err 503 1 TooManyWaiting too many requests wait for instances\n");
	close(a); /* its client went away: there is room */
	loop_until(w, resolver_waiting(w->r) == 2);
	a = ask(w, "resolve n/c/w\n");
	loop_until(w, resolver_waiting(w->r) == 3);
	close(a);
	close(b);
	close(c);
	loop_until(w, resolver_waiting(w->r) == 0);
}

static void test_nonsense(void **state)
{
	struct world *w = *state;
	char *junk = arena_alloc(w->a, 100000);
	char c;

	start(w);
	memset(junk, 'x', 99999);
	junk[99999] = 0;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", w->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_true(send(fd, junk, 99999, MSG_DONTWAIT | MSG_NOSIGNAL) > 0);
	loop_until(w, recv(fd, &c, 1, MSG_DONTWAIT) != -1 || readable(fd) ||
			      send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0);
	close(fd);
	fd = ask(w, "res"); /* never finished */
	uv_run(&w->loop, UV_RUN_NOWAIT);
	close(fd);
	watch_says(w, 1, BOUND, READY);
	assert_answer(w, ask(w, "resolve n/c/u\n"), "ok 10.0.0.1\n");
}

static void test_stops_while_somebody_waits(void **state)
{
	struct world *w = *state;

	start(w);
	int fd = ask(w, "resolve n/c/u\n"), other = ask(w, "res");

	loop_until(w, api_count(w) == 1);
	resolver_stop(w->r);
	w->r = NULL;
	assert_answer(w, fd, "");
	assert_answer(w, other, "");
	uv_run(&w->loop, UV_RUN_NOWAIT);
}

static const char *find_near(_unused_ void *user, const char *client)
{
	return streq(client, "203.0.113.9") ? "far" : NULL;
}

static void test_client_decides_the_origin(void **state)
{
	struct world *w = *state;

	w->opt.near = find_near;
	start(w);
	int fd = ask(w, "resolve n/c/u 203.0.113.9\n");

	loop_until(w, api_count(w) == 1);
	assert_non_null(strstr(w->api.calls[0], "\"origin\":\"here\",\"clientLocation\":\"far\"}"));
	watch_says(w, 12, BOUND, READY);
	assert_answer(w, fd, "ok 10.0.0.1\n");

	/* One nobody is near to wakes it next: what the last client said no longer holds. */
	watch_says(w, 15, "'state': 'Asleep', 'vmGeneration': 1, 'clientLocation': 'far'", "'phase': 'Asleep'");
	api_says(w, 200, "{\"metadata\": {\"resourceVersion\": \"16\"}}");
	fd = ask(w, "resolve n/c/u 198.51.100.7\n");
	loop_until(w, api_count(w) == 2);
	assert_non_null(strstr(w->api.calls[1], "\"origin\":\"here\",\"clientLocation\":null}"));
	watch_says(w, 17, "'state': 'Running', 'vmGeneration': 2",
		   "'phase': 'Ready', 'address': '10.0.0.2', 'vmGeneration': 2");
	assert_answer(w, fd, "ok 10.0.0.2\n");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ready_is_answered_at_once),
		TEST(test_hundred_ask_and_one_is_made),
		TEST(test_wakes_one_that_sleeps),
		TEST(test_client_decides_the_origin),
		TEST(test_starts_a_failed_one_anew),
		TEST(test_apiserver_away),
		TEST(test_apiserver_refuses),
		TEST(test_lost_a_race),
		TEST(test_time_is_up),
		TEST(test_refusals),
		TEST(test_limits),
		TEST(test_nonsense),
		TEST(test_stops_while_somebody_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
