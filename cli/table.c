/*
 * table.c - collecting cells and printing them aligned; see table.h.
 */
#include "cli/table.h"

#include <ctype.h>
#include <stdio.h>

void table_init(struct table *t, struct arena *a, const char *const *headers)
{
	*t = (struct table){.arena = a};
	while (headers[t->columns])
		t->columns++;
	table_row(t, headers);
}

void table_row(struct table *t, const char *const *cells)
{
	if (t->rows == t->room) {
		size_t room = t->room ? t->room * 2 : 16;
		const char **bigger = arena_alloc(t->arena, room * t->columns * sizeof(*bigger));

		if (t->rows)
			memcpy(bigger, t->cells, t->rows * t->columns * sizeof(*bigger));
		t->cells = bigger;
		t->room = room;
	}
	for (size_t i = 0; i < t->columns; i++)
		t->cells[t->rows * t->columns + i] = cells[i] ? arena_strdup(t->arena, cells[i]) : "-";
	t->rows++;
}

/* Columns a terminal needs for UTF-8 text: one per code point. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* Objects hold what users chose: nothing of it may steer the terminal. */
static void print_cell(const char *s)
{
	for (; *s; s++)
		putchar(iscntrl((unsigned char)*s) ? '?' : *s);
}

void table_print(const struct table *t, bool colour, bool with_header)
{
	size_t *widths = arena_calloc(t->arena, (t->columns + 1) * sizeof(*widths));

	for (size_t i = with_header ? 0 : t->columns; i < t->rows * t->columns; i++)
		if (width(t->cells[i]) > widths[i % t->columns])
			widths[i % t->columns] = width(t->cells[i]);
	for (size_t row = with_header ? 0 : 1; row < t->rows; row++) {
		if (colour && !row)
			fputs("\033[1m", stdout);
		for (size_t i = 0; i < t->columns; i++) {
			const char *cell = t->cells[row * t->columns + i];

			print_cell(cell);
			if (i + 1 < t->columns)
				printf("%*s", (int)(widths[i] - width(cell) + 3), "");
		}
		fputs(colour && !row ? "\033[0m\n" : "\n", stdout);
	}
}

static const char *cell_text(struct arena *a, const struct json *v)
{
	if (!v || json_is(v, JSON_NULL))
		return "";
	return json_str(v) ? json_str(v) : json_to_string(a, v);
}

struct table *table_of_server(struct arena *a, const struct json *object, bool wide, bool with_namespace)
{
	const struct json *defs = json_get(object, "columnDefinitions"), *rows = json_get(object, "rows");
	const char **line = arena_calloc(a, (json_count(defs) + 2) * sizeof(*line));
	size_t *shown = arena_calloc(a, (json_count(defs) + 1) * sizeof(*shown)), count = 0, n;
	struct table *t = arena_calloc(a, sizeof(*t));

	for (size_t i = 0; i < json_count(defs); i++)
		if (wide || json_int_or(json_get(json_item(defs, i), "priority"), 0) == 0)
			shown[count++] = i;
	n = 0;
	if (with_namespace)
		line[n++] = "NAMESPACE";
	for (size_t i = 0; i < count; i++) {
		char *name = arena_strdup(a, json_str_or(json_get(json_item(defs, shown[i]), "name"), ""));

		for (char *p = name; *p; p++)
			*p = (char)toupper((unsigned char)*p);
		line[n++] = name;
	}
	line[n] = NULL;
	table_init(t, a, line);
	for (size_t r = 0; r < json_count(rows); r++) {
		const struct json *row = json_item(rows, r), *cells = json_get(row, "cells");

		n = 0;
		if (with_namespace)
			line[n++] = json_str_or(json_in(row, "object", "metadata", "namespace"), "");
		for (size_t i = 0; i < count; i++)
			line[n++] = cell_text(a, json_item(cells, shown[i]));
		table_row(t, line);
	}
	return t;
}
