/*
 * kube_informer.c - a cache of one kind that follows the server: list, then watch, for ever.
 *
 * A list is read page by page into `fresh`; when it is whole, the difference between it and the cache becomes events,
 * so what happened while nobody watched is seen as ADDED, MODIFIED and DELETED too. A watch continues from the last
 * resourceVersion seen; 410 Gone, as an answer or as an event, leads back to the list. Every cached object has an arena
 * of its own. What leaves the cache goes to a graveyard that is emptied when the loop runs again.
 *
 * Handlers may stop informers and free the client: after every call of a handler `stopped` is looked at, and the struct
 * itself goes only when its timer is closed and nothing of it is on the stack.
 *
 * Source: Kubernetes API concepts, "Efficient detection of changes"; k8s.io/client-go/tools/cache, Reflector.
 */
#include "lib/kube_internal.h"

#include "lib/codec.h"
#include "lib/log.h"
#include "lib/units.h"

#include <stdio.h>

#define PAGE_ITEMS 500
#define LIST_TIMEOUT_MS 60000
/* A watch that lasted so long was a good one: the next back-off starts from the beginning. */
#define GOOD_WATCH_MS 10000

struct kube_informer {
	struct kube *k;
	struct kube_resource resource; /* its strings are the caller's constants */
	struct arena *a;
	char *ns, *selectors; /* "&labelSelector=…" */
	kube_handler *handler;
	void *user;
	struct strmap *cache, *fresh;
	struct cached *graveyard;
	bool synced, stopped, relist;
	unsigned depth;	  /* of our calls on the stack */
	unsigned closing; /* libuv handles not closed yet */
	char *rv, *page_token;
	struct http_call *call;
	struct buf line;
	uv_timer_t timer; /* back-off, or the watch's silence */
	uv_prepare_t undertaker;
	int64_t backoff_ms, started_ms, heard_ms;
};

static void informer_list(struct kube_informer *i, const char *page_token);
static void informer_watch(struct kube_informer *i);
static void informer_retry(struct kube_informer *i);

static void set_rv(struct kube_informer *i, const char *rv)
{
	if (!rv || !rv[0] || streq(i->rv, rv))
		return;
	free(i->rv);
	i->rv = xstrdup(rv);
}

/* ---- life ---- */

static void on_prepare(uv_prepare_t *p)
{
	struct kube_informer *i = p->data;

	cached_free_all(&i->graveyard);
	uv_prepare_stop(p);
}

static void on_closed(uv_handle_t *h)
{
	struct kube_informer *i = h->data;

	if (--i->closing)
		return;
	cached_map_free(i->cache);
	cached_map_free(i->fresh);
	cached_free_all(&i->graveyard);
	buf_free(&i->line);
	free(i->rv);
	free(i->page_token);
	arena_free(i->a);
	free(i);
}

static void informer_enter(struct kube_informer *i)
{
	i->depth++;
}

/* Leaves; true when the informer goes on. Called last: i may be on its way out. */
static bool informer_leave(struct kube_informer *i)
{
	i->depth--;
	if (!i->stopped) {
		if (i->graveyard)
			uv_prepare_start(&i->undertaker, on_prepare);
		return true;
	}
	if (!i->depth && !i->closing) {
		i->closing = 2;
		uv_close((uv_handle_t *)&i->timer, on_closed);
		uv_close((uv_handle_t *)&i->undertaker, on_closed);
	}
	return false;
}

static void tell(struct kube_informer *i, enum kube_event ev, const struct json *old, const struct json *object)
{
	if (!i->stopped)
		i->handler(i->user, ev, old, object);
}

struct kube_informer *kube_informer_start(struct kube *k, const struct kube_resource *r,
					  const struct kube_informer_options *opt, kube_handler *h, void *user)
{
	struct kube_informer *i = xcalloc(1, sizeof(*i));
	_buf_ b = BUF_INIT(16384);

	i->k = k;
	i->a = arena_new();
	i->resource = *r;
	i->handler = h;
	i->user = user;
	i->cache = strmap_new();
	i->line = BUF_INIT(KUBE_OBJECT_MAX);
	i->backoff_ms = k->backoff_min_ms;
	if (opt && opt->ns)
		i->ns = arena_strdup(i->a, opt->ns);
	if (opt && opt->label_selector) {
		buf_adds(&b, "&labelSelector=");
		percent_encode(opt->label_selector, &b);
	}
	if (opt && opt->field_selector) {
		buf_adds(&b, "&fieldSelector=");
		percent_encode(opt->field_selector, &b);
	}
	i->selectors = arena_strndup(i->a, b.data ? b.data : "", b.len);
	uv_timer_init(k->uv, &i->timer);
	uv_prepare_init(k->uv, &i->undertaker);
	uv_unref((uv_handle_t *)&i->undertaker);
	i->timer.data = i->undertaker.data = i;
	informer_list(i, NULL);
	return i;
}

void kube_informer_stop(struct kube_informer *i)
{
	if (!i || i->stopped)
		return;
	informer_enter(i);
	i->stopped = true;
	http_cancel(i->call);
	i->call = NULL;
	uv_timer_stop(&i->timer);
	informer_leave(i);
}

/* ---- back-off ---- */

static void on_retry(uv_timer_t *t)
{
	struct kube_informer *i = t->data;

	if (i->relist || !i->rv)
		informer_list(i, NULL);
	else
		informer_watch(i);
}

/* Between half and the whole of the current back-off from now; the next one is longer. */
static void informer_retry(struct kube_informer *i)
{
	uint32_t random;
	int64_t half = i->backoff_ms / 2;

	random_bytes(&random, sizeof(random));
	uv_timer_start(&i->timer, on_retry, (uint64_t)(half + (half ? random % half : 0)), 0);
	i->backoff_ms *= 2;
	if (i->backoff_ms > i->k->backoff_max_ms)
		i->backoff_ms = i->k->backoff_max_ms;
}

/* ---- list ---- */

static void take_item(struct kube_informer *i, const struct json *item)
{
	struct arena *a = arena_new();
	struct json *object = json_clone(a, item);
	char *key = object_key(a, object), version[128];
	struct cached *old;

	if (!key) {
		arena_free(a);
		return;
	}
	/* Items of a list may leave out what the list says for all of them. */
	if (!json_get(object, "kind"))
		json_set_str(a, object, "kind", i->resource.kind);
	if (!json_get(object, "apiVersion")) {
		snprintf(version, sizeof(version), "%s%s%s", i->resource.group, i->resource.group[0] ? "/" : "",
			 i->resource.version);
		json_set_str(a, object, "apiVersion", version);
	}
	old = strmap_put(i->fresh, key, cached_new(a, object));
	if (old)
		cached_free(old);
}

/* Tells what the new list has removed; cache keeps what both have. */
static void tell_removed(struct kube_informer *i, struct strmap *old)
{
	size_t position = 0;
	const char *key;
	void *value;

	while (!i->stopped && strmap_next(old, &position, &key, &value)) {
		struct cached *before = value, *now = strmap_get(i->cache, key);

		if (!now || !streq(object_meta(now->object, "uid"), object_meta(before->object, "uid")))
			tell(i, KUBE_DELETED, before->object, before->object);
	}
}

static void tell_present(struct kube_informer *i, struct strmap *old, const struct strmap *walk)
{
	size_t position = 0;
	const char *key;
	void *value;

	while (!i->stopped && strmap_next(walk, &position, &key, &value)) {
		struct cached *now = value, *before = strmap_get(old, key);

		if (!before || !streq(object_meta(now->object, "uid"), object_meta(before->object, "uid")))
			tell(i, KUBE_ADDED, NULL, now->object);
		else if (!streq(object_meta(now->object, "resourceVersion"),
				object_meta(before->object, "resourceVersion")))
			tell(i, KUBE_MODIFIED, before->object, now->object);
	}
}

/* The list is whole: it becomes the cache, and the difference is told. Nothing changes the cache meanwhile. */
static void list_finish(struct kube_informer *i)
{
	struct strmap *old = i->cache;
	size_t position = 0;
	void *value;

	i->cache = i->fresh;
	i->fresh = NULL;
	i->relist = false;
	tell_removed(i, old);
	tell_present(i, old, i->cache);
	while (strmap_next(old, &position, NULL, &value))
		cached_bury(&i->graveyard, value);
	strmap_free(old);
	if (!i->synced && !i->stopped) {
		i->synced = true;
		tell(i, KUBE_SYNCED, NULL, NULL);
	}
}

static int list_page(struct kube_informer *i, const struct http_response *res, char **ret_next, struct error *e)
{
	_arena_ a = arena_new();
	struct json *list = NULL;
	const struct json *items;
	const char *next;
	int r = kube_check(res, a, e);

	if (r == 0)
		r = kube_parse(res, a, &list, e);
	if (r < 0)
		return r;
	items = json_get(list, "items");
	if (!json_is(list, JSON_OBJECT) || !object_meta(list, "resourceVersion")[0])
		return error_set(e, E_INTERNAL, "the answer is not a list");
	for (size_t n = 0; n < json_count(items); n++)
		take_item(i, json_item(items, n));
	set_rv(i, object_meta(list, "resourceVersion"));
	next = object_meta(list, "continue");
	*ret_next = next[0] ? xstrdup(next) : NULL;
	return 0;
}

static void on_listed(void *user, int err, const struct http_response *res, const struct error *he)
{
	struct kube_informer *i = user;
	_free_ char *next = NULL;
	struct error e = *he;

	informer_enter(i);
	i->call = NULL;
	if (err == 0)
		err = list_page(i, res, &next, &e);
	if (err) {
		log_warn("list failed", "resource", i->resource.plural, "error", e.text, NULL);
		i->relist = true; /* from the start: an expired page token is as good as any other fault */
		informer_retry(i);
	} else if (next) {
		informer_list(i, next);
	} else {
		list_finish(i);
		if (!i->stopped)
			informer_watch(i);
	}
	informer_leave(i);
}

static struct http_call *start_call(struct kube_informer *i, const char *query, struct http_request *base,
				    http_done *done)
{
	_arena_ a = arena_new();
	_buf_ body = BUF_INIT(1);
	struct kube_call c = {.method = "GET"};
	struct http_request q;

	c.path = arena_printf(a, "%s?%s%s", kube_path(a, &i->resource, i->ns, NULL, NULL), query, i->selectors);
	kube_request(i->k, &c, a, &body, &q);
	q.timeout_ms = base->timeout_ms;
	q.sink = base->sink;
	q.sink_user = base->sink_user;
	return http_start(i->k->loop, &q, done, i);
}

static void informer_list(struct kube_informer *i, const char *page_token)
{
	struct http_request base = {.timeout_ms = LIST_TIMEOUT_MS};
	_buf_ query = BUF_INIT(16384);

	uv_timer_stop(&i->timer);
	buf_addf(&query, "limit=%d", PAGE_ITEMS);
	if (page_token) {
		buf_adds(&query, "&continue=");
		percent_encode(page_token, &query);
	} else {
		cached_map_free(i->fresh);
		i->fresh = strmap_new();
	}
	i->call = start_call(i, query.data, &base, on_listed);
}

/* ---- watch ---- */

static void apply_object(struct kube_informer *i, const char *type, struct arena *a, const struct json *object)
{
	char *key = object_key(a, object);
	struct cached *c, *old;

	if (!key) {
		arena_free(a);
		return;
	}
	set_rv(i, object_meta(object, "resourceVersion"));
	c = cached_new(a, object);
	if (streq(type, "DELETED")) {
		old = strmap_remove(i->cache, key);
		cached_bury(&i->graveyard, c);
		cached_bury(&i->graveyard, old);
		if (old)
			tell(i, KUBE_DELETED, old->object, object);
		return;
	}
	old = strmap_put(i->cache, key, c);
	cached_bury(&i->graveyard, old);
	tell(i, old ? KUBE_MODIFIED : KUBE_ADDED, old ? old->object : NULL, object);
}

/* One line of the watch. Errors end the watch. */
static int apply_line(struct kube_informer *i, const char *line, size_t len, struct error *e)
{
	struct arena *a = arena_new();
	struct json_options opt = {.max_bytes = KUBE_OBJECT_MAX};
	struct json *event = NULL, *object;
	const char *type;
	int r = json_parse(a, line, len, &opt, &event, e);

	type = json_str_or(json_get(event, "type"), "");
	object = json_get(event, "object");
	if (r == 0 && (streq(type, "ADDED") || streq(type, "MODIFIED") || streq(type, "DELETED"))) {
		apply_object(i, type, a, object); /* takes a */
		return 0;
	}
	if (r < 0) {
		error_prefix(e, "event of a watch");
	} else if (streq(type, "BOOKMARK")) {
		set_rv(i, object_meta(object, "resourceVersion"));
	} else if (streq(type, "ERROR")) {
		int code = error_code_from_http((int)json_int_or(json_get(object, "code"), 500),
						json_str(json_get(object, "reason")));

		r = error_set(e, code, "%s", json_str_or(json_get(object, "message"), "unknown error"));
	}
	arena_free(a);
	return r;
}

static int on_watch_data(void *user, const void *data, size_t len, struct error *e)
{
	struct kube_informer *i = user;
	size_t done = 0;
	int r = 0;

	informer_enter(i);
	i->heard_ms = time_mono_ms();
	buf_add(&i->line, data, len);
	if (i->line.over)
		r = error_set(e, E_TOO_LARGE, "an event of the watch is larger than %u bytes", KUBE_OBJECT_MAX);
	while (r == 0 && !i->stopped) {
		const char *start = i->line.data + done, *end = memchr(start, '\n', i->line.len - done);

		if (!end)
			break;
		if (end > start)
			r = apply_line(i, start, (size_t)(end - start), e);
		done = (size_t)(end + 1 - i->line.data);
	}
	buf_consume(&i->line, done);
	if (i->stopped)
		r = error_set(e, E_UNAVAILABLE, "stopped");
	informer_leave(i);
	return r;
}

static void on_watch_end(void *user, int err, const struct http_response *res, const struct error *he)
{
	struct kube_informer *i = user;
	_arena_ a = arena_new();
	struct error e = *he;

	informer_enter(i);
	i->call = NULL;
	uv_timer_stop(&i->timer);
	if (err == 0)
		err = kube_check(res, a, &e);
	if (err == -E_EXPIRED) {
		log_info("watch expired, listing again", "resource", i->resource.plural, NULL);
		i->relist = true;
	} else if (err) {
		log_info("watch broken off", "resource", i->resource.plural, "error", e.text, NULL);
	}
	/* A resourceVersion the server refuses (400, 422) would be refused for ever. */
	if (err == -E_BAD_REQUEST || err == -E_INVALID || err == -E_TOO_LARGE)
		i->relist = true;
	if (time_mono_ms() - i->started_ms >= GOOD_WATCH_MS)
		i->backoff_ms = i->k->backoff_min_ms;
	informer_retry(i);
	informer_leave(i);
}

static void on_silence(uv_timer_t *t)
{
	struct kube_informer *i = t->data;

	if (time_mono_ms() - i->heard_ms < i->k->watch_silence_ms)
		return;
	log_warn("watch is silent, connecting again", "resource", i->resource.plural, NULL);
	http_cancel(i->call);
	i->call = NULL;
	informer_retry(i);
}

static void informer_watch(struct kube_informer *i)
{
	struct http_request base = {.sink = on_watch_data, .sink_user = i};
	_buf_ query = BUF_INIT(1024);
	uint64_t every = (uint64_t)(i->k->watch_silence_ms / 9);

	i->started_ms = i->heard_ms = time_mono_ms();
	buf_reset(&i->line);
	i->line.over = false;
	buf_adds(&query, "watch=true&allowWatchBookmarks=true&resourceVersion=");
	percent_encode(i->rv, &query);
	i->call = start_call(i, query.data, &base, on_watch_end);
	uv_timer_start(&i->timer, on_silence, every, every);
}

/* ---- reading ---- */

bool kube_informer_synced(const struct kube_informer *i)
{
	return i->synced;
}

const struct json *kube_informer_get(const struct kube_informer *i, const char *ns, const char *name)
{
	_arena_ a = arena_new();
	struct cached *c = strmap_get(i->cache, cached_key(a, i->resource.namespaced ? ns : NULL, name));

	return c ? c->object : NULL;
}

size_t kube_informer_count(const struct kube_informer *i)
{
	return strmap_count(i->cache);
}

void kube_informer_each(const struct kube_informer *i, void (*f)(void *user, const struct json *obj), void *user)
{
	size_t position = 0;
	void *value;

	while (strmap_next(i->cache, &position, NULL, &value))
		f(user, ((struct cached *)value)->object);
}
