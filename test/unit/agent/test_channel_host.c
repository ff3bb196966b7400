/*
 * test_channel_host.c - the agent's end of a channel against a guest played by the test, on one loop.
 */
#include "agent/channel_host.h"

#include "lib/fsutil.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define LIMIT_MS 10000

/* A guest behind QEMU's socket: answers ATTACH when it is told to, counts what it gets. */
struct guest {
	uv_loop_t loop;
	uv_pipe_t server, client;
	uv_timer_t limit;
	bool connected, answers_attach;
	int connections, attaches, signals;
	struct channel_reader reader;
	/* what the agent's side saw */
	struct channel_host *host;
	int hellos, first_hellos, outputs, losses;
	char dir[64], path[96];
};

static void guest_send(struct guest *g, const uint8_t *data, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)len);

	assert_int_equal(uv_try_write((uv_stream_t *)&g->client, &buf, 1), (int)len);
}

static void guest_say(struct guest *g, uint8_t type, uint32_t stream, const void *raw, size_t len)
{
	static uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, frame, type, stream);
	channel_put_raw(&w, raw, len);
	guest_send(g, frame, channel_end(&w));
}

static void on_alloc(uv_handle_t *h, _unused_ size_t suggested, uv_buf_t *buf)
{
	struct guest *g = h->data;
	size_t room;
	uint8_t *space = channel_reader_space(&g->reader, &room);

	*buf = uv_buf_init((char *)space, (unsigned)room);
}

static void on_client_closed(uv_handle_t *h)
{
	((struct guest *)h->data)->connected = false;
}

static void guest_drop(struct guest *g)
{
	if (g->connected && !uv_is_closing((uv_handle_t *)&g->client))
		uv_close((uv_handle_t *)&g->client, on_client_closed);
}

static void on_read(uv_stream_t *s, ssize_t n, _unused_ const uv_buf_t *buf)
{
	struct guest *g = s->data;
	struct channel_frame f;

	if (n < 0) {
		guest_drop(g);
		return;
	}
	channel_reader_added(&g->reader, (size_t)n);
	while (channel_reader_next(&g->reader, &f) == 1) {
		g->attaches += f.type == CHANNEL_ATTACH;
		g->signals += f.type == CHANNEL_SIGNAL;
		bool answer = f.type == CHANNEL_ATTACH && g->answers_attach;
		channel_reader_drop(&g->reader, &f);
		if (answer)
			guest_say(g, CHANNEL_HELLO, 0, NULL, 0);
	}
}

static void on_connection(uv_stream_t *server, _unused_ int status)
{
	struct guest *g = server->data;

	uv_pipe_init(&g->loop, &g->client, 0);
	g->client.data = g;
	memset(&g->reader, 0, sizeof(g->reader));
	assert_int_equal(uv_accept(server, (uv_stream_t *)&g->client), 0);
	g->connected = true;
	g->connections++;
	uv_read_start((uv_stream_t *)&g->client, on_alloc, on_read);
}

static void guest_listen(struct guest *g)
{
	uv_pipe_init(&g->loop, &g->server, 0);
	g->server.data = g;
	assert_int_equal(uv_pipe_bind(&g->server, g->path), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&g->server, 4, on_connection), 0);
}

static void on_frame(void *user, const struct channel_frame *f, bool first_hello)
{
	struct guest *g = user;

	g->hellos += f->type == CHANNEL_HELLO;
	g->first_hellos += first_hello;
	g->outputs += f->type == CHANNEL_OUTPUT;
}

static void on_lost(void *user)
{
	((struct guest *)user)->losses++;
}

static const struct channel_events events = {.frame = on_frame, .lost = on_lost};

static void on_limit(_unused_ uv_timer_t *t)
{
	fail_msg("it did not happen within %d ms", LIMIT_MS);
}

#define run_until(g, condition)                                     \
	do {                                                        \
		uv_timer_start(&(g)->limit, on_limit, LIMIT_MS, 0); \
		while (!(condition))                                \
			uv_run(&(g)->loop, UV_RUN_ONCE);            \
		uv_timer_stop(&(g)->limit);                         \
	} while (0)

static int setup(void **state)
{
	struct guest *g = xcalloc(1, sizeof(*g));

	snprintf(g->dir, sizeof(g->dir), "/tmp/berth-test-channel-XXXXXX");
	if (!mkdtemp(g->dir))
		return -1;
	snprintf(g->path, sizeof(g->path), "%s/c.sock", g->dir);
	uv_loop_init(&g->loop);
	uv_timer_init(&g->loop, &g->limit);
	*state = g;
	return 0;
}

static void close_all(uv_handle_t *h, _unused_ void *arg)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static int teardown(void **state)
{
	struct guest *g = *state;

	channel_host_close(g->host);
	uv_walk(&g->loop, close_all, NULL);
	uv_run(&g->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&g->loop), 0);
	tree_remove(g->dir, NULL);
	free(g);
	return 0;
}

static void test_new_guest_says_hello_by_itself(void **state)
{
	struct guest *g = *state;
	uint8_t frame[CHANNEL_HEADER_SIZE];
	struct channel_writer w;

	g->host = channel_host_open(&g->loop, g->path, false, &events, g);
	uv_run(&g->loop, UV_RUN_ONCE); /* no socket yet: it tries again */
	guest_listen(g);
	run_until(g, g->connected);
	assert_false(channel_host_ready(g->host));
	channel_begin(&w, frame, CHANNEL_SIGNAL, 1);
	assert_false(channel_host_send(g->host, frame, channel_end(&w)));
	guest_say(g, CHANNEL_OUTPUT, 1, "\1early", 6); /* of an earlier conversation */
	guest_say(g, CHANNEL_HELLO, 0, NULL, 0);
	guest_say(g, CHANNEL_OUTPUT, 1, "\1text", 5);
	guest_say(g, CHANNEL_HELLO, 0, NULL, 0);
	run_until(g, g->hellos == 2);
	assert_int_equal(g->first_hellos, 1);
	assert_int_equal(g->outputs, 1);
	assert_int_equal(g->attaches, 0);
	assert_true(channel_host_ready(g->host));
	assert_true(channel_host_send(g->host, frame, channel_end(&w)));
	run_until(g, g->signals == 1);
}

static void test_running_guest_is_asked_until_it_answers(void **state)
{
	struct guest *g = *state;

	guest_listen(g);
	g->host = channel_host_open(&g->loop, g->path, true, &events, g);
	run_until(g, g->attaches == 2);
	assert_int_equal(g->hellos, 0);
	g->answers_attach = true;
	run_until(g, g->first_hellos == 1);
}

static void test_lost_connection_is_made_again(void **state)
{
	struct guest *g = *state;

	guest_listen(g);
	g->answers_attach = true;
	g->host = channel_host_open(&g->loop, g->path, true, &events, g);
	run_until(g, g->first_hellos == 1);
	guest_drop(g);
	run_until(g, g->losses == 1);
	assert_false(channel_host_ready(g->host));
	run_until(g, g->first_hellos == 2);
	assert_int_equal(g->connections, 2);
}

static void test_malformed_frame_ends_the_connection(void **state)
{
	static const uint8_t too_long[] = {0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0};
	struct guest *g = *state;

	guest_listen(g);
	g->answers_attach = true;
	g->host = channel_host_open(&g->loop, g->path, true, &events, g);
	run_until(g, g->first_hellos == 1);
	guest_send(g, too_long, sizeof(too_long));
	run_until(g, g->losses == 1);
	run_until(g, g->first_hellos == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_new_guest_says_hello_by_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_running_guest_is_asked_until_it_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_connection_is_made_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed_frame_ends_the_connection, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
