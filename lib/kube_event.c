/*
 * kube_event.c - Events, aggregated as kubectl shows them ("x5 over 2m").
 *
 * The first occurrence is created; the same object, reason and message again raise its count by a patch. While a write
 * is under way further occurrences only count, so a storm costs one write a round trip. ENTRIES_MAX keys are
 * remembered; the oldest is forgotten first. An Event the server has dropped meanwhile is created anew.
 */
#include "lib/kube_internal.h"

#include "lib/codec.h"
#include "lib/log.h"
#include "lib/units.h"

#include <stdio.h>

#define ENTRIES_MAX 1024
#define MESSAGE_MAX 1024

struct event_entry {
	struct kube *k;
	struct event_entry *newer, *older;
	char *key;
	struct arena *a;
	struct json *event; /* as it will be, or was, created */
	char *ns, *name;
	int64_t count;
	int64_t written; /* the count the server has */
	int64_t last_ms;
	bool created, under_way, forgotten;
};

static void entry_write(struct event_entry *en);

static void entry_free(struct event_entry *en)
{
	if (en->forgotten) {
		if (en->newer)
			en->newer->older = en->older;
		else
			en->k->events_leaving = en->older;
		if (en->older)
			en->older->newer = en->newer;
	}
	arena_free(en->a);
	free(en);
}

static void entry_unlink(struct event_entry *en)
{
	struct kube *k = en->k;

	strmap_remove(k->events, en->key);
	if (en->newer)
		en->newer->older = en->older;
	else
		k->events_newest = en->older;
	if (en->older)
		en->older->newer = en->newer;
	else
		k->events_oldest = en->newer;
	en->newer = en->older = NULL;
}

static void entry_link(struct event_entry *en)
{
	struct kube *k = en->k;

	en->older = k->events_newest;
	if (en->older)
		en->older->newer = en;
	else
		k->events_oldest = en;
	k->events_newest = en;
	strmap_put(k->events, en->key, en);
}

/* A write is under way and will free it. */
static void entry_forget(struct event_entry *en)
{
	struct kube *k = en->k;

	en->forgotten = true;
	en->older = k->events_leaving;
	if (en->older)
		en->older->newer = en;
	k->events_leaving = en;
}

static void on_written(void *user, int err, const struct json *object _unused_, const struct error *e)
{
	struct event_entry *en = user;

	en->under_way = false;
	if (err == -E_NOT_FOUND && en->created) {
		en->created = false;
		en->written = 0;
	} else if (err) {
		log_warn("event lost", "reason", json_str(json_get(en->event, "reason")), "error", e->text, NULL);
		en->written = en->count;
	} else {
		en->created = true;
	}
	if (en->forgotten)
		entry_free(en);
	else if (en->written < en->count)
		entry_write(en);
}

static void entry_write(struct event_entry *en)
{
	_arena_ a = arena_new();
	char now[TIME_TEXT_MAX];
	struct kube_call c = {0};
	struct json *body;
	struct error e;
	int r;

	time_format(en->last_ms, now);
	if (en->created) {
		body = json_object(a);
		c.method = "PATCH";
		c.patch = KUBE_PATCH_MERGE;
		c.path = kube_path(a, &KUBE_EVENTS, en->ns, en->name, NULL);
	} else {
		body = json_clone(a, en->event);
		c.method = "POST";
		c.path = kube_path(a, &KUBE_EVENTS, en->ns, NULL, NULL);
	}
	json_set_int(a, body, "count", en->count);
	json_set_str(a, body, "lastTimestamp", now);
	c.body = body;
	en->written = en->count;
	en->under_way = true;
	if (en->k->loop) {
		kube_start(en->k, &c, on_written, en);
		return;
	}
	r = kube_do(en->k, &c, a, NULL, &e);
	on_written(en, r, NULL, &e);
}

static struct event_entry *entry_new(struct kube *k, const char *key, const struct json *about, const char *type,
				     const char *reason, const char *message)
{
	struct event_entry *en = xcalloc(1, sizeof(*en));
	struct arena *a = arena_new();
	const struct json *meta = json_get(about, "metadata");
	const char *name = json_str_or(json_get(meta, "name"), "unknown");
	struct json *ev = json_object(a), *m, *o, *s;
	char suffix[11], first[TIME_TEXT_MAX];

	*en = (struct event_entry){.k = k, .a = a, .event = ev};
	random_name(suffix, sizeof(suffix) - 1);
	en->key = arena_strdup(a, key);
	en->ns = arena_strdup(a, json_str_or(json_get(meta, "namespace"), "default"));
	en->name = arena_printf(a, "%.200s.%s", name, suffix);
	json_set_str(a, ev, "apiVersion", "v1");
	json_set_str(a, ev, "kind", "Event");
	m = json_ensure_object(a, ev, "metadata");
	json_set_str(a, m, "name", en->name);
	json_set_str(a, m, "namespace", en->ns);
	o = json_ensure_object(a, ev, "involvedObject");
	json_set_str(a, o, "apiVersion", json_str(json_get(about, "apiVersion")));
	json_set_str(a, o, "kind", json_str(json_get(about, "kind")));
	json_set_str(a, o, "namespace", json_str(json_get(meta, "namespace")));
	json_set_str(a, o, "name", name);
	json_set_str(a, o, "uid", json_str(json_get(meta, "uid")));
	json_set_str(a, o, "resourceVersion", json_str(json_get(meta, "resourceVersion")));
	json_set_str(a, ev, "reason", reason);
	json_set_str(a, ev, "message", message);
	json_set_str(a, ev, "type", type);
	s = json_ensure_object(a, ev, "source");
	json_set_str(a, s, "component", k->component);
	json_set_str(a, ev, "reportingComponent", k->component);
	json_set_str(a, ev, "reportingInstance", "");
	json_set_str(a, ev, "firstTimestamp", time_format(time_now_ms(), first));
	return en;
}

void kube_event(struct kube *k, const struct json *about, const char *type, const char *reason, const char *fmt, ...)
{
	const struct json *meta = json_get(about, "metadata");
	char message[MESSAGE_MAX];
	_free_ char *key = NULL;
	struct event_entry *en;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	key = xasprintf("%s\n%s\n%s\n%s\n%s\n%s\n%s", json_str_or(json_get(about, "kind"), ""),
			json_str_or(json_get(meta, "namespace"), ""), json_str_or(json_get(meta, "name"), ""),
			json_str_or(json_get(meta, "uid"), ""), type, reason, message);
	en = strmap_get(k->events, key);
	if (en) {
		entry_unlink(en);
	} else {
		en = entry_new(k, key, about, type, reason, message);
		if (strmap_count(k->events) >= ENTRIES_MAX) {
			struct event_entry *old = k->events_oldest;

			entry_unlink(old);
			if (old->under_way)
				entry_forget(old);
			else
				entry_free(old);
		}
	}
	entry_link(en);
	en->count++;
	en->last_ms = time_now_ms();
	if (!en->under_way)
		entry_write(en);
}

void kube_events_free(struct kube *k)
{
	while (k->events_newest) {
		struct event_entry *en = k->events_newest;

		entry_unlink(en);
		entry_free(en);
	}
	while (k->events_leaving)
		entry_free(k->events_leaving);
	strmap_free(k->events);
}
