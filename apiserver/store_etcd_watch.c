/*
 * store_etcd_watch.c - the thread that watches one key in etcd, which holds a number, and says when it has changed.
 *
 * The stream is only a hint: what is true stands in the log. It is opened anew every WATCH_MS, at another endpoint when
 * it failed, and each opening counts as news, so that a stream that died unnoticed delays others' writes and loses
 * none.
 */
#include "apiserver/store_etcd_private.h"
#include "lib/codec.h"
#include <pthread.h>
#include <stdio.h>

#define WATCH_MS 5000
#define LINE_MAX_BYTES 65536
#define RETRY_MS 500

struct etcd_watch {
	const struct etcd_target *target;
	struct buf body, line; /* what is sent; what has come of a line */
	void (*news)(void *user, int64_t number);
	void *user;
	size_t at;
	bool heard; /* on this stream */
	pthread_t thread;
	uv_loop_t loop;
	uv_async_t stop;
	uv_timer_t again;
	struct http_loop *http;
};

static void watch_begin_stream(struct etcd_watch *w);

/* The newest number that a message tells. */
static int64_t told_number(const char *line, size_t len)
{
	_arena_ a = arena_new();
	struct json *message;

	if (json_parse(a, line, len, NULL, &message, NULL) < 0)
		return ETCD_NUMBER_UNKNOWN;
	const struct json *events = json_in(message, "result", "events");
	const struct json *kv = json_get(json_item(events, json_count(events) - 1), "kv");
	const char *text = json_count(events) ? etcd_bytes(a, json_get(kv, "value"), NULL) : "";
	return *text ? strtoll(text, NULL, 10) : ETCD_NUMBER_UNKNOWN;
}

/* Messages are lines of JSON. */
static int on_data(void *user, const void *data, size_t len, struct error *e _unused_)
{
	struct etcd_watch *w = user;
	const char *end;

	w->heard = true;
	buf_add(&w->line, data, len);
	if (w->line.over) { /* no message of this key is that long */
		w->line.over = false;
		buf_reset(&w->line);
		w->news(w->user, ETCD_NUMBER_UNKNOWN);
	}
	while (w->line.len && (end = memchr(w->line.data, '\n', w->line.len))) {
		size_t n = (size_t)(end - w->line.data) + 1;
		w->news(w->user, told_number(w->line.data, n));
		buf_consume(&w->line, n);
	}
	return 0;
}

static void on_again(uv_timer_t *t)
{
	watch_begin_stream(t->data);
}

static void on_ended(void *user, int err, const struct http_response *res _unused_, const struct error *e _unused_)
{
	struct etcd_watch *w = user;

	bool over = err == -E_TIMEOUT && w->heard; /* it has had its time */

	if (!over)
		w->at = (w->at + 1) % w->target->count;
	uv_timer_start(&w->again, on_again, over ? 0 : RETRY_MS, 0);
}

static void watch_begin_stream(struct etcd_watch *w)
{
	_free_ char *url = xasprintf("%s/v3/watch", w->target->endpoints[w->at]);
	struct http_request req = {
		.method = "POST",
		.url = url,
		.headers = {"Content-Type: application/json"},
		.body = w->body.data,
		.body_len = w->body.len,
		.tls = &w->target->tls,
		.connect_timeout_ms = 1000,
		.timeout_ms = WATCH_MS,
		.sink = on_data,
		.sink_user = w,
	};

	w->heard = false;
	buf_reset(&w->line);
	http_start(w->http, &req, on_ended, w);
}

static void on_stop(uv_async_t *async)
{
	struct etcd_watch *w = async->data;

	http_loop_free(w->http);
	uv_close((uv_handle_t *)&w->again, NULL);
	uv_close((uv_handle_t *)&w->stop, NULL);
}

static void *watch_run(void *arg)
{
	struct etcd_watch *w = arg;

	uv_run(&w->loop, UV_RUN_DEFAULT);
	return NULL;
}

struct etcd_watch *etcd_watch_start(const struct etcd_target *t, const char *key,
				    void (*news)(void *user, int64_t number), void *user)
{
	struct etcd_watch *w = xcalloc(1, sizeof(*w));

	w->target = t;
	w->news = news;
	w->user = user;
	w->body = BUF_INIT(4096);
	w->line = BUF_INIT(LINE_MAX_BYTES);
	buf_adds(&w->body, "{\"create_request\":{\"key\":\"");
	base64_encode(key, strlen(key), &w->body);
	buf_adds(&w->body, "\"}}");
	uv_loop_init(&w->loop);
	uv_async_init(&w->loop, &w->stop, on_stop);
	uv_timer_init(&w->loop, &w->again);
	w->stop.data = w->again.data = w;
	w->http = http_loop_new(&w->loop);
	watch_begin_stream(w);
	if (pthread_create(&w->thread, NULL, watch_run, w) != 0)
		abort();
	return w;
}

void etcd_watch_stop(struct etcd_watch *w)
{
	if (!w)
		return;
	uv_async_send(&w->stop);
	pthread_join(w->thread, NULL);
	uv_loop_close(&w->loop);
	buf_free(&w->body);
	buf_free(&w->line);
	free(w);
}
