/*
 * test_stats.c - counters out of the kernel's texts.
 */
#include "guest/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "guest/files.h"

static const char net_text[] =
	"Inter-|   Receive                                                |  Transmit\n"
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
	"    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n"
	"  eth0: 18446744073709551615 3 0 0 0 0 0 0 42 1 0 0 0 0 0 0\n"
	" eth01: 7 3 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n";

static void test_net(void **state)
{
	uint64_t rx = 1, tx = 1;

	(void)state;
	assert_true(stats_parse_net(net_text, "eth0", &rx, &tx));
	assert_true(rx == UINT64_MAX);
	assert_int_equal(tx, 42);
	assert_true(stats_parse_net(net_text, "lo", &rx, &tx));
	assert_int_equal(rx, 100);
	assert_false(stats_parse_net(net_text, "eth", &rx, &tx));
	assert_false(stats_parse_net("", "eth0", &rx, &tx));
	assert_false(stats_parse_net("eth0: 1 2", "eth0", &rx, &tx));
}

static void test_numbers_in_texts(void **state)
{
	uint64_t v;

	(void)state;
	assert_true(text_find_u64("low 0\noom 1\noom_kill 17\n", "oom_kill ", &v));
	assert_int_equal(v, 17);
	assert_true(text_find_u64("4096\n", "", &v));
	assert_int_equal(v, 4096);
	assert_true(text_find_u64("MemTotal:         223608 kB\n", "MemTotal:", &v));
	assert_int_equal(v, 223608);
	assert_false(text_find_u64("max\n", "", &v));
	assert_false(text_find_u64("a 99999999999999999999999\n", "a ", &v));
	assert_false(text_find_u64("xa 1\n", "a ", &v));
}

static int new_file(const char *text)
{
	char path[] = "/tmp/berth-stats-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static void test_all_together(void **state)
{
	struct cgroup c = {.cpu = new_file("usage_usec 1500\nuser_usec 1000\n"),
			   .memory = new_file("1000\n"),
			   .memory_detail = new_file("anon 1\ninactive_file 400\n"),
			   .pids = new_file("7\n")};
	struct stats_source source = {&c, new_file(net_text), -1};
	struct stats s;

	(void)state;
	for (int i = 0; i < 2; i++) {
		stats_read(&source, &s);
		assert_int_equal(s.cpu_us, 1500);
		assert_int_equal(s.memory_bytes, 600);
		assert_int_equal(s.processes, 7);
		assert_int_equal(s.net_tx_bytes, 42);
		assert_int_equal(s.disk_bytes, 0);
	}
	close(c.memory_detail);
	c.memory_detail = new_file("inactive_file 4000\n");
	stats_read(&source, &s);
	assert_int_equal(s.memory_bytes, 0);
	close(c.cpu);
	close(c.memory);
	close(c.memory_detail);
	close(c.pids);
	close(source.net);
}

static void test_nothing_to_read(void **state)
{
	struct cgroup c = {-1, -1, -1, -1, -1, -1, -1, -1};
	struct stats_source source = {&c, -1, -1};
	struct stats s;

	(void)state;
	stats_read(&source, &s);
	assert_int_equal(s.cpu_us + s.memory_bytes + s.processes + s.net_rx_bytes, 0);
	assert_int_equal(cgroup_oom_kills(&c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_net),
		cmocka_unit_test(test_numbers_in_texts),
		cmocka_unit_test(test_all_together),
		cmocka_unit_test(test_nothing_to_read),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
