/*
 * test_machine.c - PID 1's loop on this host: a socket pair is the port, real processes are the app and exec sessions.
 *
 * Network, names and control groups are left out (they are the guest's alone; test/e2e/test_guest.py has them).
 */
#include "guest/handlers.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "guest/files.h"

#define PATIENCE_MS 20000

static struct machine *m;
static int host;
static struct channel_reader from_guest;
static uint8_t bytes[CHANNEL_FRAME_MAX];
static struct channel_writer w;

static void connect_host(void)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(port_init(&m->port, ends[0]), 0);
	host = ends[1];
	memset(&from_guest, 0, sizeof(from_guest));
}

static int set_up(void **state)
{
	sigset_t child;

	(void)state;
	m = calloc(1, sizeof(*m));
	assert_non_null(m);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < MACHINE_TASKS; i++)
		task_init(&m->tasks[i]);
	probe_init(&m->probe);
	m->cgroup = (struct cgroup){-1, -1, -1, -1, -1, -1, -1, -1};
	m->stats = (struct stats_source){&m->cgroup, -1, -1};
	m->children = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	m->configured = true;
	m->random = -1;
	connect_host();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < MACHINE_TASKS; i++) {
		if (task_is_alive(&m->tasks[i]))
			kill(-m->tasks[i].pid, SIGKILL);
		task_free(&m->tasks[i]);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	probe_stop(&m->probe);
	close(m->children);
	close(m->port.fd);
	close(m->port.watch);
	close(host);
	free(m);
	return 0;
}

/* Keeps the loop from waiting for ever in a test that is wrong. */
static void turn(void)
{
	alarm(PATIENCE_MS / 1000);
	machine_step(m);
	alarm(0);
}

static void begin(uint8_t type, uint32_t stream)
{
	channel_begin(&w, bytes, type, stream);
}

static void send_frame(void)
{
	size_t len = channel_end(&w);

	assert_true(len > 0);
	assert_int_equal(write(host, bytes, len), (ssize_t)len);
}

static void shell(uint8_t type, uint32_t stream, const char *script)
{
	begin(type, stream);
	channel_put_str(&w, CHANNEL_KEY_ARG, "sh");
	channel_put_str(&w, CHANNEL_KEY_ARG, "-c");
	channel_put_str(&w, CHANNEL_KEY_ARG, script);
}

/* Turns the loop until a frame of that type comes; others but OUTPUT of that stream are passed over. */
static struct channel_frame expect(uint8_t type, uint32_t stream)
{
	static uint8_t kept[CHANNEL_FRAME_MAX];
	uint64_t until = now_ms() + PATIENCE_MS;
	struct channel_frame f;

	while (now_ms() < until) {
		size_t room;
		uint8_t *space;
		ssize_t n;

		while (channel_reader_next(&from_guest, &f) == 1) {
			struct channel_frame copy = f;
			bool found = f.type == type && f.stream == stream;

			memcpy(kept, f.payload, f.payload_len);
			copy.payload = kept;
			channel_reader_drop(&from_guest, &f);
			if (found)
				return copy;
		}
		space = channel_reader_space(&from_guest, &room);
		n = read(host, space, room);
		if (n > 0)
			channel_reader_added(&from_guest, (size_t)n);
		else
			turn();
	}
	fail_msg("no frame of type %u on stream %u", type, stream);
	return f;
}

static uint64_t number(const struct channel_frame *f, uint16_t key)
{
	uint64_t v = UINT64_MAX;

	(void)channel_get_u64(f, key, &v);
	return v;
}

static void expect_output(uint32_t stream, uint8_t which, const char *text)
{
	struct channel_frame f = expect(CHANNEL_OUTPUT, stream);

	assert_int_equal(f.payload[0], which);
	assert_int_equal(f.payload_len, strlen(text) + 1);
	assert_memory_equal(f.payload + 1, text, strlen(text));
}

static void expect_state(const char *want)
{
	struct channel_frame f = expect(CHANNEL_HELLO, 0);
	char state[16];

	assert_true(channel_get_str(&f, CHANNEL_KEY_STATE, state, sizeof(state)));
	assert_string_equal(state, want);
}

static void test_a_life(void **state)
{
	struct channel_frame f;

	(void)state;
	expect_state("waiting");
	shell(CHANNEL_START, 1, "echo out; echo $X >&2; exit 3");
	channel_put_str(&w, CHANNEL_KEY_ENV, "X=err");
	send_frame();
	f = expect(CHANNEL_STARTED, 1);
	assert_true(number(&f, CHANNEL_KEY_PID) > 1);
	f = expect(CHANNEL_EXIT, 1);
	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 3);
	assert_int_equal(number(&f, CHANNEL_KEY_SIGNAL), UINT64_MAX);
	begin(CHANNEL_ATTACH, 0);
	send_frame();
	f = expect(CHANNEL_HELLO, 0);
	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 3);
	/* And again, in place. */
	shell(CHANNEL_START, 1, "echo again; kill -9 $$");
	send_frame();
	expect_output(1, 1, "again\n");
	f = expect(CHANNEL_EXIT, 1);
	assert_int_equal(number(&f, CHANNEL_KEY_SIGNAL), 9);
}

/* The clock of this host stays as it is: the time itself is test_guest.py's. */
static void test_resume_is_answered_in_every_state(void **state)
{
	static const char *const scripts[] = {NULL, "exec sleep 100", "exit 0"};
	static const char *const states[] = {"waiting", "running", "exited"};
	struct channel_frame f;
	char text[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		if (scripts[i]) {
			shell(CHANNEL_START, 1, scripts[i]);
			send_frame();
			(void)expect(CHANNEL_STARTED, 1);
		}
		if (i == 2)
			(void)expect(CHANNEL_EXIT, 1);
		begin(CHANNEL_RESUME, 0);
		send_frame();
		f = expect(CHANNEL_RESUMED, 0);
		assert_true(channel_get_str(&f, CHANNEL_KEY_STATE, text, sizeof(text)));
		assert_string_equal(text, states[i]);
		assert_int_equal(number(&f, CHANNEL_KEY_READY), i == 1);
		if (i == 1) {
			begin(CHANNEL_SIGNAL, 1);
			channel_put_u64(&w, CHANNEL_KEY_SIGNAL, SIGKILL);
			send_frame();
			(void)expect(CHANNEL_EXIT, 1);
		}
	}
}

static void test_ready_and_second_start(void **state)
{
	struct channel_frame f;
	char text[64];

	(void)state;
	shell(CHANNEL_START, 1, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done");
	send_frame();
	expect_output(1, 1, "up\n");
	do {
		begin(CHANNEL_ATTACH, 0);
		send_frame();
		f = expect(CHANNEL_HELLO, 0);
	} while (number(&f, CHANNEL_KEY_READY) != 1);
	shell(CHANNEL_START, 1, "true");
	send_frame();
	f = expect(CHANNEL_ERROR, 1);
	assert_true(channel_get_str(&f, CHANNEL_KEY_TEXT, text, sizeof(text)));
	assert_string_equal(text, "the app is running already");
	begin(CHANNEL_SIGNAL, 1);
	channel_put_u64(&w, CHANNEL_KEY_SIGNAL, SIGTERM);
	send_frame();
	f = expect(CHANNEL_EXIT, 1);
	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 0);
}

static void test_starts_that_fail(void **state)
{
	static const struct {
		const char *program;
		uint64_t code;
	} rows[] = {{"no-such-program", 127}, {"/etc/passwd", 126}, {"/no/such/path", 127}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct channel_frame f;

		begin(CHANNEL_START, 1);
		channel_put_str(&w, CHANNEL_KEY_ARG, rows[i].program);
		send_frame();
		(void)expect(CHANNEL_ERROR, 1);
		f = expect(CHANNEL_EXIT, 1);
		assert_int_equal(number(&f, CHANNEL_KEY_CODE), rows[i].code);
	}
	begin(CHANNEL_START, 1);
	send_frame();
	(void)expect(CHANNEL_ERROR, 1);
	struct channel_frame f = expect(CHANNEL_EXIT, 1);

	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 125);
	shell(CHANNEL_START, 1, "true");
	channel_put_str(&w, CHANNEL_KEY_USER, "nobody-of-that-name");
	send_frame();
	(void)expect(CHANNEL_ERROR, 1);
	f = expect(CHANNEL_EXIT, 1);
	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 125);
}

static void test_exec_with_input(void **state)
{
	struct channel_frame f;

	(void)state;
	shell(CHANNEL_EXEC, 2, "cat; echo done");
	channel_put_u64(&w, CHANNEL_KEY_STDIN, 1);
	send_frame();
	(void)expect(CHANNEL_STARTED, 2);
	begin(CHANNEL_INPUT, 2);
	channel_put_raw(&w, "hello", 5);
	send_frame();
	expect_output(2, 1, "hello");
	begin(CHANNEL_INPUT, 2);
	send_frame();
	expect_output(2, 1, "done\n");
	f = expect(CHANNEL_EXIT, 2);
	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 0);
}

static void test_input_has_a_window(void **state)
{
	struct channel_frame f;
	uint64_t acknowledged = 0, sent = 0;

	(void)state;
	shell(CHANNEL_EXEC, 2, "wc -c");
	channel_put_u64(&w, CHANNEL_KEY_STDIN, 1);
	send_frame();
	(void)expect(CHANNEL_STARTED, 2);
	while (sent < 1000000) {
		static const uint8_t data[8192];
		size_t n = sizeof(data);

		while (sent + n - acknowledged > CHANNEL_INPUT_WINDOW) {
			f = expect(CHANNEL_INPUT_ACK, 2);
			acknowledged += number(&f, CHANNEL_KEY_BYTES);
			assert_true(acknowledged <= sent);
		}
		begin(CHANNEL_INPUT, 2);
		channel_put_raw(&w, data, n);
		send_frame();
		sent += n;
	}
	begin(CHANNEL_INPUT, 2);
	send_frame();
	f = expect(CHANNEL_OUTPUT, 2);
	assert_int_equal(strtoul((const char *)f.payload + 1, NULL, 10), sent);
	(void)expect(CHANNEL_EXIT, 2);
}

static void test_input_beyond_the_window_is_refused(void **state)
{
	static const uint8_t data[40000];

	(void)state;
	shell(CHANNEL_EXEC, 2, "sleep 1000");
	channel_put_u64(&w, CHANNEL_KEY_STDIN, 1);
	send_frame();
	(void)expect(CHANNEL_STARTED, 2);
	/* The pipe takes 64 KiB, the window another 64 KiB. */
	for (int i = 0; i < 5; i++) {
		begin(CHANNEL_INPUT, 2);
		channel_put_raw(&w, data, sizeof(data));
		send_frame();
		turn();
	}
	(void)expect(CHANNEL_ERROR, 2);
	begin(CHANNEL_SIGNAL, 2);
	channel_put_u64(&w, CHANNEL_KEY_SIGNAL, SIGKILL);
	send_frame();
	struct channel_frame f = expect(CHANNEL_EXIT, 2);

	assert_int_equal(number(&f, CHANNEL_KEY_SIGNAL), SIGKILL);
}

static void test_output_has_a_window(void **state)
{
	struct channel_frame f;
	uint64_t got = 0, window = 5000;

	(void)state;
	shell(CHANNEL_EXEC, 2, "head -c 100000 /dev/zero");
	channel_put_u64(&w, CHANNEL_KEY_WINDOW, window);
	send_frame();
	while (got < 100000) {
		f = expect(CHANNEL_OUTPUT, 2);
		got += f.payload_len - 1;
		assert_true(f.payload_len - 1 <= window);
		begin(CHANNEL_ACK, 2);
		channel_put_u64(&w, CHANNEL_KEY_BYTES, f.payload_len - 1);
		send_frame();
	}
	f = expect(CHANNEL_EXIT, 2);
	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 0);
}

static void test_terminals(void **state)
{
	struct channel_frame f;

	(void)state;
	shell(CHANNEL_EXEC, 2, "stty size; read line; echo got $line; stty size; read x || echo eof");
	channel_put_u64(&w, CHANNEL_KEY_TTY, 1);
	channel_put_u64(&w, CHANNEL_KEY_STDIN, 1);
	channel_put_u64(&w, CHANNEL_KEY_COLUMNS, 100);
	channel_put_u64(&w, CHANNEL_KEY_ROWS, 30);
	send_frame();
	expect_output(2, 1, "30 100\r\n");
	begin(CHANNEL_RESIZE, 2);
	channel_put_u64(&w, CHANNEL_KEY_COLUMNS, 80);
	channel_put_u64(&w, CHANNEL_KEY_ROWS, 24);
	send_frame();
	begin(CHANNEL_INPUT, 2);
	channel_put_raw(&w, "abc\n", 4);
	send_frame();
	f = expect(CHANNEL_OUTPUT, 2);
	begin(CHANNEL_INPUT, 2);
	send_frame();
	f = expect(CHANNEL_EXIT, 2);
	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 0);
}

static void test_sessions_have_a_limit(void **state)
{
	struct channel_frame f;

	(void)state;
	for (uint32_t i = 0; i < CHANNEL_EXEC_MAX; i++) {
		shell(CHANNEL_EXEC, 2 + i, "sleep 1000");
		send_frame();
		(void)expect(CHANNEL_STARTED, 2 + i);
	}
	shell(CHANNEL_EXEC, 1000, "true");
	send_frame();
	(void)expect(CHANNEL_ERROR, 1000);
	f = expect(CHANNEL_EXIT, 1000);
	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 125);
	/* A stream in use is refused without harm to its session. */
	shell(CHANNEL_EXEC, 2, "true");
	send_frame();
	(void)expect(CHANNEL_ERROR, 2);
	assert_int_equal(m->tasks[1].state, TASK_RUNNING);
	/* An ATTACH ends them all, and there is room again. */
	begin(CHANNEL_ATTACH, 0);
	send_frame();
	(void)expect(CHANNEL_HELLO, 0);
	shell(CHANNEL_EXEC, 1000, "exit 4");
	send_frame();
	f = expect(CHANNEL_EXIT, 1000);
	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 4);
}

static void test_output_outlives_the_agent(void **state)
{
	uint64_t until = now_ms() + PATIENCE_MS;
	struct channel_frame f;

	(void)state;
	expect_state("waiting");
	shell(CHANNEL_START, 1, "sleep 0.2; head -c 300000 /dev/zero; echo last; exit 5");
	send_frame();
	(void)expect(CHANNEL_STARTED, 1);
	close(host);
	/* Nobody reads: the app must reach its end all the same. */
	while (m->state != MACHINE_EXITED && now_ms() < until)
		turn();
	assert_int_equal(m->state, MACHINE_EXITED);
	for (int i = 0; i < 3; i++)
		task_move_output(&m->tasks[0], &m->port, &m->ring, true);
	assert_true(m->ring.dropped > 200000);
	close(m->port.fd);
	close(m->port.watch);
	connect_host();
	f = expect(CHANNEL_HELLO, 0);
	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 5);
	f = expect(CHANNEL_OUTPUT, 1);
	assert_int_equal(f.payload[0], 2);
	assert_int_equal(strncmp((const char *)f.payload + 1, "berth: ", 7), 0);
	do
		f = expect(CHANNEL_OUTPUT, 1);
	while (f.payload[f.payload_len - 1] == 0);
	assert_memory_equal(f.payload + f.payload_len - 5, "last\n", 5);
}

static void test_a_background_process_does_not_hold_the_end(void **state)
{
	struct channel_frame f;

	(void)state;
	shell(CHANNEL_EXEC, 2, "sleep 5 & echo parent");
	send_frame();
	expect_output(2, 1, "parent\n");
	f = expect(CHANNEL_EXIT, 2);
	assert_int_equal(number(&f, CHANNEL_KEY_CODE), 0);
}

static void test_nonsense_is_answered(void **state)
{
	static const uint8_t types[] = {0, 11, 63, CHANNEL_HELLO, 255};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		begin(types[i], 9);
		send_frame();
		(void)expect(CHANNEL_ERROR, 9);
	}
	begin(CHANNEL_SIGNAL, 1);
	channel_put_u64(&w, CHANNEL_KEY_SIGNAL, 1000);
	send_frame();
	(void)expect(CHANNEL_ERROR, 1);
	shell(CHANNEL_START, 4, "true");
	send_frame();
	(void)expect(CHANNEL_ERROR, 4);
	/* For sessions that are gone, nothing. */
	begin(CHANNEL_INPUT, 77);
	send_frame();
	begin(CHANNEL_STATS_REQUEST, 0);
	send_frame();
	(void)expect(CHANNEL_STATS, 0);
	begin(CHANNEL_POWEROFF, 0);
	send_frame();
	turn();
	assert_true(m->power_off);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_a_life),
		CASE(test_resume_is_answered_in_every_state),
		CASE(test_ready_and_second_start),
		CASE(test_starts_that_fail),
		CASE(test_exec_with_input),
		CASE(test_input_has_a_window),
		CASE(test_input_beyond_the_window_is_refused),
		CASE(test_output_has_a_window),
		CASE(test_terminals),
		CASE(test_sessions_have_a_limit),
		CASE(test_output_outlives_the_agent),
		CASE(test_a_background_process_does_not_hold_the_end),
		CASE(test_nonsense_is_answered),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
