/*
 * kind_table.c - the kinds of this release, from the api-spec/ embedded at build time; see kind.h.
 *
 * A document without a kind of its own (standard/meta.yaml) holds shared schemas. The table is sorted by group and
 * plural, the core group first, so that discovery always answers alike.
 */
#include "apiserver/kind.h"

#include "lib/yaml.h"

#define KINDS_MAX 256

struct embedded {
	const char *name;
	const unsigned char *data;
	size_t len;
};
#include "api_spec.h"

static struct arena *table_arena;
static struct kind *table[KINDS_MAX];
static size_t table_count;
static const struct json *shared_schemas;

static int compare(const void *a, const void *b)
{
	const struct kind *x = *(struct kind *const *)a, *y = *(struct kind *const *)b;
	int by_group = strcmp(x->group, y->group);

	return by_group ? by_group : strcmp(x->plural, y->plural);
}

static int parse_files(struct json *documents, struct error *e)
{
	for (const struct embedded *f = embedded_files; f->name; f++) {
		struct json *list;

		if (yaml_parse(table_arena, (const char *)f->data, f->len, &list, e) < 0)
			return error_prefix(e, "%s", f->name);
		for (size_t i = 0; i < json_count(list); i++) {
			struct json *doc = json_item(list, i);

			if (json_str(json_get(doc, "kind")))
				json_append(table_arena, documents, doc);
			else
				shared_schemas = doc;
		}
	}
	return 0;
}

int kind_table_init(struct error *e)
{
	struct json *documents;
	int rc;

	if (table_arena)
		return 0;
	table_arena = arena_new();
	documents = json_array(table_arena);
	if ((rc = parse_files(documents, e)) < 0)
		return rc;
	for (size_t i = 0; i < json_count(documents); i++) {
		const struct json *doc = json_item(documents, i);

		if (table_count == KINDS_MAX)
			return error_set(e, E_INTERNAL, "more than %d kinds", KINDS_MAX);
		if (kind_load(table_arena, doc, &table[table_count], e) < 0)
			return error_prefix(e, "%s", json_str_or(json_in(doc, "metadata", "name"), "?"));
		table_count++;
	}
	qsort(table, table_count, sizeof(*table), compare);
	for (size_t i = 0; i < table_count; i++)
		table[i]->index = (unsigned)i;
	return 0;
}

size_t kind_count(void)
{
	return table_count;
}

const struct kind *kind_at(size_t index)
{
	return index < table_count ? table[index] : NULL;
}

const struct kind *kind_find(const char *group, const char *version, const char *plural)
{
	for (size_t i = 0; i < table_count; i++)
		if (streq(table[i]->plural, plural) && streq(table[i]->group, group) &&
		    streq(table[i]->version, version))
			return table[i];
	return NULL;
}

const struct kind *kind_find_by_kind(const char *group, const char *version, const char *kind)
{
	for (size_t i = 0; i < table_count; i++)
		if (streq(table[i]->kind, kind) && streq(table[i]->group, group) && streq(table[i]->version, version))
			return table[i];
	return NULL;
}

bool kind_group_exists(const char *group, const char *version)
{
	for (size_t i = 0; i < table_count; i++)
		if (streq(table[i]->group, group) && (!version || streq(table[i]->version, version)))
			return true;
	return false;
}

const struct json *kind_shared_schemas(void)
{
	return shared_schemas;
}
