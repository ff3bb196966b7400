/*
 * fuzz_yaml.c - any document yaml_parse() takes must be JSON, and must be written as YAML that reads back the same.
 *
 * Links: lib
 */
#include "lib/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_document(struct arena *a, const struct json *v)
{
	_buf_ yaml = BUF_INIT(YAML_MAX_BYTES), json = BUF_INIT(64U << 20), back = BUF_INIT(64U << 20);
	struct json_options large = {.max_bytes = 64U << 20};
	struct json *again;

	json_write(v, JSON_COMPACT, &json);
	check(!json.over);
	check(json_parse(a, json.data, json.len, &large, &again, NULL) == 0);
	check(json_equal(v, again));
	yaml_write(v, &yaml);
	if (yaml.over) /* blocks and escapes may make it longer than it came */
		return;
	check(yaml_parse(a, yaml.data, yaml.len, &again, NULL) == 0);
	check(json_count(again) == 1);
	json_write(json_item(again, 0), JSON_COMPACT, &back);
	check(back.len == json.len && memcmp(back.data, json.data, json.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_arena_ a = arena_new();
	struct json *documents = NULL;
	struct error e = {0};
	int r = yaml_parse(a, (const char *)data, size, &documents, &e);

	check((r == 0) == (documents != NULL));
	check(r == 0 || (e.code == -r && e.text[0]));
	for (size_t i = 0; i < json_count(documents); i++)
		check_document(a, json_item(documents, i));
	return 0;
}
