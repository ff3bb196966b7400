/*
 * selector.c - parsing and matching of label and field selectors; see selector.h.
 */
#include "apiserver/selector.h"

#include <ctype.h>
#include <stdio.h>

enum op { OP_IN, OP_NOT_IN, OP_EXISTS, OP_NOT_EXISTS, OP_GREATER, OP_LESS };

struct requirement {
	const char *key;
	enum op op;
	const char **values; /* NULL-terminated */
	size_t value_count;
	int64_t number; /* OP_GREATER, OP_LESS */
};

struct selector {
	bool fields; /* an absent field is an empty one */
	size_t count;
	struct requirement items[SELECTOR_REQUIREMENTS_MAX];
};

/* ---- labels ---- */

struct lexer {
	struct arena *arena;
	const char *p;
	struct error *e;
};

static void skip_spaces(struct lexer *l)
{
	while (*l->p == ' ' || *l->p == '\t' || *l->p == '\n' || *l->p == '\r')
		l->p++;
}

static int bad(struct lexer *l, const char *expected)
{
	char found[32] = "";

	skip_spaces(l);
	snprintf(found, sizeof(found), "%.20s", l->p);
	return error_set(l->e, E_BAD_REQUEST, "unable to parse requirement: found '%s', expected: %s", found, expected);
}

/* A run of characters that are neither space nor an operator; "" when there is none. */
static const char *read_word(struct lexer *l)
{
	size_t n;

	skip_spaces(l);
	n = strcspn(l->p, " \t\r\n=!(),<>");
	l->p += n;
	return arena_strndup(l->arena, l->p - n, n);
}

static bool take(struct lexer *l, const char *symbol)
{
	skip_spaces(l);
	if (!str_starts(l->p, symbol))
		return false;
	l->p += strlen(symbol);
	return true;
}

static bool is_name(const char *s, size_t len)
{
	if (len == 0 || len > 63 || !isalnum((unsigned char)s[0]) || !isalnum((unsigned char)s[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("-_.", s[i]))
			return false;
	return true;
}

/* "name" or "dns.prefix/name". Source: k8s.io/apimachinery/pkg/util/validation.IsQualifiedName. */
static bool is_label_key(const char *key)
{
	const char *slash = strchr(key, '/');

	if (!slash)
		return is_name(key, strlen(key));
	if (slash == key || slash - key > 253 || !is_name(slash + 1, strlen(slash + 1)))
		return false;
	for (const char *p = key; p < slash; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '-' && *p != '.')
			return false;
	return true;
}

static int check_value(struct lexer *l, const char *key, const char *value)
{
	if (!*value || is_name(value, strlen(value)))
		return 0;
	return error_set(
		l->e, E_BAD_REQUEST,
		"values[0][%s]: Invalid value: \"%s\": a valid label must be an empty string or consist of "
		"alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
		key, value);
}

static int add_value(struct lexer *l, struct requirement *r, const char *value, size_t *room)
{
	int rc = check_value(l, r->key, value);

	if (rc < 0)
		return rc;
	if (r->value_count + 1 >= *room) {
		const char **more = arena_alloc(l->arena, 2 * *room * sizeof(*more));

		if (r->value_count)
			memcpy(more, r->values, r->value_count * sizeof(*more));
		*room *= 2;
		r->values = more;
	}
	r->values[r->value_count++] = value;
	r->values[r->value_count] = NULL;
	return 0;
}

/* Behind "in" or "notin". */
static int read_set(struct lexer *l, struct requirement *r)
{
	size_t room = 4;
	int rc;

	if (!take(l, "("))
		return bad(l, "'('");
	r->values = arena_alloc(l->arena, room * sizeof(*r->values));
	do {
		if ((rc = add_value(l, r, read_word(l), &room)) < 0)
			return rc;
	} while (take(l, ","));
	return take(l, ")") ? 0 : bad(l, "',', or ')'");
}

static int read_number(struct lexer *l, struct requirement *r)
{
	const char *word = read_word(l);
	char *end;

	r->number = strtoll(word, &end, 10);
	if (!*word || *end)
		return error_set(l->e, E_BAD_REQUEST,
				 "values[0][%s]: Invalid value: \"%s\": for 'Gt', 'Lt' operators, the "
				 "value must be an integer",
				 r->key, word);
	return 0;
}

static int read_requirement(struct lexer *l, struct requirement *r)
{
	static const struct {
		const char *symbol;
		enum op op;
	} comparisons[] = {{"==", OP_IN}, {"=", OP_IN}, {"!=", OP_NOT_IN}, {">", OP_GREATER}, {"<", OP_LESS}};
	bool absent = take(l, "!");
	const char *word;
	size_t room = 2;

	r->key = read_word(l);
	if (!*r->key)
		return bad(l, "identifier");
	if (!is_label_key(r->key))
		return error_set(l->e, E_BAD_REQUEST, "key: Invalid value: \"%s\": not a valid label key", r->key);
	r->op = absent ? OP_NOT_EXISTS : OP_EXISTS;
	skip_spaces(l);
	if (!*l->p || *l->p == ',')
		return 0;
	if (absent)
		return bad(l, "',' or end");
	for (size_t i = 0; i < ARRAY_SIZE(comparisons); i++)
		if (take(l, comparisons[i].symbol)) {
			r->op = comparisons[i].op;
			if (r->op == OP_GREATER || r->op == OP_LESS)
				return read_number(l, r);
			r->values = arena_alloc(l->arena, room * sizeof(*r->values));
			return add_value(l, r, read_word(l), &room);
		}
	word = read_word(l);
	if (!streq(word, "in") && !streq(word, "notin"))
		return error_set(l->e, E_BAD_REQUEST,
				 "unable to parse requirement: found '%s', expected: in, notin, =, ==, !=, gt, lt",
				 word);
	r->op = streq(word, "in") ? OP_IN : OP_NOT_IN;
	return read_set(l, r);
}

static int check_size(const char *text, struct error *e)
{
	if (strlen(text) > SELECTOR_TEXT_MAX)
		return error_set(e, E_BAD_REQUEST, "a selector may have at most %d characters", SELECTOR_TEXT_MAX);
	return 0;
}

/* The requirements are parsed into a full-size selector, then copied to one of their number. */
static void keep(struct arena *a, const struct selector *s, struct selector **ret)
{
	size_t size = offsetof(struct selector, items) + s->count * sizeof(s->items[0]);

	*ret = NULL;
	if (s->count)
		*ret = memcpy(arena_alloc(a, size), s, size);
}

int selector_parse_labels(struct arena *a, const char *text, struct selector **ret, struct error *e)
{
	struct lexer l = {a, text ? text : "", e};
	struct selector s = {0};
	int rc;

	if ((rc = check_size(l.p, e)) < 0)
		return rc;
	skip_spaces(&l);
	while (*l.p) {
		if (s.count == SELECTOR_REQUIREMENTS_MAX)
			return error_set(e, E_BAD_REQUEST, "a selector may have at most %d requirements",
					 SELECTOR_REQUIREMENTS_MAX);
		if ((rc = read_requirement(&l, &s.items[s.count])) < 0)
			return rc;
		s.count++;
		skip_spaces(&l);
		if (*l.p && *l.p != ',')
			return bad(&l, "',' or 'end of string'");
		if (*l.p == ',') {
			l.p++;
			skip_spaces(&l);
			if (!*l.p)
				return bad(&l, "identifier after ','");
		}
	}
	keep(a, &s, ret);
	return 0;
}

/* ---- fields ---- */

static bool is_selectable(const struct kind *k, const char *field)
{
	if (streq(field, "metadata.name") || (streq(field, "metadata.namespace") && k->namespaced))
		return true;
	for (const char *const *f = k->selectable; *f; f++)
		if (streq(*f, field))
			return true;
	return false;
}

/* Up to the next unescaped comma, escapes taken out. */
static const char *read_field_value(struct lexer *l)
{
	char *value = arena_alloc(l->arena, strlen(l->p) + 1), *to = value;

	while (*l->p && *l->p != ',') {
		if (*l->p == '\\' && l->p[1] && strchr("\\,=", l->p[1]))
			l->p++;
		*to++ = *l->p++;
	}
	*to = '\0';
	return value;
}

static int read_field(struct lexer *l, const struct kind *k, struct requirement *r)
{
	size_t n = strcspn(l->p, "=!,");

	r->key = arena_strndup(l->arena, l->p, n);
	l->p += n;
	r->op = *l->p == '!' ? OP_NOT_IN : OP_IN;
	if (str_starts(l->p, "==") || str_starts(l->p, "!="))
		l->p += 2;
	else if (*l->p == '=')
		l->p++;
	else
		return error_set(l->e, E_BAD_REQUEST, "invalid selector: '%s'; can't understand '%s'", r->key, r->key);
	if (!is_selectable(k, r->key))
		return error_set(l->e, E_BAD_REQUEST, "field label not supported: %s", r->key);
	r->values = arena_calloc(l->arena, 2 * sizeof(*r->values));
	r->values[r->value_count++] = read_field_value(l);
	return 0;
}

int selector_parse_fields(struct arena *a, const struct kind *k, const char *text, struct selector **ret,
			  struct error *e)
{
	struct lexer l = {a, text ? text : "", e};
	struct selector s = {.fields = true};
	int rc;

	if ((rc = check_size(l.p, e)) < 0)
		return rc;
	for (; *l.p; l.p += *l.p == ',') {
		if (*l.p == ',')
			continue;
		if (s.count == SELECTOR_REQUIREMENTS_MAX)
			return error_set(e, E_BAD_REQUEST, "a selector may have at most %d requirements",
					 SELECTOR_REQUIREMENTS_MAX);
		if ((rc = read_field(&l, k, &s.items[s.count])) < 0)
			return rc;
		s.count++;
	}
	keep(a, &s, ret);
	return 0;
}

/* ---- matching ---- */

static bool is_among(const struct requirement *r, const char *value)
{
	for (const char **v = r->values; *v; v++)
		if (strcmp(*v, value) == 0)
			return true;
	return false;
}

static bool compares(const struct requirement *r, const char *value)
{
	char *end;
	int64_t n = strtoll(value, &end, 10);

	if (!*value || *end)
		return false;
	return r->op == OP_GREATER ? n > r->number : n < r->number;
}

static bool holds(const struct requirement *r, const char *value)
{
	switch (r->op) {
	case OP_IN:
		return value && is_among(r, value);
	case OP_NOT_IN:
		return !value || !is_among(r, value);
	case OP_EXISTS:
		return value;
	case OP_NOT_EXISTS:
		return !value;
	case OP_GREATER:
	case OP_LESS:
		return value && compares(r, value);
	}
	return false;
}

bool selector_matches(const struct selector *s, selector_lookup *get, const void *user)
{
	for (size_t i = 0; s && i < s->count; i++) {
		const char *value = get(user, s->items[i].key);

		if (!holds(&s->items[i], !value && s->fields ? "" : value))
			return false;
	}
	return true;
}

const char *selector_requires(const struct selector *s, const char *key)
{
	for (size_t i = 0; s && i < s->count; i++)
		if (s->items[i].op == OP_IN && s->items[i].value_count == 1 && streq(s->items[i].key, key))
			return s->items[i].values[0];
	return NULL;
}
