/*
 * fuzz_schema.c - any JSON as an object of every kind: pruning, defaults, validation, rows, ownership, and CRDs.
 *
 * Links: apiserver
 */
#include "apiserver/apply.h"
#include "apiserver/schema.h"
#include "apiserver/table.h"

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

/* What was accepted stays so: pruned and with defaults, an object has no unknown fields, and defaults change nothing.
 */
static void check_stable(struct arena *a, const struct kind *k, struct json *obj)
{
	struct json *again = json_clone(a, obj), *unknown = json_array(a);

	schema_prune(a, k, again, unknown);
	schema_default(a, k, again);
	if (json_count(unknown) || !json_equal(again, obj))
		abort();
}

/* Applying twice changes nothing the second time. */
static void check_apply(struct arena *a, const struct kind *k, const struct json *obj)
{
	struct apply_request r = {k, "fuzz", "", true, 1700000000000};
	struct json *sent = json_clone(a, obj), *first, *second, *causes;
	struct error e;

	if (json_is(json_get(sent, "metadata"), JSON_OBJECT))
		json_unset(json_get(sent, "metadata"), "managedFields");
	if (apply_merge(a, &r, NULL, sent, &first, &causes, &e) < 0)
		return;
	if (apply_merge(a, &r, first, sent, &second, &causes, &e) < 0 || !json_equal(first, second))
		abort();
}

static void try_kind(const struct kind *k, const struct json *value)
{
	_arena_ a = arena_new();
	_buf_ row = BUF_INIT(64U << 20);
	struct json *obj = json_clone(a, value), *causes = json_array(a);
	struct apply_request r = {k, "fuzz", "", false, 1700000000000};

	schema_prune(a, k, obj, json_array(a));
	schema_default(a, k, obj);
	table_row(a, k, obj, NULL, 0, TABLE_METADATA, 1700000000000, &row);
	if (schema_validate(a, k, obj, NULL, causes) > 0)
		return;
	if (schema_validate(a, k, obj, obj, causes) > 0)
		abort(); /* no change, and yet a rule about changes is broken */
	check_stable(a, k, obj);
	check_apply(a, k, obj);
	apply_update_managed(a, &r, NULL, obj);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_arena_ a = arena_new();
	struct json *value;
	struct kind *k;
	struct error e;

	if (json_parse(a, (const char *)data, size, NULL, &value, &e) < 0 || !json_is(value, JSON_OBJECT))
		return 0;
	for (size_t i = 0; i < kind_count(); i++)
		try_kind(kind_at(i), value);
	(void)kind_load(a, value, &k, &e);
	return 0;
}
