/*
 * watch.c - the hub's thread and the life of a watcher; see watch.h.
 */
#include "apiserver/watch.h"
#include "apiserver/status.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"
#include <inttypes.h>
#include <pthread.h>

#define BATCH 128
#define TICK_MS 500

static struct metric watchers_gauge = METRIC_GAUGE("berth_apiserver_watchers", "Open watches", NULL);
static struct metric deliveries = METRIC_COUNTER("berth_apiserver_watch_deliveries_total",
						 "Events handed to watch streams", NULL);

struct watch_hub {
	struct cache *cache;
	pthread_t thread;
	pthread_mutex_t lock;	   /* guards everything below */
	struct watcher **watchers; /* a list per kind */
	size_t count;
	int64_t dispatched; /* every event up to here has been handed out */
	bool stopping;
};

/* The texts of one event, made when the first watcher needs them. */
struct frames {
	struct chunk *made[EVENT_DELETED + 1][FORM_COUNT];
};

/* ---- watchers ---- */

struct watcher *watcher_new(void)
{
	struct watcher *w = xcalloc(1, sizeof(*w));

	w->arena = arena_new();
	return w;
}

void watcher_free(struct watcher *w)
{
	if (!w)
		return;
	arena_free(w->arena);
	free(w);
}

/* Under the hub's lock. */
static void watcher_link(struct watch_hub *h, struct watcher *w)
{
	struct watcher **head = &h->watchers[w->filter.kind->index];

	w->previous = NULL;
	w->next = *head;
	if (*head)
		(*head)->previous = w;
	*head = w;
	w->linked = true;
	metric_set(&watchers_gauge, NULL, (double)++h->count);
}

/* Under the hub's lock. */
static void watcher_unlink(struct watch_hub *h, struct watcher *w)
{
	if (!w->linked)
		return;
	if (w->previous)
		w->previous->next = w->next;
	else
		h->watchers[w->filter.kind->index] = w->next;
	if (w->next)
		w->next->previous = w->previous;
	w->linked = false;
	metric_set(&watchers_gauge, NULL, (double)--h->count);
}

static void watcher_unref(struct watch_hub *h, struct watcher *w)
{
	pthread_mutex_lock(&h->lock);
	bool last = --w->refs == 0;
	pthread_mutex_unlock(&h->lock);
	if (last)
		watcher_free(w);
}

static void on_closed(struct httpd_stream *s, void *user)
{
	struct watcher *w = user;
	struct watch_hub *h = w->hub;

	(void)s;
	pthread_mutex_lock(&h->lock);
	watcher_unlink(h, w);
	w->closed = true;
	pthread_mutex_unlock(&h->lock);
	watcher_unref(h, w);
}

/* ---- delivery ---- */

static void send_text(struct watcher *w, struct buf *text)
{
	size_t len = text->len;
	struct chunk *c = chunk_take(buf_steal(text), len);

	httpd_stream_write(w->stream, c);
	chunk_unref(c);
}

/* What an event is for a watcher: a selector can make a change look like an arrival or a departure. */
static bool event_for(const struct watcher *w, const struct event *ev, enum event_type *ret)
{
	bool was = ev->old && filter_matches(&w->filter, ev->old);
	bool is = ev->type != EVENT_DELETED && filter_matches(&w->filter, ev->object);

	if (!was && !is)
		return false;
	*ret = was && is ? EVENT_MODIFIED : is ? EVENT_ADDED : EVENT_DELETED;
	return true;
}

static struct chunk *frame_of(struct frames *f, const struct event *ev, enum event_type type, enum form form)
{
	struct chunk **made = &f->made[type][form];

	if (!*made) {
		_buf_ text = BUF_INIT(BUF_UNLIMITED);
		render_event(form, type, ev->object, time_now_ms(), &text);
		size_t len = text.len;
		*made = chunk_take(buf_steal(&text), len);
	}
	return *made;
}

/* The stream of a watcher that does not read is ended by httpd; on_closed() then unlinks it. */
static void deliver(struct watcher *w, const struct event *ev, struct frames *f)
{
	enum event_type type;

	if (ev->revision <= w->from)
		return;
	w->from = ev->revision;
	if (!event_for(w, ev, &type))
		return;
	httpd_stream_write(w->stream, frame_of(f, ev, type, w->form));
	metric_add(&deliveries, NULL, 1);
}

static void frames_free(struct frames *f)
{
	for (size_t t = 0; t <= EVENT_DELETED; t++)
		for (size_t i = 0; i < FORM_COUNT; i++)
			chunk_unref(f->made[t][i]);
}

/* Under the hub's lock. */
static void dispatch(struct watch_hub *h, const struct event *ev)
{
	struct frames f = {0};

	for (struct watcher *w = h->watchers[ev->object->kind->index], *next; w; w = next) {
		next = w->next;
		deliver(w, ev, &f);
	}
	frames_free(&f);
	h->dispatched = ev->revision;
}

/* Under the hub's lock. */
static void end_stream(struct watch_hub *h, struct watcher *w)
{
	watcher_unlink(h, w);
	httpd_stream_end(w->stream);
}

static void send_bookmark(struct watch_hub *h, struct watcher *w, bool initial_end)
{
	_buf_ text = BUF_INIT(BUF_UNLIMITED);
	int64_t revision = w->from > h->dispatched ? w->from : h->dispatched;

	render_bookmark(w->form, w->filter.kind, initial_end ? w->from : revision, initial_end, &text);
	send_text(w, &text);
	w->bookmark_ms = time_mono_ms() + WATCH_BOOKMARK_MS;
}

/* Deadlines and bookmarks. */
static void tick(struct watch_hub *h, int64_t now_ms)
{
	pthread_mutex_lock(&h->lock);
	for (size_t k = 0; k < kind_count(); k++) {
		for (struct watcher *w = h->watchers[k], *next; w; w = next) {
			next = w->next;
			bool over = w->deadline_ms && now_ms >= w->deadline_ms;
			if (w->bookmarks && (over || now_ms >= w->bookmark_ms))
				send_bookmark(h, w, false);
			if (over)
				end_stream(h, w);
		}
	}
	pthread_mutex_unlock(&h->lock);
}

static void end_all(struct watch_hub *h)
{
	pthread_mutex_lock(&h->lock);
	for (size_t k = 0; k < kind_count(); k++)
		while (h->watchers[k])
			end_stream(h, h->watchers[k]);
	pthread_mutex_unlock(&h->lock);
}

/* Hands out one batch; false when there is nothing new. */
static bool dispatch_batch(struct watch_hub *h)
{
	struct event events[BATCH];
	struct error e;
	size_t count;

	if (cache_events(h->cache, h->dispatched, BATCH, events, &count, &e) < 0) {
		log_error("watch events were compacted before they were sent, ending all watches", "error", e.text,
			  NULL);
		end_all(h);
		pthread_mutex_lock(&h->lock);
		h->dispatched = cache_revision(h->cache);
		pthread_mutex_unlock(&h->lock);
		return true;
	}
	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < count; i++)
		dispatch(h, &events[i]);
	pthread_mutex_unlock(&h->lock);
	for (size_t i = 0; i < count; i++)
		event_clear(&events[i]);
	return count > 0;
}

static bool is_stopping(struct watch_hub *h)
{
	pthread_mutex_lock(&h->lock);
	bool stopping = h->stopping;
	pthread_mutex_unlock(&h->lock);
	return stopping;
}

static void *hub_run(void *arg)
{
	struct watch_hub *h = arg;
	int64_t next_tick = time_mono_ms() + TICK_MS;

	while (!is_stopping(h)) {
		int64_t now = time_mono_ms();
		if (now >= next_tick) {
			tick(h, now);
			next_tick = now + TICK_MS;
		}
		if (cache_wait(h->cache, h->dispatched, next_tick > now ? next_tick - now : 0))
			dispatch_batch(h);
	}
	end_all(h);
	return NULL;
}

/* ---- begin ---- */

/* The present state as events, and the revision it is of. */
static int initial_state(struct watch_hub *h, struct watcher *w, struct buf *out, struct error *e)
{
	struct cache_query q = {.filter = w->filter};
	struct cache_page page;
	int code = cache_list(h->cache, &q, &page, e);

	if (code < 0)
		return code;
	for (size_t i = 0; i < page.count; i++)
		render_event(w->form, EVENT_ADDED, page.items[i], time_now_ms(), out);
	w->from = page.revision;
	cache_page_clear(&page);
	return 0;
}

static int check_from(struct watch_hub *h, const struct watcher *w, struct error *e)
{
	struct event first;
	size_t count = 0;
	int64_t now = cache_revision(h->cache);

	if (w->from > now)
		return error_set(e, E_TIMEOUT, "Too large resource version: %" PRId64 ", current: %" PRId64, w->from,
				 now);
	int code = cache_events(h->cache, w->from, 1, &first, &count, e);
	if (count)
		event_clear(&first);
	return code;
}

static void send_expired(struct watcher *w, const struct error *e)
{
	_buf_ status = BUF_INIT(BUF_UNLIMITED), text = BUF_INIT(BUF_UNLIMITED);

	status_failure(&status, e, &(struct status_details){0});
	render_error(status.data, status.len, &text);
	send_text(w, &text);
}

/* Sends everything between w->from and what the hub has handed out, then joins its list. */
static void catch_up(struct watch_hub *h, struct watcher *w)
{
	struct event events[BATCH];
	size_t count = 1;
	struct error e;
	int code = 0;

	pthread_mutex_lock(&h->lock);
	while (code == 0 && !w->closed && count && w->from < h->dispatched) {
		pthread_mutex_unlock(&h->lock);
		code = cache_events(h->cache, w->from, BATCH, events, &count, &e);
		pthread_mutex_lock(&h->lock);
		for (size_t i = 0; code == 0 && i < count; i++) {
			struct frames f = {0};
			if (!w->closed)
				deliver(w, &events[i], &f);
			frames_free(&f);
			event_clear(&events[i]);
		}
	}
	if (!w->closed && (code < 0 || h->stopping)) {
		if (code < 0)
			send_expired(w, &e);
		httpd_stream_end(w->stream);
	} else if (!w->closed) {
		watcher_link(h, w);
	}
	pthread_mutex_unlock(&h->lock);
}

int watch_begin(struct watch_hub *h, struct httpd_request *r, struct watcher *w, struct error *e)
{
	_buf_ first = BUF_INIT(BUF_UNLIMITED);
	int code = w->initial ? initial_state(h, w, &first, e) : check_from(h, w, e);

	if (code < 0)
		return code;
	w->hub = h;
	w->refs = 2; /* ours, and the stream's until on_closed() */
	w->bookmark_ms = time_mono_ms() + WATCH_BOOKMARK_MS;
	struct httpd_stream *stream = httpd_stream_start(r, 200, "application/json", on_closed, w);
	pthread_mutex_lock(&h->lock);
	w->stream = stream;
	if (!w->closed && first.len)
		send_text(w, &first);
	if (!w->closed && w->initial_end)
		send_bookmark(h, w, true);
	pthread_mutex_unlock(&h->lock);
	catch_up(h, w);
	watcher_unref(h, w);
	return 0;
}

/* ---- start and stop ---- */

struct watch_hub *watch_hub_start(struct cache *cache)
{
	struct watch_hub *h = xcalloc(1, sizeof(*h));

	h->cache = cache;
	h->watchers = xcalloc(kind_count(), sizeof(struct watcher *));
	h->dispatched = cache_revision(cache);
	pthread_mutex_init(&h->lock, NULL);
	if (pthread_create(&h->thread, NULL, hub_run, h) != 0)
		abort();
	return h;
}

size_t watch_hub_count(struct watch_hub *h)
{
	pthread_mutex_lock(&h->lock);
	size_t n = h->count;
	pthread_mutex_unlock(&h->lock);
	return n;
}

void watch_hub_stop(struct watch_hub *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stopping = true;
	pthread_mutex_unlock(&h->lock);
	cache_wake(h->cache);
	pthread_join(h->thread, NULL);
}

void watch_hub_free(struct watch_hub *h)
{
	if (!h)
		return;
	pthread_mutex_destroy(&h->lock);
	free(h->watchers);
	free(h);
}
