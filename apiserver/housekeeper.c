/*
 * housekeeper.c - duties by the clock; see housekeeper.h.
 */
#include "apiserver/housekeeper.h"
#include "apiserver/access_defaults.h"
#include "apiserver/auth.h"
#include "apiserver/cache.h"
#include "apiserver/gc_private.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"
#include <malloc.h>
#include <pthread.h>
#include <time.h>

#define TICK_MS 2000
#define MARK_MS 30000
#define EVENTS_SWEEP_MS 60000

static struct metric revision_gauge = METRIC_GAUGE("berth_apiserver_store_revision", "Newest revision", NULL);
static struct metric compacted_gauge = METRIC_GAUGE("berth_apiserver_store_compacted_revision",
						    "History is kept from here on", NULL);

struct housekeeper {
	struct server *server;
	pthread_t thread;
	pthread_mutex_t lock; /* guards stopping */
	pthread_cond_t stop;
	bool stopping;
	struct history_marks history;
	int64_t aggregated; /* the revision of the ClusterRoles that were looked at last */
	int64_t next_mark_ms, next_sweep_ms;
};

int64_t history_tick(struct history_marks *m, int64_t now_ms, int64_t revision)
{
	int64_t forget = 0;
	size_t old = 0;

	while (old < m->count && now_ms - m->marks[old].at_ms >= HISTORY_MS)
		forget = m->marks[old++].revision;
	memmove(m->marks, m->marks + old, (m->count - old) * sizeof(m->marks[0]));
	m->count -= old;
	if (m->count < HISTORY_MARKS) {
		m->marks[m->count].at_ms = now_ms;
		m->marks[m->count].revision = revision;
		m->count++;
	}
	return forget;
}

static void compact(struct housekeeper *h, int64_t now_ms)
{
	struct store *store = h->server->store;
	int64_t forget = history_tick(&h->history, now_ms, store->ops->revision(store));
	struct error e;

	if (forget > store->ops->compacted(store) && store->ops->compact(store, forget, &e) < 0)
		log_error("compaction failed, will try again", "error", e.text, NULL);
	metric_set(&revision_gauge, NULL, (double)store->ops->revision(store));
	metric_set(&compacted_gauge, NULL, (double)store->ops->compacted(store));
	malloc_trim(0); /* bursts leave pages behind that nobody needs soon */
}

bool event_is_old(const struct json *event, int64_t now_ms)
{
	const char *const texts[] = {
		json_str(json_get(event, "lastTimestamp")), json_str(json_in(event, "series", "lastObservedTime")),
		json_str(json_get(event, "eventTime")), json_str(json_in(event, "metadata", "creationTimestamp"))};
	int64_t newest = 0, ms;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i] && time_parse(texts[i], &ms, NULL) == 0 && ms > newest && ms <= now_ms)
			newest = ms;
	return now_ms - newest > EVENT_TTL_MS;
}

static void sweep_events(struct housekeeper *h)
{
	struct cache_query q = {.filter = {.kind = kind_find("", "v1", "events")}};
	struct cache_page page;
	int64_t now = time_now_ms();

	if (!q.filter.kind || cache_list(h->server->cache, &q, &page, NULL) < 0)
		return;
	for (size_t i = 0; i < page.count; i++) {
		_arena_ a = arena_new();
		if (event_is_old(object_tree(a, page.items[i]), now))
			gc_delete(h->server, page.items[i], NULL);
	}
	cache_page_clear(&page);
}

static void tick(struct housekeeper *h, int64_t now_ms)
{
	auth_refresh(h->server->auth);
	access_aggregate(h->server, &h->aggregated);
	if (now_ms >= h->next_mark_ms) {
		compact(h, now_ms);
		h->next_mark_ms = now_ms + MARK_MS;
	}
	if (now_ms >= h->next_sweep_ms) {
		sweep_events(h);
		h->next_sweep_ms = now_ms + EVENTS_SWEEP_MS;
	}
}

/* Sleeps until the next tick; false when it is over. */
static bool wait_tick(struct housekeeper *h)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += TICK_MS / 1000;
	pthread_mutex_lock(&h->lock);
	if (!h->stopping)
		pthread_cond_timedwait(&h->stop, &h->lock, &until);
	bool go_on = !h->stopping;
	pthread_mutex_unlock(&h->lock);
	return go_on;
}

static void *housekeeper_run(void *arg)
{
	struct housekeeper *h = arg;

	while (wait_tick(h))
		tick(h, time_mono_ms());
	return NULL;
}

struct housekeeper *housekeeper_start(struct server *s)
{
	struct housekeeper *h = xcalloc(1, sizeof(*h));

	h->server = s;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->stop, NULL);
	if (pthread_create(&h->thread, NULL, housekeeper_run, h) != 0)
		abort();
	return h;
}

void housekeeper_stop(struct housekeeper *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stopping = true;
	pthread_cond_signal(&h->stop);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	pthread_cond_destroy(&h->stop);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
