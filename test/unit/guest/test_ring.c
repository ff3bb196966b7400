/*
 * test_ring.c - the app's last output: order, wrapping, what is dropped and counted.
 */
#include "guest/ring.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct ring ring;
static uint8_t in[RING_RECORD_MAX], out[RING_RECORD_MAX];

static int reset(void **state)
{
	(void)state;
	memset(&ring, 0, sizeof(ring));
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 31);
	return 0;
}

static void test_records_come_back_in_order(void **state)
{
	uint8_t which;

	(void)state;
	assert_int_equal(ring_take(&ring, &which, out), 0);
	ring_put(&ring, 1, "one", 3);
	ring_put(&ring, 2, "two!", 4);
	ring_put(&ring, 1, "", 0);
	assert_int_equal(ring_take(&ring, &which, out), 3);
	assert_int_equal(which, 1);
	assert_memory_equal(out, "one", 3);
	assert_int_equal(ring_take(&ring, &which, out), 4);
	assert_int_equal(which, 2);
	assert_true(ring_empty(&ring));
}

static void test_the_oldest_make_room_and_are_counted(void **state)
{
	uint8_t which;

	(void)state;
	/* Three of the longest fit, with their headers; the fourth does not. */
	for (int i = 0; i < 3; i++) {
		assert_true(ring_has_room(&ring));
		ring_put(&ring, (uint8_t)(1 + i % 2), in, RING_RECORD_MAX);
	}
	assert_false(ring_has_room(&ring));
	assert_int_equal(ring.dropped, 0);
	ring_put(&ring, 1, in, RING_RECORD_MAX);
	assert_int_equal(ring.dropped, RING_RECORD_MAX);
	assert_int_equal(ring_take(&ring, &which, out), RING_RECORD_MAX);
	assert_int_equal(which, 2);
	assert_memory_equal(in, out, RING_RECORD_MAX);
}

static void test_records_wrap_anywhere(void **state)
{
	uint64_t put = 0, taken = 0;
	uint8_t which;

	(void)state;
	for (size_t i = 0; i < 5000; i++) {
		size_t len = 1 + (i * 7919) % 700;

		ring_put(&ring, (uint8_t)(1 + i % 2), in + i % 97, len);
		put += len;
		if (i % 3 != 0)
			continue;
		len = ring_take(&ring, &which, out);
		taken += len;
		assert_in_range(len, 1, 700);
	}
	while (!ring_empty(&ring))
		taken += ring_take(&ring, &which, out);
	assert_int_equal(put, taken + ring.dropped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_records_come_back_in_order, reset),
		cmocka_unit_test_setup(test_the_oldest_make_room_and_are_counted, reset),
		cmocka_unit_test_setup(test_records_wrap_anywhere, reset),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
