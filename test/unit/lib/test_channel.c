/*
 * test_channel.c - frames and fields of the guest channel: round trips, every limit from both sides, every
 * malformation.
 */
#include "lib/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base.h"

static uint8_t out[CHANNEL_FRAME_MAX];
static struct channel_reader reader;

static void feed(const void *data, size_t len)
{
	size_t room;
	uint8_t *space = channel_reader_space(&reader, &room);

	assert_true(len <= room);
	memcpy(space, data, len);
	channel_reader_added(&reader, len);
}

static void feed_u32(uint32_t v)
{
	const uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};

	feed(bytes, 4);
}

static int reset(void **state)
{
	(void)state;
	memset(&reader, 0, sizeof(reader));
	return 0;
}

static void test_layout_is_little_endian(void **state)
{
	static const uint8_t want[] = {
		0x13, 0, 0, 0, CHANNEL_SIGNAL, 0x04, 0x03, 0x02, 0x01, CHANNEL_KEY_SIGNAL, 0, 8, 0, 0, 0, 15, 0, 0, 0,
		0,    0, 0, 0};
	struct channel_writer w;

	(void)state;
	channel_begin(&w, out, CHANNEL_SIGNAL, 0x01020304);
	channel_put_u64(&w, CHANNEL_KEY_SIGNAL, 15);
	assert_int_equal(channel_end(&w), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
}

static void test_fields_come_back(void **state)
{
	struct channel_writer w;
	struct channel_frame f;
	struct channel_field field;
	size_t offset = 0, len;
	uint64_t number;
	char text[16];
	bool bad;

	(void)state;
	channel_begin(&w, out, CHANNEL_EXEC, UINT32_MAX);
	channel_put_str(&w, CHANNEL_KEY_ARG, "ls");
	channel_put_str(&w, CHANNEL_KEY_ARG, "");
	channel_put(&w, 999, "later", 5);
	channel_put_u64(&w, CHANNEL_KEY_ROWS, UINT64_MAX);
	len = channel_end(&w);
	feed(out, len);
	assert_int_equal(channel_reader_next(&reader, &f), 1);
	assert_int_equal(f.type, CHANNEL_EXEC);
	assert_int_equal(f.stream, UINT32_MAX);
	assert_true(channel_get_str(&f, CHANNEL_KEY_ARG, text, sizeof(text)));
	assert_string_equal(text, "ls");
	assert_true(channel_get_u64(&f, CHANNEL_KEY_ROWS, &number));
	assert_true(number == UINT64_MAX);
	assert_false(channel_get_u64(&f, CHANNEL_KEY_COLUMNS, &number));
	assert_false(channel_get_str(&f, CHANNEL_KEY_CWD, text, sizeof(text)));
	assert_true(channel_next_field(&f, &offset, &field, &bad));
	assert_true(channel_next_field(&f, &offset, &field, &bad));
	assert_int_equal(field.len, 0);
	assert_true(channel_next_field(&f, &offset, &field, &bad));
	assert_int_equal(field.key, 999);
	assert_true(channel_next_field(&f, &offset, &field, &bad));
	assert_false(channel_next_field(&f, &offset, &field, &bad));
	assert_false(bad);
	channel_reader_drop(&reader, &f);
	assert_int_equal(reader.len, 0);
}

static void test_bytes_may_come_one_by_one(void **state)
{
	struct channel_writer w;
	struct channel_frame f;
	size_t len;

	(void)state;
	for (int round = 0; round < 3; round++) {
		channel_begin(&w, out, CHANNEL_OUTPUT, 1);
		channel_put_raw(&w, "\1hello", 6);
		len = channel_end(&w);
		for (size_t i = 0; i < len; i++) {
			assert_int_equal(channel_reader_next(&reader, &f), 0);
			feed(out + i, 1);
		}
		assert_int_equal(channel_reader_next(&reader, &f), 1);
		assert_int_equal(f.payload_len, 6);
		assert_memory_equal(f.payload, "\1hello", 6);
		channel_reader_drop(&reader, &f);
	}
}

static void test_frames_may_come_together(void **state)
{
	struct channel_writer w;
	struct channel_frame f;

	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		channel_begin(&w, out, CHANNEL_READY, i);
		feed(out, channel_end(&w));
	}
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(channel_reader_next(&reader, &f), 1);
		assert_int_equal(f.stream, i);
		assert_int_equal(f.payload_len, 0);
		channel_reader_drop(&reader, &f);
	}
	assert_int_equal(channel_reader_next(&reader, &f), 0);
}

static void test_longest_frame_fits_and_no_longer(void **state)
{
	static uint8_t data[CHANNEL_PAYLOAD_MAX + 1];
	struct channel_writer w;
	struct channel_frame f;
	size_t room;

	(void)state;
	channel_begin(&w, out, CHANNEL_INPUT, 2);
	channel_put_raw(&w, data, CHANNEL_PAYLOAD_MAX);
	assert_int_equal(channel_end(&w), CHANNEL_FRAME_MAX);
	feed(out, CHANNEL_FRAME_MAX);
	(void)channel_reader_space(&reader, &room);
	assert_int_equal(room, 0);
	assert_int_equal(channel_reader_next(&reader, &f), 1);
	assert_int_equal(f.payload_len, CHANNEL_PAYLOAD_MAX);
	channel_reader_drop(&reader, &f);
	(void)channel_reader_space(&reader, &room);
	assert_int_equal(room, CHANNEL_FRAME_MAX);

	channel_begin(&w, out, CHANNEL_INPUT, 2);
	channel_put_raw(&w, data, CHANNEL_PAYLOAD_MAX + 1);
	assert_true(w.over);
	assert_int_equal(channel_end(&w), 0);
	/* Once over it stays over, even for what would fit. */
	channel_put_str(&w, CHANNEL_KEY_TEXT, "");
	assert_int_equal(channel_end(&w), 0);
}

static void test_field_header_counts_against_the_limit(void **state)
{
	static uint8_t data[CHANNEL_PAYLOAD_MAX];
	struct channel_writer w;

	(void)state;
	channel_begin(&w, out, CHANNEL_ERROR, 0);
	channel_put(&w, CHANNEL_KEY_TEXT, data, CHANNEL_PAYLOAD_MAX - 6);
	assert_int_equal(channel_end(&w), CHANNEL_FRAME_MAX);
	channel_begin(&w, out, CHANNEL_ERROR, 0);
	channel_put(&w, CHANNEL_KEY_TEXT, data, CHANNEL_PAYLOAD_MAX - 5);
	assert_int_equal(channel_end(&w), 0);
	channel_begin(&w, out, CHANNEL_ERROR, 0);
	channel_put(&w, CHANNEL_KEY_TEXT, data, SIZE_MAX);
	assert_int_equal(channel_end(&w), 0);
	channel_begin(&w, out, CHANNEL_ERROR, 0);
	channel_put(&w, CHANNEL_KEY_TEXT, data, SIZE_MAX - 3);
	assert_int_equal(channel_end(&w), 0);
}

static void test_bad_lengths_break_for_good(void **state)
{
	static const uint32_t lengths[] = {0, 1, 4, CHANNEL_FRAME_MAX - 3, CHANNEL_FRAME_MAX, 0x7fffffff, UINT32_MAX};
	struct channel_frame f;
	struct channel_writer w;
	size_t room;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		memset(&reader, 0, sizeof(reader));
		feed_u32(lengths[i]);
		assert_int_equal(channel_reader_next(&reader, &f), -1);
		assert_true(reader.broken);
		(void)channel_reader_space(&reader, &room);
		assert_int_equal(room, 0);
		assert_int_equal(channel_reader_next(&reader, &f), -1);
	}
	/* The limits themselves are fine. */
	memset(&reader, 0, sizeof(reader));
	feed_u32(CHANNEL_FRAME_MAX - 4);
	assert_int_equal(channel_reader_next(&reader, &f), 0);
	memset(&reader, 0, sizeof(reader));
	channel_begin(&w, out, CHANNEL_ATTACH, 0);
	assert_int_equal(channel_end(&w), 9);
	feed(out, 9);
	assert_int_equal(channel_reader_next(&reader, &f), 1);
}

static void test_misuse_breaks_the_reader(void **state)
{
	struct channel_frame f = {.payload_len = 1};

	(void)state;
	channel_reader_added(&reader, CHANNEL_FRAME_MAX + 1);
	assert_true(reader.broken);
	memset(&reader, 0, sizeof(reader));
	channel_reader_drop(&reader, &f);
	assert_true(reader.broken);
}

static bool walk(const uint8_t *payload, size_t len, size_t *ret_count)
{
	struct channel_frame f = {CHANNEL_EXEC, 2, payload, len};
	struct channel_field field;
	size_t offset = 0;
	bool bad;

	*ret_count = 0;
	while (channel_next_field(&f, &offset, &field, &bad)) {
		assert_true(field.data >= payload && field.len <= len && field.data + field.len <= payload + len);
		(*ret_count)++;
	}
	return bad;
}

static void test_malformed_fields_are_noticed(void **state)
{
	uint8_t payload[32] = {0};
	struct channel_frame f = {CHANNEL_EXEC, 2, payload, 8};
	struct channel_field field;
	size_t count, offset = 9;
	bool bad;

	(void)state;
	assert_false(walk(payload, 0, &count));
	for (size_t cut = 1; cut < 6; cut++)
		assert_true(walk(payload, cut, &count));
	assert_false(walk(payload, 6, &count));
	assert_int_equal(count, 1);
	payload[2] = 2;
	assert_false(walk(payload, 8, &count));
	payload[2] = 3;
	assert_true(walk(payload, 8, &count));
	assert_int_equal(count, 0);
	memset(payload + 2, 0xff, 4);
	assert_true(walk(payload, 8, &count));
	assert_false(channel_next_field(&f, &offset, &field, &bad));
	assert_true(bad);
}

static void test_numbers_and_texts_are_strict(void **state)
{
	struct channel_writer w;
	struct channel_frame f;
	uint64_t number = 7;
	char text[4] = "xyz";

	(void)state;
	channel_begin(&w, out, CHANNEL_EXEC, 2);
	channel_put(&w, CHANNEL_KEY_ROWS, "1234567", 7);
	channel_put(&w, CHANNEL_KEY_COLUMNS, "123456789", 9);
	channel_put(&w, CHANNEL_KEY_CWD, "a\0b", 3);
	channel_put_str(&w, CHANNEL_KEY_USER, "four");
	channel_put_str(&w, CHANNEL_KEY_TEXT, "abc");
	feed(out, channel_end(&w));
	assert_int_equal(channel_reader_next(&reader, &f), 1);
	assert_false(channel_get_u64(&f, CHANNEL_KEY_ROWS, &number));
	assert_false(channel_get_u64(&f, CHANNEL_KEY_COLUMNS, &number));
	assert_true(number == 7);
	assert_false(channel_get_str(&f, CHANNEL_KEY_CWD, text, sizeof(text)));
	assert_false(channel_get_str(&f, CHANNEL_KEY_USER, text, sizeof(text)));
	assert_string_equal(text, "xyz");
	assert_true(channel_get_str(&f, CHANNEL_KEY_TEXT, text, sizeof(text)));
	assert_string_equal(text, "abc");
}

static void test_a_field_after_a_malformed_one_is_not_found(void **state)
{
	const uint8_t payload[] = {
		CHANNEL_KEY_ARG, 0, 200, 0, 0, 0, CHANNEL_KEY_ROWS, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
	struct channel_frame f = {CHANNEL_EXEC, 2, payload, sizeof(payload)};
	uint64_t number;

	(void)state;
	assert_false(channel_get_u64(&f, CHANNEL_KEY_ROWS, &number));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_layout_is_little_endian, reset),
		cmocka_unit_test_setup(test_fields_come_back, reset),
		cmocka_unit_test_setup(test_bytes_may_come_one_by_one, reset),
		cmocka_unit_test_setup(test_frames_may_come_together, reset),
		cmocka_unit_test_setup(test_longest_frame_fits_and_no_longer, reset),
		cmocka_unit_test_setup(test_field_header_counts_against_the_limit, reset),
		cmocka_unit_test_setup(test_bad_lengths_break_for_good, reset),
		cmocka_unit_test_setup(test_misuse_breaks_the_reader, reset),
		cmocka_unit_test_setup(test_malformed_fields_are_noticed, reset),
		cmocka_unit_test_setup(test_numbers_and_texts_are_strict, reset),
		cmocka_unit_test_setup(test_a_field_after_a_malformed_one_is_not_found, reset),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
