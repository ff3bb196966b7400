/*
 * waker.c - one waker per key: asks wake_decide(), writes to the apiserver, answers those who wait; see resolver.h.
 */
#include "gateway/resolver_private.h"

#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/naming.h"
#include "lib/units.h"

#include <stdio.h>

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
/* A write may not outlast the patience of those who wait by much. */
#define WRITE_TIMEOUT_MS 10000
/* The watch shows a new Instance within this time, else creating it is tried again. */
#define CREATED_SHOWS_MS 5000

static struct metric writes = METRIC_COUNTER("berth_gateway_wake_writes_total", "Writes that wake instances", "write");
static struct metric write_errors = METRIC_COUNTER("berth_gateway_wake_write_errors_total", "Such writes that failed",
						   "reason");

/* ---- those who wait ---- */

void waker_free(struct waker *k)
{
	struct resolver *r = k->r;

	*(k->prev ? &k->prev->next : &r->first) = k->next;
	if (k->next)
		k->next->prev = k->prev;
	strmap_remove(r->wakers, k->key);
	free(k->key);
	free(k->ns);
	free(k->container);
	free(k->id);
	free(k->name);
	free(k);
}

static int waker_new(struct resolver *r, const char *key, struct waker **ret, struct error *e)
{
	_arena_ a = arena_new();
	char *ns, *container, *id, *name;
	int err = instance_key_split(a, key, &ns, &container, &id, &name, e);

	if (err)
		return err;
	struct waker *k = xcalloc(1, sizeof(*k));

	k->r = r;
	k->key = xstrdup(key);
	k->ns = xstrdup(ns);
	k->container = xstrdup(container);
	k->id = xstrdup(id);
	k->name = xstrdup(name);
	k->next = r->first;
	if (k->next)
		k->next->prev = k;
	r->first = k;
	strmap_put(r->wakers, k->key, k);
	*ret = k;
	return 0;
}

void waker_leave(struct waiter *w)
{
	struct waker *k = w->waker;

	*(w->prev ? &w->prev->next : &k->first) = w->next;
	*(w->next ? &w->next->prev : &k->last) = w->prev;
	w->waker = NULL;
	k->count--;
	k->r->waiting--;
}

void waker_join(struct resolver *r, struct waiter *w, const char *key)
{
	struct waker *k = strmap_get(r->wakers, key);
	struct error e = {0};
	int err = 0;

	if (!k)
		err = waker_new(r, key, &k, &e);
	/* From here on the waiter is in exactly one list. */
	w->prev = w->next = NULL;
	if (err) {
		w->next = r->idle;
		if (w->next)
			w->next->prev = w;
		r->idle = w;
		if (err == -E_BAD_REQUEST)
			resolver_answer(w, "err 400 0 InvalidID %s", e.text);
		else
			resolver_answer(w, "err 500 0 InternalError %s", e.text);
		return;
	}
	w->waker = k;
	w->prev = k->last;
	*(k->last ? &k->last->next : &k->first) = w;
	k->last = w;
	k->count++;
	r->waiting++;
	if (r->waiting > r->opt.max_waiting || k->count > r->opt.max_waiting_per_key)
		resolver_answer(w, "err 503 1 TooManyWaiting too many requests wait for instances");
	resolver_tick_start(r);
	waker_step(k);
}

/* ---- writes ---- */

static void note_success(struct waker *k, const struct json *object)
{
	const struct resolver *r = k->r;
	struct instance *i = instance_table_get(r->opt.instances, k->key);
	uint64_t version = strtoull(json_str_or(json_in(object, "metadata", "resourceVersion"), "0"), NULL, 10);

	k->backoff_ms = 0;
	k->retry_at = 0;
	if (i && version > i->min_version) {
		i->min_version = version;
		r->opt.written(r->opt.user, i);
	}
}

static void note_failure(struct waker *k, int err, const struct error *e)
{
	metric_add(&write_errors, error_reason(-err), 1);
	k->created_at = 0;
	k->backoff_ms = k->backoff_ms ? k->backoff_ms * 2 : BACKOFF_MIN_MS;
	if (k->backoff_ms > BACKOFF_MAX_MS)
		k->backoff_ms = BACKOFF_MAX_MS;
	k->retry_at = time_mono_ms() + k->backoff_ms;
	switch (-err) {
	case E_ALREADY_EXISTS: /* somebody was quicker, or a write whose answer was lost; the watch will show it */
	case E_CONFLICT:
	case E_NOT_FOUND: /* it was just deleted */
		return;
	default:
		log_warn("cannot wake an instance", "instance", k->name, "namespace", k->ns, "error", e->text, NULL);
		if (error_is_retryable(-err))
			return;
		k->refusal = (struct wake_verdict){WAKE_REFUSE, 503, 5, "InstanceRejected", ""};
		snprintf(k->refusal.message, sizeof(k->refusal.message), "the apiserver refused: %.400s", e->text);
	}
}

static void on_written(void *user, int err, const struct json *object, const struct error *e)
{
	struct waker *k = user;

	k->busy = false;
	if (k->r->stopping) { /* its end has been waiting for this */
		struct resolver *r = k->r;

		waker_free(k);
		resolver_release(r);
		return;
	}
	resolver_release(k->r);
	if (err)
		note_failure(k, err, e);
	else
		note_success(k, object);
	waker_step(k);
}

static void write_instance(struct waker *k, const char *kind, struct kube_call call, const struct json *body)
{
	call.body = body;
	call.timeout_ms = WRITE_TIMEOUT_MS;
	k->busy = true;
	k->r->handles++;
	metric_add(&writes, kind, 1);
	kube_start(k->r->opt.kube, &call, on_written, k);
}

/* When the wake began: the agent counts status.wake from here. */
static void note_wanted(struct arena *a, struct json *meta)
{
	char stamp[TIME_TEXT_MAX];

	json_set_str(a, json_ensure_object(a, meta, "annotations"), "berth.dev/wanted-at",
		     time_format_micro(time_now_ms(), stamp));
}

/* Where the wake comes from. Of those who wait the first decides; i is NULL for a new one. */
static void note_origin(const struct waker *k, const struct instance *i, struct arena *a, struct json *spec)
{
	const struct resolver_options *opt = &k->r->opt;
	const char *near = opt->near && k->first ? opt->near(opt->user, k->first->client) : NULL;

	json_set_str(a, spec, "origin", opt->location);
	if (near)
		json_set_str(a, spec, "clientLocation", near);
	else if (i && *i->client_location)
		json_set(a, spec, "clientLocation", json_null(a));
}

static void create_instance(struct waker *k)
{
	_arena_ a = arena_new();
	struct json *o = json_object(a), *meta = json_set(a, o, "metadata", json_object(a));
	struct json *spec = json_set(a, o, "spec", json_object(a)), *labels;

	json_set_str(a, o, "apiVersion", "berth.dev/v1");
	json_set_str(a, o, "kind", "Instance");
	json_set_str(a, meta, "name", k->name);
	json_set_str(a, meta, "namespace", k->ns);
	labels = json_ensure_object(a, meta, "labels");
	json_set_str(a, labels, "berth.dev/container", k->container);
	json_set_str(a, spec, "containerName", k->container);
	json_set_str(a, spec, "id", k->id);
	json_set_str(a, spec, "state", "Running");
	note_origin(k, NULL, a, spec);
	note_wanted(a, meta);
	k->created_at = time_mono_ms();
	write_instance(k, "create",
		       (struct kube_call){.method = "POST", .path = kube_path(a, &KUBE_INSTANCES, k->ns, NULL, NULL)},
		       o);
}

/* Changes only what it has seen: a user's Stopped is never overwritten. */
static void set_state(struct waker *k, const struct instance *i, const char *state)
{
	_arena_ a = arena_new();
	struct json *o = json_object(a), *meta = json_set(a, o, "metadata", json_object(a));
	struct json *spec = json_set(a, o, "spec", json_object(a));

	json_set(a, meta, "resourceVersion", json_stringf(a, "%llu", (unsigned long long)i->resource_version));
	json_set_str(a, spec, "state", state);
	if (streq(state, "Running")) {
		note_origin(k, i, a, spec);
		note_wanted(a, meta);
	}
	write_instance(k, state,
		       (struct kube_call){.method = "PATCH",
					  .patch = KUBE_PATCH_MERGE,
					  .path = kube_path(a, &KUBE_INSTANCES, k->ns, k->name, NULL)},
		       o);
}

/* ---- decisions ---- */

static void answer_all(struct waker *k, const struct wake_verdict *v, const char *address)
{
	while (k->first) {
		if (address)
			resolver_answer(k->first, "ok %s", address);
		else
			resolver_refuse(k->first, v);
	}
}

static void expire(struct waker *k, struct wake_input *in, int64_t now)
{
	struct wake_verdict v;

	while (k->first && now - k->first->since >= k->r->opt.wake_timeout_ms) {
		wake_timeout(in, &v);
		resolver_refuse(k->first, &v);
	}
}

static void act(struct waker *k, const struct wake_verdict *v, const struct instance *i, int64_t now)
{
	for (struct waiter *w = k->first; w; w = w->next)
		w->is_cold |= v->action != WAKE_ANSWER;
	if (v->action == WAKE_ANSWER) {
		answer_all(k, v, instance_address(i));
		return;
	}
	if (v->action == WAKE_REFUSE) {
		answer_all(k, v, NULL);
		return;
	}
	if (v->action == WAKE_WAIT || k->busy || now < k->retry_at)
		return;
	if (v->action == WAKE_CREATE) {
		if (!k->created_at || now - k->created_at > CREATED_SHOWS_MS)
			create_instance(k);
	} else {
		k->reset |= v->action == WAKE_RESET;
		set_state(k, i, v->action == WAKE_RUN ? "Running" : "Asleep");
	}
}

void waker_step(struct waker *k)
{
	const struct resolver *r = k->r;
	const struct instance *i = instance_table_get(r->opt.instances, k->key);
	int64_t now = time_mono_ms();

	if (k->first && !r->stopping) {
		struct wake_input in = {.synced = r->opt.synced(r->opt.user),
					.container = r->opt.container(r->opt.user, k->ns, k->container),
					.instance = i,
					.waited_ms = now - k->first->since,
					.new_request = !k->reset && !k->seen_alive,
					.wall_now = time_now_ms(),
					.timeout_ms = r->opt.wake_timeout_ms};
		struct wake_verdict v;

		k->seen_alive |= i && i->state == STATE_RUNNING && i->phase != PHASE_FAILED;
		if (k->refusal.action == WAKE_REFUSE)
			v = k->refusal;
		else
			wake_decide(&in, &v);
		act(k, &v, i, now);
		expire(k, &in, now);
	}
	if (!k->first && !k->busy)
		waker_free(k);
}
