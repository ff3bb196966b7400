/*
 * test_runtime.c - questions to HAProxy: their order, who is asked, failures; what the master says.
 */
#include "gateway/haproxy_process.h"
#include "gateway/runtime.h"
#include "lib/fsutil.h"
#include "test/unit/gateway/fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A process that answers every command with the command. */
struct echo {
	int listener;
	pthread_t thread;
	const char *name;
};

struct world {
	struct arena *a;
	char dir[64];
	struct echo worker, master;
	uv_loop_t loop;
	struct runtime *rt;
	struct buf log;
	int answers, want;
};

static void *serve(void *user)
{
	struct echo *s = user;
	int fd;

	while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		char text[20000];
		size_t len = 0;
		ssize_t n;

		while (len < sizeof(text) && (n = read(fd, text + len, sizeof(text) - len)) > 0)
			len += (size_t)n;
		_buf_ out = BUF_INIT(30000);

		buf_addf(&out, "%s:%.*s", s->name, (int)len, text);
		fd_write_all(fd, out.data, out.len, NULL);
		close(fd);
	}
	return NULL;
}

static char *echo_start(struct world *w, struct echo *s, const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char *path = arena_printf(w->a, "%s/%s", w->dir, name);

	s->name = name;
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(s->listener, 16), 0);
	pthread_create(&s->thread, NULL, serve, s);
	return path;
}

static void echo_stop(struct echo *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->a = arena_new();
	snprintf(w->dir, sizeof(w->dir), "%s", "/tmp/berth-runtime-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->log = BUF_INIT(1 << 20);
	uv_loop_init(&w->loop);
	char *admin = echo_start(w, &w->worker, "w"), *master = echo_start(w, &w->master, "m");

	w->rt = runtime_new(&w->loop, admin, master);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	runtime_free(w->rt);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	echo_stop(&w->worker);
	echo_stop(&w->master);
	tree_remove(w->dir, NULL);
	buf_free(&w->log);
	arena_free(w->a);
	free(w);
	return 0;
}

static void on_answer(void *user, int err, const char *answer)
{
	struct world *w = user;

	buf_addf(&w->log, "[%d]%s", err, answer);
	if (++w->answers == w->want)
		uv_stop(&w->loop);
}

static void run(struct world *w, int answers)
{
	w->want = w->answers + answers;
	uv_run(&w->loop, UV_RUN_DEFAULT);
}

static void test_in_order(void **state)
{
	struct world *w = *state;

	runtime_ask(w->rt, RUNTIME_WORKER, "one", on_answer, w);
	runtime_ask(w->rt, RUNTIME_WORKER, "quiet", NULL, NULL);
	runtime_ask(w->rt, RUNTIME_MASTER, "show proc", on_answer, w);
	runtime_ask(w->rt, RUNTIME_OLD, "nobody", on_answer, w);
	runtime_ask(w->rt, RUNTIME_ALL, "two", on_answer, w);
	run(w, 4);
	assert_string_equal(w->log.data, "[0]w:one\n[0]m:show proc\n[0][0]w:two\n");
}

static void test_old_workers_are_asked_too(void **state)
{
	struct world *w = *state;

	runtime_set_old(w->rt, (int[]){17, 18}, 2);
	assert_int_equal(runtime_old_count(w->rt), 2);
	runtime_ask(w->rt, RUNTIME_ALL, "a;b", on_answer, w);
	runtime_ask(w->rt, RUNTIME_OLD, "c", on_answer, w);
	runtime_ask(w->rt, RUNTIME_WORKER, "d", on_answer, w);
	run(w, 3);
	assert_string_equal(w->log.data, "[0]w:a;b\nm:@!17;a;b\nm:@!18;a;b\n[0]m:@!17;c\nm:@!18;c\n[0]w:d\n");
}

static void test_nobody_there(void **state)
{
	struct world *w = *state;
	struct runtime *rt = runtime_new(&w->loop, "/nonexistent/a", "/nonexistent/m");

	runtime_set_old(rt, (int[]){17}, 1);
	runtime_ask(rt, RUNTIME_ALL, "a", on_answer, w);
	runtime_ask(rt, RUNTIME_WORKER, "b", on_answer, w);
	run(w, 2);
	_free_ char *want = xasprintf("[%d][%d]", -E_UNAVAILABLE, -E_UNAVAILABLE);

	assert_string_equal(w->log.data, want);
	runtime_free(rt);
}

static void test_freed_while_asking(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 5; i++)
		runtime_ask(w->rt, RUNTIME_WORKER, "a", on_answer, w);
	uv_run(&w->loop, UV_RUN_NOWAIT);
	/* teardown frees it: no answer comes, nothing leaks */
}

static const char show_proc[] = "#<PID>          <type>          <reloads>       <uptime>        <version>      \n"
				"2296            master          3 [failed: 1]   0d00h09m40s     2.6.12-1+deb12u4\n"
				"# workers\n"
				"16555           worker          0               0d00h00m01s     2.6.12-1+deb12u4\n"
				"# old workers\n"
				"2319            worker          1               0d00h09m40s     2.6.12-1+deb12u4\n"
				"2320            worker          2               0d00h09m40s     2.6.12-1+deb12u4\n"
				"# programs\n\n";

static void test_what_the_master_says(_unused_ void **state)
{
	struct haproxy_master_state s;
	int old[4];

	assert_true(haproxy_master_parse(show_proc, &s));
	assert_int_equal(s.worker, 16555);
	assert_int_equal(s.reloads, 3);
	assert_int_equal(s.failed_reloads, 1);
	assert_int_equal(runtime_parse_old(show_proc, old, 4), 2);
	assert_int_equal(old[0], 2319);
	assert_int_equal(old[1], 2320);
	assert_int_equal(runtime_parse_old(show_proc, old, 1), 1);
	assert_int_equal(runtime_parse_old("", old, 4), 0);
	assert_int_equal(runtime_parse_old("# old workers\n", old, 4), 0);
	assert_false(haproxy_master_parse("", &s));
	assert_false(haproxy_master_parse("nonsense\n", &s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_workers_are_asked_too, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freed_while_asking, setup, teardown),
		cmocka_unit_test(test_what_the_master_says),
	};

	signal(SIGPIPE, SIG_IGN); /* a question may be given up before its answer */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
