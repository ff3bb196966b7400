/*
 * intern.c - counted strings in a map; see intern.h.
 */
#include "scheduler/intern.h"

struct interns {
	struct strmap *map;
};

struct interned {
	size_t uses;
	void *tag;
	char text[];
};

static struct interned *interned_of(const char *text)
{
	return (struct interned *)(void *)((char *)(uintptr_t)text - offsetof(struct interned, text));
}

struct interns *interns_new(void)
{
	struct interns *t = xcalloc(1, sizeof(*t));

	t->map = strmap_new();
	return t;
}

void interns_free(struct interns *t)
{
	void *v;

	if (!t)
		return;
	for (size_t pos = 0; strmap_next(t->map, &pos, NULL, &v);)
		free(v);
	strmap_free(t->map);
	free(t);
}

const char *intern(struct interns *t, const char *s)
{
	struct interned *n;

	s = s ? s : "";
	n = strmap_get(t->map, s);
	if (!n) {
		size_t len = strlen(s) + 1;

		n = xmalloc(sizeof(*n) + len);
		n->uses = 0;
		n->tag = NULL;
		memcpy(n->text, s, len);
		strmap_put(t->map, s, n);
	}
	n->uses++;
	return n->text;
}

const char *intern_again(const char *interned)
{
	interned_of(interned)->uses++;
	return interned;
}

void intern_drop(struct interns *t, const char *s)
{
	struct interned *n;

	if (!s)
		return;
	n = interned_of(s);
	if (--n->uses)
		return;
	strmap_remove(t->map, n->text);
	free(n);
}

void intern_set(struct interns *t, const char **slot, const char *s)
{
	const char *old = *slot;

	if (old && streq(old, s ? s : ""))
		return;
	*slot = intern(t, s);
	intern_drop(t, old);
}

void **intern_tag(const char *interned)
{
	return &interned_of(interned)->tag;
}

size_t interns_count(const struct interns *t)
{
	return strmap_count(t->map);
}
