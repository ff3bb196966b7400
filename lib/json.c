/*
 * json.c - JSON's text: parsing through yajl's callbacks, writing through its generator; see json.h.
 *
 * yajl takes more than RFC 8259 allows and changes some of what it takes (it replaces unpaired surrogates, its UTF-8
 * check is lax), so the text is checked for both before yajl sees it. Values collect on a stack of slots; when an array
 * or object ends, its slots move into the arena at their exact size. Nothing recurses while parsing.
 */
#include "lib/codec.h"
#include "lib/json_private.h"
#include "lib/strmap.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>

#define PATH_MAX_BYTES 256U
#define DUPLICATES_MAX 100U
#define SLOTS_INLINE 128U
#define NUMBER_MAX_BYTES 512U /* the longest double written out has 309 digits */

/* A finished value that waits for the end of its array or object. */
struct slot {
	const char *key; /* NULL in an array */
	struct json *value;
	uint32_t key_len;
	uint32_t key_at; /* offset of the key in the text */
};

struct frame {
	uint32_t first;	 /* its first slot */
	const char *key; /* the key whose value comes next */
	uint32_t key_len, key_at;
};

struct parser {
	struct arena *arena;
	const struct json_options *opt;
	yajl_handle yajl;
	const char *text;
	size_t len;
	unsigned max_depth, depth; /* frames[depth] is the innermost open array or object, frames[0] the document */
	struct frame frames[JSON_MAX_DEPTH + 1];
	struct slot *slots;
	uint32_t count, capacity;
	struct slot inline_slots[SLOTS_INLINE];
	int failed; /* negative error code */
	struct error *e;
};

/* ---- errors ---- */

static int error_at(const struct parser *p, size_t at, const char *what, const char *detail)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < at && i < p->len; i++) {
		/* Columns count characters: continuation bytes of UTF-8 do not. */
		column = p->text[i] == '\n' ? 1 : column + ((p->text[i] & 0xc0) != 0x80);
		line += p->text[i] == '\n';
	}
	return error_set(p->e, E_BAD_REQUEST, "invalid JSON at line %zu, column %zu: %s%s", line, column, what, detail);
}

/* From a callback: remembers the error and stops yajl. */
static int stop(struct parser *p, const char *what, const char *detail)
{
	p->failed = error_at(p, yajl_get_bytes_consumed(p->yajl), what, detail);
	return 0;
}

static int syntax_error(const struct parser *p)
{
	unsigned char *why = yajl_get_error(p->yajl, 0, (const unsigned char *)p->text, p->len);
	size_t at = yajl_get_bytes_consumed(p->yajl);
	char *s = (char *)why;
	int r;

	s[strcspn(s, "\n")] = '\0';
	if (str_ends(s, "."))
		s[strlen(s) - 1] = '\0';
	/* What does not belong there was consumed already. */
	r = error_at(p, at ? at - 1 : 0, s, "");
	yajl_free_error(p->yajl, why);
	return r;
}

/* ---- what yajl does not check ---- */

/* Four hexadecimal digits, -1 when they are not. */
static int hex4(const char *s)
{
	static const char digits[] = "0123456789abcdef";
	int v = 0;

	for (int i = 0; i < 4; i++) {
		const char *d = memchr(digits, s[i] >= 'A' && s[i] <= 'F' ? s[i] | 0x20 : s[i], 16);

		if (!d)
			return -1;
		v = v << 4 | (int)(d - digits);
	}
	return v;
}

/* Refuses \u escapes that are half of a surrogate pair. Other faults of escapes are left to yajl. */
static int check_escapes(const struct parser *p)
{
	const char *end = p->text + p->len, *s = p->text;

	while ((s = memchr(s, '\\', (size_t)(end - s)))) {
		int unit = end - s >= 6 && s[1] == 'u' ? hex4(s + 2) : -1;

		if (unit < 0xd800 || unit > 0xdfff) {
			s += end - s >= 2 ? 2 : 1;
			continue;
		}
		int low = unit < 0xdc00 && end - s >= 12 && s[6] == '\\' && s[7] == 'u' ? hex4(s + 8) : -1;

		if (low < 0xdc00 || low > 0xdfff)
			return error_at(p, (size_t)(s - p->text), "half of a surrogate pair", "");
		s += 12;
	}
	return 0;
}

static int check_text(const struct parser *p)
{
	size_t good = utf8_prefix(p->text, p->len);

	if (good != p->len)
		return error_at(p, good, "invalid UTF-8", "");
	return check_escapes(p);
}

/* ---- duplicate keys ---- */

/* "spec.ports[1].name" for a key of the innermost object; a long path keeps its beginning. */
static void path_of(const struct parser *p, const char *key, struct buf *out)
{
	for (unsigned d = 1; d < p->depth && !out->over; d++) {
		if (p->frames[d].key)
			buf_addf(out, "%s%.*s", out->len ? "." : "", (int)PATH_MAX_BYTES, p->frames[d].key);
		else
			buf_addf(out, "[%u]", p->frames[d + 1].first - p->frames[d].first);
	}
	buf_addf(out, "%s%.*s", out->len ? "." : "", (int)PATH_MAX_BYTES, key);
	if (out->over)
		out->len = utf8_prefix(out->data, out->len);
}

static int on_duplicate(struct parser *p, const struct slot *again)
{
	_buf_ path = BUF_INIT(2 * PATH_MAX_BYTES);

	path_of(p, again->key, &path);
	const char *text = path.data ? path.data : again->key;

	if (!p->opt || !p->opt->duplicates) {
		p->failed = error_at(p, again->key_at, "duplicate key ", text);
		return 0;
	}
	if (json_count(p->opt->duplicates) < DUPLICATES_MAX)
		json_append(p->arena, p->opt->duplicates, json_string(p->arena, text));
	return 1;
}

/* The slot among [first, i) that has the key of slot i, by a linear search or with the help of a hash table. */
static struct slot *same_key(struct slot *s, uint32_t i, uint32_t *table, uint32_t mask)
{
	if (!table) {
		for (uint32_t k = 0; k < i; k++)
			if (s[k].key_len == s[i].key_len && memcmp(s[k].key, s[i].key, s[i].key_len) == 0)
				return &s[k];
		return NULL;
	}
	uint32_t at = (uint32_t)strmap_hash(s[i].key) & mask;

	for (; table[at]; at = (at + 1) & mask)
		if (strcmp(s[table[at] - 1].key, s[i].key) == 0)
			return &s[table[at] - 1];
	table[at] = i + 1;
	return NULL;
}

/* Lets the last value of each key win, in the place of the first. Returns how many slots are left, or -1. */
static int64_t merge_duplicates(struct parser *p, struct slot *s, uint32_t count)
{
	uint32_t size = count > JSON_INDEX_FROM ? json_index_size(count) : 0, left = 0;
	_free_ uint32_t *table = size ? xcalloc(size, sizeof(*table)) : NULL;

	for (uint32_t i = 0; i < count; i++) {
		if (left != i)
			s[left] = s[i];
		struct slot *before = same_key(s, left, table, size - 1);

		if (!before) {
			left++;
			continue;
		}
		if (!on_duplicate(p, &s[left]))
			return -1;
		before->value = s[left].value;
	}
	return left;
}

/* ---- yajl's callbacks ---- */

static int place(struct parser *p, struct json *v)
{
	struct frame *f = &p->frames[p->depth];

	if (p->count == p->capacity) {
		uint32_t capacity = p->capacity * 2;
		struct slot *bigger = xmalloc(capacity * sizeof(*bigger));

		memcpy(bigger, p->slots, p->count * sizeof(*bigger));
		if (p->slots != p->inline_slots)
			free(p->slots);
		p->slots = bigger;
		p->capacity = capacity;
	}
	p->slots[p->count++] = (struct slot){f->key, v, f->key_len, f->key_at};
	return 1;
}

static int on_null(void *ctx)
{
	struct parser *p = ctx;

	return place(p, json_null(p->arena));
}

static int on_bool(void *ctx, int b)
{
	struct parser *p = ctx;

	return place(p, json_bool(p->arena, b != 0));
}

/* A whole number that fits: "-0" does not, because it would come back as "0". */
static bool parse_int(const char *s, size_t len, int64_t *ret)
{
	bool minus = *s == '-';
	int64_t v = 0;

	for (size_t i = minus; i < len; i++) {
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_sub_overflow(v, s[i] - '0', &v))
			return false;
	}
	if (minus ? !v : v == INT64_MIN)
		return false;
	*ret = minus ? v : -v;
	return true;
}

struct json *json_number(struct arena *a, const char *text, size_t len)
{
	int64_t i;

	if (parse_int(text, len, &i))
		return json_int(a, i);
	if (len > NUMBER_MAX_BYTES)
		return NULL;
	char *copy = arena_strndup(a, text, len);
	double d = strtod(copy, NULL);

	return isfinite(d) ? json_number_of(a, d, copy) : NULL;
}

static int on_number(void *ctx, const char *text, size_t len)
{
	struct parser *p = ctx;
	struct json *v = json_number(p->arena, text, len);

	return v ? place(p, v) : stop(p, "a number is out of range", "");
}

static int on_string(void *ctx, const unsigned char *s, size_t len)
{
	struct parser *p = ctx;

	return place(p, json_text_of(p->arena, (const char *)s, len));
}

static int on_key(void *ctx, const unsigned char *s, size_t len)
{
	struct parser *p = ctx;
	struct frame *f = &p->frames[p->depth];
	size_t at = yajl_get_bytes_consumed(p->yajl);

	if (memchr(s, 0, len))
		return stop(p, "a key with a NUL character", "");
	f->key = arena_strndup(p->arena, (const char *)s, len);
	f->key_len = (uint32_t)len;
	f->key_at = (uint32_t)(at > len + 2 ? at - len - 2 : 0);
	return 1;
}

static int on_start(void *ctx)
{
	struct parser *p = ctx;
	char limit[16];

	snprintf(limit, sizeof(limit), "%u", p->max_depth);
	if (p->depth == p->max_depth)
		return stop(p, "nested deeper than ", limit);
	p->frames[++p->depth] = (struct frame){.first = p->count};
	return 1;
}

static int on_end_object(void *ctx)
{
	struct parser *p = ctx;
	uint32_t first = p->frames[p->depth].first;
	struct slot *s = p->slots + first;
	int64_t count = merge_duplicates(p, s, p->count - first);

	if (count < 0)
		return 0;
	struct json_member *members = arena_alloc(p->arena, (size_t)count * sizeof(*members));

	for (int64_t i = 0; i < count; i++)
		members[i] = (struct json_member){s[i].key, s[i].value};
	p->count = first;
	p->depth--;
	return place(p, json_map_adopt(p->arena, members, (uint32_t)count));
}

static int on_end_array(void *ctx)
{
	struct parser *p = ctx;
	uint32_t first = p->frames[p->depth].first, count = p->count - first;
	struct json **items = arena_alloc(p->arena, count * sizeof(struct json *));

	for (uint32_t i = 0; i < count; i++)
		items[i] = p->slots[first + i].value;
	p->count = first;
	p->depth--;
	return place(p, json_list_adopt(p->arena, items, count));
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_bool,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_start,
	.yajl_map_key = on_key,
	.yajl_end_map = on_end_object,
	.yajl_start_array = on_start,
	.yajl_end_array = on_end_array,
};

static int run(struct parser *p)
{
	yajl_status s;
	int r = check_text(p);

	if (r)
		return r;
	p->yajl = yajl_alloc(&callbacks, NULL, p);
	if (!p->yajl)
		abort();
	yajl_config(p->yajl, yajl_dont_validate_strings, 1);
	s = yajl_parse(p->yajl, (const unsigned char *)p->text, p->len);
	if (s == yajl_status_ok)
		s = yajl_complete_parse(p->yajl);
	if (p->failed)
		r = p->failed;
	else if (s != yajl_status_ok || p->count != 1)
		r = syntax_error(p);
	yajl_free(p->yajl);
	return r;
}

int json_parse(struct arena *a, const char *text, size_t len, const struct json_options *opt, struct json **ret,
	       struct error *e)
{
	size_t max = opt && opt->max_bytes ? opt->max_bytes : JSON_MAX_BYTES;
	struct parser p;
	int r;

	if (len > max || len >= INT32_MAX)
		return error_set(e, E_TOO_LARGE, "%zu bytes of JSON exceed the limit of %zu", len, max);
	memset(&p, 0, offsetof(struct parser, inline_slots));
	p.arena = a;
	p.opt = opt;
	p.text = len ? text : "";
	p.len = len;
	p.max_depth = opt && opt->max_depth && opt->max_depth < JSON_MAX_DEPTH ? opt->max_depth : JSON_MAX_DEPTH;
	p.slots = p.inline_slots;
	p.capacity = SLOTS_INLINE;
	p.e = e;
	p.failed = 0;
	r = run(&p);
	if (!r)
		*ret = p.slots[0].value;
	if (p.slots != p.inline_slots)
		free(p.slots);
	return r;
}

/* ---- writing ---- */

static void print_to_buf(void *ctx, const char *text, size_t len)
{
	buf_add(ctx, text, len);
}

static void write_int(yajl_gen g, int64_t i)
{
	char text[24], *end = text + sizeof(text), *s = end;
	uint64_t n = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;

	do
		*--s = (char)('0' + n % 10);
	while (n /= 10);
	if (i < 0)
		*--s = '-';
	yajl_gen_number(g, s, (size_t)(end - s));
}

/* False when the tree is too deep. */
static bool write_value(yajl_gen g, const struct json *v, unsigned depth)
{
	const char *key;
	size_t n = json_count(v);
	bool ok = depth <= JSON_WRITE_DEPTH;

	switch (json_type(v)) {
	case JSON_NULL:
		yajl_gen_null(g);
		break;
	case JSON_BOOL:
		yajl_gen_bool(g, v->flag);
		break;
	case JSON_INT:
		write_int(g, JSON_AS(json_integer, v)->value);
		break;
	case JSON_REAL:
		yajl_gen_number(g, JSON_AS(json_number, v)->text, strlen(JSON_AS(json_number, v)->text));
		break;
	case JSON_STRING:
		yajl_gen_string(g, (const unsigned char *)JSON_AS(json_text, v)->text, v->count);
		break;
	case JSON_ARRAY:
		/* yajl would put a line feed between the brackets. */
		if (!n) {
			yajl_gen_number(g, "[]", 2);
			break;
		}
		yajl_gen_array_open(g);
		for (size_t i = 0; i < n && ok; i++)
			ok = write_value(g, JSON_AS(json_list, v)->items[i], depth + 1);
		yajl_gen_array_close(g);
		break;
	case JSON_OBJECT:
		if (!n) {
			yajl_gen_number(g, "{}", 2);
			break;
		}
		yajl_gen_map_open(g);
		for (size_t i = 0; i < n && ok; i++) {
			key = JSON_AS(json_map, v)->members[i].key;
			yajl_gen_string(g, (const unsigned char *)key, strlen(key));
			ok = write_value(g, JSON_AS(json_map, v)->members[i].value, depth + 1);
		}
		yajl_gen_map_close(g);
		break;
	}
	return ok;
}

void json_write(const struct json *v, enum json_style style, struct buf *out)
{
	yajl_gen g = yajl_gen_alloc(NULL);

	if (!g)
		abort();
	yajl_gen_config(g, yajl_gen_print_callback, print_to_buf, out);
	if (style == JSON_PRETTY) {
		yajl_gen_config(g, yajl_gen_beautify, 1);
		yajl_gen_config(g, yajl_gen_indent_string, "    ");
	}
	if (!write_value(g, v, 1))
		out->over = true;
	yajl_gen_free(g);
	/* yajl ends the pretty form with a line feed; callers decide about that themselves. */
	if (style == JSON_PRETTY && out->len && out->data[out->len - 1] == '\n')
		out->data[--out->len] = '\0';
}

char *json_to_string(struct arena *a, const struct json *v)
{
	_buf_ b = BUF_INIT(UINT32_MAX);

	json_write(v, JSON_COMPACT, &b);
	return arena_strndup(a, b.data ? b.data : "", b.len);
}
