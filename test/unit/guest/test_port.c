/*
 * test_port.c - the guest's end of the channel on a socket pair: coming and going, deafness, partial frames, full
 * queues.
 */
#include "guest/port.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct port port;
static int host;
static uint8_t frame[CHANNEL_FRAME_MAX];

static void dial(void)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(port_init(&port, ends[0]), 0);
	host = ends[1];
}

static int set_up(void **state)
{
	(void)state;
	dial();
	assert_int_equal(port_look(&port, 0), PORT_CONNECTED);
	assert_int_equal(port_look(&port, 0), PORT_SAME);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(port.fd);
	close(port.watch);
	if (host >= 0)
		close(host);
	return 0;
}

static size_t make_frame(uint32_t stream, size_t payload)
{
	static const uint8_t zeros[CHANNEL_PAYLOAD_MAX];
	struct channel_writer w;

	channel_begin(&w, frame, CHANNEL_OUTPUT, stream);
	channel_put_raw(&w, zeros, payload);
	return channel_end(&w);
}

static void host_says(const void *data, size_t len)
{
	assert_int_equal(write(host, data, len), (ssize_t)len);
}

static void test_frames_come_in(void **state)
{
	struct channel_frame f;
	size_t len = make_frame(7, 100);

	(void)state;
	host_says(frame, len);
	host_says(frame, len);
	host_says(frame, 5);
	port_fill(&port, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(port_next(&port, &f), 1);
		assert_int_equal(f.stream, 7);
		port_done(&port, &f);
	}
	assert_int_equal(port_next(&port, &f), 0);
	host_says(frame + 5, len - 5);
	port_fill(&port, PORT_PARTIAL_MS - 1);
	assert_int_equal(port_next(&port, &f), 1);
}

static void test_a_started_frame_is_forgotten_in_time(void **state)
{
	struct channel_frame f;
	size_t len = make_frame(7, 100);

	(void)state;
	host_says(frame, 50);
	port_fill(&port, 10);
	assert_int_equal(port_next(&port, &f), 0);
	host_says(frame, len);
	port_fill(&port, 10 + PORT_PARTIAL_MS);
	assert_int_equal(port_next(&port, &f), 1);
	assert_int_equal(f.payload_len, 100);
}

static void test_garbage_makes_deaf_until_the_host_comes_again(void **state)
{
	struct channel_frame f;
	size_t len;

	(void)state;
	memset(frame, 0xff, 1000);
	host_says(frame, 1000);
	port_fill(&port, 0);
	assert_int_equal(port_next(&port, &f), -1);
	len = make_frame(7, 3);
	for (uint64_t now = 0; now < 5 * PORT_PARTIAL_MS; now += PORT_PARTIAL_MS - 1) {
		host_says(frame, len);
		port_fill(&port, now);
		assert_int_equal(port_next(&port, &f), -1);
	}
	/* Nothing is left unread: the host never waits for a deaf guest. */
	assert_int_equal(recv(port.fd, frame, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	/* It can still speak. */
	len = make_frame(7, 3);
	assert_true(port_send(&port, frame, len));
	port_flush(&port, 0);
	assert_int_equal(read(host, frame, sizeof(frame)), (ssize_t)len);
	port.connected = false;
	assert_int_equal(port_look(&port, 0), PORT_CONNECTED);
	assert_int_equal(port_next(&port, &f), 0);
}

static void say_attach(void)
{
	struct channel_writer w;

	channel_begin(&w, frame, CHANNEL_ATTACH, 0);
	host_says(frame, channel_end(&w));
}

/* What an agent does that came too quickly for the guest to see the old one go. */
static void test_a_lone_attach_starts_anew(void **state)
{
	static const uint8_t garbage[20] = {0xff, 0xff, 0xff, 0xff};
	struct channel_frame f;

	(void)state;
	for (int deaf = 0; deaf < 2; deaf++) {
		uint64_t now = 1000;

		(void)make_frame(7, 60000);
		host_says(deaf ? garbage : frame, 20);
		port_fill(&port, now);
		assert_int_equal(port_next(&port, &f), deaf ? -1 : 0);
		/* Too early it may be part of what came before. */
		say_attach();
		port_fill(&port, now += PORT_QUIET_MS - 1);
		assert_int_equal(port_next(&port, &f), deaf ? -1 : 0);
		say_attach();
		port_fill(&port, now += PORT_QUIET_MS);
		assert_int_equal(port_next(&port, &f), 1);
		assert_int_equal(f.type, CHANNEL_ATTACH);
		port_done(&port, &f);
		assert_int_equal(port.in.len, 0);
	}
}

static void test_garbage_and_then_silence(void **state)
{
	struct channel_frame f;
	size_t len;

	(void)state;
	memset(frame, 0xff, 1000);
	host_says(frame, 1000);
	port_fill(&port, 100);
	assert_int_equal(port_next(&port, &f), -1);
	len = make_frame(7, 3);
	host_says(frame, len);
	port_fill(&port, 100 + PORT_PARTIAL_MS);
	assert_int_equal(port_next(&port, &f), 1);
	assert_int_equal(f.stream, 7);
}

static void test_nothing_is_queued_while_nobody_is_there(void **state)
{
	size_t len = make_frame(1, 10);

	(void)state;
	assert_true(port_send(&port, frame, len));
	close(host);
	host = -1;
	assert_int_equal(port_look(&port, 5), PORT_DISCONNECTED);
	assert_int_equal(port_look(&port, 5), PORT_SAME);
	assert_false(port_send(&port, frame, len));
	assert_true(port_busy(&port));
	assert_true(port_stalled(&port, 5));
	port_flush(&port, 5);
}

static void test_what_was_said_before_going_still_counts(void **state)
{
	struct channel_frame f;

	(void)state;
	host_says(frame, make_frame(3, 1));
	close(host);
	host = -1;
	assert_int_equal(port_look(&port, 5), PORT_DISCONNECTED);
	port_fill(&port, 5);
	assert_int_equal(port_next(&port, &f), 1);
	assert_int_equal(f.stream, 3);
}

static void test_the_queue_has_an_end(void **state)
{
	size_t big = make_frame(1, CHANNEL_PAYLOAD_MAX), small;

	(void)state;
	assert_false(port_busy(&port));
	assert_true(port_send(&port, frame, big));
	assert_true(port_busy(&port));
	assert_true(port_send(&port, frame, big));
	assert_int_equal(port.out_len, PORT_OUT_SIZE);
	small = make_frame(1, 0);
	assert_false(port_send(&port, frame, small));
	assert_false(port_send(&port, frame, 0));
	assert_int_equal(port.out_len, PORT_OUT_SIZE);
}

static void test_a_host_that_does_not_read_is_noticed(void **state)
{
	static uint8_t sink[CHANNEL_FRAME_MAX];
	uint64_t now = 100;
	ssize_t n;

	(void)state;
	port_flush(&port, now);
	for (int i = 0; i < 64; i++) {
		(void)port_send(&port, frame, make_frame(1, CHANNEL_PAYLOAD_MAX));
		port_flush(&port, now);
	}
	assert_true(port.out_len > 0);
	assert_false(port_stalled(&port, now + PORT_STALL_MS - 1));
	assert_true(port_stalled(&port, now + PORT_STALL_MS));
	do
		n = read(host, sink, sizeof(sink));
	while (n > 0);
	port_flush(&port, now + PORT_STALL_MS);
	assert_false(port_stalled(&port, now + PORT_STALL_MS));
	/* Idle is not stalled. */
	do {
		while ((n = read(host, sink, sizeof(sink))) > 0)
			;
		port_flush(&port, now + PORT_STALL_MS);
	} while (port.out_len > 0);
	assert_false(port_stalled(&port, now + 100 * PORT_STALL_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_frames_come_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_started_frame_is_forgotten_in_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_garbage_makes_deaf_until_the_host_comes_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_lone_attach_starts_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_garbage_and_then_silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_is_queued_while_nobody_is_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_was_said_before_going_still_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_queue_has_an_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_host_that_does_not_read_is_noticed, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
