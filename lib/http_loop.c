/*
 * http_loop.c - asynchronous requests: a curl multi handle driven with uv_poll and one uv_timer; see http.h.
 *
 * libcurl must not be entered again from its own callbacks, so what a sink asks for (start, cancel, free) is noted
 * while `depth` is not 0 and carried out when the outermost call into libcurl has returned; a done callback runs
 * outside libcurl and may do anything.
 */
#include "lib/http_internal.h"

#include "lib/log.h"

struct http_loop {
	uv_timer_t timer; /* its closing frees the struct */
	uv_loop_t *uv;
	CURLM *multi;
	struct http_call *calls; /* all of them, doubly linked */
	unsigned depth;		 /* calls into libcurl, or callbacks of ours, on the stack */
	bool doomed;		 /* free as soon as depth is 0 */
};

struct http_call {
	struct exchange x;
	struct http_loop *loop;
	struct http_call *next, *prev;
	http_done *done;
	void *user;
	bool added;	/* known to the multi handle */
	bool cancelled; /* no callback may follow */
};

struct socket_watch {
	uv_poll_t poll;
	struct http_loop *loop;
};

static void loop_settle(struct http_loop *l);

static void call_free(struct http_call *c)
{
	struct http_loop *l = c->loop;

	if (c->added)
		curl_multi_remove_handle(l->multi, c->x.easy);
	curl_easy_cleanup(c->x.easy);
	if (c->prev)
		c->prev->next = c->next;
	else
		l->calls = c->next;
	if (c->next)
		c->next->prev = c->prev;
	exchange_release(&c->x);
	arena_free(c->x.a);
	free(c);
}

static void call_finish(struct http_call *c, CURLcode rc)
{
	struct http_response res;
	struct error e = {0};
	int err = 0;

	curl_multi_remove_handle(c->loop->multi, c->x.easy);
	c->added = false;
	if (!c->cancelled) {
		if (rc != CURLE_OK)
			err = exchange_error(&c->x, rc, &e);
		else
			exchange_response(&c->x, &res);
		c->cancelled = true; /* from here on a cancel changes nothing */
		c->done(c->user, err, err ? NULL : &res, &e);
	}
	call_free(c);
}

/* Runs with depth at least 1, outside of libcurl. */
static void loop_dispatch(struct http_loop *l)
{
	CURLMsg *m;
	int left;

	while (!l->doomed && (m = curl_multi_info_read(l->multi, &left)) != NULL) {
		struct http_call *c = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
		call_finish(c, m->data.result);
	}
}

static void loop_action(struct http_loop *l, curl_socket_t fd, int events)
{
	int running;

	l->depth++;
	curl_multi_socket_action(l->multi, fd, events, &running);
	loop_dispatch(l);
	l->depth--;
	loop_settle(l);
}

static void on_timer(uv_timer_t *t)
{
	loop_action(t->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct socket_watch *w = p->data;
	uv_os_fd_t fd;
	int flags = status < 0 ? CURL_CSELECT_ERR : 0;

	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	if (uv_fileno((uv_handle_t *)p, &fd) == 0)
		loop_action(w->loop, fd, flags);
}

static void on_watch_closed(uv_handle_t *h)
{
	free(h->data);
}

static int on_curl_socket(CURL *easy _unused_, curl_socket_t fd, int what, void *user, void *data)
{
	struct http_loop *l = user;
	struct socket_watch *w = data;
	int events = 0;

	if (what == CURL_POLL_REMOVE) {
		if (w) {
			curl_multi_assign(l->multi, fd, NULL);
			uv_poll_stop(&w->poll);
			uv_close((uv_handle_t *)&w->poll, on_watch_closed);
		}
		return 0;
	}
	if (!w) {
		w = xcalloc(1, sizeof(*w));
		w->loop = l;
		if (uv_poll_init(l->uv, &w->poll, fd) != 0) {
			free(w);
			return -1;
		}
		w->poll.data = w;
		curl_multi_assign(l->multi, fd, w);
	}
	if (what != CURL_POLL_OUT)
		events |= UV_READABLE;
	if (what != CURL_POLL_IN)
		events |= UV_WRITABLE;
	return uv_poll_start(&w->poll, events, on_poll) == 0 ? 0 : -1;
}

static int on_curl_timer(CURLM *multi _unused_, long timeout_ms, void *user)
{
	struct http_loop *l = user;

	if (timeout_ms < 0)
		uv_timer_stop(&l->timer);
	else
		uv_timer_start(&l->timer, on_timer, (uint64_t)timeout_ms, 0);
	return 0;
}

struct http_loop *http_loop_new(uv_loop_t *loop)
{
	struct http_loop *l = xcalloc(1, sizeof(*l));

	curl_easy_cleanup(http_easy_new()); /* initialises libcurl */
	l->uv = loop;
	l->multi = curl_multi_init();
	if (!l->multi || uv_timer_init(loop, &l->timer) != 0) {
		log_error("HTTP client cannot be made", NULL);
		abort();
	}
	l->timer.data = l;
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
	return l;
}

static void on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void call_add(struct http_call *c)
{
	c->added = true;
	c->loop->depth++;
	if (curl_multi_add_handle(c->loop->multi, c->x.easy) != CURLM_OK) {
		log_error("HTTP request cannot be started", "host", c->x.host, NULL);
		abort();
	}
	c->loop->depth--;
}

/* Carries out what was asked for while libcurl or a callback was on the stack. */
static void loop_settle(struct http_loop *l)
{
	if (l->depth)
		return;
	if (!l->doomed) {
		for (struct http_call *c = l->calls, *next; c; c = next) {
			next = c->next;
			if (c->cancelled)
				call_free(c);
			else if (!c->added)
				call_add(c);
		}
		return;
	}
	while (l->calls)
		call_free(l->calls);
	curl_multi_cleanup(l->multi);
	uv_timer_stop(&l->timer);
	uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

void http_loop_free(struct http_loop *l)
{
	if (!l || l->doomed)
		return;
	l->doomed = true;
	for (struct http_call *c = l->calls; c; c = c->next)
		c->x.silenced = true;
	loop_settle(l);
}

struct http_call *http_start(struct http_loop *l, const struct http_request *req, http_done *done, void *user)
{
	struct http_call *c = xcalloc(1, sizeof(*c));
	struct http_request copy = *req;

	c->loop = l;
	c->done = done;
	c->user = user;
	c->x.a = arena_new();
	c->x.easy = http_easy_new();
	if (req->body) {
		void *body = arena_alloc(c->x.a, req->body_len + 1);

		memcpy(body, req->body, req->body_len);
		copy.body = body;
	}
	exchange_setup(&c->x, &copy);
	curl_easy_setopt(c->x.easy, CURLOPT_PRIVATE, c);
	c->next = l->calls;
	if (l->calls)
		l->calls->prev = c;
	l->calls = c;
	loop_settle(l);
	return c;
}

void http_cancel(struct http_call *c)
{
	if (!c || c->cancelled)
		return;
	c->cancelled = c->x.silenced = true;
	loop_settle(c->loop);
}
