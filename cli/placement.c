/*
 * placement.c - reading status.placement; see placement.h.
 */
#include "cli/placement.h"

static const struct json *ready_condition(const struct json *instance)
{
	const struct json *list = json_in(instance, "status", "conditions");

	for (size_t i = 0; i < json_count(list); i++)
		if (streq(json_str(json_get(json_item(list, i), "type")), "Ready"))
			return json_item(list, i);
	return NULL;
}

static const char *phase_of(const struct json *instance)
{
	const char *phase = json_str_or(json_in(instance, "status", "phase"), "");

	return *phase ? phase : "Pending";
}

static bool has_vm(const char *phase)
{
	static const char *const phases[] = {"Scheduled", "Starting", "Ready", "Running", "Stopping"};

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
		if (streq(phase, phases[i]))
			return true;
	return false;
}

bool placement_is_waiting(const struct json *instance)
{
	return streq(json_str(json_in(instance, "spec", "state")), "Running") && !has_vm(phase_of(instance));
}

/* "Unschedulable: 2 nodes: insufficient memory", as far as known. */
static const char *reason_of(struct arena *a, const struct json *instance, const char *otherwise)
{
	const struct json *c = ready_condition(instance);
	const char *reason = json_str_or(json_get(c, "reason"), ""), *text = json_str_or(json_get(c, "message"), "");

	if (!*reason && !*text)
		return otherwise;
	return arena_printf(a, "%s%s%s", reason, *reason && *text ? ": " : "", text);
}

const char *placement_verdict(struct arena *a, const struct json *instance)
{
	const char *phase = phase_of(instance), *state = json_str_or(json_in(instance, "spec", "state"), "Asleep");
	const char *node = json_str_or(json_in(instance, "status", "nodeName"), "?");
	const char *location = json_str_or(json_in(instance, "status", "location"), "");

	if (has_vm(phase))
		return arena_printf(a, "it is %s on node %s%s%s", phase, node, *location ? " in Location " : "",
				    location);
	if (streq(state, "Stopped"))
		return "it is stopped by its owner: set spec.state to Asleep, and requests wake it";
	if (streq(phase, "Failed"))
		return arena_printf(a, "it failed (%s): see berthctl logs, the next request starts it anew",
				    reason_of(a, instance, "no reason is known"));
	if (streq(state, "Asleep"))
		return "it is asleep: the next request wakes it, and it is placed then";
	return arena_printf(a, "it waits (%s)", reason_of(a, instance, "the scheduler has not looked at it yet"));
}

static void copy(struct arena *a, struct json *to, const char *key, const struct json *value)
{
	if (value && !(json_str(value) && !*json_str(value)))
		json_set(a, to, key, json_clone(a, value));
}

struct json *placement_report(struct arena *a, const struct json *instance)
{
	const struct json *meta = json_get(instance, "metadata"), *spec = json_get(instance, "spec");
	const struct json *status = json_get(instance, "status"), *placement = json_get(status, "placement");
	const struct json *list = json_get(placement, "candidates");
	const char *node = json_str_or(json_get(status, "nodeName"), ""), *phase = phase_of(instance);
	struct json *r = json_object(a), *rows;

	copy(a, r, "instance", json_get(meta, "name"));
	copy(a, r, "namespace", json_get(meta, "namespace"));
	copy(a, r, "container", json_get(spec, "containerName"));
	json_set_str(a, r, "phase", phase);
	if (has_vm(phase)) {
		copy(a, r, "node", json_get(status, "nodeName"));
		copy(a, r, "location", json_get(status, "location"));
	}
	copy(a, r, "origin", json_get(placement, "origin"));
	if (json_get(r, "origin"))
		json_set_str(a, r, "originFrom",
			     json_str(json_get(spec, "clientLocation")) ? "the client's network" : "the gateway");
	json_set_str(a, r, "verdict", placement_verdict(a, instance));
	rows = json_set(a, r, "candidates", json_array(a));
	for (size_t i = 0; i < json_count(list); i++) {
		struct json *k = json_append(a, rows, json_clone(a, json_item(list, i)));
		const char *reason = json_str(json_get(k, "reason"));
		bool chosen = !reason && has_vm(phase) && streq(json_str(json_get(k, "node")), node);

		json_set_str(a, k, "verdict", reason ? reason : chosen ? "chosen" : "feasible");
	}
	json_set_int(a, r, "omitted", json_int_or(json_get(placement, "omitted"), 0));
	return r;
}

static const char *number(struct arena *a, const struct json *v, const char *unit)
{
	return v ? arena_printf(a, "%lld%s", (long long)json_int_or(v, 0), unit) : NULL;
}

struct table *placement_table(struct arena *a, const struct json *report)
{
	const struct json *list = json_get(report, "candidates");
	struct table *t = arena_calloc(a, sizeof(*t));

	table_init(
		t, a,
		(const char *[]){"LOCATION", "DISTANCE", "NODE", "SCORE", "SAME-NODE", "SAME-RACK", "VERDICT", NULL});
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *k = json_item(list, i);

		table_row(t,
			  (const char *[]){json_str(json_get(k, "location")),
					   number(a, json_get(k, "distanceKm"), " km"), json_str(json_get(k, "node")),
					   number(a, json_get(k, "score"), ""), number(a, json_get(k, "sameNode"), ""),
					   number(a, json_get(k, "sameDomain"), ""), json_str(json_get(k, "verdict"))});
	}
	return t;
}
