/*
 * schema_rules.c - recognising and checking rules; see schema_rules.h.
 *
 * A form is a pattern in which %f stands for a field name, %d for a duration in quotes, and %* for any number of what
 * its `again` says; spaces in the rule do not matter.
 */
#include "apiserver/schema_rules.h"

#include "lib/units.h"

#include <ctype.h>

static const struct {
	enum schema_rule_type type;
	const char *form, *again;
} forms[] = {
	{RULE_IMMUTABLE, "self==oldSelf", NULL},
	{RULE_DURATION_MAX, "duration(self)<=duration(%d)", NULL},
	{RULE_SORTED, "self.isSorted()", NULL},
	{RULE_EXACTLY_ONE, "[has(self.%f)%*].exists_one(x,x)", ",has(self.%f)"},
	{RULE_NOT_BOTH, "!(has(self.%f)&&has(self.%f))", NULL},
	{RULE_LOCKED, "!has(oldSelf.%f)||!oldSelf.%f||self.%f==oldSelf.%f", NULL},
};

struct match {
	struct arena *arena;
	struct schema_rule *rule;
	size_t field_count;
};

static const char *match_field(struct match *m, const char *text)
{
	size_t n = 0;

	while (isalnum((unsigned char)text[n]) || text[n] == '_')
		n++;
	if (n == 0 || m->field_count == SCHEMA_RULE_FIELDS_MAX)
		return NULL;
	m->rule->fields[m->field_count++] = arena_strndup(m->arena, text, n);
	return text + n;
}

static const char *match_duration(struct match *m, const char *text)
{
	const char *end = *text == '\'' ? strchr(text + 1, '\'') : NULL;

	if (!end ||
	    duration_parse_ms(arena_strndup(m->arena, text + 1, (size_t)(end - text - 1)), &m->rule->limit_ms, NULL))
		return NULL;
	return end + 1;
}

/* What of text is left behind the form, NULL when it does not match. */
static const char *match_form(struct match *m, const char *form, const char *again, const char *text)
{
	for (; *form; form++) {
		if (*form != '%') {
			if (*text++ != *form)
				return NULL;
			continue;
		}
		form++;
		if (*form == '*') {
			const char *more;

			while ((more = match_form(m, again, NULL, text)))
				text = more;
		} else {
			text = *form == 'f' ? match_field(m, text) : match_duration(m, text);
		}
		if (!text)
			return NULL;
	}
	return text;
}

int schema_rule_compile(struct arena *a, const struct json *from, struct schema_rule *ret, struct error *e)
{
	const char *rule = json_str_or(json_get(from, "rule"), "");
	char *dense = arena_strdup(a, rule), *to = dense;

	for (const char *p = rule; *p; p++)
		if (!isspace((unsigned char)*p))
			*to++ = *p;
	*to = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct schema_rule r = {
			.type = forms[i].type,
			.message = json_str_or(json_get(from, "message"), arena_printf(a, "failed rule: %s", rule))};
		struct match m = {a, &r, 0};
		const char *rest = match_form(&m, forms[i].form, forms[i].again, dense);

		if (rest && !*rest) {
			*ret = r;
			return 0;
		}
	}
	return error_set(e, E_INVALID, "validation rule \"%s\" is not one of the forms this server understands", rule);
}

bool schema_rule_needs_old(const struct schema_rule *r)
{
	return r->type == RULE_IMMUTABLE || r->type == RULE_LOCKED;
}

static bool is_sorted(const struct json *list)
{
	for (size_t i = 1; i < json_count(list); i++)
		if (json_real_or(json_item(list, i), 0) < json_real_or(json_item(list, i - 1), 0))
			return false;
	return true;
}

static size_t count_present(const struct schema_rule *r, const struct json *self)
{
	size_t n = 0;

	for (size_t i = 0; r->fields[i]; i++)
		n += json_get(self, r->fields[i]) != NULL;
	return n;
}

bool schema_rule_holds(const struct schema_rule *r, const struct json *self, const struct json *old)
{
	int64_t ms;

	switch (r->type) {
	case RULE_IMMUTABLE:
		return !old || json_equal(self, old);
	case RULE_DURATION_MAX:
		return json_str(self) && duration_parse_ms(json_str(self), &ms, NULL) == 0 && ms <= r->limit_ms;
	case RULE_SORTED:
		return is_sorted(self);
	case RULE_EXACTLY_ONE:
		return count_present(r, self) == 1;
	case RULE_NOT_BOTH:
		return count_present(r, self) < 2;
	case RULE_LOCKED:
		return !json_bool_or(json_get(old, r->fields[0]), false) ||
		       json_equal(json_get(self, r->fields[2]), json_get(old, r->fields[2]));
	}
	return true;
}
