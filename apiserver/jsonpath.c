/*
 * jsonpath.c - see jsonpath.h. A path is an array of steps; evaluation walks them recursively.
 */
#include "apiserver/jsonpath.h"

#include <ctype.h>

enum step_type { STEP_MEMBER, STEP_INDEX, STEP_ALL, STEP_FILTER };

struct step {
	enum step_type type;
	const char *name;	     /* STEP_MEMBER */
	int64_t index;		     /* STEP_INDEX; negative: from the end */
	const struct jsonpath *path; /* STEP_FILTER: path below the item … */
	const struct json *value;    /* … which this equals, or has to differ from */
	bool differs;
};

struct jsonpath {
	size_t count;
	struct step steps[];
};

struct reader {
	struct arena *arena;
	const char *text, *p;
	struct error *e;
};

static int bad(struct reader *r, const char *why)
{
	return error_set(r->e, E_INVALID, "JSONPath \"%s\": %s at character %zu", r->text, why,
			 (size_t)(r->p - r->text) + 1);
}

static const char *read_name(struct reader *r)
{
	struct buf name = BUF_INIT(1024);
	char *copy;

	/* A backslash makes the next character part of the name: .metadata.labels.app\.kubernetes\.io/name */
	for (; *r->p && !strchr(".[]()=! ", *r->p); r->p++) {
		if (*r->p == '\\' && r->p[1])
			r->p++;
		buf_addc(&name, *r->p);
	}
	copy = arena_strdup(r->arena, name.len ? name.data : "");
	buf_free(&name);
	return copy;
}

static int read_quoted(struct reader *r, const char **ret)
{
	char quote = *r->p++;
	const char *begin = r->p;

	while (*r->p && *r->p != quote)
		r->p++;
	if (!*r->p)
		return bad(r, "unterminated string");
	*ret = arena_strndup(r->arena, begin, (size_t)(r->p - begin));
	r->p++;
	return 0;
}

static int read_steps(struct reader *r, const struct jsonpath **ret);

static void skip_spaces(struct reader *r)
{
	while (*r->p == ' ')
		r->p++;
}

static int read_literal(struct reader *r, const struct json **ret)
{
	const char *begin = r->p, *text;
	struct json *v;
	int rc;

	if (*r->p == '"' || *r->p == '\'') {
		if ((rc = read_quoted(r, &text)) < 0)
			return rc;
		*ret = json_string(r->arena, text);
		return 0;
	}
	while (isalnum((unsigned char)*r->p) || *r->p == '-' || *r->p == '.')
		r->p++;
	if (json_parse(r->arena, begin, (size_t)(r->p - begin), NULL, &v, NULL) < 0)
		return bad(r, "expected a string, number, true or false");
	*ret = v;
	return 0;
}

/* Behind "[?(": @path == literal)] */
static int read_filter(struct reader *r, struct step *s)
{
	int rc;

	skip_spaces(r);
	if (*r->p != '@')
		return bad(r, "expected @");
	r->p++;
	s->type = STEP_FILTER;
	if ((rc = read_steps(r, &s->path)) < 0)
		return rc;
	skip_spaces(r);
	if ((r->p[0] != '=' && r->p[0] != '!') || r->p[1] != '=')
		return bad(r, "expected == or !=");
	s->differs = r->p[0] == '!';
	r->p += 2;
	skip_spaces(r);
	if ((rc = read_literal(r, &s->value)) < 0)
		return rc;
	skip_spaces(r);
	if (r->p[0] != ')' || r->p[1] != ']')
		return bad(r, "expected )]");
	r->p += 2;
	return 0;
}

/* Behind "[". */
static int read_bracket(struct reader *r, struct step *s)
{
	int rc;

	if (str_starts(r->p, "?(")) {
		r->p += 2;
		return read_filter(r, s);
	}
	if (*r->p == '*') {
		s->type = STEP_ALL;
		r->p++;
	} else if (*r->p == '"' || *r->p == '\'') {
		s->type = STEP_MEMBER;
		if ((rc = read_quoted(r, &s->name)) < 0)
			return rc;
	} else if (isdigit((unsigned char)*r->p) || (*r->p == '-' && isdigit((unsigned char)r->p[1]))) {
		char *end;

		s->type = STEP_INDEX;
		s->index = strtoll(r->p, &end, 10);
		r->p = end;
	} else {
		return bad(r, "expected a number, a quoted name, * or ?()");
	}
	if (*r->p != ']')
		return bad(r, "expected ]");
	r->p++;
	return 0;
}

static int read_steps(struct reader *r, const struct jsonpath **ret)
{
	struct step steps[JSONPATH_STEPS_MAX] = {0};
	size_t n = 0;
	struct jsonpath *path;
	int rc;

	while (*r->p == '.' || *r->p == '[') {
		if (n == JSONPATH_STEPS_MAX)
			return bad(r, "too many steps");
		if (*r->p++ == '[') {
			if ((rc = read_bracket(r, &steps[n])) < 0)
				return rc;
		} else if (*r->p == '*') {
			steps[n].type = STEP_ALL;
			r->p++;
		} else {
			steps[n].name = read_name(r);
			if (!*steps[n].name)
				return bad(r, "expected a name");
		}
		n++;
	}
	path = arena_calloc(r->arena, sizeof(*path) + n * sizeof(*steps));
	path->count = n;
	memcpy(path->steps, steps, n * sizeof(*steps));
	*ret = path;
	return 0;
}

int jsonpath_compile(struct arena *a, const char *text, const struct jsonpath **ret, struct error *e)
{
	struct reader r = {a, text, text, e};
	const struct jsonpath *path;
	int rc = read_steps(&r, &path);

	if (rc < 0)
		return rc;
	if (*r.p || path->count == 0)
		return bad(&r, "expected . or [");
	*ret = path;
	return 0;
}

struct walk {
	bool (*found)(void *user, const struct json *match);
	void *user;
};

static bool walk_steps(const struct jsonpath *p, size_t at, const struct json *v, const struct walk *w)
{
	const struct step *s = &p->steps[at];
	size_t n = json_count(v);

	if (!v)
		return true;
	if (at == p->count)
		return w->found(w->user, v);
	switch (s->type) {
	case STEP_MEMBER:
		return walk_steps(p, at + 1, json_get(v, s->name), w);
	case STEP_INDEX:
		if (!json_is(v, JSON_ARRAY))
			return true;
		return walk_steps(p, at + 1, json_item(v, (size_t)(s->index < 0 ? s->index + (int64_t)n : s->index)),
				  w);
	case STEP_ALL:
	case STEP_FILTER:
		for (size_t i = 0; i < n; i++) {
			const struct json *item = json_item(v, i);

			if (s->type == STEP_FILTER) {
				const struct json *have = jsonpath_first(s->path, item);

				if (!have || json_equal(have, s->value) == s->differs)
					continue;
			}
			if (!walk_steps(p, at + 1, item, w))
				return false;
		}
		return true;
	}
	return true;
}

void jsonpath_each(const struct jsonpath *p, const struct json *v, bool (*found)(void *user, const struct json *match),
		   void *user)
{
	struct walk w = {found, user};

	walk_steps(p, 0, v, &w);
}

static bool take_first(void *user, const struct json *match)
{
	*(const struct json **)user = match;
	return false;
}

const struct json *jsonpath_first(const struct jsonpath *p, const struct json *v)
{
	const struct json *first = NULL;

	jsonpath_each(p, v, take_first, &first);
	return first;
}
