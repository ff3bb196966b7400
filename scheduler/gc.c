/*
 * gc.c - deleting orphans and lifting finalizers nobody holds; see gc.h.
 */
#include "scheduler/gc.h"

static void lift_finalizer(struct instance *i, struct action_list *out)
{
	struct arena *a = out->arena;
	const struct json *old = json_in(i->r.object, "metadata", "finalizers");
	struct json *body = json_object(a), *meta = json_set(a, body, "metadata", json_object(a));
	struct json *kept = json_set(a, meta, "finalizers", json_array(a));

	for (size_t n = 0; n < json_count(old); n++)
		if (!streq(json_str(json_item(old, n)), "berth.dev/vm"))
			json_append(a, kept, json_clone(a, json_item(old, n)));
	/* The list was read at this version: a change in between must not be undone. */
	json_set(a, meta, "resourceVersion", json_stringf(a, "%llu", (unsigned long long)i->r.resource_version));
	action_add(out, ACTION_PATCH, &i->r, body);
}

void gc_step(struct world *w, int64_t now, struct action_list *out)
{
	for (size_t k = 0; k < w->attention_count; k++) {
		struct instance *i = w->attention[k];
		struct record *x = &i->r;

		if (x->writing || now < x->retry_at)
			continue;
		if (!x->deleting && !i->container)
			action_add(out, ACTION_DELETE, x, NULL);
		else if (x->deleting && i->ours && !world_find(w, WORLD_NODE, NULL, i->node_name))
			lift_finalizer(i, out);
	}
}
