/*
 * place.c - how fast the scheduler's core places instances, what each costs in memory, and whether it decides right.
 *
 * Usage: place [NODES LOCATIONS INSTANCES]. Makes a world through the same objects that informers deliver, places every
 * Instance (a full cluster grows out of an empty one), then puts instances to sleep and places them anew with other
 * origins. Every SAMPLE-th decision is held against scoring all nodes one by one; at the end all bookings are counted
 * anew from the Instances. Prints one line of JSON; ends with 1 when any of this is wrong.
 */
#include "scheduler/place.h"
#include "lib/units.h"

#include <malloc.h>
#include <stdio.h>
#include <time.h>

#define NOW 1800000000000LL
#define DIGESTS 60
#define RACK_NODES 8
#define PER_CONTAINER 200
#define SAMPLE 10000
#define SLEEPERS 50000

static struct {
	struct world *w;
	size_t nodes, locations, instances;
	struct container **containers;
	struct revision **revisions;
	size_t container_count;
	struct instance **all;
	uint64_t random;
} b;

static uint64_t roll(uint64_t below)
{
	b.random ^= b.random << 13;
	b.random ^= b.random >> 7;
	b.random ^= b.random << 17;
	return (b.random >> 11) % below;
}

/* Of the processor: other programs of the machine do not count. */
static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t bytes_in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* ---- the world ---- */

static const char *const regions[] = {"ENAM", "WNAM", "EEUR", "WEUR", "APAC", "SAM", "ME", "OC", "AFR"};

static struct json *begin(struct arena *a, const char *ns, const char *name)
{
	struct json *o = json_object(a), *meta = json_ensure_object(a, o, "metadata");

	json_set_str(a, meta, "name", name);
	json_set_str(a, meta, "namespace", ns);
	json_set_str(a, meta, "resourceVersion", "1");
	return o;
}

static void make_locations(void)
{
	for (size_t i = 0; i < b.locations; i++) {
		_arena_ a = arena_new();
		struct json *o = begin(a, NULL, arena_printf(a, "loc-%03zu", i));
		struct json *spec = json_ensure_object(a, o, "spec");

		json_set(a, spec, "latitude", json_real(a, (double)roll(14000) / 100 - 60));
		json_set(a, spec, "longitude", json_real(a, (double)roll(36000) / 100 - 180));
		json_set_str(a, spec, "region", regions[roll(ARRAY_SIZE(regions))]);
		world_put(b.w, WORLD_LOCATION, o);
	}
}

static void make_node(size_t n)
{
	_arena_ a = arena_new();
	static const int vcpus[] = {16, 32, 64};
	int vcpu = vcpus[roll(3)];
	const char *name = arena_printf(a, "node-%05zu", n);
	struct json *o = begin(a, NULL, name), *status = json_ensure_object(a, o, "status");
	struct json *labels = json_ensure_object(a, json_get(o, "metadata"), "labels"), *list, *c;
	char stamp[TIME_TEXT_MAX];

	json_set_str(a, labels, "topology.kubernetes.io/zone", arena_printf(a, "loc-%03zu", n % b.locations));
	json_set_str(a, labels, "topology.berth.dev/rack", arena_printf(a, "rack-%zu", n / b.locations / RACK_NODES));
	if (roll(50) == 0)
		json_set_bool(a, json_ensure_object(a, o, "spec"), "unschedulable", true);
	json_set(a, json_ensure_object(a, status, "allocatable"), "cpu", json_stringf(a, "%d", vcpu));
	json_set(a, json_get(status, "allocatable"), "memory", json_stringf(a, "%dGi", vcpu * 4));
	json_set(a, json_get(status, "allocatable"), "ephemeral-storage", json_stringf(a, "%dG", vcpu * 40));
	c = json_append(a, json_ensure_array(a, status, "conditions"), json_object(a));
	json_set_str(a, c, "type", "Ready");
	json_set_str(a, c, "status", roll(100) ? "True" : "False");
	list = json_ensure_array(a, status, "prefetch");
	for (int d = 0; d < DIGESTS; d++) {
		struct json *p = json_append(a, list, json_object(a));

		json_set(a, p, "digest", json_stringf(a, "sha256:%064d", d));
		json_set_str(a, p, "phase", roll(10) ? "Ready" : "Pulling");
	}
	world_put(b.w, WORLD_NODE, o);
	struct json *lease = begin(a, "kube-node-lease", name);

	json_set_str(a, json_ensure_object(a, lease, "spec"), "renewTime",
		     time_format(NOW - (roll(100) ? 0 : 60000), stamp));
	json_set_int(a, json_get(lease, "spec"), "leaseDurationSeconds", 40);
	world_put(b.w, WORLD_LEASE, lease);
}

static void make_container(size_t n)
{
	_arena_ a = arena_new();
	const char *name = arena_printf(a, "app-%05zu", n), *type = roll(5) ? "lite" : roll(4) ? "basic" : "standard-1";
	struct json *o = begin(a, "default", name), *spec = json_ensure_object(a, o, "spec");
	struct json *placement = json_ensure_object(a, spec, "placement");

	json_set_str(a, spec, "image", name);
	json_set_int(a, spec, "maxInstances", PER_CONTAINER - (int64_t)roll(20));
	if (roll(4) == 0)
		for (int k = 0; k < 3; k++)
			json_append(a, json_ensure_array(a, placement, "regions"),
				    json_string(a, regions[roll(ARRAY_SIZE(regions))]));
	if (roll(4) == 0)
		for (int k = 0; k < 5; k++)
			json_append(a, json_ensure_array(a, placement, "excludeLocations"),
				    json_stringf(a, "loc-%03zu", (size_t)roll(b.locations)));
	b.containers[n] = (struct container *)world_put(b.w, WORLD_CONTAINER, o);
	struct json *r = begin(a, "default", arena_printf(a, "%s-1", name)), *rs = json_ensure_object(a, r, "spec");

	json_set_str(a, rs, "containerName", name);
	json_set_int(a, rs, "number", 1);
	json_set(a, rs, "imageDigest", json_stringf(a, "sha256:%064d", (int)roll(DIGESTS)));
	json_set_str(a, json_ensure_object(a, rs, "template"), "instanceType", type);
	b.revisions[n] = (struct revision *)world_put(b.w, WORLD_REVISION, r);
}

/* Some origins see far more requests than others: their Locations fill up. */
static size_t some_origin(void)
{
	return roll(3) ? roll(b.locations) : roll(b.locations / 10 + 1);
}

static void make_instance(size_t n)
{
	_arena_ a = arena_new();
	size_t c = n % b.container_count;
	const char *id = arena_printf(a, "u-%zu", n);
	struct json *o = begin(a, "default", arena_printf(a, "app-%05zu.%s", c, id));
	struct json *spec = json_ensure_object(a, o, "spec");

	json_set(a, json_get(o, "metadata"), "uid", json_stringf(a, "%08zx-4b1d-4c6e-9d2f-%012zx", n, n * 7919));
	json_set_str(a, spec, "containerName", b.containers[c]->r.name);
	json_set_str(a, spec, "id", id);
	json_set_str(a, spec, "state", "Asleep");
	json_set(a, spec, "origin", json_stringf(a, "loc-%03zu", some_origin()));
	json_set_str(a, json_ensure_object(a, o, "status"), "phase", "Asleep");
	b.all[n] = (struct instance *)world_put(b.w, WORLD_INSTANCE, o);
}

/* ---- the other way to the same answer ---- */

struct scored {
	const struct node *node;
	double km;
	int64_t in_rack, on_node, score;
};

static int64_t share(int64_t all, int64_t used)
{
	return all > used ? (all - used) * 1000 / all : 0;
}

static bool is_better(const struct scored *x, const struct scored *y)
{
	int by_name = strcmp(x->node->location, y->node->location);

	if (x->km < y->km || x->km > y->km)
		return x->km < y->km;
	if (by_name)
		return by_name < 0;
	if (x->in_rack != y->in_rack)
		return x->in_rack < y->in_rack;
	if (x->on_node != y->on_node)
		return x->on_node < y->on_node;
	if (x->score != y->score)
		return x->score > y->score;
	if (x->node->instances != y->node->instances)
		return x->node->instances < y->node->instances;
	return strcmp(x->node->r.name, y->node->r.name) < 0;
}

static const struct node *brute_force(const struct container *c, const struct revision *rev, const char *origin)
{
	const struct location *from = (struct location *)world_find(b.w, WORLD_LOCATION, NULL, origin);
	struct scored best = {0};
	struct record *x;

	for (size_t pos = 0; (x = world_next(b.w, WORLD_NODE, &pos));) {
		const struct node *n = (struct node *)x;
		const struct location *l = (struct location *)world_find(b.w, WORLD_LOCATION, NULL, n->location);
		const struct lease *lease = (struct lease *)world_find(b.w, WORLD_LEASE, "kube-node-lease", x->name);
		const struct node_image *image = node_image_find(n, rev->image_digest);
		struct scored s = {.node = n, .km = place_distance_km(from, l)};

		if (!place_allows(c, l) || !n->ready || n->unschedulable || NOW - lease->renewed_at > 40000 || !image ||
		    image->phase != PREFETCH_READY ||
		    n->used.milli_vcpu + rev->need->milli_vcpu > n->allocatable.milli_vcpu ||
		    n->used.memory + rev->need->memory > n->allocatable.memory ||
		    n->used.disk + rev->need->disk > n->allocatable.disk)
			continue;
		if (best.node && s.km > best.km)
			continue;
		for (const struct instance *i = c->instances; i; i = i->next) {
			const struct node *at = i->booked_on;

			s.on_node += at == n;
			s.in_rack += at && streq(at->location, n->location) && streq(at->rack, n->rack);
		}
		s.score = (share(n->allocatable.milli_vcpu, n->used.milli_vcpu + 62) +
			   share(n->allocatable.memory, n->used.memory + (256 << 20)) +
			   share(n->allocatable.disk, n->used.disk + 2000000000)) /
			  3;
		if (!best.node || is_better(&s, &best))
			best = s;
	}
	return best.node;
}

/* ---- measuring ---- */

struct outcome {
	double time;
	size_t decisions, placed, redirected, nowhere, at_max, checked;
};

static bool decide(size_t n, const char *origin, struct outcome *out)
{
	size_t k = n % b.container_count;
	struct container *c = b.containers[k];
	struct choice choice = place_choose(b.w, c, b.revisions[k], origin, NOW);

	out->decisions++;
	if (out->decisions % SAMPLE == 0) {
		double begun = seconds();
		const struct node *want = brute_force(c, b.revisions[k], origin);

		out->checked++;
		if (want != choice.node) {
			fprintf(stderr, "place: %s from %s: %s was chosen, %s is right\n", b.all[n]->r.name, origin,
				choice.node ? choice.node->r.name : "none", want ? want->r.name : "none");
			return false;
		}
		out->time -= seconds() - begun;
	}
	if (!choice.node) {
		out->nowhere++;
		return true;
	}
	out->placed++;
	out->redirected += choice.passed != NULL;
	world_assume(b.w, b.all[n], choice.node, b.revisions[k]->need);
	return true;
}

static bool place_all(struct outcome *out)
{
	double begun = seconds();

	for (size_t n = 0; n < b.instances; n++) {
		const struct container *c = b.containers[n % b.container_count];

		if (c->running >= c->max_instances)
			out->at_max++;
		else if (!decide(n, b.all[n]->origin, out))
			return false;
	}
	out->time += seconds() - begun;
	return true;
}

/* Many fall asleep, and wake from elsewhere: only the waking is timed. */
static bool place_anew(struct outcome *out)
{
	size_t *asleep = xcalloc(SLEEPERS, sizeof(*asleep));
	bool ok = true;

	for (size_t done = 0; done < b.instances && ok; done += SLEEPERS) {
		size_t count = 0;

		for (size_t k = 0; k < SLEEPERS; k++) {
			size_t n = roll(b.instances);

			if (!b.all[n]->is_booked)
				continue;
			world_settle(b.w, b.all[n]);
			asleep[count++] = n;
		}
		double begun = seconds();

		for (size_t k = 0; k < count && ok; k++)
			ok = decide(asleep[k], b.w->sites.list[some_origin()]->name, out);
		out->time += seconds() - begun;
	}
	free(asleep);
	return ok;
}

/* What is booked is what the Instances say, and no Container is above its maximum. */
static bool audit(void)
{
	struct resources *used = xcalloc(b.w->last_id + 1, sizeof(*used));
	struct record *x;
	bool ok = true;

	for (size_t n = 0; n < b.instances; n++) {
		const struct node *at = b.all[n]->booked_on;

		if (!at)
			continue;
		used[at->id].milli_vcpu += b.revisions[n % b.container_count]->need->milli_vcpu;
		used[at->id].memory += b.revisions[n % b.container_count]->need->memory;
		used[at->id].disk += b.revisions[n % b.container_count]->need->disk;
	}
	for (size_t pos = 0; (x = world_next(b.w, WORLD_NODE, &pos));) {
		const struct node *n = (struct node *)x;

		ok &= !memcmp(&n->used, &used[n->id], sizeof(*used)) && n->used.memory <= n->allocatable.memory;
	}
	for (size_t k = 0; k < b.container_count; k++) {
		int64_t running = 0;

		for (const struct instance *i = b.containers[k]->instances; i; i = i->next)
			running += i->is_booked;
		ok &= running == b.containers[k]->running && running <= b.containers[k]->max_instances;
	}
	free(used);
	if (!ok)
		fprintf(stderr, "place: the bookings are not what the Instances say\n");
	return ok;
}

static size_t argument(int argc, char **argv, int k, size_t otherwise)
{
	return argc > k ? strtoul(argv[k], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	struct outcome first = {0}, anew = {0};

	b.nodes = argument(argc, argv, 1, 10000);
	b.locations = argument(argc, argv, 2, 300);
	b.instances = argument(argc, argv, 3, 1000000);
	b.container_count = (b.instances + PER_CONTAINER - 1) / PER_CONTAINER;
	if (!b.nodes || !b.locations || !b.instances) {
		fprintf(stderr, "Usage: place [NODES LOCATIONS INSTANCES]\n");
		return 2;
	}
	b.random = 88172645463325252ULL;
	b.w = world_new();
	b.containers = xcalloc(b.container_count, sizeof(struct container *));
	b.revisions = xcalloc(b.container_count, sizeof(struct revision *));
	b.all = xcalloc(b.instances, sizeof(struct instance *));
	make_locations();
	for (size_t n = 0; n < b.nodes; n++)
		make_node(n);
	for (size_t n = 0; n < b.container_count; n++)
		make_container(n);
	size_t before = bytes_in_use();

	for (size_t n = 0; n < b.instances; n++)
		make_instance(n);
	if (!place_all(&first) || !place_anew(&anew) || !audit())
		return 1;
	double bytes = (double)(bytes_in_use() - before) / (double)b.instances;

	printf("{\"nodes\":%zu,\"locations\":%zu,\"instances\":%zu,\"running\":%zu,\"fillPerSecond\":%.0f,"
	       "\"anewPerSecond\":%.0f,\"bytesPerInstance\":%.1f,\"redirected\":%zu,\"nowhere\":%zu,\"atMax\":%zu,"
	       "\"checked\":%zu}\n",
	       b.nodes, b.locations, b.instances, first.placed - anew.nowhere, (double)first.decisions / first.time,
	       (double)anew.decisions / anew.time, bytes, first.redirected + anew.redirected,
	       first.nowhere + anew.nowhere, first.at_max, first.checked + anew.checked);
	world_free(b.w);
	free(b.containers);
	free(b.revisions);
	free(b.all);
	return 0;
}
