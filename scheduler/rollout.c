/*
 * rollout.c - choosing the instances of a rollout step; see rollout.h.
 */
#include "scheduler/rollout.h"

#include "lib/codec.h"

static const char *const phase_names[] = {
	[ROLLOUT_PENDING] = "Pending", [ROLLOUT_PREFETCHING] = "Prefetching", [ROLLOUT_PROGRESSING] = "Progressing",
	[ROLLOUT_PAUSED] = "Paused",   [ROLLOUT_COMPLETE] = "Complete",
};

const char *rollout_phase_name(enum rollout_phase p)
{
	return phase_names[p];
}

struct json *binding_make(struct arena *a, const struct instance *i, const struct node *n, const struct revision *rev,
			  struct json *placement)
{
	struct json *b = json_object(a), *meta = json_set(a, b, "metadata", json_object(a));
	struct json *target = json_set(a, b, "target", json_object(a));

	json_set_str(a, b, "apiVersion", "berth.dev/v1");
	json_set_str(a, b, "kind", "Binding");
	json_set_str(a, meta, "name", i->r.name);
	json_set_str(a, target, "kind", "Node");
	json_set_str(a, target, "name", n->r.name);
	json_set_str(a, b, "revision", rev->r.name);
	if (placement)
		json_set(a, b, "placement", placement);
	return b;
}

/* 0 … 99, the same for an instance throughout a rollout, another in the next one. */
static int bucket(const struct instance *i, const struct revision *target)
{
	char hex[SHA256_HEX_MAX];
	char text[512];
	int n = snprintf(text, sizeof(text), "%s %s", i->r.uid, target->r.name);

	sha256_hex(text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1, hex);
	hex[8] = '\0';
	return (int)(strtoul(hex, NULL, 16) % 100);
}

static bool any_node_holds(const struct revision *r)
{
	return r->digest->nodes > 0;
}

static bool is_rolling(const struct container *c)
{
	return c->newest && c->current && c->newest != c->current;
}

const struct revision *rollout_revision_for(const struct container *c, const struct instance *i)
{
	int step = c->step < c->step_count ? c->step : c->step_count - 1;

	if (!is_rolling(c) || !any_node_holds(c->newest))
		return c->current;
	if (c->rollout_kind == ROLLOUT_NONE)
		return c->newest;
	return bucket(i, c->newest) < c->steps[step] ? c->newest : c->current;
}

/* What a look over the Container's instances found. */
struct census {
	int64_t total, moved, settled;
	const struct instance *failed;
	struct instance **movable; /* old Revision, allowed to move now */
	size_t movable_count;
	int64_t in_grace, without_image, without_room;
};

static bool has_room(const struct node *n, const struct instance *i, const struct revision *target)
{
	return n->used.milli_vcpu - i->booked->milli_vcpu + target->need->milli_vcpu <= n->allocatable.milli_vcpu &&
	       n->used.memory - i->booked->memory + target->need->memory <= n->allocatable.memory &&
	       n->used.disk - i->booked->disk + target->need->disk <= n->allocatable.disk;
}

static void count_one(struct census *s, const struct container *c, struct instance *i, int64_t now)
{
	const struct revision *target = c->newest;
	bool on_target = streq(i->revision, target->r.name);

	if (i->phase == PHASE_FAILED && on_target && i->wants_running)
		s->failed = i;
	if (!i->is_running)
		return;
	s->total++;
	if (on_target) {
		s->moved++;
		s->settled += i->phase == PHASE_READY && i->status_generation == i->vm_generation && i->runs_revision;
		return;
	}
	if (i->r.writing || i->r.deleting || !i->wants_running || i->phase == PHASE_STOPPING || !i->booked_on)
		return;
	if (c->active_grace_ms && now - i->started_at < c->active_grace_ms)
		s->in_grace++;
	else if (!held_has(i->booked_on->held, target->digest))
		s->without_image++;
	else if (!has_room(i->booked_on, i, target))
		s->without_room++;
	else
		s->movable[s->movable_count++] = i;
}

static struct census take_census(const struct container *c, int64_t now, struct arena *a)
{
	struct census s = {.movable = arena_alloc(a, (c->instance_count + 1) * sizeof(struct instance *))};

	for (struct instance *i = c->instances; i; i = i->next)
		count_one(&s, c, i, now);
	return s;
}

static int64_t target_of(const struct container *c, int step, int64_t total)
{
	int64_t n = (total * c->steps[step] + 99) / 100;

	return total && n < 1 ? 1 : n;
}

static void move(const struct container *c, struct instance *i, struct action_list *out)
{
	struct action *x = action_add(out, ACTION_BIND, &i->r,
				      binding_make(out->arena, i, i->booked_on, c->newest, NULL));

	action_event(out, x, "Normal", "RolloutStep", "Moving to Revision %s", c->newest->r.name);
}

static const char *waiting_for(const struct census *s, struct arena *a)
{
	if (s->without_image)
		return arena_printf(a, "waiting for the image on the nodes of %lld instances",
				    (long long)s->without_image);
	if (s->without_room)
		return arena_printf(a, "%lld instances do not fit on their nodes with the new size",
				    (long long)s->without_room);
	if (s->in_grace)
		return arena_printf(a, "%lld instances are within their active grace period", (long long)s->in_grace);
	return "waiting for the moved instances to become Ready";
}

static struct rollout complete(const struct revision *current, const struct census *s)
{
	return (struct rollout){.phase = ROLLOUT_COMPLETE,
				.current = current,
				.updated = s->settled,
				.total = s->total,
				.message = "all instances run the current Revision"};
}

struct rollout rollout_step(struct container *c, int64_t now, struct action_list *out)
{
	struct rollout r = {.phase = ROLLOUT_PENDING, .current = c->current, .message = "no Revision yet"};

	if (!c->newest)
		return r;
	struct census s = take_census(c, now, out->arena);

	if (!is_rolling(c))
		return complete(c->current, &s);
	r.step = c->step < c->step_count ? c->step : c->step_count - 1;
	r.total = s.total;
	r.updated = s.settled;
	if (!any_node_holds(c->newest)) {
		r.phase = ROLLOUT_PREFETCHING;
		r.message = "waiting for the image of the new Revision";
		return r;
	}
	if (c->rollout_kind == ROLLOUT_NONE)
		return complete(c->newest, &s);
	r.phase = ROLLOUT_PROGRESSING;
	if (s.failed) {
		r.halted = true;
		r.message = arena_printf(out->arena, "halted: instance %s failed on %s", s.failed->r.name,
					 c->newest->r.name);
		return r;
	}
	int64_t target = target_of(c, r.step, s.total);

	for (size_t i = 0; i < s.movable_count && s.moved < target; i++, s.moved++)
		move(c, s.movable[i], out);
	if (s.moved < target || s.settled < s.moved) {
		r.message = waiting_for(&s, out->arena);
		return r;
	}
	if (r.step == c->step_count - 1)
		return complete(c->newest, &s);
	if (c->rollout_kind == ROLLOUT_FULL_MANUAL && c->promoted_step <= r.step) {
		r.phase = ROLLOUT_PAUSED;
		r.message = arena_printf(out->arena, "step %d is complete; promote to go on", r.step + 1);
		return r;
	}
	r.step++;
	r.message = "going on to the next step";
	return r;
}
