/*
 * test_metrics.c - lib/metrics.c: the text of each type, labels, their limit, and updates from several threads.
 */
#include "lib/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static struct metric requests = METRIC_COUNTER("berth_test_requests_total", "Requests \\ answered\nso far", "verb");
static struct metric clients = METRIC_GAUGE("berth_test_clients", "Clients", NULL);
static struct metric latency = METRIC_HISTOGRAM("berth_test_latency_seconds", "Latency", NULL);
static struct metric by_verb = METRIC_HISTOGRAM("berth_test_verb_seconds", "Latency by verb", "verb");
static struct metric crowded = METRIC_COUNTER("berth_test_crowded_total", "Many values", "value");
static struct metric shared = METRIC_COUNTER("berth_test_shared_total", "From threads", "thread");
static struct metric unused_one = METRIC_COUNTER("berth_test_unused_total", "Never counted", NULL);

static char *text_of_all(void)
{
	struct buf b = BUF_INIT(1U << 20);

	metrics_write(&b);
	return buf_steal(&b);
}

static void assert_has(const char *what)
{
	_free_ char *text = text_of_all();

	if (!strstr(text, what))
		fail_msg("\"%s\" is not in\n%s", what, text);
}

static void test_counter(void **state)
{
	(void)state;
	metric_add(&requests, "get", 1);
	metric_add(&requests, "get", 2);
	metric_add(&requests, "a\"b\\c\nd", 1);
	metric_add(&requests, NULL, 1);
	assert_has("# HELP berth_test_requests_total Requests \\\\ answered\\nso far\n"
		   "# TYPE berth_test_requests_total counter\n");
	assert_has("\nberth_test_requests_total{verb=\"get\"} 3\n");
	assert_has("\nberth_test_requests_total{verb=\"a\\\"b\\\\c\\nd\"} 1\n");
	assert_has("\nberth_test_requests_total{verb=\"\"} 1\n");
}

static void test_gauge(void **state)
{
	(void)state;
	metric_set(&clients, NULL, 5);
	metric_add(&clients, NULL, -1.5);
	assert_has("# TYPE berth_test_clients gauge\nberth_test_clients 3.5\n");
	metric_set(&clients, NULL, 123456789012);
	assert_has("\nberth_test_clients 123456789012\n");
}

static void test_histogram(void **state)
{
	(void)state;
	metric_observe(&latency, NULL, 0.0001);
	metric_observe(&latency, NULL, 0.0005); /* a bound belongs to its bucket */
	metric_observe(&latency, NULL, 0.3);
	metric_observe(&latency, NULL, 100);
	assert_has("# TYPE berth_test_latency_seconds histogram\n"
		   "berth_test_latency_seconds_bucket{le=\"0.0005\"} 2\n"
		   "berth_test_latency_seconds_bucket{le=\"0.001\"} 2\n");
	assert_has("berth_test_latency_seconds_bucket{le=\"0.25\"} 2\n"
		   "berth_test_latency_seconds_bucket{le=\"0.5\"} 3\n");
	assert_has("berth_test_latency_seconds_bucket{le=\"60\"} 3\n"
		   "berth_test_latency_seconds_bucket{le=\"+Inf\"} 4\n"
		   "berth_test_latency_seconds_sum 100.3006\n"
		   "berth_test_latency_seconds_count 4\n");
	metric_observe(&by_verb, "get", 1);
	assert_has("berth_test_verb_seconds_bucket{verb=\"get\",le=\"1\"} 1\n");
	assert_has("berth_test_verb_seconds_count{verb=\"get\"} 1\n");
}

static void test_label_limit(void **state)
{
	char label[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(label, sizeof(label), "v%d", i);
		metric_add(&crowded, label, 1);
	}
	metric_add(&crowded, "v1", 1);
	_free_ char *text = text_of_all();

	assert_non_null(strstr(text, "berth_test_crowded_total{value=\"v63\"} 1\n"));
	assert_null(strstr(text, "berth_test_crowded_total{value=\"v64\"}"));
	assert_non_null(strstr(text, "berth_test_crowded_total{value=\"other\"} 36\n"));
	assert_non_null(strstr(text, "berth_test_crowded_total{value=\"v1\"} 2\n"));
}

static void *count(void *arg)
{
	for (int i = 0; i < 10000; i++) {
		metric_add(&shared, arg, 1);
		metric_add(&shared, "all", 1);
	}
	return NULL;
}

static void test_threads(void **state)
{
	static char names[4][4] = {"a", "b", "c", "d"};
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, names[i]), 0);
	for (int i = 0; i < 50; i++)
		free(text_of_all());
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_has("berth_test_shared_total{thread=\"all\"} 40000\n");
	assert_has("berth_test_shared_total{thread=\"c\"} 10000\n");
}

static double value_of(const char *name)
{
	_free_ char *text = text_of_all(), *line = xasprintf("\n%s ", name);
	const char *p = strstr(text, line);

	assert_non_null(p);
	return strtod(p + strlen(line), NULL);
}

static void test_process(void **state)
{
	time_t now = time(NULL);
	double started = value_of("process_start_time_seconds");

	(void)state;
	assert_true(value_of("process_resident_memory_bytes") > 100000);
	assert_true(value_of("process_cpu_seconds_total") >= 0);
	assert_true(value_of("process_open_fds") >= 3);
	assert_true(started > (double)now - 3600 && started < (double)now + 2);
	double before = value_of("process_open_fds");
	int fd = dup(0);

	assert_int_equal((int)(value_of("process_open_fds") - before), 1);
	close(fd);
	assert_has("\nberth_build_info{version=\"");
	_free_ char *text = text_of_all();

	assert_null(strstr(text, unused_one.name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counter),	    cmocka_unit_test(test_gauge),   cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_label_limit), cmocka_unit_test(test_threads), cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
