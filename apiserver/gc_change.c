/*
 * gc_change.c - the few changes the controller makes to objects; see gc_private.h.
 */
#include "apiserver/change.h"
#include "apiserver/gc_private.h"
#include "apiserver/meta.h"
#include "lib/log.h"
#include "lib/units.h"

struct gc_job {
	const char *uid, *argument; /* only the object with this uid is meant */
};

static bool is_meant(const struct json *live, const struct gc_job *job)
{
	return live && streq(json_str(json_in(live, "metadata", "uid")), job->uid);
}

/* Stores next, or removes the object when it is marked and nothing holds it any more. */
static void decide(struct change *ch, struct json *next)
{
	bool marked = json_in(next, "metadata", "deletionTimestamp") != NULL;

	ch->next = next;
	ch->action = marked && !json_count(json_in(next, "metadata", "finalizers")) ? CHANGE_REMOVE : CHANGE_PUT;
}

static int compute_delete(struct change *ch, const struct json *live, struct error *e)
{
	const struct gc_job *job = ch->user;

	(void)e;
	if (!is_meant(live, job) || json_in(live, "metadata", "deletionTimestamp"))
		return 0;
	struct json *next = json_clone(ch->arena, live);
	if (job->argument)
		meta_add_finalizer(ch->arena, next, job->argument);
	meta_terminate(ch->arena, ch->kind, next, time_now_ms());
	decide(ch, next);
	return 0;
}

static int compute_drop_owner(struct change *ch, const struct json *live, struct error *e)
{
	const struct gc_job *job = ch->user;

	(void)e;
	if (!is_meant(live, job))
		return 0;
	struct json *next = json_clone(ch->arena, live), *owners = json_in(next, "metadata", "ownerReferences");
	size_t before = json_count(owners);
	for (size_t i = before; i-- > 0;)
		if (streq(json_str(json_get(json_item(owners, i), "uid")), job->argument))
			json_remove_item(owners, i);
	if (json_count(owners) == before)
		return 0;
	if (json_count(owners) == 0)
		json_unset(json_get(next, "metadata"), "ownerReferences");
	decide(ch, next);
	return 0;
}

static int compute_drop_finalizer(struct change *ch, const struct json *live, struct error *e)
{
	const struct gc_job *job = ch->user;

	(void)e;
	if (!is_meant(live, job))
		return 0;
	struct json *next = json_clone(ch->arena, live);
	if (meta_remove_finalizer(next, job->argument))
		decide(ch, next);
	return 0;
}

static int compute_remove(struct change *ch, const struct json *live, struct error *e)
{
	(void)e;
	if (!is_meant(live, ch->user))
		return 0;
	ch->next = json_clone(ch->arena, live);
	ch->action = CHANGE_REMOVE;
	return 0;
}

static void run(struct server *s, const struct object *o, const char *argument,
		int (*compute)(struct change *ch, const struct json *live, struct error *e))
{
	_arena_ a = arena_new();
	struct gc_job job = {.uid = o->uid, .argument = argument};
	struct change ch = {.server = s,
			    .arena = a,
			    .kind = o->kind,
			    .ns = o->ns,
			    .name = o->name,
			    .compute = compute,
			    .user = &job};
	struct error e;

	if (change_run(&ch, &e) < 0)
		log_warn("garbage collector could not change an object, will try again", "kind", o->kind->kind, "key",
			 o->key, "error", e.text, NULL);
	change_clear(&ch);
}

void gc_delete(struct server *s, const struct object *o, const char *finalizer)
{
	run(s, o, finalizer, compute_delete);
}

void gc_drop_owner(struct server *s, const struct object *o, const char *uid)
{
	run(s, o, uid, compute_drop_owner);
}

void gc_drop_finalizer(struct server *s, const struct object *o, const char *finalizer)
{
	run(s, o, finalizer, compute_drop_finalizer);
}

void gc_remove_namespace(struct server *s, const struct object *o)
{
	run(s, o, NULL, compute_remove);
}
