/*
 * report.c - see report.h.
 */
#include "gateway/report.h"

#include "lib/log.h"
#include "lib/units.h"

/* ---- Routes ---- */

struct json *report_route_conditions(struct arena *a, const struct route_verdict *v, int64_t wall_now)
{
	const struct json *old = json_in(v->route, "status", "conditions");
	const char *status = v->accepted ? "True" : "False", *since = NULL;
	int64_t generation = json_int_or(json_in(v->route, "metadata", "generation"), 0);
	struct json *list = json_array(a), *mine = json_object(a);
	char now[TIME_TEXT_MAX];

	for (size_t i = 0; i < json_count(old); i++) {
		const struct json *c = json_item(old, i);

		if (!streq(json_str(json_get(c, "type")), "Accepted")) {
			json_append(a, list, json_clone(a, c));
			continue;
		}
		if (!streq(json_str(json_get(c, "status")), status))
			continue;
		since = json_str(json_get(c, "lastTransitionTime"));
		if (streq(json_str(json_get(c, "reason")), v->reason) &&
		    streq(json_str(json_get(c, "message")), v->message) &&
		    json_int_or(json_get(c, "observedGeneration"), 0) == generation)
			return NULL;
	}
	json_set_str(a, mine, "type", "Accepted");
	json_set_str(a, mine, "status", status);
	json_set_int(a, mine, "observedGeneration", generation);
	json_set_str(a, mine, "lastTransitionTime", since ? since : time_format(wall_now, now));
	json_set_str(a, mine, "reason", v->reason);
	json_set_str(a, mine, "message", v->message);
	json_append(a, list, mine);
	return list;
}

static void on_route_written(void *user, int err, _unused_ const struct json *o, const struct error *e)
{
	_free_ char *name = user;

	if (err && err != -E_NOT_FOUND)
		log_warn("cannot write a Route's status", "route", name, "error", e->text, NULL);
}

void report_routes(struct kube *k, const struct route_table *t)
{
	for (size_t i = 0; i < t->verdict_count; i++) {
		_arena_ a = arena_new();
		const struct json *meta = json_get(t->verdicts[i].route, "metadata");
		const char *ns = json_str(json_get(meta, "namespace")), *name = json_str(json_get(meta, "name"));
		struct json *conditions = report_route_conditions(a, &t->verdicts[i], time_now_ms());
		struct json *body = json_object(a);

		if (!conditions)
			continue;
		json_set(a, json_set(a, body, "status", json_object(a)), "conditions", conditions);
		kube_start(k,
			   &(struct kube_call){.method = "PATCH",
					       .patch = KUBE_PATCH_MERGE,
					       .body = body,
					       .path = kube_path(a, &KUBE_ROUTES, ns, name, "status")},
			   on_route_written, xasprintf("%s/%s", ns, name));
	}
}

/* ---- the Location ---- */

static bool is_forgotten(const struct json *gateway, int64_t wall_now)
{
	const char *seen = json_str(json_get(gateway, "lastSeen"));
	int64_t at;

	return seen && time_parse(seen, &at, NULL) == 0 && wall_now - at > REPORT_FORGET_MS;
}

struct json *report_gateways(struct arena *a, const struct json *location, const struct gateway_config *cfg,
			     int64_t wall_now)
{
	const struct json *old = json_in(location, "status", "gateways");
	struct json *list = json_array(a), *mine = json_object(a);
	char now[TIME_TEXT_MAX];

	for (size_t i = 0; i < json_count(old); i++) {
		const struct json *other = json_item(old, i);

		if (!streq(json_str(json_get(other, "name")), cfg->name) && !is_forgotten(other, wall_now))
			json_append(a, list, json_clone(a, other));
	}
	json_set_str(a, mine, "name", cfg->name);
	json_set_str(a, mine, "url", cfg->url);
	if (cfg->address)
		json_set_str(a, mine, "address", cfg->address);
	json_set_str(a, mine, "lastSeen", time_format(wall_now, now));
	json_append(a, list, mine);
	return list;
}

struct location_report {
	struct kube *k;
	const struct gateway_config *cfg;
};

static void location_failed(struct location_report *r, const struct error *e)
{
	log_warn("cannot report to the Location", "location", r->cfg->location, "error", e->text, NULL);
	free(r);
}

static void on_location_written(void *user, int err, _unused_ const struct json *o, const struct error *e)
{
	if (err && err != -E_CONFLICT)
		location_failed(user, e);
	else
		free(user);
}

static void on_location_read(void *user, int err, const struct json *location, const struct error *e)
{
	struct location_report *r = user;
	_arena_ a = arena_new();
	struct json *body = json_object(a), *meta = json_set(a, body, "metadata", json_object(a));

	if (err) {
		location_failed(r, e);
		return;
	}
	/* The list is written whole: only if no other gateway has written in between. */
	json_set_str(a, meta, "resourceVersion", json_str(json_in(location, "metadata", "resourceVersion")));
	json_set(a, json_set(a, body, "status", json_object(a)), "gateways",
		 report_gateways(a, location, r->cfg, time_now_ms()));
	kube_start(r->k,
		   &(struct kube_call){.method = "PATCH",
				       .patch = KUBE_PATCH_MERGE,
				       .body = body,
				       .path = kube_path(a, &KUBE_LOCATIONS, NULL, r->cfg->location, "status")},
		   on_location_written, r);
}

void report_location(struct kube *k, const struct gateway_config *cfg)
{
	_arena_ a = arena_new();
	struct location_report *r = xcalloc(1, sizeof(*r));

	*r = (struct location_report){k, cfg};
	kube_start(
		k,
		&(struct kube_call){.method = "GET", .path = kube_path(a, &KUBE_LOCATIONS, NULL, cfg->location, NULL)},
		on_location_read, r);
}
