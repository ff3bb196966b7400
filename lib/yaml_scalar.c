/*
 * yaml_scalar.c - what a plain (unquoted) scalar of YAML is: a null, a boolean, a number or a string.
 *
 * Source: YAML 1.1 types bool, int, float and null as gopkg.in/yaml.v2 resolves them, the reader of Kubernetes' tools,
 * so that a manifest means the same to kubectl and to Berth.
 */
#include "lib/yaml_private.h"

#include <ctype.h>
#include <errno.h>

#define NUMBER_MAX 128U

static const struct word {
	const char *text;
	enum json_type type;
	bool value;
} words[] = {
	{"", JSON_NULL, false},	     {"~", JSON_NULL, false},	  {"null", JSON_NULL, false},
	{"Null", JSON_NULL, false},  {"NULL", JSON_NULL, false},  {"true", JSON_BOOL, true},
	{"True", JSON_BOOL, true},   {"TRUE", JSON_BOOL, true},	  {"yes", JSON_BOOL, true},
	{"Yes", JSON_BOOL, true},    {"YES", JSON_BOOL, true},	  {"on", JSON_BOOL, true},
	{"On", JSON_BOOL, true},     {"ON", JSON_BOOL, true},	  {"y", JSON_BOOL, true},
	{"Y", JSON_BOOL, true},	     {"false", JSON_BOOL, false}, {"False", JSON_BOOL, false},
	{"FALSE", JSON_BOOL, false}, {"no", JSON_BOOL, false},	  {"No", JSON_BOOL, false},
	{"NO", JSON_BOOL, false},    {"off", JSON_BOOL, false},	  {"Off", JSON_BOOL, false},
	{"OFF", JSON_BOOL, false},   {"n", JSON_BOOL, false},	  {"N", JSON_BOOL, false},
};

static const struct {
	const char *prefix, *digits;
	int base;
} bases[] = {
	{"0x", "0123456789abcdefABCDEF", 16},
	{"0X", "0123456789abcdefABCDEF", 16},
	{"0o", "01234567", 8},
	{"0O", "01234567", 8},
	{"0b", "01", 2},
	{"0B", "01", 2},
	{"0", "01234567", 8},
};

static bool all_of(const char *s, const char *set)
{
	return *s && !s[strspn(s, set)];
}

static const struct word *find_word(const char *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i].text, s) == 0)
			return &words[i];
	return NULL;
}

static bool is_not_finite(const char *s)
{
	static const char *const texts[] = {".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF"};
	size_t sign = *s == '-' || *s == '+';

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strcmp(s + (i < 3 ? 0 : sign), texts[i]) == 0)
			return true;
	return false;
}

/* 0x1f, 0o17, 017, 0b11, without a sign. */
static bool parse_based(const char *p, bool minus, int64_t *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		const char *digits = p + strlen(bases[i].prefix);

		if (!str_starts(p, bases[i].prefix) || !all_of(digits, bases[i].digits))
			continue;
		errno = 0;
		long long v = strtoll(digits, NULL, bases[i].base);

		*ret = minus ? -v : v;
		return !errno;
	}
	return false;
}

/* digits, digits.digits, .digits or digits., and an exponent, without a sign. */
static bool is_float(const char *p)
{
	size_t whole = strspn(p, "0123456789"), fraction = 0;

	p += whole;
	if (*p == '.') {
		fraction = strspn(p + 1, "0123456789");
		p += 1 + fraction;
	}
	if (!whole && !fraction)
		return false;
	if (*p == 'e' || *p == 'E') {
		p += p[1] == '-' || p[1] == '+' ? 2 : 1;
		return all_of(p, "0123456789");
	}
	return !*p;
}

/* The number in JSON's own spelling, "1." as "1.0" and "007.5" as "7.5", so that no digit is lost. */
static struct json *number_of(struct arena *a, const char *p, bool minus)
{
	_buf_ text = BUF_INIT(NUMBER_MAX + 4);
	size_t whole, fraction;

	p += strspn(p, "0");
	whole = strspn(p, "0123456789");
	buf_adds(&text, minus ? "-" : "");
	buf_add(&text, whole ? p : "0", whole ? whole : 1);
	p += whole;
	if (*p == '.') {
		fraction = strspn(++p, "0123456789");
		buf_addc(&text, '.');
		buf_add(&text, fraction ? p : "0", fraction ? fraction : 1);
		p += fraction;
	}
	buf_adds(&text, p);
	return json_number(a, text.data, text.len);
}

/* NULL when it is no number that JSON has. */
static struct json *plain_number(struct arena *a, const char *s)
{
	bool minus = *s == '-';
	char text[NUMBER_MAX]; /* without the sign and underscores */
	size_t n = 0;
	int64_t i;

	if (minus || *s == '+')
		s++;
	else if (!isdigit((unsigned char)*s) && *s != '.')
		return NULL;
	for (; *s; s++) {
		if (*s == '_')
			continue;
		if (n == sizeof(text) - 1)
			return NULL;
		text[n++] = *s;
	}
	text[n] = '\0';
	if (parse_based(text, minus, &i))
		return json_int(a, i);
	return is_float(text) ? number_of(a, text, minus) : NULL;
}

struct json *yaml_plain_value(struct arena *a, const char *s, size_t len)
{
	const struct word *w = find_word(s);
	struct json *number;

	if (w)
		return w->type == JSON_NULL ? json_null(a) : json_bool(a, w->value);
	if (is_not_finite(s))
		return NULL;
	number = plain_number(a, s);
	return number ? number : json_stringn(a, s, len);
}

bool yaml_plain_is_string(const char *s)
{
	_arena_ a = NULL;

	if (find_word(s) || is_not_finite(s) || strcmp(s, "<<") == 0 || strcmp(s, "=") == 0)
		return false;
	if (!isdigit((unsigned char)*s) && !strchr("+-.", *s))
		return true;
	/* Dates, times and sexagesimal numbers, which other readers know. */
	if (strspn(s, "0123456789") == 4 && s[4] == '-')
		return false;
	if (strchr(s, ':') && all_of(s + strspn(s, "+-"), "0123456789:_."))
		return false;
	a = arena_new();
	return !plain_number(a, s);
}
