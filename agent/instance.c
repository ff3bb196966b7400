/*
 * instance.c - the registry of instances, what is wanted of each, and the loop of step and action.
 */
#include "agent/instance.h"

#include <inttypes.h>
#include <stdio.h>

#include "agent/port_log.h"
#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"

static struct metric actions = METRIC_COUNTER("berth_agent_actions_total", "What the agent did about instances",
					      "action");

static const char *const action_names[] = {
	[ACTION_CREATE] = "create", [ACTION_START_APP] = "start", [ACTION_TERMINATE] = "terminate",
	[ACTION_KILL] = "kill",	    [ACTION_DESTROY] = "destroy", [ACTION_RELEASE] = "release",
	[ACTION_FORGET] = "forget", [ACTION_SUSPEND] = "suspend", [ACTION_WAKE] = "wake",
	[ACTION_RESUME] = "resume",
};

/* ---- registry ---- */

static void on_timer(uv_timer_t *t)
{
	instance_sync(t->data);
}

struct instance *instance_new(struct agent *g, const char *ns, const char *name, const char *uid)
{
	struct instance *i = xcalloc(1, sizeof(*i));

	i->agent = g;
	i->ns = xstrdup(ns);
	i->name = xstrdup(name);
	i->uid = xstrdup(uid);
	i->record.ns = i->ns;
	i->record.name = i->name;
	i->record.uid = i->uid;
	i->next_stream = 2;
	net_tap_name(uid, i->tap);
	uv_timer_init(g->loop, &i->timer);
	uv_timer_init(g->loop, &i->retry);
	i->timer.data = i->retry.data = i;
	strmap_put(g->by_uid, uid, i);
	return i;
}

static void on_retry_closed(uv_handle_t *h)
{
	struct instance *i = h->data;

	free(i->ns);
	free(i->name);
	free(i->uid);
	free(i);
}

static void on_timer_closed(uv_handle_t *h)
{
	struct instance *i = h->data;

	uv_close((uv_handle_t *)&i->retry, on_retry_closed);
}

static void instance_free(struct instance *i)
{
	strmap_remove(i->agent->by_uid, i->uid);
	instance_channel_close(i);
	port_log_instance_gone(i);
	logfile_close(steal(&i->log));
	arena_free(steal(&i->launch.arena));
	instance_status_free(i);
	uv_close((uv_handle_t *)&i->timer, on_timer_closed);
}

struct instance *instance_by_name(struct agent *g, const char *ns, const char *name)
{
	const struct json *object = kube_informer_get(g->instances, ns, name);
	const char *uid = json_str(json_in(object, "metadata", "uid"));

	return uid ? strmap_get(g->by_uid, uid) : NULL;
}

struct instance *instance_by_domain(struct agent *g, const char *domain)
{
	size_t position = 0;
	void *value;

	while (strmap_next(g->by_uid, &position, NULL, &value)) {
		struct instance *i = value;
		if (streq(i->domain, domain))
			return i;
	}
	return NULL;
}

bool instance_has_vm(const struct instance *i)
{
	return i->seen.stage != STAGE_NONE && i->seen.stage != STAGE_DESTROYING;
}

bool instance_is_suspended(const struct instance *i)
{
	return i->seen.stage >= STAGE_SUSPENDING && i->seen.stage <= STAGE_RESUMING;
}

char *instance_dir(const struct instance *i, struct arena *a)
{
	return record_dir(a, i->agent->cfg->state_dir, i->uid);
}

void instance_save(struct instance *i)
{
	_arena_ a = arena_new();
	struct error e = {0};

	i->save_at = 0;
	i->record.highest = i->seen.highest;
	i->record.spent = i->seen.spent;
	i->record.over = i->seen.over;
	if (dir_make(instance_dir(i, a), 0711, &e) < 0 || record_save(i->agent->cfg->state_dir, &i->record, &e) < 0)
		log_error("cannot write an instance's record", "instance", i->name, "namespace", i->ns, "error", e.text,
			  NULL);
}

void instance_set_reason(struct instance *i, const char *reason, const char *message)
{
	snprintf(i->facts.reason, sizeof(i->facts.reason), "%s", reason);
	snprintf(i->facts.message, sizeof(i->facts.message), "%s", message);
}

/* ---- what is wanted ---- */

static enum want_state want_state(const char *state)
{
	return streq(state, "Running") ? WANT_RUNNING : streq(state, "Stopped") ? WANT_STOPPED : WANT_ASLEEP;
}

/* Brings i->launch to the Revision of that name. False with the reason set when it cannot be. */
static bool load_launch(struct instance *i, const struct json *object, const char *revision)
{
	struct error e = {0};

	if (i->launch.arena && streq(i->launch.revision, revision))
		return true;
	const struct json *r = agent_revision(i->agent, i->ns, revision);
	if (!r) {
		instance_set_reason(i, "RevisionMissing", "the Revision is not known to this node yet");
		return false;
	}
	struct arena *a = arena_new();
	struct launch l;
	if (launch_from(a, object, r, i->agent->cfg->location, &l, &e) < 0) {
		instance_set_reason(i, "InvalidRevision", e.text);
		arena_free(a);
		return false;
	}
	arena_free(i->launch.arena);
	i->launch.arena = a;
	i->launch.l = l;
	snprintf(i->launch.revision, sizeof(i->launch.revision), "%s", revision);
	return true;
}

static bool image_is_ready(struct instance *i)
{
	const struct launch *l = &i->launch.l;
	struct image_status st;
	struct error e = {0};

	if (image_get(i->agent->images, l->digest, &st) && st.phase == IMAGE_READY)
		return true;
	/* The Image's Secrets are for the repository that it names, which may be another one with the same image. */
	struct image_source from = image_prefetch_source(i->agent->prefetch, l->digest);

	if (image_want(i->agent->images, from.reference ? from.reference : l->image, from.pull_secrets, true, &e) < 0)
		instance_set_reason(i, "ImageInvalid", e.text);
	else
		instance_set_reason(i, "ImageNotReady",
				    image_get(i->agent->images, l->digest, &st) && *st.message
					    ? st.message
					    : "the image is being pulled");
	return false;
}

static bool is_launchable(struct instance *i, const struct json *object)
{
	const char *revision = instance_has_vm(i) ? i->vm_revision
						  : json_str_or(json_in(object, "spec", "revision"), "");

	if (!load_launch(i, object, revision))
		return false;
	if (instance_has_vm(i))
		return true;
	if (i->agent->accel == ACCEL_UNKNOWN) {
		instance_set_reason(i, "ProbingHardware", "the node is finding out whether KVM works here");
		return false;
	}
	return image_is_ready(i);
}

static bool is_mistold(const struct instance *i, const struct json *object)
{
	static const char *const awake[] = {"Starting", "Ready", "Running", "Stopping"};
	const char *phase = json_str_or(json_in(object, "status", "phase"), "");

	for (size_t n = 0; n < ARRAY_SIZE(awake); n++)
		if (streq(phase, awake[n]))
			return true;
	return json_bool_or(json_in(object, "status", "suspended"), false) != i->seen.kept;
}

static void refresh_want(struct instance *i)
{
	const struct json *object = kube_informer_get(i->agent->instances, i->ns, i->name);

	if (!object || !streq(json_str(json_in(object, "metadata", "uid")), i->uid)) {
		i->want = (struct reconcile_want){0};
		return;
	}
	i->want.exists = streq(json_str(json_in(object, "spec", "nodeName")), i->agent->cfg->node_name);
	i->want.deleting = json_str(json_in(object, "metadata", "deletionTimestamp")) != NULL;
	i->want.state = want_state(json_str(json_in(object, "spec", "state")));
	i->want.generation = json_int_or(json_in(object, "spec", "vmGeneration"), 0);
	if (i->want.exists && i->want.generation > i->seen.highest)
		i->seen.highest = i->want.generation;
	i->want.launchable = i->want.state == WANT_RUNNING && !i->want.deleting && i->want.generation > 0 &&
			     i->want.generation >= i->seen.highest && is_launchable(i, object);
	if (instance_has_vm(i) && i->launch.arena && streq(i->launch.revision, i->vm_revision)) {
		i->want.restart = i->launch.l.restart;
		i->want.grace_ms = i->launch.l.grace_ms;
	} else {
		i->want.grace_ms = i->record.grace_ms;
	}
	i->want.suspend = i->record.suspend;
	i->want.same_revision = streq(json_str(json_in(object, "spec", "revision")), i->vm_revision);
	i->want.drop = strtoll(json_str_or(json_in(object, "metadata", "annotations", "berth.dev/drop-suspended"), "0"),
			       NULL, 10);
	i->want.mistold = is_mistold(i, object);
}

/* What the object says that this process does not know of a generation that has ended already. */
static void learn_from_status(struct instance *i, const struct json *object)
{
	const char *phase = json_str_or(json_in(object, "status", "phase"), "");
	int64_t about = json_int_or(json_in(object, "status", "vmGeneration"), 0);

	if (about <= i->seen.spent || instance_has_vm(i))
		return;
	if (streq(phase, "Asleep") || streq(phase, "Stopped") || streq(phase, "Failed")) {
		i->seen.spent = about;
		i->seen.over = streq(phase, "Failed") ? OVER_APP_FAILED : OVER_NO;
		if (about > i->seen.highest)
			i->seen.highest = about;
	}
}

static void take_wake_marks(struct instance *i, const struct json *object)
{
	const struct json *annotations = json_in(object, "metadata", "annotations");
	const char *wanted = json_str(json_get(annotations, "berth.dev/wanted-at"));
	const char *bound = json_str(json_get(annotations, "berth.dev/bound-at"));

	memset(&i->facts.wake, 0, sizeof(i->facts.wake));
	bool goes_on = i->seen.stage == STAGE_SUSPENDED &&
		       streq(json_str(json_in(object, "spec", "revision")), i->vm_revision);
	if (instance_has_vm(i) && !goes_on)
		return; /* a replacement: nobody waits while the old VM ends */
	i->facts.wake.seen = time_now_ms();
	if (!bound || time_parse(bound, &i->facts.wake.bound, NULL) < 0)
		i->facts.wake.bound = 0;
	if (!wanted || time_parse(wanted, &i->facts.wake.wanted, NULL) < 0 ||
	    (i->facts.wake.bound && i->facts.wake.wanted > i->facts.wake.bound))
		i->facts.wake.wanted = 0;
}

void instance_observe(struct agent *g, const struct json *object)
{
	const char *uid = json_str(json_in(object, "metadata", "uid"));
	struct instance *i = uid ? strmap_get(g->by_uid, uid) : NULL;
	int64_t generation = json_int_or(json_in(object, "spec", "vmGeneration"), 0);

	if (!uid || strlen(uid) < 8)
		return;
	if (!i)
		i = instance_new(g, json_str_or(json_in(object, "metadata", "namespace"), ""),
				 json_str_or(json_in(object, "metadata", "name"), ""), uid);
	instance_status_restore(i, object);
	learn_from_status(i, object);
	if (generation > i->seen.highest)
		take_wake_marks(i, object);
	instance_sync(i);
}

void instance_vanished(struct agent *g, const struct json *object)
{
	const char *uid = json_str(json_in(object, "metadata", "uid"));
	struct instance *i = uid ? strmap_get(g->by_uid, uid) : NULL;

	if (i)
		instance_sync(i);
}

/* ---- what to do ---- */

static void record_step(struct instance *i, const struct reconcile_step *s)
{
	bool changed = i->record.highest != i->seen.highest;

	if (s->spend && (s->spend > i->seen.spent || s->over != i->seen.over)) {
		i->seen.spent = s->spend > i->seen.spent ? s->spend : i->seen.spent;
		i->seen.over = s->over;
		changed = true;
	}
	/* From here on the suspended VM is one of the generation it is bound with, even if the agent dies now. */
	if (s->action == ACTION_WAKE && !(i->record.resuming && i->record.generation == i->want.generation)) {
		i->record.generation = i->want.generation;
		i->record.resuming = true;
		changed = true;
	}
	if (changed)
		instance_save(i);
}

/* Boots are work for the CPU alone: more at once than there are CPUs make each of them slower by more than their
 * number. */
static size_t starts_max(const struct agent *g)
{
	size_t cpus = (size_t)sysconf(_SC_NPROCESSORS_ONLN);

	return g->accel == ACCEL_USE_KVM ? 2 * cpus : cpus < 2 ? 2 : cpus;
}

static bool starts_are_full(struct agent *g)
{
	size_t position = 0, n = 0;
	void *value;

	while (strmap_next(g->by_uid, &position, NULL, &value)) {
		enum vm_stage stage = ((struct instance *)value)->seen.stage;
		n += stage == STAGE_CREATING || stage == STAGE_BOOTING;
	}
	return n >= starts_max(g);
}

/* When a start is over the instance that has waited longest is next. */
static void start_next(struct agent *g)
{
	struct instance *next = NULL;
	size_t position = 0;
	void *value;

	while (strmap_next(g->by_uid, &position, NULL, &value)) {
		struct instance *i = value;
		if (i->queued_since && (!next || i->queued_since < next->queued_since))
			next = i;
	}
	if (next && !starts_are_full(g))
		instance_sync(next);
}

void instance_note(struct instance *i, enum reconcile_event ev)
{
	struct agent *g = i->agent;

	reconcile_note(&i->seen, ev, time_mono_ms());
	instance_sync(i);
	start_next(g);
}

static void terminate_app(struct instance *i)
{
	i->record.term_since = time_mono_ms();
	instance_save(i);
	/* Without a connection the signal waits for the guest's HELLO, the grace period does not. */
	i->term_pending = !instance_channel_signal(i, 15);
	instance_note(i, EVENT_TERM_SENT);
}

static void forget(struct instance *i)
{
	instance_vm_forget(i);
	instance_free(i);
}

static const bool needs_hypervisor[] = {
	[ACTION_CREATE] = true, [ACTION_DESTROY] = true, [ACTION_SUSPEND] = true,
	[ACTION_WAKE] = true,	[ACTION_RESUME] = true,	 [ACTION_FORGET] = false,
};

static void wake(struct instance *i)
{
	i->facts.wake.begun = time_now_ms();
	reconcile_carry(&i->seen, i->want.generation);
	instance_vm_resume(i);
}

static bool must_queue(struct instance *i)
{
	if (!starts_are_full(i->agent))
		return false;
	if (!i->queued_since)
		i->queued_since = time_mono_ms();
	instance_set_reason(i, "Queued", "other VMs of this node start first");
	return true;
}

/* An action that has to wait is asked for again by the event it waits for. */
static bool must_wait(struct instance *i, enum reconcile_action action)
{
	if (action != ACTION_CREATE)
		i->queued_since = 0;
	return action == ACTION_NONE || (action == ACTION_RELEASE && i->release_sent) ||
	       (needs_hypervisor[action] && !i->agent->hypervisor_up) || (action == ACTION_CREATE && must_queue(i));
}

static void act(struct instance *i, enum reconcile_action action)
{
	if (must_wait(i, action))
		return;
	metric_add(&actions, action_names[action], 1);
	log_debug("instance", "namespace", i->ns, "instance", i->name, "action", action_names[action], NULL);
	switch (action) {
	case ACTION_CREATE:
		instance_vm_create(i);
		break;
	case ACTION_START_APP:
		if (!instance_channel_start(i))
			break;
		instance_boost(i, INSTANCE_BOOST_START_MS);
		instance_note(i, EVENT_START_SENT);
		break;
	case ACTION_TERMINATE:
		terminate_app(i);
		break;
	case ACTION_KILL:
		instance_channel_signal(i, 9);
		instance_note(i, EVENT_KILL_SENT);
		break;
	case ACTION_DESTROY:
		instance_vm_destroy(i);
		break;
	case ACTION_SUSPEND:
		instance_vm_suspend(i);
		break;
	case ACTION_WAKE:
		wake(i);
		break;
	case ACTION_RESUME:
		instance_vm_resume(i);
		break;
	case ACTION_RELEASE:
		instance_release(i);
		break;
	case ACTION_FORGET:
		forget(i);
		break;
	case ACTION_NONE:
		break;
	}
}

void instance_boost(struct instance *i, int64_t ms)
{
	int64_t until = time_mono_ms() + ms;

	if (until < i->boosted_until)
		i->boosted_until = until;
}

/* Sets the CPU limit when it is time; else returns when that is, 0 when it does not matter now. */
static int64_t end_boost(struct instance *i, int64_t now)
{
	if (i->seen.stage != STAGE_RUNNING || i->limited)
		return 0;
	if (now < i->boosted_until)
		return i->boosted_until;
	instance_vm_limit(i);
	return 0;
}

static int64_t save_in_time(struct instance *i, int64_t now)
{
	if (i->save_at && now >= i->save_at)
		instance_save(i);
	return i->save_at;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return !a || (b && b < a) ? b : a;
}

void instance_sync_later(struct instance *i, uint64_t ms)
{
	uv_timer_start(&i->timer, on_timer, ms, 0);
}

void instance_sync(struct instance *i)
{
	int64_t now = time_mono_ms();

	if (!agent_may_act(i->agent) || i->job)
		return;
	refresh_want(i);
	struct reconcile_step s = reconcile_step(&i->want, &i->seen, now);
	record_step(i, &s);
	int64_t wake_at = sooner(sooner(s.wake_at, end_boost(i, now)), save_in_time(i, now));
	if (wake_at)
		uv_timer_start(&i->timer, on_timer, wake_at > now ? (uint64_t)(wake_at - now) : 1, 0);
	else
		uv_timer_stop(&i->timer);
	instance_status_write(i, s.phase);
	act(i, s.action);
}
