/*
 * yaml.c - YAML in and out; see yaml.h. The only file that knows libyaml.
 *
 * Parsing walks libyaml's events with an explicit stack. Anchored nodes are remembered as finished trees and cloned for
 * each alias under a budget of nodes and depth, so that nested aliases cannot blow up; an alias inside its own anchor
 * is refused because that anchor is not finished yet.
 */
#include "lib/yaml.h"

#include "lib/strmap.h"
#include "lib/yaml_private.h"

#include <stdio.h>
#include <yaml.h>

#define ALIAS_NODES_MAX 10000U
/* libyaml compares each %TAG directive with all before it; what Berth reads has none. */
#define TAG_DIRECTIVES_MAX 8U

struct frame {
	struct json *container;
	const char *key;    /* pending key of a mapping */
	const char *anchor; /* of the container itself */
	bool merges;	    /* a mapping with the merge key "<<" */
};

struct loader {
	struct arena *arena;
	const char *text;
	size_t len;
	yaml_parser_t parser;
	struct frame stack[JSON_MAX_DEPTH + 1]; /* stack[depth] is the innermost, from 1 on */
	unsigned depth;
	struct json *documents;
	struct strmap *anchors;
	size_t alias_nodes;
	struct error *e;
};

static int fail(const struct loader *l, const yaml_mark_t *at, const char *what, const char *arg)
{
	return error_set(l->e, E_BAD_REQUEST, "invalid YAML at line %zu, column %zu: %s%s", at->line + 1,
			 at->column + 1, what, arg);
}

/* ---- values to their places ---- */

static int place_key(struct loader *l, struct frame *f, const struct json *v, const yaml_mark_t *at)
{
	const char *key = json_str(v);

	if (!key)
		return fail(l, at, "a key must be a string", "");
	if (strlen(key) != json_strlen(v))
		return fail(l, at, "a key with a NUL character", "");
	if (json_get(f->container, key))
		return fail(l, at, "duplicate key ", key);
	f->key = key;
	return 0;
}

/* Puts a finished or just opened value where it belongs. */
static int place(struct loader *l, struct json *v, const yaml_mark_t *at)
{
	struct frame *f = &l->stack[l->depth];

	if (!l->depth) {
		/* A document that is empty, or only a comment, is none. */
		if (!json_is(v, JSON_NULL))
			json_append(l->arena, l->documents, v);
		return 0;
	}
	if (json_is(f->container, JSON_ARRAY)) {
		json_append(l->arena, f->container, v);
		return 0;
	}
	if (!f->key)
		return place_key(l, f, v, at);
	json_set(l->arena, f->container, f->key, v);
	f->key = NULL;
	return 0;
}

static bool wants_key(const struct loader *l)
{
	return l->depth && json_is(l->stack[l->depth].container, JSON_OBJECT) && !l->stack[l->depth].key;
}

static void remember(struct loader *l, const char *anchor, struct json *v)
{
	if (anchor)
		strmap_put(l->anchors, anchor, v);
}

/* ---- merge keys: "<<: *defaults". Source: YAML 1.1 type merge ---- */

static bool merge_from(struct loader *l, struct json *into, const struct json *from)
{
	if (!json_is(from, JSON_OBJECT))
		return false;
	for (size_t i = 0; i < json_count(from); i++)
		if (!json_get(into, json_key(from, i)))
			json_set(l->arena, into, json_key(from, i), json_item(from, i));
	return true;
}

static int merge(struct loader *l, struct json *map, const yaml_mark_t *at)
{
	const struct json *from = json_get(map, "<<");
	bool ok = true;

	json_unset(map, "<<");
	if (!json_is(from, JSON_ARRAY))
		ok = merge_from(l, map, from);
	for (size_t i = 0; ok && json_is(from, JSON_ARRAY) && i < json_count(from); i++)
		ok = merge_from(l, map, json_item(from, i));
	return ok ? 0 : fail(l, at, "<< takes a mapping or a sequence of mappings", "");
}

/* ---- events ---- */

/* The value of a scalar under its tag, or NULL. */
static struct json *tagged(struct arena *a, const char *tag, const char *s, size_t len)
{
	static const struct {
		const char *tag;
		enum json_type type, or_type;
	} tags[] = {
		{YAML_NULL_TAG, JSON_NULL, JSON_NULL},
		{YAML_BOOL_TAG, JSON_BOOL, JSON_BOOL},
		{YAML_INT_TAG, JSON_INT, JSON_INT},
		{YAML_FLOAT_TAG, JSON_REAL, JSON_INT},
	};

	if (streq(tag, YAML_STR_TAG) || streq(tag, "!"))
		return json_stringn(a, s, len);
	struct json *v = yaml_plain_value(a, s, len);

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		if (streq(tag, tags[i].tag) && (json_is(v, tags[i].type) || json_is(v, tags[i].or_type)))
			return v;
	return NULL;
}

static int on_scalar(struct loader *l, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value, *tag = (const char *)ev->data.scalar.tag;
	const char *anchor = (const char *)ev->data.scalar.anchor;
	size_t len = ev->data.scalar.length;
	bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !tag;
	struct json *v;

	if (wants_key(l)) {
		/* A key is text, whatever it looks like. */
		l->stack[l->depth].merges |= plain && streq(s, "<<");
		v = json_stringn(l->arena, s, len);
	} else if (tag) {
		v = tagged(l->arena, tag, s, len);
		if (!v)
			return fail(l, &ev->start_mark, "unknown tag, or a value that does not fit its tag: ", tag);
	} else if (plain) {
		v = yaml_plain_value(l->arena, s, len);
		if (!v)
			return fail(l, &ev->start_mark, "JSON has no such number: ", s);
	} else {
		v = json_stringn(l->arena, s, len);
	}
	remember(l, anchor, v);
	return place(l, v, &ev->start_mark);
}

static int on_open(struct loader *l, const yaml_event_t *ev, struct json *v, const yaml_char_t *tag,
		   const yaml_char_t *anchor)
{
	const char *known = json_is(v, JSON_ARRAY) ? YAML_SEQ_TAG : YAML_MAP_TAG;
	int r;

	if (l->depth == JSON_MAX_DEPTH)
		return fail(l, &ev->start_mark, "nested too deep", "");
	if (tag && !streq((const char *)tag, known) && !streq((const char *)tag, "!"))
		return fail(l, &ev->start_mark, "unknown tag: ", (const char *)tag);
	r = place(l, v, &ev->start_mark);
	if (r)
		return r;
	l->stack[++l->depth] = (struct frame){.container = v,
					      .anchor = anchor ? arena_strdup(l->arena, (const char *)anchor) : NULL};
	return 0;
}

static int on_close(struct loader *l, const yaml_event_t *ev)
{
	struct frame *f = &l->stack[l->depth--];
	int r = f->merges ? merge(l, f->container, &ev->start_mark) : 0;

	remember(l, f->anchor, f->container);
	return r;
}

static void measure(const struct json *v, unsigned depth, size_t *nodes, unsigned *deepest)
{
	if (json_count(v))
		depth++;
	if (depth > *deepest)
		*deepest = depth;
	++*nodes;
	for (size_t i = 0; i < json_count(v); i++)
		measure(json_item(v, i), depth, nodes, deepest);
}

static int on_alias(struct loader *l, const yaml_event_t *ev)
{
	const char *name = (const char *)ev->data.alias.anchor;
	const struct json *v = strmap_get(l->anchors, name);
	unsigned deepest = 0;

	if (!v)
		return fail(l, &ev->start_mark, "unknown alias *", name);
	measure(v, l->depth, &l->alias_nodes, &deepest);
	if (l->alias_nodes > ALIAS_NODES_MAX)
		return fail(l, &ev->start_mark, "aliases expand to too many nodes", "");
	if (deepest > JSON_MAX_DEPTH)
		return fail(l, &ev->start_mark, "nested too deep", "");
	return place(l, json_clone(l->arena, v), &ev->start_mark);
}

static int on_event(struct loader *l, const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(l, ev);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(l, ev, json_array(l->arena), ev->data.sequence_start.tag,
			       ev->data.sequence_start.anchor);
	case YAML_MAPPING_START_EVENT:
		return on_open(l, ev, json_object(l->arena), ev->data.mapping_start.tag, ev->data.mapping_start.anchor);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(l, ev);
	case YAML_ALIAS_EVENT:
		return on_alias(l, ev);
	case YAML_DOCUMENT_START_EVENT:
		if (strmap_count(l->anchors)) {
			strmap_free(l->anchors);
			l->anchors = strmap_new();
		}
		return 0;
	default:
		return 0;
	}
}

/* Of a fault in the encoding libyaml gives the offset, of any other the place. */
static int syntax_error(const struct loader *l)
{
	yaml_mark_t at = l->parser.problem_mark;

	if (l->parser.error == YAML_READER_ERROR) {
		at = (yaml_mark_t){0};
		for (size_t i = 0; i < l->parser.problem_offset && i < l->len; i++) {
			at.column = l->text[i] == '\n' ? 0 : at.column + ((l->text[i] & 0xc0) != 0x80);
			at.line += l->text[i] == '\n';
		}
	}
	return fail(l, &at, l->parser.problem ? l->parser.problem : "unreadable", "");
}

static int load(struct loader *l)
{
	for (;;) {
		yaml_event_t ev;
		int r;

		if (!yaml_parser_parse(&l->parser, &ev))
			return syntax_error(l);
		yaml_event_type_t type = ev.type;

		r = on_event(l, &ev);
		yaml_event_delete(&ev);
		if (r || type == YAML_STREAM_END_EVENT)
			return r;
	}
}

static bool has_many_tag_directives(const char *text, size_t len)
{
	const char *end = text + len, *p = text;
	unsigned n = 0;

	while ((p = memchr(p, '%', (size_t)(end - p)))) {
		if ((p == text || p[-1] == '\n' || p[-1] == '\r') && end - p > 4 && memcmp(p, "%TAG", 4) == 0)
			n++;
		p++;
	}
	return n > TAG_DIRECTIVES_MAX;
}

int yaml_parse(struct arena *a, const char *text, size_t len, struct json **ret, struct error *e)
{
	struct loader l = {.arena = a, .text = text, .len = len, .e = e, .documents = json_array(a)};
	int r;

	if (len > YAML_MAX_BYTES)
		return error_set(e, E_TOO_LARGE, "%zu bytes of YAML exceed the limit of %u", len, YAML_MAX_BYTES);
	if (has_many_tag_directives(text, len))
		return error_set(e, E_BAD_REQUEST, "invalid YAML: more than %u %%TAG directives", TAG_DIRECTIVES_MAX);
	if (!yaml_parser_initialize(&l.parser))
		abort();
	yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, len);
	l.anchors = strmap_new();
	r = load(&l);
	strmap_free(l.anchors);
	yaml_parser_delete(&l.parser);
	if (!r)
		*ret = l.documents;
	return r;
}

/* ---- writing ---- */

static int to_buf(void *user, unsigned char *data, size_t len)
{
	buf_add(user, data, len);
	return 1;
}

/* libyaml fails only when memory runs out, or on events in the wrong order. */
static void emit(yaml_emitter_t *em, yaml_event_t *ev, int made)
{
	if (!made || !yaml_emitter_emit(em, ev))
		abort();
}

static void write_scalar(yaml_emitter_t *em, const char *s, size_t len, yaml_scalar_style_t style)
{
	yaml_event_t ev;

	emit(em, &ev, yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)s, (int)len, 1, 1, style));
}

/* Several lines go into a block; libyaml itself takes quotes where plain or block style cannot hold the text. Line
 * feeds at the end beyond the first would need a block that is kept open, which libyaml closes with "...". */
static void write_string(yaml_emitter_t *em, const char *s, size_t len)
{
	bool lines = memchr(s, '\n', len), open = lines && (len == 1 || (s[len - 1] == '\n' && s[len - 2] == '\n'));

	if (open || (strlen(s) == len && !yaml_plain_is_string(s)))
		write_scalar(em, s, len, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
	else
		write_scalar(em, s, len, lines ? YAML_LITERAL_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE);
}

static void write_value(yaml_emitter_t *em, const struct json *v)
{
	_buf_ text = BUF_INIT(JSON_MAX_BYTES);
	yaml_event_t ev;

	switch (json_type(v)) {
	case JSON_ARRAY:
		emit(em, &ev, yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE));
		for (size_t i = 0; i < json_count(v); i++)
			write_value(em, json_item(v, i));
		emit(em, &ev, yaml_sequence_end_event_initialize(&ev));
		break;
	case JSON_OBJECT:
		emit(em, &ev, yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
		for (size_t i = 0; i < json_count(v); i++) {
			write_string(em, json_key(v, i), strlen(json_key(v, i)));
			write_value(em, json_item(v, i));
		}
		emit(em, &ev, yaml_mapping_end_event_initialize(&ev));
		break;
	case JSON_STRING:
		write_string(em, json_str(v), json_strlen(v));
		break;
	default:
		json_write(v, JSON_COMPACT, &text);
		write_scalar(em, text.data, text.len, YAML_PLAIN_SCALAR_STYLE);
	}
}

void yaml_write(const struct json *v, struct buf *out)
{
	yaml_emitter_t em;
	yaml_event_t ev;

	if (!yaml_emitter_initialize(&em))
		abort();
	yaml_emitter_set_output(&em, to_buf, out);
	yaml_emitter_set_unicode(&em, 1);
	yaml_emitter_set_width(&em, -1);
	emit(&em, &ev, yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING));
	emit(&em, &ev, yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1));
	write_value(&em, v);
	emit(&em, &ev, yaml_document_end_event_initialize(&ev, 1));
	emit(&em, &ev, yaml_stream_end_event_initialize(&ev));
	yaml_emitter_delete(&em);
}
