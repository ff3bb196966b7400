/*
 * fuzz_protobuf.c - whatever bytes come as a protobuf body.
 *
 * Links: apiserver
 */
#include "apiserver/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_arena_ a = arena_new();
	struct json *value, *again;
	struct error e;

	if (protobuf_decode(a, data, size, &value, &e) < 0)
		return 0;
	/* what comes out is JSON that can be read back */
	const char *text = json_to_string(a, value);

	if (json_parse(a, text, strlen(text), NULL, &again, &e) < 0 || !json_equal(value, again))
		abort();
	return 0;
}
