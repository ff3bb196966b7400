/*
 * resolver.c - the resolver's socket, its connections and its clock; see resolver.h. waker.c decides.
 */
#include "gateway/resolver_private.h"

#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define TICK_MS 50
#define BACKLOG 4096

static struct metric asked = METRIC_COUNTER("berth_gateway_lookups_total", "Questions from HAProxy", "verb");
static struct metric answered = METRIC_COUNTER("berth_gateway_answers_total", "Answers to HAProxy", "result");
static struct metric waiting = METRIC_GAUGE("berth_gateway_waiting_requests", "Requests that wait for their instance",
					    NULL);
static struct metric wake_seconds = METRIC_HISTOGRAM(
	"berth_gateway_wake_seconds", "How long requests waited for an instance that was not ready", NULL);

/* ---- connections ---- */

void resolver_release(struct resolver *r)
{
	if (--r->handles)
		return;
	strmap_free(r->wakers);
	arena_free(r->a);
	free(r);
}

static void idle_add(struct waiter *w)
{
	w->next = w->r->idle;
	w->prev = NULL;
	if (w->next)
		w->next->prev = w;
	w->r->idle = w;
}

static void idle_remove(struct waiter *w)
{
	*(w->prev ? &w->prev->next : &w->r->idle) = w->next;
	if (w->next)
		w->next->prev = w->prev;
}

static void on_waiter_closed(uv_handle_t *h)
{
	struct waiter *w = (struct waiter *)h;
	struct resolver *r = w->r;

	idle_remove(w);
	free(w->answer);
	free(w);
	resolver_release(r);
}

static void waiter_close(struct waiter *w)
{
	if (w->closing)
		return;
	w->closing = true;
	if (w->waker) {
		waker_leave(w);
		idle_add(w);
	}
	uv_close((uv_handle_t *)&w->pipe, on_waiter_closed);
}

static void on_answered(uv_write_t *req, _unused_ int status)
{
	waiter_close(req->data);
}

void resolver_answer(struct waiter *w, const char *fmt, ...)
{
	_buf_ line = BUF_INIT(2048);
	va_list ap;

	if (w->waker) {
		waker_leave(w);
		idle_add(w);
	}
	va_start(ap, fmt);
	buf_vaddf(&line, fmt, ap);
	va_end(ap);
	metric_add(&answered, line.data && str_starts(line.data, "ok ") ? "ok" : "refused", 1);
	if (w->is_cold)
		metric_observe(&wake_seconds, NULL, (double)(time_mono_ms() - w->since) / 1000);
	for (char *p = line.data; p && *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	buf_addc(&line, '\n');
	w->answer = buf_steal(&line);
	uv_buf_t data = uv_buf_init(w->answer, (unsigned)strlen(w->answer));

	w->write.data = w;
	if (w->closing || uv_write(&w->write, (uv_stream_t *)&w->pipe, &data, 1, on_answered))
		waiter_close(w);
}

void resolver_refuse(struct waiter *w, const struct wake_verdict *v)
{
	resolver_answer(w, "err %d %d %s %s", v->status, v->retry_after, v->reason, v->message);
}

/* "resolve <key> [<client's address>]" or "retry <key> <address that took no connection>". */
static void on_line(struct waiter *w, char *line)
{
	char *key = strchr(line, ' '), *end;

	if (!key) {
		resolver_answer(w, "err 500 0 InternalError unknown question");
		return;
	}
	*key++ = 0;
	end = strchr(key, ' ');
	if (end)
		*end = 0;
	bool retry = streq(line, "retry");

	if (!retry && !streq(line, "resolve")) {
		resolver_answer(w, "err 500 0 InternalError unknown question");
		return;
	}
	w->client = end && !retry ? end + 1 : "";
	metric_add(&asked, retry ? "retry" : "resolve", 1);
	idle_remove(w);
	waker_join(w->r, w, key);
}

static void on_alloc(uv_handle_t *h, _unused_ size_t size, uv_buf_t *ret)
{
	struct waiter *w = (struct waiter *)h;

	*ret = uv_buf_init(w->line + w->len, (unsigned)(sizeof(w->line) - 1 - w->len));
}

static void on_read(uv_stream_t *h, ssize_t n, _unused_ const uv_buf_t *data)
{
	struct waiter *w = (struct waiter *)h;

	if (n < 0) { /* its client has gone, or the line is too long (UV_ENOBUFS) */
		waiter_close(w);
		return;
	}
	if (w->waker || w->answer) { /* there is one question per connection */
		w->len = 0;
		return;
	}
	w->len += (size_t)n;
	w->line[w->len] = 0;
	char *end = strchr(w->line, '\n');

	if (!end)
		return;
	*end = 0;
	w->len = 0;
	on_line(w, w->line);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct resolver *r = listener->data;

	if (status < 0 || r->stopping)
		return;
	struct waiter *w = xcalloc(1, sizeof(*w));

	w->r = r;
	w->since = time_mono_ms();
	w->client = "";
	uv_pipe_init(r->opt.loop, &w->pipe, 0);
	r->handles++;
	idle_add(w);
	if (uv_accept(listener, (uv_stream_t *)&w->pipe) || uv_read_start((uv_stream_t *)&w->pipe, on_alloc, on_read))
		waiter_close(w);
}

/* ---- the clock ---- */

static void step_all(struct resolver *r)
{
	for (struct waker *k = r->first, *next; k; k = next) {
		next = k->next;
		waker_step(k);
	}
	metric_set(&waiting, NULL, (double)r->waiting);
}

static void on_tick(uv_timer_t *t)
{
	struct resolver *r = t->data;

	step_all(r);
	if (!r->first)
		uv_timer_stop(t);
}

void resolver_tick_start(struct resolver *r)
{
	if (!uv_is_active((uv_handle_t *)&r->timer) && !r->stopping)
		uv_timer_start(&r->timer, on_tick, TICK_MS, TICK_MS);
}

/* ---- the interface ---- */

static void on_handle_closed(uv_handle_t *h)
{
	resolver_release(h->data);
}

int resolver_start(const struct resolver_options *opt, struct resolver **ret, struct error *e)
{
	struct resolver *r = xcalloc(1, sizeof(*r));
	int err;

	r->opt = *opt;
	r->a = arena_new();
	r->opt.location = arena_strdup(r->a, opt->location);
	r->opt.socket_path = arena_strdup(r->a, opt->socket_path);
	r->wakers = strmap_new();
	r->handles = 2;
	uv_pipe_init(opt->loop, &r->listener, 0);
	uv_timer_init(opt->loop, &r->timer);
	r->listener.data = r->timer.data = r;
	if (unlink(opt->socket_path) && errno != ENOENT)
		log_warn("cannot remove the old socket", "path", opt->socket_path, NULL);
	err = uv_pipe_bind(&r->listener, r->opt.socket_path);
	if (!err && (chmod(opt->socket_path, 0600) || (opt->chown && chown(opt->socket_path, opt->uid, opt->gid))))
		err = -errno;
	if (!err)
		err = uv_listen((uv_stream_t *)&r->listener, BACKLOG, on_connection);
	if (err) {
		resolver_stop(r);
		return error_set(e, E_IO, "cannot listen on %s: %s", opt->socket_path, uv_strerror(err));
	}
	*ret = r;
	return 0;
}

void resolver_stop(struct resolver *r)
{
	if (!r)
		return;
	r->stopping = true;
	for (struct waker *k = r->first, *next; k; k = next) {
		next = k->next;
		while (k->first)
			waiter_close(k->first);
		if (!k->busy)
			waker_free(k);
	}
	for (struct waiter *w = r->idle; w; w = w->next)
		waiter_close(w);
	uv_close((uv_handle_t *)&r->listener, on_handle_closed);
	uv_close((uv_handle_t *)&r->timer, on_handle_closed);
}

void resolver_instance_changed(struct resolver *r, const char *key)
{
	struct waker *k = strmap_get(r->wakers, key);

	if (k)
		waker_step(k);
}

void resolver_world_changed(struct resolver *r)
{
	step_all(r);
}

size_t resolver_waiting(const struct resolver *r)
{
	return (size_t)r->waiting;
}
