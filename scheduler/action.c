/*
 * action.c - building actions and conditions; see action.h.
 */
#include "scheduler/action.h"

#include "lib/units.h"

#include <stdio.h>

void action_list_init(struct action_list *l, struct arena *a)
{
	*l = (struct action_list){.arena = a, .last = &l->first};
}

static struct action *append(struct action_list *l, struct record *owner, const struct action *template)
{
	struct action *x = arena_alloc(l->arena, sizeof(*x));

	*x = *template;
	x->owner_kind = owner->kind;
	x->owner_ns = arena_strdup(l->arena, owner->ns);
	x->owner_name = arena_strdup(l->arena, owner->name);
	owner->writing = true;
	*l->last = x;
	l->last = &x->next;
	l->count++;
	return x;
}

struct action *action_add(struct action_list *l, enum action_type type, struct record *r, struct json *body)
{
	return append(l, r,
		      &(struct action){.type = type,
				       .kind = r->kind,
				       .ns = arena_strdup(l->arena, r->ns),
				       .name = arena_strdup(l->arena, r->name),
				       .body = body});
}

struct action *action_add_create(struct action_list *l, enum world_kind kind, const char *ns, const char *name,
				 struct record *owner, struct json *body)
{
	return append(l, owner,
		      &(struct action){.type = ACTION_CREATE,
				       .kind = kind,
				       .ns = ns ? arena_strdup(l->arena, ns) : NULL,
				       .name = arena_strdup(l->arena, name),
				       .body = body});
}

void action_event(struct action_list *l, struct action *a, const char *type, const char *reason, const char *fmt, ...)
{
	char text[512];
	struct action_event *ev = arena_alloc(l->arena, sizeof(*ev)), **last = &a->events;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	*ev = (struct action_event){type, reason, arena_strdup(l->arena, text), NULL};
	while (*last)
		last = &(*last)->next;
	*last = ev;
}

void condition_put(struct arena *a, struct json *conditions, const struct json *old, const char *type, bool status,
		   const char *reason, const char *message, int64_t now)
{
	struct json *c = json_append(a, conditions, json_object(a));
	const char *text = status ? "True" : "False", *since = NULL;
	char stamp[TIME_TEXT_MAX];

	for (size_t i = 0; i < json_count(old); i++) {
		const struct json *o = json_item(old, i);

		if (streq(json_str(json_get(o, "type")), type) && streq(json_str(json_get(o, "status")), text))
			since = json_str(json_get(o, "lastTransitionTime"));
	}
	json_set_str(a, c, "type", type);
	json_set_str(a, c, "status", text);
	json_set_str(a, c, "reason", reason);
	json_set_str(a, c, "message", message);
	json_set_str(a, c, "lastTransitionTime", since ? since : time_format(now, stamp));
}
