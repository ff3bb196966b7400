/*
 * fuzz_json.c - anything json_parse() takes must be written as JSON that reads back the same, and be cloned the same.
 *
 * Links: lib
 */
#include "lib/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* What is written is read again, is equal, and is written as the same text. */
static void check_round_trip(struct arena *a, const struct json *v, enum json_style style)
{
	_buf_ first = BUF_INIT(64U << 20), second = BUF_INIT(64U << 20);
	struct json_options large = {.max_bytes = 64U << 20};
	struct json *again;

	json_write(v, style, &first);
	check(!first.over);
	check(json_parse(a, first.data, first.len, &large, &again, NULL) == 0);
	check(json_equal(v, again) && json_equal(again, v));
	json_write(again, style, &second);
	check(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_arena_ a = arena_new();
	struct json_options opt = {.duplicates = json_array(a)};
	struct json *v = NULL, *strict = NULL;
	struct error e = {0};
	int r = json_parse(a, (const char *)data, size, &opt, &v, &e);

	check((r == 0) == (v != NULL));
	check(r == 0 || (e.code == -r && e.text[0]));
	/* Strict parsing differs by duplicate keys alone. */
	int s = json_parse(a, (const char *)data, size, NULL, &strict, &e);

	check((s == 0) == (r == 0 && json_count(opt.duplicates) == 0));
	if (r)
		return 0;
	check_round_trip(a, v, JSON_COMPACT);
	check_round_trip(a, v, JSON_PRETTY);
	check(json_equal(v, json_clone(a, v)));
	return 0;
}
