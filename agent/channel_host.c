/*
 * channel_host.c - one uv_pipe and one timer for each VM.
 */
#include "agent/channel_host.h"

#include "lib/log.h"
#include "lib/metrics.h"

#define CONNECT_RETRY_MIN_MS 10
#define CONNECT_RETRY_MAX_MS 500
#define ATTACH_PERIOD_MS 1000
#define RECONNECT_MS 200 /* QEMU needs a moment to see that its client has gone */
#define FAULT_PAUSE_MAX_MS 60000
#define QUEUE_MAX (1U << 20)

static struct metric faults = METRIC_COUNTER("berth_agent_channel_faults_total",
					     "Guest channels ended by a malformed frame", NULL);

struct channel_host {
	uv_loop_t *loop;
	char *path;
	const struct channel_events *events;
	void *user;
	bool attach; /* ask for a HELLO after connecting */
	bool met;    /* was connected before: from then on it is a guest that runs */
	bool ready, closing, pipe_open, pipe_closing;
	unsigned handles; /* that libuv still holds */
	uint64_t connect_pause, fault_pause;
	uv_timer_t timer;
	uv_pipe_t pipe;
	uv_connect_t connect;
	struct channel_reader reader;
};

struct send {
	uv_write_t req;
	uint8_t data[];
};

static void try_connect(struct channel_host *c);

static void maybe_free(struct channel_host *c)
{
	if (!c->closing || c->handles)
		return;
	free(c->path);
	free(c);
}

static void on_timer(uv_timer_t *t);

static void after(struct channel_host *c, uint64_t ms)
{
	if (!c->closing)
		uv_timer_start(&c->timer, on_timer, ms, 0);
}

static void on_pipe_closed(uv_handle_t *h)
{
	struct channel_host *c = h->data;
	bool was_ready = c->ready;

	c->handles--;
	c->pipe_open = c->pipe_closing = c->ready = false;
	if (c->closing) {
		maybe_free(c);
		return;
	}
	c->attach |= c->met;
	after(c, c->fault_pause ? c->fault_pause : was_ready ? RECONNECT_MS : c->connect_pause);
	if (was_ready)
		c->events->lost(c->user);
}

static void drop_connection(struct channel_host *c)
{
	if (!c->pipe_open || c->pipe_closing)
		return;
	c->pipe_closing = true;
	uv_close((uv_handle_t *)&c->pipe, on_pipe_closed);
}

static void fault(struct channel_host *c)
{
	metric_add(&faults, NULL, 1);
	log_warn("guest channel broken by a malformed frame", "socket", c->path, NULL);
	c->fault_pause = c->fault_pause ? c->fault_pause * 2 : 1000;
	if (c->fault_pause > FAULT_PAUSE_MAX_MS)
		c->fault_pause = FAULT_PAUSE_MAX_MS;
	drop_connection(c);
}

static void on_alloc(uv_handle_t *h, _unused_ size_t suggested, uv_buf_t *buf)
{
	struct channel_host *c = h->data;
	size_t room;
	uint8_t *space = channel_reader_space(&c->reader, &room);

	*buf = uv_buf_init((char *)space, (unsigned)room);
}

static void on_read(uv_stream_t *stream, ssize_t n, _unused_ const uv_buf_t *buf)
{
	struct channel_host *c = stream->data;
	struct channel_frame f;
	int r = 0;

	if (n < 0) {
		drop_connection(c);
		return;
	}
	channel_reader_added(&c->reader, (size_t)n);
	while (!c->closing && !c->pipe_closing && (r = channel_reader_next(&c->reader, &f)) == 1) {
		bool first = !c->ready && f.type == CHANNEL_HELLO;
		if (first) {
			c->ready = true;
			c->fault_pause = 0;
			uv_timer_stop(&c->timer);
		}
		if (c->ready) /* before HELLO: the rest of a conversation with an earlier agent */
			c->events->frame(c->user, &f, first);
		channel_reader_drop(&c->reader, &f);
	}
	if (r < 0)
		fault(c);
}

static bool write_frame(struct channel_host *c, const uint8_t *frame, size_t len);

static void send_attach(struct channel_host *c)
{
	uint8_t frame[CHANNEL_HEADER_SIZE];
	struct channel_writer w;

	channel_begin(&w, frame, CHANNEL_ATTACH, 0);
	write_frame(c, frame, channel_end(&w));
}

static void on_connect(uv_connect_t *req, int status)
{
	struct channel_host *c = req->data;

	if (c->closing)
		return;
	if (status < 0) {
		c->connect_pause = c->connect_pause * 2 > CONNECT_RETRY_MAX_MS ? CONNECT_RETRY_MAX_MS
									       : c->connect_pause * 2;
		drop_connection(c);
		return;
	}
	c->met = true;
	c->connect_pause = CONNECT_RETRY_MIN_MS;
	c->reader.len = 0;
	c->reader.broken = false;
	uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
	if (c->attach) {
		send_attach(c);
		after(c, ATTACH_PERIOD_MS);
	}
}

static void try_connect(struct channel_host *c)
{
	uv_pipe_init(c->loop, &c->pipe, 0);
	c->pipe.data = c->connect.data = c;
	c->handles++;
	c->pipe_open = true;
	uv_pipe_connect(&c->connect, &c->pipe, c->path, on_connect);
}

static void on_timer(uv_timer_t *t)
{
	struct channel_host *c = t->data;

	if (!c->pipe_open) {
		try_connect(c);
	} else if (!c->ready) {
		send_attach(c);
		after(c, ATTACH_PERIOD_MS);
	}
}

struct channel_host *channel_host_open(uv_loop_t *loop, const char *path, bool attach,
				       const struct channel_events *events, void *user)
{
	struct channel_host *c = xcalloc(1, sizeof(*c));

	c->loop = loop;
	c->path = xstrdup(path);
	c->attach = attach;
	c->events = events;
	c->user = user;
	c->connect_pause = CONNECT_RETRY_MIN_MS;
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	c->handles = 1;
	try_connect(c);
	return c;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct channel_host *c = h->data;

	c->handles--;
	maybe_free(c);
}

void channel_host_close(struct channel_host *c)
{
	if (!c)
		return;
	c->closing = true;
	c->ready = false;
	drop_connection(c);
	uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

bool channel_host_ready(const struct channel_host *c)
{
	return c && c->ready;
}

static void on_written(uv_write_t *req, int status)
{
	struct channel_host *c = req->data;

	if (status < 0 && status != UV_ECANCELED)
		drop_connection(c);
	free(req);
}

static bool write_frame(struct channel_host *c, const uint8_t *frame, size_t len)
{
	struct send *s;

	if (!len || !c->pipe_open || c->pipe_closing ||
	    uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) > QUEUE_MAX)
		return false;
	s = xmalloc(sizeof(*s) + len);
	memcpy(s->data, frame, len);
	s->req.data = c;
	uv_buf_t buf = uv_buf_init((char *)s->data, (unsigned)len);
	if (uv_write(&s->req, (uv_stream_t *)&c->pipe, &buf, 1, on_written) < 0) {
		free(s);
		return false;
	}
	return true;
}

bool channel_host_send(struct channel_host *c, const uint8_t *frame, size_t len)
{
	return channel_host_ready(c) && write_frame(c, frame, len);
}
