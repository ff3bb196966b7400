/*
 * fixture.h - a small world for the scheduler's tests: objects from YAML, a server that answers actions, simulated
 * time.
 */
#ifndef BERTH_TEST_SCHEDULER_FIXTURE_H
#define BERTH_TEST_SCHEDULER_FIXTURE_H

#include "lib/units.h"
#include "lib/yaml.h"
#include "scheduler/step.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW 1800000000000LL

struct fixture {
	struct world *world;
	struct strmap *objects; /* the server's, by kind, namespace and name: the world does not keep all of them */
	struct arena *arena;
	int64_t now;
	uint64_t version;
};

static inline void fixture_init(struct fixture *f)
{
	*f = (struct fixture){
		.world = world_new(), .objects = strmap_new(), .arena = arena_new(), .now = NOW, .version = 100};
}

static inline void fixture_free(struct fixture *f)
{
	world_free(f->world);
	strmap_free(f->objects);
	arena_free(f->arena);
}

static inline const char *fixture_key(struct fixture *f, enum world_kind kind, const char *ns, const char *name)
{
	return arena_printf(f->arena, "%d/%s/%s", (int)kind, ns ? ns : "", name);
}

/* What the server has. */
static inline struct json *fixture_object(struct fixture *f, enum world_kind kind, const char *ns, const char *name)
{
	return strmap_get(f->objects, fixture_key(f, kind, ns, name));
}

/* A copy of an Instance, to be changed and stored again. */
static inline struct json *fixture_copy(struct fixture *f, const char *instance)
{
	return json_clone(f->arena, fixture_object(f, WORLD_INSTANCE, "default", instance));
}

static inline void fixture_keep(struct fixture *f, enum world_kind kind, const struct json *o)
{
	const struct json *meta = json_get(o, "metadata");

	strmap_put(f->objects,
		   fixture_key(f, kind, json_str(json_get(meta, "namespace")), json_str(json_get(meta, "name"))),
		   json_clone(f->arena, o));
}

/* Stores an object as the server would: with a uid and the next resourceVersion. */
static inline struct record *fixture_store(struct fixture *f, enum world_kind kind, struct json *o)
{
	struct json *meta = json_ensure_object(f->arena, o, "metadata");

	json_set(f->arena, meta, "resourceVersion", json_stringf(f->arena, "%llu", (unsigned long long)++f->version));
	if (!json_get(meta, "uid"))
		json_set(f->arena, meta, "uid", json_stringf(f->arena, "uid-%s", json_str(json_get(meta, "name"))));
	fixture_keep(f, kind, o);
	return world_put(f->world, kind, o);
}

static inline struct record *fixture_yaml(struct fixture *f, enum world_kind kind, const char *yaml)
{
	struct json *docs;
	struct error e = {0};

	if (yaml_parse(f->arena, yaml, strlen(yaml), &docs, &e))
		fail_msg("%s", e.text);
	return fixture_store(f, kind, json_item(docs, 0));
}

static inline void fixture_location(struct fixture *f, const char *name, double lat, double lon, const char *region)
{
	fixture_yaml(f, WORLD_LOCATION,
		     arena_printf(f->arena,
				  "{metadata: {name: %s}, spec: {latitude: %.4f, longitude: %.4f, region: %s}}", name,
				  lat, lon, region));
}

/* A live node with room for `memory_mib` and plenty of the rest, holding the image "sha256:aa" when ready. */
static inline void fixture_node(struct fixture *f, const char *name, const char *location, int memory_mib,
				const char *image_phase)
{
	char stamp[TIME_TEXT_MAX];

	fixture_yaml(
		f, WORLD_NODE,
		arena_printf(
			f->arena,
			"{metadata: {name: %s, labels: {topology.kubernetes.io/zone: %s}}, status: {allocatable: {cpu: '64', "
			"memory: %dMi, ephemeral-storage: 1000G}, conditions: [{type: Ready, status: 'True'}], prefetch: "
			"[{digest: 'sha256:aa', phase: %s, percent: 40}]}}",
			name, location, memory_mib, image_phase));
	fixture_yaml(
		f, WORLD_LEASE,
		arena_printf(
			f->arena,
			"{metadata: {name: %s, namespace: kube-node-lease}, spec: {renewTime: '%s', leaseDurationSeconds: 40}}",
			name, time_format(f->now, stamp)));
}

static inline struct container *fixture_container(struct fixture *f, const char *name, const char *spec)
{
	return (struct container *)fixture_yaml(
		f, WORLD_CONTAINER,
		arena_printf(f->arena,
			     "{metadata: {name: %s, namespace: default, generation: 1}, spec: {image: 'r/%s:v1'%s%s}}",
			     name, name, *spec ? ", " : "", spec));
}

static inline void fixture_revision(struct fixture *f, const struct container *c, int number, const char *digest)
{
	fixture_yaml(
		f, WORLD_REVISION,
		arena_printf(
			f->arena,
			"{metadata: {name: %s-%d, namespace: default, annotations: {berth.dev/template-hash: '%s'}}, spec: "
			"{containerName: %s, number: %d, imageDigest: '%s', image: 'r/%s@%s', template: {instanceType: lite}}}",
			c->r.name, number, c->template_hash, c->r.name, number, digest, c->r.name, digest));
}

static inline struct instance *fixture_instance(struct fixture *f, const char *container, const char *id,
						const char *more)
{
	return (struct instance *)fixture_yaml(
		f, WORLD_INSTANCE,
		arena_printf(
			f->arena,
			"{metadata: {name: %s.%s, namespace: default, finalizers: [berth.dev/vm]}, spec: {containerName: %s, id: %s, "
			"state: Running%s}}",
			container, id, container, id, more));
}

/* ---- the server ---- */

static inline struct json *fixture_merge(struct arena *a, struct json *into, const struct json *patch)
{
	for (size_t i = 0; i < json_count(patch); i++) {
		const char *key = json_key(patch, i);
		const struct json *v = json_item(patch, i);

		if (json_is(v, JSON_NULL))
			json_unset(into, key);
		else if (json_is(v, JSON_OBJECT))
			fixture_merge(a, json_ensure_object(a, into, key), v);
		else
			json_set(a, into, key, json_clone(a, v));
	}
	return into;
}

/* Carries one action out on the world, as the apiserver would. */
static inline void fixture_answer(struct fixture *f, const struct action *x)
{
	struct record *r = world_find(f->world, x->kind, x->ns, x->name);
	struct json *o = NULL;

	if (x->type == ACTION_CREATE) {
		o = json_clone(f->arena, x->body);
		json_set_str(f->arena, json_get(o, "metadata"), "name", x->name);
	} else if (x->type == ACTION_BIND) {
		const struct instance *i = (struct instance *)r;

		o = json_clone(f->arena, fixture_object(f, x->kind, x->ns, x->name));
		struct json *spec = json_get(o, "spec"), *status = json_ensure_object(f->arena, o, "status");

		json_set_str(f->arena, spec, "nodeName", json_str(json_in(x->body, "target", "name")));
		json_set_str(f->arena, spec, "revision", json_str(json_get(x->body, "revision")));
		json_set_int(f->arena, spec, "vmGeneration", i->vm_generation + 1);
		if (!phase_is_running(i->phase))
			json_set_str(f->arena, status, "phase", "Scheduled");
	} else if (x->type == ACTION_PATCH || x->type == ACTION_PATCH_STATUS) {
		o = fixture_merge(f->arena, json_clone(f->arena, fixture_object(f, x->kind, x->ns, x->name)), x->body);
	} else if (x->type == ACTION_DELETE) {
		world_remove(f->world, x->kind, fixture_object(f, x->kind, x->ns, x->name));
		strmap_remove(f->objects, fixture_key(f, x->kind, x->ns, x->name));
		struct json *status = json_object(f->arena);

		json_set_str(f->arena, status, "kind", "Status");
		json_set(f->arena, status, "metadata", json_object(f->arena));
		step_answered(f->world, x, 0, status, f->now);
		return;
	}
	if (o) {
		json_unset(json_get(o, "metadata"), "resourceVersion");
		json_set(f->arena, json_get(o, "metadata"), "resourceVersion",
			 json_stringf(f->arena, "%llu", (unsigned long long)++f->version));
		if (!json_in(o, "metadata", "uid"))
			json_set(f->arena, json_get(o, "metadata"), "uid", json_stringf(f->arena, "uid-%s", x->name));
		fixture_keep(f, x->kind, o);
	}
	step_answered(f->world, x, 0, o, f->now);
}

/* One step, all its actions answered; returns how many there were (resolutions are not counted). */
static inline size_t fixture_step(struct fixture *f)
{
	struct action_list out;
	size_t n = 0;

	action_list_init(&out, f->arena);
	scheduler_step(f->world, f->now, &out);
	for (const struct action *x = out.first; x; x = x->next) {
		n += x->type != ACTION_RESOLVE;
		fixture_answer(f, x);
	}
	return n;
}

/* Steps until nothing changes any more. */
static inline void fixture_settle(struct fixture *f)
{
	for (int i = 0; i < 200; i++)
		if (!fixture_step(f))
			return;
	fail_msg("the scheduler does not come to rest");
}

/* What the agents would report: every bound instance becomes Ready with what it is bound to. */
static inline void fixture_agents(struct fixture *f)
{
	struct record *x;

	for (size_t pos = 0; (x = world_next(f->world, WORLD_INSTANCE, &pos));) {
		const struct instance *i = (struct instance *)x;
		struct json *o, *status;
		char stamp[TIME_TEXT_MAX];

		if (!phase_is_running(i->phase) ||
		    (i->phase == PHASE_READY && i->status_generation == i->vm_generation))
			continue;
		o = fixture_copy(f, x->name);
		status = json_ensure_object(f->arena, o, "status");
		json_set_str(f->arena, status, "phase", "Ready");
		json_set_str(f->arena, status, "revision", i->revision);
		json_set_int(f->arena, status, "vmGeneration", i->vm_generation);
		json_set_str(f->arena, status, "startedAt", time_format(f->now, stamp));
		fixture_store(f, WORLD_INSTANCE, o);
	}
}

static inline struct instance *fixture_find_instance(struct fixture *f, const char *name)
{
	return (struct instance *)world_find(f->world, WORLD_INSTANCE, "default", name);
}

static inline const char *fixture_condition(const struct record *r, const char *type, const char *field)
{
	const struct json *list = json_in(r->object, "status", "conditions");

	for (size_t i = 0; i < json_count(list); i++)
		if (streq(json_str(json_get(json_item(list, i), "type")), type))
			return json_str(json_get(json_item(list, i), field));
	return NULL;
}

#endif
