/*
 * fuzz_selector.c - any text as a label selector, a field selector, a JSONPath and an Accept header.
 *
 * Links: apiserver
 */
#include "apiserver/accept.h"
#include "apiserver/jsonpath.h"
#include "apiserver/selector.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct error e;

	(void)argc;
	(void)argv;
	if (kind_table_init(&e) < 0)
		abort();
	return 0;
}

static const char *look_up(const void *user, const char *key)
{
	return (strlen(key) + *(const size_t *)user) % 3 ? key : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const offers[] = {"application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"};
	_arena_ a = arena_new();
	const char *text = arena_strndup(a, (const char *)data, size);
	const struct jsonpath *path;
	struct selector *s;
	struct json *doc;
	struct error e;

	if (selector_parse_labels(a, text, &s, &e) == 0) {
		(void)selector_matches(s, look_up, &size);
		(void)selector_requires(s, "a");
	}
	for (size_t i = 0; i < kind_count(); i++)
		if (selector_parse_fields(a, kind_at(i), text, &s, &e) == 0)
			(void)selector_matches(s, look_up, &size);
	if (jsonpath_compile(a, text, &path, &e) == 0 &&
	    json_parse(a, "{\"a\":[1,{\"b\":\"c\"},[2]],\"b\":{\"a\":true}}", 38, NULL, &doc, &e) == 0)
		(void)jsonpath_first(path, doc);
	(void)accept_choose(text, offers, ARRAY_SIZE(offers), 0);
	return 0;
}
