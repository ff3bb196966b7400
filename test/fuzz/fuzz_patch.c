/*
 * fuzz_patch.c - a document and a patch, separated by a line break, through all four kinds of patch.
 *
 * Links: apiserver
 */
#include "apiserver/apply.h"
#include "apiserver/patch.h"

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

static void try_apply(struct arena *a, const struct kind *k, const struct json *live, const struct json *applied)
{
	struct apply_request r = {k, "fuzz", "", false, 1700000000000};
	struct json *ret, *causes = NULL;
	struct error e;

	if (!json_is(live, JSON_OBJECT) || !json_is(applied, JSON_OBJECT))
		return;
	if (apply_merge(a, &r, live, applied, &ret, &causes, &e) < 0) {
		if (e.code == E_CONFLICT && json_count(causes) == 0)
			abort();
		r.force = true;
		if (e.code == E_CONFLICT && apply_merge(a, &r, live, applied, &ret, &causes, &e) < 0)
			abort(); /* force leaves no conflict */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = memchr(data, '\n', size);
	_arena_ a = arena_new();
	struct json *doc, *patch, *before, *ret;
	struct error e;

	if (!line || json_parse(a, (const char *)data, (size_t)(line - data), NULL, &doc, &e) < 0 ||
	    json_parse(a, (const char *)line + 1, size - (size_t)(line - data) - 1, NULL, &patch, &e) < 0)
		return 0;
	before = json_clone(a, doc);
	if (patch_json(a, doc, patch, &ret, &e) == 0)
		(void)json_to_string(a, ret);
	if (patch_merge(a, doc, patch, &ret, &e) == 0)
		(void)json_to_string(a, ret);
	for (size_t i = 0; i < kind_count(); i++) {
		if (patch_strategic(a, kind_at(i), doc, patch, &ret, &e) == 0)
			(void)json_to_string(a, ret);
		try_apply(a, kind_at(i), doc, patch);
	}
	if (!json_equal(doc, before))
		abort(); /* the document itself was changed */
	return 0;
}
