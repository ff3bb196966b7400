/*
 * test_units.c - lib/units.c: quantities, durations, ages and times, as tables.
 */
#include "lib/units.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#define BAD INT64_MIN /* not a quantity, or too large */

static const struct {
	const char *text;
	int64_t whole, milli;
} quantities[] = {
	{"0", 0, 0},
	{"1", 1, 1000},
	{"007", 7, 7000},
	{"+1", 1, 1000},
	{"-1", -1, -1000},
	{"500m", 1, 500},
	{"-500m", -1, -500},
	{"0.0625", 1, 63},
	{"0.5", 1, 500},
	{".5", 1, 500},
	{"5.", 5, 5000},
	{"1.5", 2, 1500},
	{"100u", 1, 1},
	{"1n", 1, 1},
	{"1000000000n", 1, 1000},
	{"1k", 1000, 1000000},
	{"1M", 1000000, 1000000000},
	{"2G", 2000000000, 2000000000000},
	{"1T", 1000000000000, 1000000000000000},
	{"1P", 1000000000000000, 1000000000000000000},
	{"1E", 1000000000000000000, BAD},
	{"9E", 9000000000000000000, BAD},
	{"10E", BAD, BAD},
	{"1Ki", 1024, 1024000},
	{"256Mi", 268435456, 268435456000},
	{"10Gi", 10737418240, 10737418240000},
	{"1Ti", 1099511627776, 1099511627776000},
	{"1Pi", 1125899906842624, 1125899906842624000},
	{"1Ei", 1152921504606846976, BAD},
	{"7Ei", 8070450532247928832, BAD},
	{"8Ei", BAD, BAD},
	{"0.5Gi", 536870912, 536870912000},
	{"1.5Ki", 1536, 1536000},
	{"0.0001Ki", 1, 103},
	{"0.000000000000000000000000000001", 1, 1},
	{"1.000000000000000000000000000000", 1, 1000},
	{"1e3", 1000, 1000000},
	{"1E3", 1000, 1000000},
	{"1e-3", 1, 1},
	{"1.5e3", 1500, 1500000},
	{"12e+2", 1200, 1200000},
	{"0e999999999999999999999", 0, 0},
	{"1e-999999999999999999999", 1, 1},
	{"1e999999999999999999999", BAD, BAD},
	{"9223372036854775807", INT64_MAX, BAD},
	{"9223372036854775808", BAD, BAD},
	{"9223372036854775.807", 9223372036854776, INT64_MAX},
	{"9223372036854775.8071", 9223372036854776, BAD},
	{"99999999999999999999", BAD, BAD},
	{"", BAD, BAD},
	{" 1", BAD, BAD},
	{"1 ", BAD, BAD},
	{"1 Gi", BAD, BAD},
	{".", BAD, BAD},
	{"-", BAD, BAD},
	{"+-1", BAD, BAD},
	{"1.2.3", BAD, BAD},
	{"1,5", BAD, BAD},
	{"1K", BAD, BAD},
	{"1gi", BAD, BAD},
	{"1GiB", BAD, BAD},
	{"1e", BAD, BAD},
	{"1e1.5", BAD, BAD},
	{"1e 3", BAD, BAD},
	{"1e3Ki", BAD, BAD},
	{"1mm", BAD, BAD},
	{"Gi", BAD, BAD},
	{"0x10", BAD, BAD},
	{"inf", BAD, BAD},
	{"11111111111111111111111111111111111111111111111111111111111111111", BAD, BAD},
};

static void test_quantities(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(quantities); i++) {
		const char *text = quantities[i].text;
		struct error e = {0};
		int64_t n = BAD;
		int r = quantity_parse(text, &n, &e);

		if (n != quantities[i].whole || r != (n == BAD ? -E_INVALID : 0))
			fail_msg("\"%s\": %lld (%d)", text, (long long)n, r);
		assert_true(!r || strstr(e.text, text));
		n = BAD;
		r = quantity_parse_milli(text, &n, NULL);
		if (n != quantities[i].milli || r != (n == BAD ? -E_INVALID : 0))
			fail_msg("\"%s\" in thousandths: %lld (%d)", text, (long long)n, r);
	}
}

static const struct {
	const char *text;
	int64_t ms;
	const char *formatted; /* NULL: the same text */
} durations[] = {
	{"0s", 0, NULL},
	{"0", 0, "0s"},
	{"10s", 10000, NULL},
	{"10m", 600000, NULL},
	{"1h", 3600000, NULL},
	{"1h30m", 5400000, NULL},
	{"1h0m5s", 3605000, "1h5s"},
	{"90s", 90000, "1m30s"},
	{"250ms", 250, NULL},
	{"1.5s", 1500, NULL},
	{"1m1.5s", 61500, NULL},
	{"1.05s", 1050, NULL},
	{"0.001s", 1, "1ms"},
	{".5s", 500, "500ms"},
	{"5.s", 5000, "5s"},
	{"1.5h", 5400000, "1h30m"},
	{"0.1m", 6000, "6s"},
	{"1000us", 1, "1ms"},
	{"1us", 1, "1ms"},
	{"1\xc2\xb5s", 1, "1ms"},
	{"1\xce\xbcs", 1, "1ms"},
	{"1000001ns", 2, "2ms"},
	{"0.33333333333333333333s", 334, "334ms"},
	{"30m1h", 5400000, "1h30m"},
	{"2562047h", 9223369200000, NULL},
	{"2562048h", BAD, NULL},
	{"9999999999999999999h", BAD, NULL},
	{"", BAD, NULL},
	{"1", BAD, NULL},
	{"s", BAD, NULL},
	{".s", BAD, NULL},
	{"-1s", BAD, NULL},
	{"+1s", BAD, NULL},
	{"1s-2s", BAD, NULL},
	{"1 s", BAD, NULL},
	{"1s ", BAD, NULL},
	{"1d", BAD, NULL},
	{"1S", BAD, NULL},
	{"1m30", BAD, NULL},
	{"1.2.3s", BAD, NULL},
	{"00", BAD, NULL},
};

static void test_durations(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
		const char *want = durations[i].formatted ? durations[i].formatted : durations[i].text;
		int64_t ms = BAD;
		char out[32];
		int r = duration_parse_ms(durations[i].text, &ms, NULL);

		if (ms != durations[i].ms || r != (ms == BAD ? -E_INVALID : 0))
			fail_msg("\"%s\": %lld (%d)", durations[i].text, (long long)ms, r);
		if (r)
			continue;
		duration_format_ms(ms, out, sizeof(out));
		assert_string_equal(out, want);
	}
	char out[32];

	duration_format_ms(-1500, out, sizeof(out));
	assert_string_equal(out, "-1.5s");
}

static void test_ages(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} ages[] = {
		{-2, "<invalid>"},
		{-1, "0s"},
		{0, "0s"},
		{119, "119s"},
		{120, "2m"},
		{192, "3m12s"},
		{599, "9m59s"},
		{600, "10m"},
		{659, "10m"},
		{10799, "179m"},
		{10800, "3h"},
		{10860, "3h1m"},
		{28799, "7h59m"},
		{28800, "8h"},
		{172799, "47h"},
		{172800, "2d"},
		{176400, "2d1h"},
		{691199, "7d23h"},
		{691200, "8d"},
		{63071999, "729d"},
		{63072000, "2y"},
		{63158400, "2y1d"},
		{252287999, "7y364d"},
		{252288000, "8y"},
		{3153600000, "100y"},
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ages); i++) {
		duration_human(ages[i].seconds, out, sizeof(out));
		assert_string_equal(out, ages[i].text);
	}
}

static void test_bytes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {
		{0, "0B"},	  {999, "999B"},     {1000, "1.0kB"},	{12345678, "12.3MB"},	{99949, "99.9kB"},
		{99950, "100kB"}, {999499, "999kB"}, {999500, "1.0MB"}, {UINT64_MAX, "18.4EB"},
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		bytes_human(sizes[i].bytes, out, sizeof(out));
		assert_string_equal(out, sizes[i].text);
	}
}

static const struct {
	const char *text;
	int64_t ms;
} times[] = {
	{"1970-01-01T00:00:00Z", 0},
	{"2026-01-02T03:04:05Z", 1767323045000},
	{"2026-01-02T03:04:05.678Z", 1767323045678},
	{"2026-01-02T03:04:05.678901Z", 1767323045678},
	{"2026-01-02T03:04:05.6Z", 1767323045600},
	{"2026-01-02T05:34:05+02:30", 1767323045000},
	{"2026-01-01T19:04:05-08:00", 1767323045000},
	{"2026-01-02t03:04:05z", 1767323045000},
	{"2024-02-29T00:00:00Z", 1709164800000},
	{"2000-02-29T00:00:00Z", 951782400000},
	{"1969-12-31T23:59:59.500Z", -500},
	{"9999-12-31T23:59:59Z", 253402300799000},
	{"2016-12-31T23:59:60Z", 1483228800000},
	{"2025-02-29T00:00:00Z", BAD},
	{"1900-02-29T00:00:00Z", BAD},
	{"2026-04-31T00:00:00Z", BAD},
	{"2026-13-01T00:00:00Z", BAD},
	{"2026-00-01T00:00:00Z", BAD},
	{"2026-01-00T00:00:00Z", BAD},
	{"2026-01-01T24:00:00Z", BAD},
	{"2026-01-01T00:60:00Z", BAD},
	{"2026-01-01T00:00:61Z", BAD},
	{"2026-01-01T00:00:00", BAD},
	{"2026-01-01T00:00:00+0100", BAD},
	{"2026-01-01T00:00:00+24:00", BAD},
	{"2026-01-01T00:00:00.Z", BAD},
	{"2026-01-01 00:00:00Z", BAD},
	{"2026-01-01", BAD},
	{"26-01-01T00:00:00Z", BAD},
	{"2026-1-01T00:00:00Z", BAD},
	{"2026-01-01T00:00:00Z ", BAD},
	{" 2026-01-01T00:00:00Z", BAD},
	{"2026-01-01T-1:00:00Z", BAD},
	{"", BAD},
};

static void test_times(void **state)
{
	char out[TIME_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		int64_t ms = BAD;
		int r = time_parse(times[i].text, &ms, NULL);

		if (ms != times[i].ms || r != (ms == BAD ? -E_INVALID : 0))
			fail_msg("\"%s\": %lld (%d)", times[i].text, (long long)ms, r);
	}
	assert_string_equal(time_format(1767323045678, out), "2026-01-02T03:04:05Z");
	assert_string_equal(time_format_micro(1767323045678, out), "2026-01-02T03:04:05.678000Z");
	assert_string_equal(time_format(-1, out), "1969-12-31T23:59:59Z");
	assert_string_equal(time_format_micro(-1, out), "1969-12-31T23:59:59.999000Z");
	assert_true(time_now_ms() > 1700000000000);
	int64_t before = time_mono_ms();

	assert_true(time_mono_ms() >= before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quantities), cmocka_unit_test(test_durations), cmocka_unit_test(test_ages),
		cmocka_unit_test(test_bytes),	   cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
