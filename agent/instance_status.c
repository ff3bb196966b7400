/*
 * instance_status.c - the Instance's status as this node knows it, written as merge patches.
 *
 * One write at a time for each instance; what changes meanwhile goes with the next. A patch carries the resourceVersion
 * it was made from, so a late one about an old binding is refused (409) instead of overwriting what came after; the
 * informer's next event then makes a new one. What the object says already is not written again.
 */
#include <stdio.h>

#include "agent/instance.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"

#define RETRY_MAX_MS 5000

static struct metric writes = METRIC_COUNTER("berth_agent_status_writes_total", "Status patches of instances",
					     "result");

/* ---- what the status is ---- */

static void set_time(struct arena *a, struct json *o, const char *key, int64_t ms)
{
	char text[TIME_TEXT_MAX];

	if (ms)
		json_set_str(a, o, key, time_format(ms, text));
}

static void set_text_or_null(struct arena *a, struct json *o, const char *key, const char *text)
{
	json_set(a, o, key, *text ? json_string(a, text) : json_null(a));
}

/* One that this start did not have is taken away: it was another start's. */
static void set_span(struct arena *a, struct json *o, const char *key, int64_t from, int64_t to)
{
	json_set(a, o, key, from && to ? json_int(a, to > from ? to - from : 0) : json_null(a));
}

static void add_wake(struct instance *i, struct arena *a, struct json *status)
{
	const struct instance_facts *f = &i->facts;
	int64_t from = f->wake.wanted ? f->wake.wanted : f->wake.bound ? f->wake.bound : f->wake.seen;

	if (!f->wake.ready || !(f->wake.created || f->wake.resumed))
		return;
	struct json *wake = json_set(a, status, "wake", json_object(a));
	set_span(a, wake, "queuedMs", f->wake.wanted, f->wake.bound);
	set_span(a, wake, "scheduledMs", f->wake.bound, f->wake.begun);
	set_span(a, wake, "diskMs", f->wake.begun, f->wake.disk);
	set_span(a, wake, "createMs", f->wake.disk, f->wake.created);
	set_span(a, wake, "bootMs", f->wake.created, f->wake.hello);
	set_span(a, wake, "resumeMs", f->wake.begun, f->wake.resumed);
	set_span(a, wake, "appMs", f->wake.resumed ? f->wake.resumed : f->wake.hello, f->wake.ready);
	set_span(a, wake, "totalMs", from, f->wake.ready);
}

static void add_last_exit(struct instance *i, struct arena *a, struct json *status)
{
	if (!i->facts.last_exit.any)
		return;
	struct json *o = json_set(a, status, "lastExit", json_object(a));
	json_set_int(a, o, "code", i->facts.last_exit.code);
	json_set_int(a, o, "signal", i->facts.last_exit.signal);
	json_set_str(a, o, "reason", i->facts.last_exit.reason);
	set_time(a, o, "time", i->facts.last_exit.time);
}

/* Reason and message of the condition Ready while it is False. */
static void explain(const struct instance *i, enum instance_phase phase, const char **reason, const char **message)
{
	*reason = *i->facts.reason ? i->facts.reason : phase_name(phase);
	*message = i->facts.message;
	if (phase == PHASE_ASLEEP && i->seen.kept) {
		*reason = "Suspended";
		*message = "its VM is suspended; the next request resumes it";
	} else if (phase == PHASE_ASLEEP) {
		*reason = "Asleep";
		*message = "no VM; the next request wakes it";
	} else if (phase == PHASE_STOPPED) {
		*reason = "Stopped";
		*message = "no VM, by the user's wish";
	} else if (phase == PHASE_STOPPING) {
		*reason = "Stopping";
		*message = "the program was asked to end";
	}
}

static void add_condition(struct instance *i, enum instance_phase phase, struct arena *a, struct json *status)
{
	struct json *o = json_append(a, json_set(a, status, "conditions", json_array(a)), json_object(a));
	const char *value = phase == PHASE_READY ? "True" : "False", *reason = "Ready",
		   *message = "the program answers";

	if (!streq(i->write.condition, value)) {
		snprintf(i->write.condition, sizeof(i->write.condition), "%s", value);
		i->write.condition_since = time_now_ms();
	}
	if (phase != PHASE_READY)
		explain(i, phase, &reason, &message);
	json_set_str(a, o, "type", "Ready");
	json_set_str(a, o, "status", value);
	json_set_str(a, o, "reason", reason);
	json_set_str(a, o, "message", message);
	set_time(a, o, "lastTransitionTime", i->write.condition_since);
}

static struct json *build(struct instance *i, struct arena *a)
{
	enum instance_phase phase = i->write.phase;
	bool has_vm = instance_has_vm(i),
	     at_rest = phase == PHASE_ASLEEP || phase == PHASE_STOPPED || phase == PHASE_FAILED;
	bool reachable = phase == PHASE_READY || phase == PHASE_RUNNING || phase == PHASE_STOPPING;
	struct json *s = json_object(a);

	json_set_str(a, s, "phase", phase_name(phase));
	json_set_int(a, s, "vmGeneration", has_vm && !at_rest ? i->seen.generation : i->want.generation);
	json_set(a, s, "suspended", i->seen.kept ? json_bool(a, true) : json_null(a));
	json_set_str(a, s, "nodeName", i->agent->cfg->node_name);
	json_set_str(a, s, "location", i->agent->cfg->location);
	set_text_or_null(a, s, "address", has_vm && reachable ? i->facts.address : "");
	set_text_or_null(a, s, "bootId", has_vm ? i->facts.boot_id : "");
	if (*i->facts.kernel)
		json_set_str(a, s, "kernel", i->facts.kernel);
	if (*i->facts.revision)
		json_set_str(a, s, "revision", i->facts.revision);
	if (*i->facts.digest)
		json_set_str(a, s, "imageDigest", i->facts.digest);
	set_time(a, s, "startedAt", i->record.started_at);
	if (i->record.ready_at)
		set_time(a, s, "readyAt", i->record.ready_at);
	else if (!at_rest)
		json_set(a, s, "readyAt", json_null(a));
	json_set_int(a, s, "restarts", i->record.restarts);
	add_last_exit(i, a, s);
	add_wake(i, a, s);
	add_condition(i, phase, a, s);
	return s;
}

/* ---- writing it ---- */

/* Everything wanted is there already; null wants absence. */
static bool is_contained(const struct json *wanted, const struct json *there)
{
	for (size_t n = 0; n < json_count(wanted); n++) {
		const struct json *w = json_item(wanted, n), *t = json_get(there, json_key(wanted, n));
		bool same = json_is(w, JSON_NULL)     ? t == NULL || json_is(t, JSON_NULL)
			    : json_is(w, JSON_OBJECT) ? is_contained(w, t)
						      : json_equal(w, t);
		if (!same)
			return false;
	}
	return true;
}

static int64_t version_of(const struct json *object)
{
	return strtoll(json_str_or(json_in(object, "metadata", "resourceVersion"), "0"), NULL, 10);
}

struct status_call {
	struct agent *agent;
	char *uid, *text;
};

static void write_now(struct instance *i);

static void on_retry(uv_timer_t *t)
{
	write_now(t->data);
}

static void retry_later(struct instance *i)
{
	uint64_t pause = UINT64_C(100) << (i->write.failures > 6 ? 6 : i->write.failures);

	i->write.failures++;
	uv_timer_start(&i->retry, on_retry, pause > RETRY_MAX_MS ? RETRY_MAX_MS : pause, 0);
}

static void on_done(void *user, int err, const struct json *object, const struct error *e)
{
	struct status_call *c = user;
	struct instance *i = strmap_get(c->agent->by_uid, c->uid);

	metric_add(&writes, err ? "failed" : "ok", 1);
	if (i) {
		i->write.in_flight = false;
		if (err == 0) {
			i->write.failures = 0;
			i->write.resource_version = version_of(object);
			free(i->write.sent);
			i->write.sent = steal(&c->text);
			if (i->write.again)
				write_now(i);
		} else if (err != -E_NOT_FOUND) {
			if (err != -E_CONFLICT)
				log_warn("status of an instance not written", "instance", i->name, "namespace", i->ns,
					 "error", e->text, NULL);
			retry_later(i);
		}
	}
	free(c->uid);
	free(c->text);
	free(c);
}

static void write_now(struct instance *i)
{
	_arena_ a = arena_new();
	const struct json *object = kube_informer_get(i->agent->instances, i->ns, i->name);

	if (i->write.in_flight) {
		i->write.again = true;
		return;
	}
	i->write.again = false;
	if (!object || !streq(json_str(json_in(object, "metadata", "uid")), i->uid) || i->write.phase == PHASE_KEEP)
		return;
	/* Bound anew since this was decided: instance_sync() decides again. */
	if (json_int_or(json_in(object, "spec", "vmGeneration"), 0) > i->want.generation)
		return;
	struct json *status = build(i, a);
	int64_t seen = version_of(object);
	bool newest = seen >= i->write.resource_version;
	const char *text = json_to_string(a, status);
	if (newest ? is_contained(status, json_get(object, "status")) : streq(i->write.sent, text))
		return;

	struct json *body = json_object(a), *metadata = json_ensure_object(a, body, "metadata");
	json_set_str(a, metadata, "resourceVersion",
		     arena_printf(a, "%lld", (long long)(newest ? seen : i->write.resource_version)));
	json_set(a, body, "status", status);
	struct status_call *c = xcalloc(1, sizeof(*c));
	c->agent = i->agent;
	c->uid = xstrdup(i->uid);
	c->text = xstrdup(text);
	i->write.in_flight = true;
	const struct kube_call call = {.method = "PATCH",
				       .path = kube_path(a, &KUBE_INSTANCES, i->ns, i->name, "status"),
				       .patch = KUBE_PATCH_MERGE,
				       .body = body,
				       .timeout_ms = 15000};
	kube_start(i->agent->kube, &call, on_done, c);
}

void instance_status_write(struct instance *i, enum instance_phase phase)
{
	i->write.phase = phase;
	if (phase != PHASE_KEEP)
		write_now(i);
}

void instance_status_restore(struct instance *i, const struct json *object)
{
	const struct json *status = json_get(object, "status"), *exit = json_get(status, "lastExit");
	const struct json *conditions = json_get(status, "conditions");

	/* The guest of a suspended VM cannot be asked before it runs on. */
	if (!*i->facts.boot_id && (i->seen.stage == STAGE_SUSPENDED || !i->agent->inventoried))
		snprintf(i->facts.boot_id, sizeof(i->facts.boot_id), "%s", json_str_or(json_get(status, "bootId"), ""));
	if (!*i->facts.revision)
		snprintf(i->facts.revision, sizeof(i->facts.revision), "%s",
			 json_str_or(json_get(status, "revision"), ""));
	if (!*i->facts.digest)
		snprintf(i->facts.digest, sizeof(i->facts.digest), "%s",
			 json_str_or(json_get(status, "imageDigest"), ""));
	if (!*i->facts.kernel)
		snprintf(i->facts.kernel, sizeof(i->facts.kernel), "%s", json_str_or(json_get(status, "kernel"), ""));
	if (!i->record.restarts)
		i->record.restarts = json_int_or(json_get(status, "restarts"), 0);
	if (!i->facts.last_exit.any && exit) {
		static const char *const reasons[] = {"Completed", "Error", "OOMKilled", "VMStopped"};
		i->facts.last_exit.code = json_int_or(json_get(exit, "code"), 0);
		i->facts.last_exit.signal = json_int_or(json_get(exit, "signal"), 0);
		if (time_parse(json_str_or(json_get(exit, "time"), ""), &i->facts.last_exit.time, NULL) < 0)
			i->facts.last_exit.time = 0;
		i->facts.last_exit.reason = "Error";
		for (size_t n = 0; n < ARRAY_SIZE(reasons); n++)
			if (streq(reasons[n], json_str(json_get(exit, "reason"))))
				i->facts.last_exit.reason = reasons[n];
		i->facts.last_exit.any = true;
	}
	for (size_t n = 0; !i->write.condition[0] && n < json_count(conditions); n++) {
		const struct json *c = json_item(conditions, n);
		if (!streq(json_str(json_get(c, "type")), "Ready"))
			continue;
		snprintf(i->write.condition, sizeof(i->write.condition), "%s", json_str_or(json_get(c, "status"), ""));
		if (time_parse(json_str_or(json_get(c, "lastTransitionTime"), ""), &i->write.condition_since, NULL) < 0)
			i->write.condition_since = time_now_ms();
	}
}

void instance_status_free(struct instance *i)
{
	free(steal(&i->write.sent));
}

/* ---- the finalizer ---- */

struct release_call {
	struct agent *agent;
	char *uid;
};

static void on_released(void *user, int err, _unused_ const struct json *object, const struct error *e)
{
	struct release_call *c = user;
	struct instance *i = strmap_get(c->agent->by_uid, c->uid);

	if (i && err && err != -E_NOT_FOUND) {
		if (err != -E_CONFLICT)
			log_warn("finalizer not removed", "instance", i->name, "namespace", i->ns, "error", e->text,
				 NULL);
		i->release_sent = false;
		instance_sync_later(i, 500);
	}
	free(c->uid);
	free(c);
}

void instance_release(struct instance *i)
{
	_arena_ a = arena_new();
	const struct json *object = kube_informer_get(i->agent->instances, i->ns, i->name);
	const struct json *there = json_in(object, "metadata", "finalizers");
	struct json *body = json_object(a), *metadata = json_ensure_object(a, body, "metadata");
	struct json *left = json_set(a, metadata, "finalizers", json_array(a));
	bool found = false;

	for (size_t n = 0; n < json_count(there); n++) {
		const char *name = json_str_or(json_item(there, n), "");
		if (streq(name, "berth.dev/vm"))
			found = true;
		else
			json_append(a, left, json_string(a, name));
	}
	if (!found)
		return;
	json_set_str(a, metadata, "resourceVersion", json_str(json_in(object, "metadata", "resourceVersion")));
	struct release_call *c = xcalloc(1, sizeof(*c));
	c->agent = i->agent;
	c->uid = xstrdup(i->uid);
	i->release_sent = true;
	const struct kube_call call = {.method = "PATCH",
				       .path = kube_path(a, &KUBE_INSTANCES, i->ns, i->name, NULL),
				       .patch = KUBE_PATCH_MERGE,
				       .body = body,
				       .timeout_ms = 15000};
	kube_start(i->agent->kube, &call, on_released, c);
}
