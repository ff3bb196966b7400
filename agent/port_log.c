/*
 * port_log.c - one struct log_follower for each request; it is a small machine of three steps: seek, page, wait.
 *
 * `refs` counts who may still touch it: the worker job, the client's stream, and the instance's list.
 */
#include "agent/port_log.h"

#include "agent/port.h"
#include "lib/log.h"
#include "lib/units.h"

#define QUEUED_HIGH (1U << 20) /* bytes the client has not read before the next page is fetched */
#define SLOW_CLIENT_MS 50

struct log_follower {
	struct log_follower *next;
	struct agent *agent;
	struct instance *instance; /* NULL: not in a list */
	char *dir;
	struct logfile_query query;
	struct logfile_cursor cursor;
	struct httpd_request *request; /* until the first page is there */
	struct httpd_stream *stream;
	bool follow, ending, busy, grown, client_gone, seeked;
	unsigned refs;
	uv_work_t work;
	uv_timer_t timer;
	struct buf page;
	bool more;
	int result;
	struct error error;
};

static void fetch(struct log_follower *f);

static void on_timer_closed(uv_handle_t *h)
{
	struct log_follower *f = h->data;

	buf_free(&f->page);
	free(f->dir);
	free(f);
}

static void unref(struct log_follower *f)
{
	if (--f->refs == 0)
		uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

static void leave(struct log_follower *f)
{
	if (!f->instance)
		return;
	for (struct log_follower **p = &f->instance->followers; *p; p = &(*p)->next) {
		if (*p != f)
			continue;
		*p = f->next;
		break;
	}
	f->instance = NULL;
	unref(f);
}

static void client_gone(void *arg)
{
	struct log_follower *f = arg;

	f->client_gone = true;
	f->stream = NULL;
	leave(f);
	unref(f);
}

/* On a thread of the server's. */
static void on_stream_closed(_unused_ struct httpd_stream *s, void *user)
{
	struct log_follower *f = user;

	post_call(f->agent->post, client_gone, f);
}

static void work(uv_work_t *req)
{
	struct log_follower *f = req->data;

	f->result = 0;
	if (!f->seeked)
		f->result = logfile_seek(f->dir, &f->query, &f->cursor, &f->error);
	if (f->result == 0)
		f->result = logfile_page(f->dir, &f->query, &f->cursor, &f->page, &f->more, &f->error);
}

static void begin_stream(struct log_follower *f)
{
	f->refs++;
	f->stream = httpd_stream_start(steal(&f->request), 200, "text/plain; charset=utf-8", on_stream_closed, f);
}

static void on_timer(uv_timer_t *t)
{
	fetch(t->data);
}

/* Decides what comes after a page. */
static void go_on(struct log_follower *f)
{
	if (f->client_gone)
		return;
	if (httpd_stream_queued(f->stream) > QUEUED_HIGH)
		uv_timer_start(&f->timer, on_timer, SLOW_CLIENT_MS, 0);
	else if (f->more || f->grown)
		fetch(f);
	else if (!f->follow || f->ending || f->cursor.end) {
		leave(f);
		httpd_stream_end(f->stream);
	}
}

static void on_page(uv_work_t *req, _unused_ int status)
{
	struct log_follower *f = req->data;

	f->busy = false;
	f->seeked = true;
	if (f->result < 0 && f->request) {
		leave(f);
		port_fail_error(steal(&f->request), &f->error);
	} else if (f->result < 0) {
		log_warn("log could not be read", "folder", f->dir, "error", f->error.text, NULL);
		leave(f);
		if (!f->client_gone)
			httpd_stream_end(f->stream);
	} else {
		if (f->request)
			begin_stream(f);
		if (f->page.len && !f->client_gone) {
			struct chunk *c = chunk_new(f->page.data, f->page.len);
			httpd_stream_write(f->stream, c);
			chunk_unref(c);
		}
		buf_reset(&f->page);
		go_on(f);
	}
	unref(f);
}

static void fetch(struct log_follower *f)
{
	if (f->busy || f->client_gone)
		return;
	f->busy = true;
	f->grown = false;
	f->refs++;
	uv_queue_work(f->agent->loop, &f->work, work, on_page);
}

void port_log_written(struct instance *i)
{
	for (struct log_follower *f = i->followers; f; f = f->next) {
		f->grown = true;
		fetch(f);
	}
}

void port_log_ended(struct instance *i)
{
	for (struct log_follower *f = i->followers, *next; f; f = next) {
		next = f->next;
		f->ending = f->grown = true;
		fetch(f);
	}
}

void port_log_instance_gone(struct instance *i)
{
	port_log_ended(i);
	while (i->followers)
		leave(i->followers);
}

static bool flag(const struct httpd_request *r, const char *name)
{
	const char *v = httpd_query(r, name);

	return v && (streq(v, "true") || streq(v, "1"));
}

/* A number of the query; otherwise when it is absent. False when it is none. */
static bool number(const struct httpd_request *r, const char *name, int64_t otherwise, int64_t *ret)
{
	const char *v = httpd_query(r, name);
	char *end;

	*ret = otherwise;
	if (!v)
		return true;
	*ret = strtoll(v, &end, 10);
	return *v && !*end && *ret >= 0;
}

void port_log_handle(struct agent *g, struct httpd_request *r, const char *ns, const char *name)
{
	struct instance *i = instance_by_name(g, ns, name);
	int64_t tail, since;

	if (!i) {
		port_fail(r, E_NOT_FOUND, "instance %s/%s is not on this node", ns, name);
		return;
	}
	if (!number(r, "tailLines", -1, &tail) || !number(r, "sinceSeconds", 0, &since) || since > 1000000000) {
		port_fail(r, E_BAD_REQUEST, "tailLines and sinceSeconds are numbers from 0 on");
		return;
	}
	_arena_ a = arena_new();
	struct log_follower *f = xcalloc(1, sizeof(*f));
	f->agent = g;
	f->dir = xstrdup(instance_dir(i, a));
	f->query = (struct logfile_query){.tail_lines = tail,
					  .timestamps = flag(r, "timestamps"),
					  .previous = flag(r, "previous"),
					  .since_ns = since ? (time_now_ms() - since * 1000) * 1000000 : 0};
	f->request = r;
	f->follow = flag(r, "follow") && !f->query.previous;
	f->ending = !instance_has_vm(i);
	f->page = BUF_INIT(2 * LOGFILE_PAGE_MAX);
	f->work.data = f;
	uv_timer_init(g->loop, &f->timer);
	f->timer.data = f;
	f->instance = i;
	f->next = i->followers;
	i->followers = f;
	f->refs = 1;
	fetch(f);
}
