/*
 * text_fixture.c - see text_fixture.h.
 */
#include "test/unit/apiserver/text_fixture.h"

struct arena *text_arena;

int text_setup(void **state)
{
	struct error e = {0};

	(void)state;
	text_arena = arena_new();
	if (kind_table_init(&e) < 0)
		print_error("kind_table_init: %s\n", e.text);
	return e.code;
}

int text_teardown(void **state)
{
	(void)state;
	arena_free(text_arena);
	text_arena = NULL;
	return 0;
}

static char *swapped(const char *text, char from, char to)
{
	char *copy = arena_strdup(text_arena, text);

	for (char *p = copy; *p; p++)
		if (*p == from)
			*p = to;
	return copy;
}

struct json *text_json(const char *text)
{
	struct json *v = NULL;
	struct error e = {0};

	if (json_parse(text_arena, swapped(text, '\'', '"'), strlen(text), NULL, &v, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return v;
}

const char *text_of(const struct json *v)
{
	char *text = v ? swapped(json_to_string(text_arena, v), '"', '\'') : NULL, *to = text;

	for (const char *p = text; p && *p; p++)
		if (!(p[0] == '\\' && p[1] == '\''))
			*to++ = *p;
	if (to)
		*to = '\0';
	return text ? text : "(nothing)";
}

void text_assert(const char *what, const struct json *v, const char *text)
{
	const char *have = text_of(v);

	if (strcmp(have, text) != 0)
		fail_msg("%s:\n have %s\n want %s", what, have, text);
}

const struct kind *text_kind(const char *plural)
{
	for (size_t i = 0; i < kind_count(); i++)
		if (streq(kind_at(i)->plural, plural))
			return kind_at(i);
	fail_msg("no kind %s", plural);
	return NULL;
}

const struct kind *text_kind_of(const char *schema)
{
	struct json *crd = text_json("{'spec':{'group':'example.com','scope':'Namespaced','names':{'kind':'Thing',"
				     "'plural':'things'},'versions':[{'name':'v1','served':true,'schema':{}}]}}");
	struct json *version = json_item(json_in(crd, "spec", "versions"), 0);
	struct error e = {0};
	struct kind *k = NULL;

	json_set(text_arena, json_get(version, "schema"), "openAPIV3Schema", text_json(schema));
	if (kind_load(text_arena, crd, &k, &e) < 0)
		fail_msg("%s: %s", schema, e.text);
	return k;
}
