/*
 * status.c - building and comparing statuses; see status.h.
 */
#include "scheduler/status.h"

#include "scheduler/prefetch.h"
#include "scheduler/revision.h"

static void put_instances(struct arena *a, struct json *status, const struct container *c)
{
	struct json *o = json_set(a, status, "instances", json_object(a));
	int64_t ready = 0, asleep = 0, suspended = 0, updated = 0;

	for (const struct instance *i = c->instances; i; i = i->next) {
		ready += i->phase == PHASE_READY;
		asleep += i->phase == PHASE_ASLEEP;
		suspended += i->suspended && !i->is_running;
		updated += i->is_running && c->newest && streq(i->revision, c->newest->r.name);
	}
	json_set_int(a, o, "total", (int64_t)c->instance_count);
	json_set_int(a, o, "running", c->running);
	json_set_int(a, o, "ready", ready);
	json_set_int(a, o, "asleep", asleep);
	json_set_int(a, o, "suspended", suspended);
	json_set_int(a, o, "updated", updated);
}

static void put_rollout(struct arena *a, struct json *status, const struct container *c, const struct rollout *r)
{
	struct json *o = json_set(a, status, "rollout", json_object(a));
	int step = r->phase == ROLLOUT_COMPLETE ? 0 : r->step;

	json_set_str(a, o, "phase", rollout_phase_name(r->phase));
	json_set_int(a, o, "step", step);
	json_set_int(a, o, "stepPercentage", r->phase == ROLLOUT_COMPLETE ? 100 : c->steps[step]);
	json_set_int(a, o, "updated", r->updated);
	json_set_int(a, o, "total", r->total);
	json_set_str(a, o, "message", r->message);
}

static void put_conditions(const struct world *w, struct arena *a, struct json *status, const struct container *c,
			   const struct rollout *r, int64_t now)
{
	const struct json *old = json_in(c->r.object, "status", "conditions");
	struct json *list = json_set(a, status, "conditions", json_array(a));
	bool resolved = revision_is_up_to_date(c);
	struct prefetch_progress p = prefetch_progress(w, c);
	bool prefetched = resolved && p.wanted && p.ready == p.wanted;
	const char *progress = arena_printf(a, "%lld of %lld nodes hold the image, %lld %%%s%s", (long long)p.ready,
					    (long long)p.wanted, (long long)p.percent, p.failure ? "; " : "",
					    p.failure ? p.failure : "");

	if (resolved)
		condition_put(a, list, old, "ImageResolved", true, "Resolved", c->newest->image, now);
	else
		condition_put(a, list, old, "ImageResolved", false, c->resolve_error ? "ResolveFailed" : "Resolving",
			      c->resolve_error ? c->resolve_error : "asking the registry for the image's digest", now);
	condition_put(a, list, old, "Prefetched", prefetched,
		      prefetched  ? "Prefetched"
		      : p.failure ? "PrefetchFailed"
		      : !p.wanted ? "NoNodes"
				  : "Prefetching",
		      progress, now);
	bool available = c->current && p.ready > 0;

	condition_put(a, list, old, "Available", available || (c->current && c->current != c->newest),
		      available ? "ImageOnNodes" : "ImageNotOnNodes",
		      available ? "requests can be served" : "no node holds the image yet", now);
	condition_put(a, list, old, "Progressing", r->phase != ROLLOUT_COMPLETE && !r->halted,
		      r->halted ? "Halted" : rollout_phase_name(r->phase), r->message, now);
}

void status_container(const struct world *w, struct container *c, const struct rollout *r, int64_t now,
		      struct action_list *out)
{
	struct arena *a = out->arena;
	struct json *status = json_object(a), *body;

	if (c->r.writing || c->r.deleting || now < c->r.retry_at)
		return;
	json_set_int(a, status, "observedGeneration", c->generation);
	if (r->current) {
		json_set_str(a, status, "currentRevision", r->current->r.name);
		json_set_str(a, status, "updatedRevision", c->newest->r.name);
		json_set_str(a, status, "imageDigest", c->newest->image_digest);
	}
	put_instances(a, status, c);
	put_rollout(a, status, c, r);
	put_conditions(w, a, status, c, r, now);
	if (json_equal(status, json_get(c->r.object, "status")))
		return;
	body = json_object(a);
	json_set(a, body, "status", status);
	struct action *x = action_add(out, ACTION_PATCH_STATUS, &c->r, body);
	const char *was = json_str_or(json_in(c->r.object, "status", "rollout", "phase"), "Pending");

	if (!streq(was, rollout_phase_name(r->phase)) && r->phase != ROLLOUT_PENDING)
		action_event(out, x, r->halted ? "Warning" : "Normal",
			     arena_printf(a, "Rollout%s", rollout_phase_name(r->phase)), "%s", r->message);
}

void status_locations(struct world *w, int64_t now, struct action_list *out)
{
	struct arena *a = out->arena;
	struct record *x;

	for (size_t pos = 0; (x = world_next(w, WORLD_LOCATION, &pos));) {
		struct json *status = json_object(a), *capacity = json_object(a), *body = json_object(a);
		const struct json *old = json_get(x->object, "status");
		const struct site *s = sites_get(&w->sites, x->name);
		int64_t nodes = s->count, ready = 0;
		struct resources sum = {0};
		const char *why;

		if (x->writing || x->deleting || now < x->retry_at)
			continue;
		for (uint32_t k = 0; k < s->count; k++) {
			const struct node *n = s->slots[k].node;

			if (!node_is_live(n, now, &why))
				continue;
			ready++;
			sum.milli_vcpu += n->allocatable.milli_vcpu;
			sum.memory += n->allocatable.memory;
			sum.disk += n->allocatable.disk;
		}
		json_set(a, capacity, "vcpu", json_stringf(a, "%lldm", (long long)sum.milli_vcpu));
		json_set(a, capacity, "memory", json_stringf(a, "%lldMi", (long long)(sum.memory >> 20)));
		json_set(a, capacity, "disk", json_stringf(a, "%lldM", (long long)(sum.disk / 1000000)));
		if (json_int_or(json_get(old, "nodes"), -1) == nodes &&
		    json_int_or(json_get(old, "readyNodes"), -1) == ready &&
		    json_equal(json_get(old, "capacity"), capacity))
			continue;
		json_set_int(a, status, "nodes", nodes);
		json_set_int(a, status, "readyNodes", ready);
		json_set(a, status, "capacity", capacity);
		json_set(a, body, "status", status);
		action_add(out, ACTION_PATCH_STATUS, x, body);
	}
}
