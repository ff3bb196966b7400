/*
 * sleeper.c - see sleeper.h; activity.c decides when.
 */
#include "gateway/sleeper.h"

#include "gateway/haproxy_cfg.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"

#include <stdio.h>

#define TICK_MS 250
#define RETRY_MS 5000
#define KEYS_PER_QUESTION 100

static struct metric sleeps = METRIC_COUNTER("berth_gateway_sleeps_total", "Instances put to sleep", "result");

struct sleeper {
	struct sleeper_options opt;
	uv_timer_t tick;
	bool up, asking, freed, closed;
	int pending; /* questions and writes under way; they keep the struct alive */
};

/* What a question or a write under way is about. */
struct batch {
	struct sleeper *s;
	size_t count;
	char *keys[];
};

static void maybe_free(struct sleeper *s)
{
	if (s->closed && !s->pending)
		free(s);
}

static struct batch *batch_new(struct sleeper *s, size_t room)
{
	struct batch *b = xcalloc(1, sizeof(*b) + room * sizeof(char *));

	b->s = s;
	s->pending++;
	return b;
}

static void batch_free(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		free(b->keys[i]);
	b->s->pending--;
	free(b);
}

static int64_t sleep_after(const struct sleeper *s, const struct instance *i)
{
	const struct json *c = s->opt.container(s->opt.user, i->ns, i->container);
	int64_t ms = 0;

	if (*i->origin && !streq(i->origin, s->opt.location))
		return 0; /* another gateway's business */
	if (duration_parse_ms(json_str_or(json_in(c, "spec", "sleepAfter"), "0s"), &ms, NULL))
		return 0;
	return ms;
}

/* ---- asking HAProxy ---- */

static int64_t number_after(const char *line, const char *end, const char *field)
{
	const char *p = strstr(line, field);

	return p && p < end ? strtoll(p + strlen(field), NULL, 10) : 0;
}

/* "# table: activity, type: string, size:204800, used:1" and
 * "0x55…: key=default/hello/u1 use=1 exp=3598574 conn_cur=1" */
void sleeper_parse_sample(const char *answer, const char *key, struct activity_sample *ret)
{
	char shown[HAPROXY_ACTIVITY_KEY_MAX + 1];

	snprintf(shown, sizeof(shown), "%.*s", HAPROXY_ACTIVITY_KEY_MAX, key);
	*ret = (struct activity_sample){.idle_ms = INT64_MAX};
	for (const char *p = answer, *end; *p; p = *end ? end + 1 : end) {
		end = p + strcspn(p, "\n");
		if (str_starts(p, "# table: activity,")) {
			int64_t size = number_after(p, end, "size:"), used = number_after(p, end, "used:");

			ret->table_full |= used >= size - size / 10;
			continue;
		}
		const char *k = strstr(p, "key=");

		if (!str_starts(p, "0x") || !k || k >= end)
			continue;
		k += strlen("key=");
		if (strncmp(k, shown, strlen(shown)) != 0 || k[strlen(shown)] != ' ')
			continue;
		int64_t idle = HAPROXY_ACTIVITY_EXPIRE_MS - number_after(k, end, " exp=");

		ret->found = true;
		ret->in_flight += number_after(k, end, " conn_cur=");
		if (idle < ret->idle_ms)
			ret->idle_ms = idle < 0 ? 0 : idle;
	}
}

static void ask(struct batch *b, runtime_done *done)
{
	_buf_ cmd = BUF_INIT(KEYS_PER_QUESTION * (HAPROXY_ACTIVITY_KEY_MAX + 64));

	buf_adds(&cmd, "show table");
	for (size_t i = 0; i < b->count; i++)
		buf_addf(&cmd, ";show table activity key %.*s", HAPROXY_ACTIVITY_KEY_MAX, b->keys[i]);
	runtime_ask(b->s->opt.rt, RUNTIME_ALL, cmd.data, done, b);
}

/* ---- falling asleep ---- */

static void stay_awake(struct sleeper *s, struct instance *i, const char *why)
{
	i->falling_asleep = false;
	metric_add(&sleeps, why, 1);
	s->opt.changed(s->opt.user, i);
}

static void on_noted(void *user, int err, _unused_ const struct json *object, const struct error *e)
{
	struct batch *b = user;
	struct sleeper *s = b->s;

	if (err && err != -E_NOT_FOUND)
		log_warn("cannot note when an instance was used last", "error", e->text, NULL);
	batch_free(b);
	maybe_free(s);
}

/* status.lastActiveTime, for people; written when the instance falls asleep, and only then. */
static void note_last_active(struct sleeper *s, const struct instance *i)
{
	_arena_ a = arena_new();
	struct json *o = json_object(a), *status = json_set(a, o, "status", json_object(a));
	char text[TIME_TEXT_MAX];

	json_set_str(a, status, "lastActiveTime",
		     time_format(time_now_ms() - (time_mono_ms() - i->activity.last_active), text));
	struct kube_call call = {.method = "PATCH",
				 .patch = KUBE_PATCH_MERGE,
				 .body = o,
				 .path = kube_path(a, &KUBE_INSTANCES, i->ns, i->name, "status")};

	kube_start(s->opt.kube, &call, on_noted, batch_new(s, 0));
}

static void on_slept(void *user, int err, const struct json *object, const struct error *e)
{
	struct batch *b = user;
	struct sleeper *s = b->s;
	struct instance *i = s->freed ? NULL : instance_table_get(s->opt.instances, b->keys[0]);
	int64_t now = time_mono_ms();

	if (i && err) {
		if (err != -E_CONFLICT)
			log_warn("cannot put an instance to sleep", "instance", i->name, "error", e->text, NULL);
		activity_retime(&i->activity, now, sleep_after(s, i));
		i->activity.check_at = now + RETRY_MS;
		stay_awake(s, i, err == -E_CONFLICT ? "changed" : "failed");
	} else if (i) {
		uint64_t version = strtoull(json_str_or(json_in(object, "metadata", "resourceVersion"), "0"), NULL, 10);

		if (version > i->min_version)
			i->min_version = version;
		i->falling_asleep = i->tracked = false;
		metric_add(&sleeps, "asleep", 1);
		log_info("instance falls asleep", "instance", i->name, "namespace", i->ns, "idleMs",
			 log_num(now - i->activity.last_active), NULL);
		note_last_active(s, i);
		s->opt.changed(s->opt.user, i);
	}
	batch_free(b);
	maybe_free(s);
}

static void write_asleep(struct batch *b, const struct instance *i)
{
	_arena_ a = arena_new();
	struct json *o = json_object(a), *meta = json_set(a, o, "metadata", json_object(a));

	json_set(a, meta, "resourceVersion", json_stringf(a, "%llu", (unsigned long long)i->resource_version));
	json_set_str(a, json_set(a, o, "spec", json_object(a)), "state", "Asleep");
	struct kube_call call = {.method = "PATCH",
				 .patch = KUBE_PATCH_MERGE,
				 .body = o,
				 .path = kube_path(a, &KUBE_INSTANCES, i->ns, i->name, NULL)};

	kube_start(b->s->opt.kube, &call, on_slept, b);
}

/* The entry is out of all maps: is anything still in flight? */
static void on_last_look(void *user, int err, const char *answer)
{
	struct batch *b = user;
	struct sleeper *s = b->s;
	struct instance *i = s->freed ? NULL : instance_table_get(s->opt.instances, b->keys[0]);
	struct activity_sample sample;

	if (i && i->falling_asleep) {
		sleeper_parse_sample(answer, i->key, &sample);
		if (!err &&
		    activity_judge(&i->activity, time_mono_ms(), sleep_after(s, i), &sample) == ACTIVITY_SLEEP) {
			write_asleep(b, i);
			return;
		}
		stay_awake(s, i, "used");
	}
	batch_free(b);
	maybe_free(s);
}

static void begin(struct sleeper *s, struct instance *i)
{
	struct batch *b = batch_new(s, 1);

	b->keys[b->count++] = xstrdup(i->key);
	i->falling_asleep = true;
	s->opt.changed(s->opt.user, i);
	maps_flush(s->opt.maps);
	ask(b, on_last_look);
}

/* ---- looking ---- */

static void on_looked(void *user, int err, const char *answer)
{
	struct batch *b = user;
	struct sleeper *s = b->s;
	int64_t now = time_mono_ms();

	s->asking = false;
	for (size_t n = 0; n < b->count && !err && s->up; n++) {
		struct instance *i = instance_table_get(s->opt.instances, b->keys[n]);
		struct activity_sample sample;

		if (!i || !i->tracked || i->falling_asleep)
			continue;
		sleeper_parse_sample(answer, i->key, &sample);
		if (activity_judge(&i->activity, now, sleep_after(s, i), &sample) == ACTIVITY_SLEEP &&
		    maps_are_known(s->opt.maps))
			begin(s, i);
	}
	batch_free(b);
	maybe_free(s);
}

static void on_tick(uv_timer_t *t)
{
	struct sleeper *s = t->data;
	struct instance *i;
	struct batch *b = NULL;
	int64_t now = time_mono_ms();

	if (!s->up || s->asking || !maps_are_known(s->opt.maps))
		return;
	for (size_t pos = 0; instance_table_next(s->opt.instances, &pos, &i);) {
		if (!i->tracked || i->falling_asleep || i->activity.check_at > now)
			continue;
		if (!b)
			b = batch_new(s, KEYS_PER_QUESTION);
		b->keys[b->count++] = xstrdup(i->key);
		if (b->count == KEYS_PER_QUESTION)
			break;
	}
	if (b) {
		s->asking = true;
		ask(b, on_looked);
	}
}

/* ---- the interface ---- */

struct sleeper *sleeper_new(const struct sleeper_options *opt)
{
	struct sleeper *s = xcalloc(1, sizeof(*s));

	s->opt = *opt;
	uv_timer_init(opt->loop, &s->tick);
	s->tick.data = s;
	uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
	return s;
}

void sleeper_touch(struct sleeper *s, struct instance *i)
{
	bool awake = instance_is_awake(i);

	if (awake && !i->tracked)
		activity_start(&i->activity, time_mono_ms(), sleep_after(s, i));
	if (!i->falling_asleep)
		i->tracked = awake;
}

void sleeper_up(struct sleeper *s, bool fresh)
{
	struct instance *i;

	s->up = true;
	for (size_t pos = 0; fresh && instance_table_next(s->opt.instances, &pos, &i);)
		if (i->tracked)
			activity_touch(&i->activity, time_mono_ms(), sleep_after(s, i));
}

void sleeper_down(struct sleeper *s)
{
	s->up = false;
}

void sleeper_container_changed(struct sleeper *s, const char *ns, const char *name)
{
	struct instance *i;

	for (size_t pos = 0; instance_table_next(s->opt.instances, &pos, &i);)
		if (i->tracked && streq(i->container, name) && streq(i->ns, ns))
			activity_retime(&i->activity, time_mono_ms(), sleep_after(s, i));
}

static void on_tick_closed(uv_handle_t *h)
{
	struct sleeper *s = h->data;

	s->closed = true;
	maybe_free(s);
}

void sleeper_free(struct sleeper *s)
{
	if (!s)
		return;
	s->freed = true;
	s->up = false;
	uv_close((uv_handle_t *)&s->tick, on_tick_closed);
}
