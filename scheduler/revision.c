/*
 * revision.c - making and dropping Revisions; see revision.h.
 */
#include "scheduler/revision.h"

static struct container *container_of(const struct world *w, const struct revision *r)
{
	return (struct container *)world_find(w, WORLD_CONTAINER, r->r.ns, r->container_name);
}

static void link_one(const struct world *w, struct revision *r)
{
	struct container *c = container_of(w, r);

	r->in_use = false;
	if (!c || r->r.deleting)
		return;
	if (!c->newest || r->number > c->newest->number)
		c->newest = r;
	if (streq(c->current_revision, r->r.name))
		c->current = r;
}

/* The Revisions that its awake instances run: few, so one that was just seen is not looked up again. */
static void mark_in_use(const struct world *w, const struct container *c)
{
	const char *last = NULL; /* interned */

	for (const struct instance *i = c->instances; i; i = i->next) {
		struct revision *r;

		if (!i->is_booked || i->revision == last)
			continue;
		last = i->revision;
		r = (struct revision *)world_find(w, WORLD_REVISION, i->r.ns, last);
		if (r)
			r->in_use = true;
	}
}

void revision_link(struct world *w)
{
	struct record *x;

	for (size_t pos = 0; (x = world_next(w, WORLD_CONTAINER, &pos));) {
		struct container *c = (struct container *)x;

		c->newest = c->current = c->previous = NULL;
	}
	for (size_t pos = 0; (x = world_next(w, WORLD_REVISION, &pos));)
		link_one(w, (struct revision *)x);
	/* The first Revision has nothing to be rolled out against; neither has one whose forerunner was deleted. */
	for (size_t pos = 0; (x = world_next(w, WORLD_CONTAINER, &pos));) {
		struct container *c = (struct container *)x;

		if (!c->current)
			c->current = c->newest;
	}
	for (size_t pos = 0; (x = world_next(w, WORLD_REVISION, &pos));) {
		struct revision *r = (struct revision *)x;
		struct container *c = container_of(w, r);

		if (c && c->current && r->number < c->current->number &&
		    (!c->previous || r->number > c->previous->number))
			c->previous = r;
	}
	for (size_t pos = 0; (x = world_next(w, WORLD_CONTAINER, &pos));)
		mark_in_use(w, (struct container *)x);
	for (size_t pos = 0; (x = world_next(w, WORLD_CONTAINER, &pos));) {
		struct container *c = (struct container *)x;
		struct revision *pinned[] = {c->newest, c->current, c->previous};

		for (size_t n = 0; n < ARRAY_SIZE(pinned); n++)
			if (pinned[n])
				pinned[n]->in_use = true;
	}
}

bool revision_is_up_to_date(const struct container *c)
{
	return c->newest && streq(c->newest->template_hash, c->template_hash);
}

void revision_step(struct world *w, int64_t now, struct action_list *out)
{
	struct record *x;

	for (size_t pos = 0; (x = world_next(w, WORLD_CONTAINER, &pos));) {
		struct container *c = (struct container *)x;

		if (!x->deleting && !x->writing && now >= x->retry_at && !revision_is_up_to_date(c))
			action_add(out, ACTION_RESOLVE, x, NULL);
	}
	for (size_t pos = 0; (x = world_next(w, WORLD_REVISION, &pos));) {
		struct revision *r = (struct revision *)x;
		struct container *c = container_of(w, r);

		if (c && c->current && !r->in_use && !x->deleting && !x->writing && now >= x->retry_at &&
		    r->number <= c->current->number - REVISION_HISTORY)
			action_add(out, ACTION_DELETE, x, NULL);
	}
}

void revision_create(struct container *c, const struct resolved_image *image, struct action_list *out)
{
	struct arena *a = out->arena;
	int64_t number = c->newest ? c->newest->number + 1 : 1;
	const char *name = arena_printf(a, "%s-%lld", c->r.name, (long long)number);
	struct json *o = json_object(a), *meta = json_set(a, o, "metadata", json_object(a));
	struct json *spec = json_set(a, o, "spec", json_object(a));
	struct json *owners = json_set(a, meta, "ownerReferences", json_array(a));
	struct json *owner = json_append(a, owners, json_object(a));

	json_set_str(a, o, "apiVersion", "berth.dev/v1");
	json_set_str(a, o, "kind", "Revision");
	json_set_str(a, meta, "name", name);
	json_set_str(a, meta, "namespace", c->r.ns);
	json_set_str(a, json_ensure_object(a, meta, "labels"), "berth.dev/container", c->r.name);
	json_set_str(a, json_ensure_object(a, meta, "annotations"), "berth.dev/template-hash", c->template_hash);
	json_set_str(a, owner, "apiVersion", "berth.dev/v1");
	json_set_str(a, owner, "kind", "Container");
	json_set_str(a, owner, "name", c->r.name);
	json_set_str(a, owner, "uid", c->r.uid);
	json_set_bool(a, owner, "controller", true);
	json_set_bool(a, owner, "blockOwnerDeletion", true);
	json_set_str(a, spec, "containerName", c->r.name);
	json_set_int(a, spec, "number", number);
	json_set_str(a, spec, "imageDigest", image->digest);
	json_set_str(a, spec, "image", image->reference);
	json_set(a, spec, "template", template_of(a, json_get(c->r.object, "spec")));
	json_set(a, spec, "imageConfig", json_clone(a, image->config));
	struct action *x = action_add_create(out, WORLD_REVISION, c->r.ns, name, &c->r, o);

	action_event(out, x, "Normal", "RevisionCreated", "Revision %s: %s", name, image->reference);
}
