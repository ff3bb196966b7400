/*
 * decode.c - from objects as the API gives them to the records of the world; see decode.h.
 */
#include "scheduler/decode.h"

#include <stdio.h>

#include "lib/codec.h"
#include "lib/naming.h"
#include "lib/units.h"
#include "scheduler/suspended.h"

static const char *const phase_names[] = {
	[PHASE_NONE] = "Pending",  [PHASE_SCHEDULED] = "Scheduled", [PHASE_STARTING] = "Starting",
	[PHASE_READY] = "Ready",   [PHASE_RUNNING] = "Running",	    [PHASE_STOPPING] = "Stopping",
	[PHASE_ASLEEP] = "Asleep", [PHASE_STOPPED] = "Stopped",	    [PHASE_FAILED] = "Failed",
};

const char *phase_name(enum instance_phase p)
{
	return phase_names[p];
}

static enum instance_phase phase_parse(const char *s)
{
	for (size_t i = 0; s && i < ARRAY_SIZE(phase_names); i++)
		if (streq(phase_names[i], s))
			return (enum instance_phase)i;
	return PHASE_NONE;
}

static struct string_list decode_strings(struct arena *a, const struct json *array)
{
	struct string_list l = {.items = arena_calloc(a, (json_count(array) + 1) * sizeof(*l.items))};

	for (size_t i = 0; i < json_count(array); i++)
		if (json_str(json_item(array, i)))
			l.items[l.count++] = json_str(json_item(array, i));
	return l;
}

/* The names of [{name: …}]. */
static struct string_list decode_names(struct arena *a, const struct json *array)
{
	struct string_list l = {.items = arena_calloc(a, (json_count(array) + 1) * sizeof(*l.items))};

	for (size_t i = 0; i < json_count(array); i++) {
		const char *name = json_str(json_get(json_item(array, i), "name"));

		if (name && *name)
			l.items[l.count++] = name;
	}
	return l;
}

static int64_t decode_duration(const struct json *v, int64_t otherwise)
{
	int64_t ms;

	return json_str(v) && duration_parse_ms(json_str(v), &ms, NULL) == 0 ? ms : otherwise;
}

static int64_t decode_time(const struct json *v)
{
	int64_t ms;

	return json_str(v) && time_parse(json_str(v), &ms, NULL) == 0 ? ms : 0;
}

/* A quantity given as text or as a bare number. */
static int64_t decode_quantity(const struct json *v, bool milli)
{
	const char *text = json_str(v);
	char number[32];
	int64_t n = 0;

	if (json_is(v, JSON_INT) || json_is(v, JSON_REAL)) {
		snprintf(number, sizeof(number), "%.15g", json_real_or(v, 0));
		text = number;
	}
	if (text)
		(void)(milli ? quantity_parse_milli(text, &n, NULL) : quantity_parse(text, &n, NULL));
	return n;
}

/* Source of sizes: spec.resources when given, else the instance type's. */
static const struct resources *decode_need(struct world *w, const struct json *spec)
{
	const struct json *res = json_get(spec, "resources");
	struct resources r = {0};

	if (res) {
		r.milli_vcpu = decode_quantity(json_get(res, "vcpu"), true);
		r.memory = decode_quantity(json_get(res, "memory"), false);
		r.disk = decode_quantity(json_get(res, "disk"), false);
	} else {
		(void)instance_type_lookup(json_str_or(json_get(spec, "instanceType"), "lite"), &r.milli_vcpu,
					   &r.memory, &r.disk);
	}
	return world_resources(w, &r);
}

/* ---- templates ---- */

static const char *const template_fields[] = {
	"command",   "args",	      "workingDir",   "env",	   "ports",
	"readiness", "restartPolicy", "instanceType", "resources", "terminationGracePeriod",
	"egress",    "sleepMode",
};

struct json *template_of(struct arena *a, const struct json *spec)
{
	struct json *t = json_object(a);

	for (size_t i = 0; i < ARRAY_SIZE(template_fields); i++) {
		const struct json *v = json_get(spec, template_fields[i]);

		if (v)
			json_set(a, t, template_fields[i], json_clone(a, v));
	}
	return t;
}

static const char *hash_template(struct arena *a, const struct json *spec)
{
	struct json *t = template_of(a, spec);
	char hex[SHA256_HEX_MAX];

	json_set_str(a, t, "image", json_str(json_get(spec, "image")));
	const char *text = json_to_string(a, t);

	sha256_hex(text, strlen(text), hex);
	hex[16] = '\0';
	return arena_strdup(a, hex);
}

struct json *container_pull_secrets(struct arena *a, const struct container *c)
{
	struct json *list = json_array(a);

	for (size_t i = 0; i < c->pull_secrets.count; i++) {
		struct json *o = json_append(a, list, json_object(a));

		json_set_str(a, o, "namespace", c->r.ns);
		json_set_str(a, o, "name", c->pull_secrets.items[i]);
	}
	return list;
}

/* ---- decoding, one function a kind ---- */

static void decode_container(struct world *w, struct record *r, const struct json *o)
{
	struct container *c = (struct container *)r;
	const struct json *spec = json_get(o, "spec"), *status = json_get(o, "status");
	const struct json *rollout = json_get(spec, "rollout"), *steps = json_get(rollout, "stepPercentage");
	const char *kind = json_str_or(json_get(rollout, "kind"), "FullAuto");
	const char *promoted = json_str(json_in(o, "metadata", "annotations", "berth.dev/promoted-step"));

	c->image = json_str_or(json_get(spec, "image"), "");
	c->template_hash = hash_template(r->arena, spec);
	c->need = decode_need(w, spec);
	c->generation = json_int_or(json_in(o, "metadata", "generation"), 0);
	c->max_instances = json_int_or(json_get(spec, "maxInstances"), 20);
	c->regions = decode_strings(r->arena, json_in(spec, "placement", "regions"));
	c->locations = decode_strings(r->arena, json_in(spec, "placement", "locations"));
	c->allowed_epoch = 0;
	c->exclude_locations = decode_strings(r->arena, json_in(spec, "placement", "excludeLocations"));
	c->prefetch_all = !json_in(spec, "prefetch", "locations");
	c->prefetch_locations = decode_strings(r->arena, json_in(spec, "prefetch", "locations"));
	c->pull_secrets = decode_names(r->arena, json_get(spec, "imagePullSecrets"));
	c->rollout_kind = streq(kind, "None")	      ? ROLLOUT_NONE
			  : streq(kind, "FullManual") ? ROLLOUT_FULL_MANUAL
						      : ROLLOUT_FULL_AUTO;
	c->active_grace_ms = decode_duration(json_get(rollout, "activeGracePeriod"), 0);
	c->promoted_step = promoted ? (int)strtol(promoted, NULL, 10) : 0;
	c->step_count = 0;
	for (size_t i = 0; i < json_count(steps) && i < ROLLOUT_STEPS_MAX; i++)
		c->steps[c->step_count++] = (int)json_int_or(json_item(steps, i), 100);
	if (!c->step_count) {
		c->steps[0] = 10;
		c->steps[1] = 100;
		c->step_count = 2;
	}
	/* The last step always means everything. */
	if (c->steps[c->step_count - 1] != 100 && c->step_count < ROLLOUT_STEPS_MAX)
		c->steps[c->step_count++] = 100;
	c->current_revision = json_str(json_get(status, "currentRevision"));
	c->updated_revision = json_str(json_get(status, "updatedRevision"));
	c->step = (int)json_int_or(json_in(status, "rollout", "step"), 0);
}

static void decode_revision(struct world *w, struct record *r, const struct json *o)
{
	struct revision *v = (struct revision *)r;
	const struct json *spec = json_get(o, "spec");

	v->container_name = json_str_or(json_get(spec, "containerName"), "");
	v->image_digest = json_str_or(json_get(spec, "imageDigest"), "");
	v->image = json_str_or(json_get(spec, "image"), "");
	v->number = json_int_or(json_get(spec, "number"), 0);
	v->need = decode_need(w, json_get(spec, "template"));
	v->template_hash = json_str_or(json_in(o, "metadata", "annotations", "berth.dev/template-hash"), "");
}

static void decode_image(_unused_ struct world *w, struct record *r, const struct json *o)
{
	struct image *i = (struct image *)r;
	const struct json *spec = json_get(o, "spec");

	i->digest = json_str_or(json_get(spec, "digest"), "");
	i->reference = json_str_or(json_get(spec, "reference"), "");
	i->locations = decode_strings(r->arena, json_get(spec, "locations"));
}

/* Only what is to be placed, and what is to be deleted, has more written about it than its fields tell. */
static bool instance_keeps_object(const struct json *o)
{
	if (json_in(o, "metadata", "deletionTimestamp"))
		return true;
	return streq(json_str(json_in(o, "spec", "state")), "Running") &&
	       !phase_is_running(phase_parse(json_str(json_in(o, "status", "phase"))));
}

static bool always(_unused_ const struct json *o)
{
	return true;
}

static void decode_instance(struct world *w, struct record *r, const struct json *o)
{
	struct instance *i = (struct instance *)r;
	const struct json *spec = json_get(o, "spec"), *status = json_get(o, "status");
	const struct json *finalizers = json_in(o, "metadata", "finalizers");

	const char *client = json_str(json_get(spec, "clientLocation"));

	intern_set(w->names, &i->container_name, json_str(json_get(spec, "containerName")));
	intern_set(w->names, &i->node_name, json_str(json_get(spec, "nodeName")));
	intern_set(w->names, &i->revision, json_str(json_get(spec, "revision")));
	intern_set(w->names, &i->origin, client && *client ? client : json_str(json_get(spec, "origin")));
	i->wants_running = streq(json_str(json_get(spec, "state")), "Running");
	i->vm_generation = json_int_or(json_get(spec, "vmGeneration"), 0);
	i->phase = (uint8_t)phase_parse(json_str(json_get(status, "phase")));
	i->status_generation = json_int_or(json_get(status, "vmGeneration"), 0);
	i->runs_revision = streq(json_str(json_get(status, "revision")), i->revision);
	i->started_at = decode_time(json_get(status, "startedAt"));
	i->suspended = json_bool_or(json_get(status, "suspended"), false);
	i->dropping = strtoll(json_str_or(json_in(o, "metadata", "annotations", SUSPENDED_DROP_ANNOTATION), "0"), NULL,
			      10);
	i->ours = false;
	for (size_t n = 0; n < json_count(finalizers); n++)
		i->ours |= streq(json_str(json_item(finalizers, n)), "berth.dev/vm");
}

static enum prefetch_phase prefetch_parse(const char *s)
{
	static const char *const names[] = {"", "Pending", "Pulling", "Ready", "Failed"};

	for (size_t i = 1; s && i < ARRAY_SIZE(names); i++)
		if (streq(names[i], s))
			return (enum prefetch_phase)i;
	return PREFETCH_NONE;
}

/* The first taint that keeps instances away. No Container tolerates any. kubectl cordon sets one beside the field. */
static const char *decode_taint(struct arena *a, const struct json *taints)
{
	for (size_t i = 0; i < json_count(taints); i++) {
		const struct json *t = json_item(taints, i);
		const char *key = json_str_or(json_get(t, "key"), ""), *value = json_str_or(json_get(t, "value"), "");
		const char *effect = json_str_or(json_get(t, "effect"), "");

		if (!streq(effect, "PreferNoSchedule") && !streq(key, "node.kubernetes.io/unschedulable"))
			return arena_printf(a, "%s%s%s:%s", key, *value ? "=" : "", value, effect);
	}
	return NULL;
}

static void decode_node(_unused_ struct world *w, struct record *r, const struct json *o)
{
	struct node *n = (struct node *)r;
	const struct json *status = json_get(o, "status"), *alloc = json_get(status, "allocatable");
	const struct json *conditions = json_get(status, "conditions"), *prefetch = json_get(status, "prefetch");

	const struct json *labels = json_in(o, "metadata", "labels");

	n->location = json_str_or(json_get(labels, NODE_LOCATION_LABEL), "");
	n->rack = json_str_or(json_get(labels, NODE_RACK_LABEL), "");
	n->unschedulable = json_bool_or(json_in(o, "spec", "unschedulable"), false);
	n->taint = decode_taint(r->arena, json_in(o, "spec", "taints"));
	n->ready = false;
	n->pressure = NULL;
	for (size_t i = 0; i < json_count(conditions); i++) {
		const struct json *c = json_item(conditions, i);
		const char *type = json_str_or(json_get(c, "type"), "");
		bool is_true = streq(json_str(json_get(c, "status")), "True");

		if (streq(type, "Ready"))
			n->ready = is_true;
		else if (is_true && str_ends(type, "Pressure"))
			n->pressure = type;
	}
	n->allocatable.milli_vcpu = decode_quantity(json_get(alloc, "cpu"), true);
	n->allocatable.memory = decode_quantity(json_get(alloc, "memory"), false);
	n->allocatable.disk = decode_quantity(json_get(alloc, "ephemeral-storage"), false);
	n->images = arena_calloc(r->arena, (json_count(prefetch) + 1) * sizeof(*n->images));
	n->image_count = json_count(prefetch);
	for (size_t i = 0; i < n->image_count; i++) {
		const struct json *p = json_item(prefetch, i);

		n->images[i] = (struct node_image){
			.digest = json_str_or(json_get(p, "digest"), ""),
			.message = json_str_or(json_get(p, "message"), ""),
			.phase = prefetch_parse(json_str(json_get(p, "phase"))),
			.percent = json_int_or(json_get(p, "percent"), 0),
			.bytes_total = json_int_or(json_get(p, "bytesTotal"), 0),
		};
	}
}

static void decode_lease(_unused_ struct world *w, struct record *r, const struct json *o)
{
	struct lease *l = (struct lease *)r;
	const struct json *spec = json_get(o, "spec");

	l->renewed_at = decode_time(json_get(spec, "renewTime"));
	l->duration_ms = json_int_or(json_get(spec, "leaseDurationSeconds"), 40) * 1000;
}

static void decode_location(_unused_ struct world *w, struct record *r, const struct json *o)
{
	struct location *l = (struct location *)r;
	const struct json *spec = json_get(o, "spec");

	l->region = json_str_or(json_get(spec, "region"), "");
	l->latitude = json_real_or(json_get(spec, "latitude"), 0);
	l->longitude = json_real_or(json_get(spec, "longitude"), 0);
}

const struct decoder decoders[WORLD_KIND_COUNT] = {
	[WORLD_CONTAINER] = {sizeof(struct container), always, decode_container},
	[WORLD_REVISION] = {sizeof(struct revision), always, decode_revision},
	[WORLD_IMAGE] = {sizeof(struct image), always, decode_image},
	[WORLD_INSTANCE] = {sizeof(struct instance), instance_keeps_object, decode_instance},
	[WORLD_NODE] = {sizeof(struct node), always, decode_node},
	[WORLD_LEASE] = {sizeof(struct lease), always, decode_lease},
	[WORLD_LOCATION] = {sizeof(struct location), always, decode_location},
};
