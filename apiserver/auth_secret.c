/*
 * auth_secret.c - looks through the Images; see auth_secret.h.
 */
#include "apiserver/auth_secret.h"

/* Most Images do not even hold the name, and parsing costs much more than looking for it. */
static bool names_secret(const struct object *image, const char *ns, const char *name)
{
	if (!memmem(chunk_data(image->json), chunk_len(image->json), name, strlen(name)))
		return false;
	_arena_ a = arena_new();
	const struct json *list = json_in(object_tree(a, image), "spec", "pullSecrets");

	for (size_t i = 0; i < json_count(list); i++)
		if (streq(json_str(json_get(json_item(list, i), "namespace")), ns) &&
		    streq(json_str(json_get(json_item(list, i), "name")), name))
			return true;
	return false;
}

static bool some_image_names(struct cache *cache, const char *ns, const char *name)
{
	struct cache_query q = {.filter.kind = kind_find("berth.dev", "v1", "images")};
	struct cache_page page = {0};
	bool found = false;

	if (!*name || cache_list(cache, &q, &page, NULL))
		return false;
	for (size_t i = 0; i < page.count && !found; i++)
		found = names_secret(page.items[i], ns, name);
	cache_page_clear(&page);
	return found;
}

bool auth_secret_allows(struct cache *cache, const struct identity *who, const struct access *what)
{
	if (what->path || *what->group || !streq(what->resource, "secrets") || !auth_in_group(who, AUTH_NODES) ||
	    auth_in_group(who, AUTH_MASTERS))
		return true;
	return some_image_names(cache, what->ns, what->name);
}
