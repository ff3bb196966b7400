/*
 * image_prefetch.c - Image objects → wanted images; see image_prefetch.h.
 */
#include "agent/image_prefetch.h"

#include "lib/log.h"
#include "lib/naming.h"

struct image_prefetch {
	struct image_store *store;
	struct kube_informer *informer;
	char *location;
};

const char *image_prefetch_wanted(const struct json *image, const char *location)
{
	const struct json *locations = json_in(image, "spec", "locations");

	if (!image || json_in(image, "metadata", "deletionTimestamp"))
		return NULL;
	for (size_t i = 0; i < json_count(locations); i++)
		if (streq(json_str(json_item(locations, i)), location))
			return json_str(json_in(image, "spec", "reference"));
	return NULL;
}

static void on_image(void *user, enum kube_event ev, const struct json *old, const struct json *obj)
{
	struct image_prefetch *p = user;
	const char *digest = json_str(json_in(obj, "spec", "digest"));
	const char *reference = ev == KUBE_DELETED ? NULL : image_prefetch_wanted(obj, p->location);
	struct error e;

	if (ev == KUBE_SYNCED || !digest)
		return;
	if (reference) {
		if (image_want(p->store, reference, json_in(obj, "spec", "pullSecrets"), false, &e))
			log_warn("image cannot be prefetched", "image", reference, "error", e.text, NULL);
	} else if (ev == KUBE_DELETED || image_prefetch_wanted(old, p->location)) {
		image_unwant(p->store, digest);
	}
}

struct image_source image_prefetch_source(const struct image_prefetch *p, const char *digest)
{
	_arena_ a = arena_new();
	const char *name = image_object_name(a, digest);
	const struct json *spec = name ? json_get(kube_informer_get(p->informer, NULL, name), "spec") : NULL;

	return (struct image_source){json_str(json_get(spec, "reference")), json_get(spec, "pullSecrets")};
}

struct image_prefetch *image_prefetch_start(struct kube *k, struct image_store *s, const char *location)
{
	struct image_prefetch *p = xcalloc(1, sizeof(*p));

	p->store = s;
	p->location = xstrdup(location);
	p->informer = kube_informer_start(k, &KUBE_IMAGES, NULL, on_image, p);
	return p;
}

void image_prefetch_stop(struct image_prefetch *p)
{
	if (!p)
		return;
	kube_informer_stop(p->informer);
	free(p->location);
	free(p);
}
