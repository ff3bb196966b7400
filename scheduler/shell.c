/*
 * shell.c - informers in, calls out; see shell.h.
 */
#include "scheduler/shell.h"

#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"
#include "scheduler/resolve.h"
#include "scheduler/step.h"

#define STEP_DELAY_MS 1
#define STEP_PERIOD_MS 1000

static struct metric steps = METRIC_HISTOGRAM("berth_scheduler_step_seconds", "Time of one scheduling step", NULL);
static struct metric writes = METRIC_COUNTER("berth_scheduler_writes_total", "Writes by kind of action", "action");
static struct metric failures = METRIC_COUNTER("berth_scheduler_write_errors_total", "Failed writes by reason",
					       "reason");

struct source {
	struct shell *shell;
	enum world_kind kind;
	const struct kube_resource *resource;
	struct kube_informer *informer;
};

struct shell {
	uv_loop_t *loop;
	struct kube *kube;
	struct registry *registry;
	struct registry_secrets *secrets;
	struct world *world;
	struct source sources[WORLD_KIND_COUNT];
	uv_timer_t soon, period;
	int closed; /* of these */
};

/* The actions of one step share an arena; it goes when the last one is answered. */
struct batch {
	struct shell *shell;
	struct arena *arena;
	size_t outstanding;
};

struct pending_call {
	struct batch *batch;
	const struct action *action;
	char *image; /* of a resolution: the reference that was asked for */
};

static const char *const action_names[] = {
	[ACTION_CREATE] = "create",	  [ACTION_BIND] = "bind",     [ACTION_PATCH] = "patch",
	[ACTION_PATCH_STATUS] = "status", [ACTION_DELETE] = "delete", [ACTION_RESOLVE] = "resolve",
};

static void run_step(uv_timer_t *t);

static void wake(struct shell *s)
{
	if (shell_is_synced(s) && !uv_is_active((uv_handle_t *)&s->soon))
		uv_timer_start(&s->soon, run_step, STEP_DELAY_MS, 0);
}

static void on_object(void *user, enum kube_event ev, const struct json *old, const struct json *obj)
{
	struct source *src = user;

	(void)old;
	if (ev == KUBE_DELETED)
		world_remove(src->shell->world, src->kind, obj);
	else if (ev != KUBE_SYNCED)
		world_put(src->shell->world, src->kind, obj);
	wake(src->shell);
}

static void batch_drop(struct batch *b)
{
	if (--b->outstanding)
		return;
	arena_free(b->arena);
	free(b);
}

/* ---- answers ---- */

/* What an Event needs of its object: Instances are known without theirs. */
static struct json *reference(struct arena *a, const struct kube_resource *kind, const struct record *r)
{
	struct json *o = json_object(a), *meta = json_set(a, o, "metadata", json_object(a));

	json_set_str(a, o, "apiVersion",
		     *kind->group ? arena_printf(a, "%s/%s", kind->group, kind->version) : kind->version);
	json_set_str(a, o, "kind", kind->kind);
	if (*r->ns)
		json_set_str(a, meta, "namespace", r->ns);
	json_set_str(a, meta, "name", r->name);
	json_set_str(a, meta, "uid", r->uid);
	json_set(a, meta, "resourceVersion", json_stringf(a, "%llu", (unsigned long long)r->resource_version));
	return o;
}

static void record_events(struct shell *s, const struct action *x)
{
	const struct record *owner = world_find(s->world, x->owner_kind, x->owner_ns, x->owner_name);
	_arena_ a = arena_new();

	for (const struct action_event *ev = x->events; ev && owner; ev = ev->next)
		kube_event(s->kube, reference(a, s->sources[x->owner_kind].resource, owner), ev->type, ev->reason, "%s",
			   ev->text);
}

static void on_answer(void *user, int err, const struct json *object, const struct error *e)
{
	struct pending_call *call = user;
	struct shell *s = call->batch->shell;
	const struct action *x = call->action;

	if (err) {
		metric_add(&failures, error_reason(-err), 1);
		if (err != -E_CONFLICT && err != -E_NOT_FOUND && err != -E_ALREADY_EXISTS)
			log_warn("write failed", "action", action_names[x->type], "namespace", x->ns, "name", x->name,
				 "error", e->text, NULL);
	}
	step_answered(s->world, x, err, object, time_now_ms());
	if (!err)
		record_events(s, x);
	batch_drop(call->batch);
	free(call);
	wake(s);
}

static void dispatch(struct batch *b, const struct action *x);

static void on_resolved(void *user, const struct resolved_image *image, int err, const struct error *e)
{
	struct pending_call *call = user;
	struct batch *b = call->batch;
	struct shell *s = b->shell;
	struct container *c = (struct container *)world_find(s->world, WORLD_CONTAINER, call->action->ns,
							     call->action->name);

	step_answered(s->world, call->action, err, NULL, time_now_ms());
	if (c) {
		const char *was = c->resolve_error;

		if (err && !streq(was, e->text))
			kube_event(s->kube, c->r.object, "Warning", "ResolveFailed", "%s", e->text);
		free(c->resolve_error);
		c->resolve_error = err ? xstrdup(e->text) : NULL;
	}
	/* The Container may have got another image meanwhile; the next step then resolves that one. */
	if (c && !err && streq(c->image, call->image) && !c->r.writing) {
		struct action_list out;

		action_list_init(&out, b->arena);
		revision_create(c, image, &out);
		dispatch(b, out.first);
	}
	free(call->image);
	free(call);
	batch_drop(b);
	wake(s);
}

/* ---- calls ---- */

static void dispatch(struct batch *b, const struct action *x)
{
	struct shell *s = b->shell;
	struct pending_call *call = xcalloc(1, sizeof(*call));
	const struct kube_resource *r = s->sources[x->kind].resource;
	struct kube_call k = {.body = x->body};

	*call = (struct pending_call){.batch = b, .action = x};
	b->outstanding++;
	metric_add(&writes, action_names[x->type], 1);
	switch (x->type) {
	case ACTION_RESOLVE: {
		const struct container *c = (struct container *)world_find(s->world, WORLD_CONTAINER, x->ns, x->name);

		call->image = xstrdup(c->image);
		resolve_start(s->loop, s->registry, s->secrets, c, on_resolved, call);
		return;
	}
	case ACTION_CREATE:
		k.method = "POST";
		k.path = kube_path(b->arena, r, x->ns, NULL, NULL);
		break;
	case ACTION_BIND:
		k.method = "POST";
		k.path = kube_path(b->arena, r, x->ns, x->name, "binding");
		break;
	case ACTION_PATCH:
	case ACTION_PATCH_STATUS:
		k.method = "PATCH";
		k.patch = KUBE_PATCH_MERGE;
		k.path = kube_path(b->arena, r, x->ns, x->name, x->type == ACTION_PATCH ? NULL : "status");
		break;
	case ACTION_DELETE:
		k.method = "DELETE";
		k.path = kube_path(b->arena, r, x->ns, x->name, NULL);
		break;
	}
	kube_start(s->kube, &k, on_answer, call);
}

static void run_step(uv_timer_t *t)
{
	struct shell *s = t->data;
	struct batch *b;
	struct action_list out;
	uint64_t begun = uv_hrtime();

	if (!shell_is_synced(s))
		return;
	b = xcalloc(1, sizeof(*b));
	*b = (struct batch){.shell = s, .arena = arena_new(), .outstanding = 1};
	action_list_init(&out, b->arena);
	scheduler_step(s->world, time_now_ms(), &out);
	metric_observe(&steps, NULL, (double)(uv_hrtime() - begun) / 1e9);
	for (const struct action *x = out.first, *next; x; x = next) {
		next = x->next;
		dispatch(b, x);
	}
	batch_drop(b);
}

/* ---- life ---- */

static const struct kube_resource *const resources[WORLD_KIND_COUNT] = {
	[WORLD_CONTAINER] = &KUBE_CONTAINERS, [WORLD_REVISION] = &KUBE_REVISIONS, [WORLD_IMAGE] = &KUBE_IMAGES,
	[WORLD_INSTANCE] = &KUBE_INSTANCES,   [WORLD_NODE] = &KUBE_NODES,	  [WORLD_LEASE] = &KUBE_LEASES,
	[WORLD_LOCATION] = &KUBE_LOCATIONS,
};

struct shell *shell_start(uv_loop_t *loop, struct kube *kube, struct registry *registry,
			  struct registry_secrets *secrets)
{
	struct shell *s = xcalloc(1, sizeof(*s));

	*s = (struct shell){.loop = loop, .kube = kube, .registry = registry, .secrets = secrets, .world = world_new()};
	uv_timer_init(loop, &s->soon);
	uv_timer_init(loop, &s->period);
	s->soon.data = s->period.data = s;
	for (int k = 0; k < WORLD_KIND_COUNT; k++) {
		struct kube_informer_options opt = {.ns = k == WORLD_LEASE ? "kube-node-lease" : NULL};

		s->sources[k] = (struct source){.shell = s, .kind = (enum world_kind)k, .resource = resources[k]};
		s->sources[k].informer = kube_informer_start(kube, resources[k], &opt, on_object, &s->sources[k]);
	}
	uv_timer_start(&s->period, run_step, STEP_PERIOD_MS, STEP_PERIOD_MS);
	return s;
}

bool shell_is_synced(const struct shell *s)
{
	for (int k = 0; k < WORLD_KIND_COUNT; k++)
		if (!s->sources[k].informer || !kube_informer_synced(s->sources[k].informer))
			return false;
	return true;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct shell *s = h->data;

	if (++s->closed == 2)
		free(s);
}

void shell_stop(struct shell *s)
{
	for (int k = 0; k < WORLD_KIND_COUNT; k++)
		kube_informer_stop(s->sources[k].informer);
	world_free(s->world);
	uv_close((uv_handle_t *)&s->soon, on_timer_closed);
	uv_close((uv_handle_t *)&s->period, on_timer_closed);
}
