/*
 * watch.h - the watch hub: one thread that hands every event to the streams that asked for it.
 *
 * Each event is serialised once per form and shared by all its watchers. A stream sees its initial state first, then
 * every later event exactly once and in order. Streams that do not read are ended by httpd's queue limit.
 *
 * Locking: the hub's lock guards the lists of watchers; it is taken before the cache's and httpd's.
 */
#ifndef BERTH_APISERVER_WATCH_H
#define BERTH_APISERVER_WATCH_H

#include "apiserver/cache.h"
#include "apiserver/render.h"

#define WATCH_BOOKMARK_MS 60000

struct watch_hub;
struct watch_hub *watch_hub_start(struct cache *cache);
/* Ends all streams and the thread; then, once HTTP has stopped too, its memory. Both NULL-safe. */
void watch_hub_stop(struct watch_hub *h);
void watch_hub_free(struct watch_hub *h);
size_t watch_hub_count(struct watch_hub *h);

/* What one watch asks for. Allocated with watcher_new(); everything it points to is in its arena. */
struct watcher {
	struct arena *arena;
	struct filter filter;
	enum form form;
	bool initial;	  /* first ADDED for all that exists, instead of events since `from` */
	bool initial_end; /* then a bookmark that says so */
	bool bookmarks;
	int64_t from;	     /* send what is newer than this revision; set by watch_begin() when initial */
	int64_t deadline_ms; /* by time_mono_ms(); 0: none */
	/* the hub's */
	struct watch_hub *hub;
	struct httpd_stream *stream;
	struct watcher *next, *previous;
	int64_t bookmark_ms;
	unsigned refs;
	bool linked, closed;
};
struct watcher *watcher_new(void);
void watcher_free(struct watcher *w); /* only one that was never begun */

/* Answers the request with the stream and takes the watcher over; on failure nothing has been answered. May read the
 * store, so not for HTTP threads. Errors: E_EXPIRED, E_TIMEOUT (from is not reached yet). */
int watch_begin(struct watch_hub *h, struct httpd_request *r, struct watcher *w, struct error *e);

#endif
