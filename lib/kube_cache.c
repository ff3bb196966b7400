/*
 * kube_cache.c - what an informer keeps of an object; see kube_internal.h.
 */
#include "lib/kube_internal.h"

struct cached *cached_new(struct arena *a, const struct json *object)
{
	struct cached *c = arena_calloc(a, sizeof(*c));

	c->a = a;
	c->object = object;
	return c;
}

void cached_free(struct cached *c)
{
	arena_free(c->a);
}

void cached_bury(struct cached **graveyard, struct cached *c)
{
	if (!c)
		return;
	c->next = *graveyard;
	*graveyard = c;
}

void cached_free_all(struct cached **graveyard)
{
	while (*graveyard) {
		struct cached *c = *graveyard;

		*graveyard = c->next;
		cached_free(c);
	}
}

void cached_map_free(struct strmap *m)
{
	size_t position = 0;
	void *value;

	while (m && strmap_next(m, &position, NULL, &value))
		cached_free(value);
	strmap_free(m);
}

char *cached_key(struct arena *a, const char *ns, const char *name)
{
	return ns && ns[0] ? arena_printf(a, "%s/%s", ns, name) : arena_strdup(a, name);
}

char *object_key(struct arena *a, const struct json *object)
{
	const char *name = json_str(json_in(object, "metadata", "name"));

	return name && name[0] ? cached_key(a, json_str(json_in(object, "metadata", "namespace")), name) : NULL;
}

const char *object_meta(const struct json *object, const char *field)
{
	return json_str_or(json_in(object, "metadata", field), "");
}
