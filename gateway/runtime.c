/*
 * runtime.c - a queue of questions, each over a connection of its own; see runtime.h.
 */
#include "gateway/runtime.h"

#include <stdio.h>

#define ANSWER_MAX (256U << 20) /* a map of a million lines */
#define ASK_TIMEOUT_MS 10000
#define OLD_MAX 64

struct question {
	struct question *next;
	enum runtime_target target;
	char *commands;
	runtime_done *done;
	void *user;
};

/* One connection: the question at the head of the queue, to one process. */
struct session {
	struct runtime *rt; /* NULL once nobody waits for it */
	uv_pipe_t pipe;
	uv_timer_t timer;
	uv_connect_t connect;
	uv_write_t write;
	uv_shutdown_t shutdown;
	char *text;
	char chunk[16384];
	int handles;
};

struct runtime {
	uv_loop_t *loop;
	char *admin_socket, *master_socket;
	struct question *head, **tail;
	struct session *session;
	struct buf answer;
	int err;
	int asking; /* -1: the current worker or the master, or nobody yet; else index into old */
	int old[OLD_MAX];
	size_t old_count;
	bool advancing;
};

static void advance(struct runtime *rt);

struct runtime *runtime_new(uv_loop_t *loop, const char *admin_socket, const char *master_socket)
{
	struct runtime *rt = xcalloc(1, sizeof(*rt));

	rt->loop = loop;
	rt->admin_socket = xstrdup(admin_socket);
	rt->master_socket = xstrdup(master_socket);
	rt->tail = &rt->head;
	rt->answer = BUF_INIT(ANSWER_MAX);
	rt->asking = -1;
	return rt;
}

/* ---- one session ---- */

static void on_closed(uv_handle_t *h)
{
	struct session *s = h->data;

	if (--s->handles)
		return;
	free(s->text);
	free(s);
}

static void session_close(struct session *s)
{
	s->rt = NULL;
	uv_close((uv_handle_t *)&s->pipe, on_closed);
	uv_close((uv_handle_t *)&s->timer, on_closed);
}

static void session_end(struct session *s, int err)
{
	struct runtime *rt = s->rt;

	if (!rt)
		return;
	rt->session = NULL;
	session_close(s);
	/* An old worker that cannot be asked has ended; that is no fault. */
	if (rt->asking < 0 && err)
		rt->err = err;
	rt->asking++;
	advance(rt);
}

static void on_alloc(uv_handle_t *h, _unused_ size_t size, uv_buf_t *ret)
{
	struct session *s = h->data;

	*ret = uv_buf_init(s->chunk, sizeof(s->chunk));
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *data)
{
	struct session *s = h->data;

	if (n > 0 && s->rt)
		buf_add(&s->rt->answer, data->base, (size_t)n);
	else if (n < 0)
		session_end(s, n == UV_EOF ? 0 : -E_IO);
}

static void on_written(uv_write_t *w, int status)
{
	if (status < 0 && status != UV_ECANCELED)
		session_end(w->data, -E_IO);
}

static void on_shutdown(_unused_ uv_shutdown_t *s, _unused_ int status)
{
}

static void on_connected(uv_connect_t *c, int status)
{
	struct session *s = c->data;

	if (status < 0) {
		session_end(s, -E_UNAVAILABLE);
		return;
	}
	uv_buf_t data = uv_buf_init(s->text, (unsigned)strlen(s->text));

	uv_write(&s->write, (uv_stream_t *)&s->pipe, &data, 1, on_written);
	/* The master answers and keeps the connection until it is told that no more commands come. */
	uv_shutdown(&s->shutdown, (uv_stream_t *)&s->pipe, on_shutdown);
	uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_read);
}

static void on_timeout(uv_timer_t *t)
{
	session_end(t->data, -E_TIMEOUT);
}

/* The question at the head has been put to all it is for. */
static bool is_answered(const struct runtime *rt)
{
	if (rt->asking < 0)
		return rt->head->target == RUNTIME_OLD && !rt->old_count;
	return rt->err || rt->head->target == RUNTIME_WORKER || rt->head->target == RUNTIME_MASTER ||
	       (size_t)rt->asking >= rt->old_count;
}

static void finish(struct runtime *rt)
{
	struct question *q = rt->head;
	struct buf answer = rt->answer;
	int err = rt->err ? rt->err : answer.over ? -E_TOO_LARGE : 0;

	rt->head = q->next;
	if (!rt->head)
		rt->tail = &rt->head;
	rt->asking = -1;
	rt->err = 0;
	rt->answer = BUF_INIT(ANSWER_MAX);
	rt->advancing = true; /* what done asks waits until this is over */
	if (q->done)
		q->done(q->user, err, answer.data ? answer.data : "");
	rt->advancing = false;
	buf_free(&answer);
	free(q->commands);
	free(q);
}

/* Starts the next session of the question at the head. */
static void advance(struct runtime *rt)
{
	if (rt->session || rt->advancing)
		return;
	while (rt->head && is_answered(rt))
		finish(rt);
	const struct question *q = rt->head;

	if (!q)
		return;
	if (q->target == RUNTIME_OLD && rt->asking < 0)
		rt->asking = 0;
	struct session *s = xcalloc(1, sizeof(*s));
	bool master = q->target == RUNTIME_MASTER || rt->asking >= 0;

	s->rt = rt;
	s->handles = 2;
	s->text = rt->asking >= 0 ? xasprintf("@!%d;%s\n", rt->old[rt->asking], q->commands)
				  : xasprintf("%s\n", q->commands);
	uv_pipe_init(rt->loop, &s->pipe, 0);
	uv_timer_init(rt->loop, &s->timer);
	s->pipe.data = s->timer.data = s->connect.data = s->write.data = s;
	rt->session = s;
	uv_timer_start(&s->timer, on_timeout, ASK_TIMEOUT_MS, 0);
	uv_pipe_connect(&s->connect, &s->pipe, master ? rt->master_socket : rt->admin_socket, on_connected);
}

/* ---- the interface ---- */

void runtime_ask(struct runtime *rt, enum runtime_target target, const char *commands, runtime_done *done, void *user)
{
	struct question *q = xcalloc(1, sizeof(*q));

	q->target = target;
	q->commands = xstrdup(commands);
	q->done = done;
	q->user = user;
	*rt->tail = q;
	rt->tail = &q->next;
	advance(rt);
}

void runtime_set_old(struct runtime *rt, const int *pids, size_t count)
{
	rt->old_count = count < OLD_MAX ? count : OLD_MAX;
	if (rt->old_count)
		memcpy(rt->old, pids, rt->old_count * sizeof(*pids));
}

size_t runtime_old_count(const struct runtime *rt)
{
	return rt->old_count;
}

size_t runtime_parse_old(const char *show_proc, int *ret_pids, size_t max)
{
	const char *p = strstr(show_proc, "# old workers");
	size_t count = 0;

	for (p = p ? strchr(p, '\n') : NULL; p && p[1] && p[1] != '#'; p = strchr(p + 1, '\n')) {
		int pid;
		char type[16];

		if (count < max && sscanf(p + 1, "%d %15s", &pid, type) == 2 && streq(type, "worker"))
			ret_pids[count++] = pid;
	}
	return count;
}

void runtime_free(struct runtime *rt)
{
	if (!rt)
		return;
	if (rt->session)
		session_close(rt->session);
	while (rt->head) {
		struct question *q = rt->head;

		rt->head = q->next;
		free(q->commands);
		free(q);
	}
	buf_free(&rt->answer);
	free(rt->admin_socket);
	free(rt->master_socket);
	free(rt);
}
