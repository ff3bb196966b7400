/*
 * exec.c - the bridge of exec.h.
 *
 * A session lives from the 101 answer to the close of its socket. It leaves the instance's list when the guest's EXIT
 * or the client's end has come; after that only the socket is brought to its end.
 */
#include "agent/exec.h"

#include <signal.h>
#include <stdio.h>

#include "agent/port.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/websocket.h"

#define OUTPUT_WINDOW (256U * 1024) /* of OUTPUT under way to the client */
#define PENDING_MAX (2U << 20)	    /* input the guest has not taken; reading stops at the first byte of it */
#define CLOSE_LIMIT_MS 5000	    /* for the client to take the last bytes */

static struct metric sessions = METRIC_COUNTER("berth_agent_exec_sessions_total", "Exec sessions begun", NULL);

struct exec_session {
	struct exec_session *next;
	struct agent *agent;
	char *ns, *name, *uid;
	struct instance *instance; /* NULL: no longer in its list */
	uint32_t stream;
	bool v5, stdin_on, tty, ended, closing;
	const char **command; /* NULL-terminated, owned */
	size_t unacked;	      /* INPUT the guest has not taken */
	struct buf pending;   /* stdin waiting for that */
	bool pending_eof;
	char error[300];
	struct ws_parser ws;
	struct buf message;
	int fd;
	uv_pipe_t pipe;
	uv_timer_t timer;
	unsigned handles;
	char chunk[16384];
};

struct out_write {
	uv_write_t req;
	struct exec_session *s;
	size_t acknowledge; /* OUTPUT bytes in it */
	struct buf frame;
};

void exec_status(int64_t code, int64_t sig, const char *text, struct buf *out)
{
	_arena_ a = arena_new();
	struct json *o = json_object(a);

	/* A program ended by a signal counts as a shell counts it. */
	if (sig)
		code = 128 + sig;
	json_set(a, o, "metadata", json_object(a));
	json_set_str(a, o, "status", code ? "Failure" : "Success");
	if (code) {
		struct json *cause = json_object(a), *causes = json_array(a);
		json_set_str(a, o, "reason", "NonZeroExitCode");
		json_set_str(a, o, "message",
			     text && *text
				     ? text
				     : arena_printf(a, "command terminated with non-zero exit code: exit status %d",
						    (int)code));
		json_set_str(a, cause, "reason", "ExitCode");
		json_set_str(a, cause, "message", arena_printf(a, "%d", (int)code));
		json_append(a, causes, cause);
		json_set(a, json_ensure_object(a, o, "details"), "causes", causes);
	}
	json_write(o, JSON_COMPACT, out);
}

/* ---- to the guest ---- */

static bool send_frame(struct exec_session *s, struct channel_writer *w)
{
	size_t len = channel_end(w);

	return s->instance && len && channel_host_send(s->instance->channel, w->out, len);
}

static void send_number(struct exec_session *s, uint8_t type, uint16_t key, uint64_t value)
{
	uint8_t frame[64];
	struct channel_writer w;

	channel_begin(&w, frame, type, s->stream);
	channel_put_u64(&w, key, value);
	send_frame(s, &w);
}

static void send_input(struct exec_session *s, const void *data, size_t len)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, frame, CHANNEL_INPUT, s->stream);
	channel_put_raw(&w, data, len);
	send_frame(s, &w);
	s->unacked += len;
}

static void start_reading(struct exec_session *s);

static void pump_input(struct exec_session *s)
{
	while (s->pending.len && s->unacked < CHANNEL_INPUT_WINDOW) {
		size_t n = CHANNEL_INPUT_WINDOW - s->unacked;
		if (n > s->pending.len)
			n = s->pending.len;
		if (n > CHANNEL_PAYLOAD_MAX)
			n = CHANNEL_PAYLOAD_MAX;
		send_input(s, s->pending.data, n);
		buf_consume(&s->pending, n);
	}
	if (s->pending.len)
		return;
	if (s->pending_eof) {
		s->pending_eof = s->stdin_on = false;
		send_input(s, NULL, 0);
	}
	start_reading(s);
}

static bool send_exec(struct exec_session *s)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, frame, CHANNEL_EXEC, s->stream);
	for (size_t i = 0; s->command[i]; i++)
		channel_put_str(&w, CHANNEL_KEY_ARG, s->command[i]);
	channel_put_u64(&w, CHANNEL_KEY_TTY, s->tty);
	channel_put_u64(&w, CHANNEL_KEY_STDIN, s->stdin_on);
	channel_put_u64(&w, CHANNEL_KEY_WINDOW, OUTPUT_WINDOW);
	return send_frame(s, &w);
}

/* ---- the end ---- */

static void session_free(struct exec_session *s)
{
	for (size_t i = 0; s->command && s->command[i]; i++)
		free((char *)(uintptr_t)s->command[i]);
	free(s->command);
	free(s->ns);
	free(s->name);
	free(s->uid);
	buf_free(&s->pending);
	buf_free(&s->message);
	ws_parser_free(&s->ws);
	free(s);
}

static void detach(struct exec_session *s)
{
	if (!s->instance)
		return;
	for (struct exec_session **p = &s->instance->execs; *p; p = &(*p)->next) {
		if (*p != s)
			continue;
		*p = s->next;
		break;
	}
	s->instance = NULL;
}

static void on_closed(uv_handle_t *h)
{
	struct exec_session *s = h->data;

	if (--s->handles == 0)
		session_free(s);
}

/* Lets go of the client; the program gets SIGHUP when it still runs. */
static void close_session(struct exec_session *s)
{
	if (s->closing)
		return;
	s->closing = true;
	if (s->instance)
		send_number(s, CHANNEL_SIGNAL, CHANNEL_KEY_SIGNAL, SIGHUP);
	detach(s);
	uv_close((uv_handle_t *)&s->pipe, on_closed);
	uv_close((uv_handle_t *)&s->timer, on_closed);
}

/* ---- to the client ---- */

static void on_written(uv_write_t *req, int status)
{
	struct out_write *o = req->data;
	struct exec_session *s = o->s;

	if (status < 0 && status != UV_ECANCELED)
		close_session(s);
	else if (status == 0 && o->acknowledge && s->instance)
		send_number(s, CHANNEL_ACK, CHANNEL_KEY_BYTES, o->acknowledge);
	buf_free(&o->frame);
	free(o);
}

static void write_message(struct exec_session *s, enum ws_opcode op, const void *data, size_t len, size_t acknowledge)
{
	struct out_write *o = xcalloc(1, sizeof(*o));

	o->s = s;
	o->req.data = o;
	o->acknowledge = acknowledge;
	o->frame = BUF_INIT(CHANNEL_FRAME_MAX + 64);
	ws_frame(&o->frame, op, false, data, len);
	uv_buf_t buf = uv_buf_init(o->frame.data, (unsigned)o->frame.len);
	if (s->closing || o->frame.over || uv_write(&o->req, (uv_stream_t *)&s->pipe, &buf, 1, on_written) < 0) {
		buf_free(&o->frame);
		free(o);
		close_session(s);
	}
}

static void write_channel(struct exec_session *s, enum ws_channel channel, const void *data, size_t len,
			  size_t acknowledge)
{
	_buf_ message = BUF_INIT(CHANNEL_FRAME_MAX + 1);

	buf_addc(&message, (char)channel);
	buf_add(&message, data, len);
	write_message(s, WS_BINARY, message.data, message.len, acknowledge);
}

static void on_close_limit(uv_timer_t *t)
{
	close_session(t->data);
}

static void on_shutdown(uv_shutdown_t *req, _unused_ int status)
{
	struct exec_session *s = req->data;

	free(req);
	if (!s->closing) /* the client closes next */
		uv_timer_start(&s->timer, on_close_limit, CLOSE_LIMIT_MS, 0);
}

/* The program is over: its status, the WebSocket's close, the end of the stream. */
static void finish(struct exec_session *s, int64_t code, int64_t sig, const char *text)
{
	static const uint8_t normal_closure[2] = {1000 >> 8, 1000 & 0xff};
	_buf_ status = BUF_INIT(4096);

	if (s->ended || s->closing)
		return;
	s->ended = true;
	detach(s);
	exec_status(code, sig, text, &status);
	write_channel(s, WS_CHANNEL_ERROR, status.data, status.len, 0);
	write_message(s, WS_CLOSE, normal_closure, sizeof(normal_closure), 0);
	if (s->closing)
		return;
	uv_shutdown_t *req = xmalloc(sizeof(*req));
	req->data = s;
	if (uv_shutdown(req, (uv_stream_t *)&s->pipe, on_shutdown) < 0) {
		free(req);
		close_session(s);
	}
}

/* ---- from the guest ---- */

static uint64_t get_number(const struct channel_frame *f, uint16_t key)
{
	uint64_t v = 0;

	return channel_get_u64(f, key, &v) ? v : 0;
}

void exec_frame(struct instance *i, const struct channel_frame *f)
{
	struct exec_session *s = i->execs;
	uint64_t bytes;

	while (s && s->stream != f->stream)
		s = s->next;
	if (!s)
		return; /* of a session whose client has gone */
	switch (f->type) {
	case CHANNEL_OUTPUT:
		if (f->payload_len > 1)
			write_channel(s, f->payload[0] == 2 ? WS_CHANNEL_STDERR : WS_CHANNEL_STDOUT, f->payload + 1,
				      f->payload_len - 1, f->payload_len - 1);
		break;
	case CHANNEL_INPUT_ACK:
		bytes = get_number(f, CHANNEL_KEY_BYTES);
		s->unacked -= bytes > s->unacked ? s->unacked : (size_t)bytes;
		pump_input(s);
		break;
	case CHANNEL_ERROR:
		if (!channel_get_str(f, CHANNEL_KEY_TEXT, s->error, sizeof(s->error)))
			s->error[0] = 0;
		break;
	case CHANNEL_EXIT:
		finish(s, (int64_t)(get_number(f, CHANNEL_KEY_CODE) & 0xffff),
		       (int64_t)(get_number(f, CHANNEL_KEY_SIGNAL) & 0x7f), s->error);
		break;
	default:
		break;
	}
}

void exec_channel_lost(struct instance *i)
{
	while (i->execs)
		finish(i->execs, 137, 0, "the connection to the VM was lost");
}

/* ---- from the client ---- */

static void on_stdin(struct exec_session *s, const char *data, size_t len)
{
	if (!s->stdin_on || s->pending_eof)
		return;
	buf_add(&s->pending, data, len);
	pump_input(s);
}

static void on_resize(struct exec_session *s, const char *data, size_t len)
{
	_arena_ a = arena_new();
	struct json *o = NULL;
	uint8_t frame[64];
	struct channel_writer w;

	if (!s->tty || json_parse(a, data, len, NULL, &o, NULL) < 0)
		return;
	int64_t columns = json_int_or(json_get(o, "Width"), 0), rows = json_int_or(json_get(o, "Height"), 0);
	if (columns < 1 || rows < 1 || columns > 65535 || rows > 65535)
		return;
	channel_begin(&w, frame, CHANNEL_RESIZE, s->stream);
	channel_put_u64(&w, CHANNEL_KEY_COLUMNS, (uint64_t)columns);
	channel_put_u64(&w, CHANNEL_KEY_ROWS, (uint64_t)rows);
	send_frame(s, &w);
}

static void on_message(struct exec_session *s, enum ws_opcode op, const struct buf *m)
{
	if (op == WS_PING) {
		write_message(s, WS_PONG, m->data, m->len, 0);
	} else if (op == WS_CLOSE) {
		if (!s->ended)
			write_message(s, WS_CLOSE, m->data, m->len < 2 ? 0 : 2, 0);
		close_session(s);
	} else if (op == WS_BINARY && m->len) {
		uint8_t channel = (uint8_t)m->data[0];
		if (channel == WS_CHANNEL_STDIN) {
			on_stdin(s, m->data + 1, m->len - 1);
		} else if (channel == WS_CHANNEL_RESIZE) {
			on_resize(s, m->data + 1, m->len - 1);
		} else if (channel == WS_CHANNEL_CLOSE && s->v5 && m->len > 1 && m->data[1] == WS_CHANNEL_STDIN &&
			   s->stdin_on) {
			s->pending_eof = true;
			pump_input(s);
		}
	}
}

static void on_alloc(uv_handle_t *h, _unused_ size_t suggested, uv_buf_t *buf)
{
	struct exec_session *s = h->data;

	*buf = uv_buf_init(s->chunk, sizeof(s->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t n, _unused_ const uv_buf_t *buf)
{
	struct exec_session *s = stream->data;
	enum ws_opcode op;
	int r = 0;

	if (n < 0) {
		close_session(s);
		return;
	}
	ws_parser_feed(&s->ws, s->chunk, (size_t)n);
	while (!s->closing && (r = ws_parser_next(&s->ws, &op, &s->message, NULL)) == 1)
		on_message(s, op, &s->message);
	if (r < 0)
		close_session(s);
	else if (!s->closing && s->pending.len)
		uv_read_stop((uv_stream_t *)&s->pipe);
}

static void start_reading(struct exec_session *s)
{
	if (!s->closing)
		uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_read);
}

/* ---- the beginning ---- */

static void on_loop_again(void *arg)
{
	struct exec_session *s = arg;
	struct instance *i = strmap_get(s->agent->by_uid, s->uid);

	if (uv_pipe_init(s->agent->loop, &s->pipe, 0) < 0 || uv_pipe_open(&s->pipe, s->fd) < 0) {
		close(s->fd);
		session_free(s);
		return;
	}
	uv_timer_init(s->agent->loop, &s->timer);
	s->handles = 2;
	s->pipe.data = s->timer.data = s;
	metric_add(&sessions, NULL, 1);
	start_reading(s);
	if (!i || !channel_host_ready(i->channel) || instance_is_suspended(i)) {
		finish(s, 137, 0, "the VM is gone");
		return;
	}
	s->instance = i;
	s->stream = i->next_stream++;
	if (i->next_stream < 2)
		i->next_stream = 2;
	s->next = i->execs;
	i->execs = s;
	if (!send_exec(s))
		finish(s, 126, 0, "the command is too long, or the VM does not take it");
}

/* On a thread of the node port's. */
static void on_upgraded(int fd, void *user)
{
	struct exec_session *s = user;

	s->fd = fd;
	post_call(s->agent->post, on_loop_again, s);
}

static const char *choose_protocol(const struct httpd_request *r)
{
	const char *offered = httpd_header(r, "Sec-WebSocket-Protocol");

	if (offered && strstr(offered, "v5.channel.k8s.io"))
		return "v5.channel.k8s.io";
	return offered && strstr(offered, "v4.channel.k8s.io") ? "v4.channel.k8s.io" : NULL;
}

static bool flag(const struct httpd_request *r, const char *name)
{
	const char *v = httpd_query(r, name);

	return v && (streq(v, "true") || streq(v, "1"));
}

static const char **copy_command(const struct httpd_request *r)
{
	size_t n = 0;

	while (httpd_query_n(r, "command", n))
		n++;
	const char **command = xcalloc(n + 1, sizeof(*command));
	for (size_t k = 0; k < n; k++)
		command[k] = xstrdup(httpd_query_n(r, "command", k));
	return command;
}

void exec_handle(struct agent *g, struct httpd_request *r, const char *ns, const char *name)
{
	struct instance *i = instance_by_name(g, ns, name);
	const char *key = httpd_header(r, "Sec-WebSocket-Key"), *version = httpd_header(r, "Sec-WebSocket-Version");
	const char *upgrade = httpd_header(r, "Upgrade"), *protocol = choose_protocol(r);
	char accept[29];

	if (!i) {
		port_fail(r, E_NOT_FOUND, "instance %s/%s is not on this node", ns, name);
		return;
	}
	if (!channel_host_ready(i->channel) || i->seen.stage < STAGE_RUNNING || i->seen.stage > STAGE_KILLING) {
		port_fail(r, E_CONFLICT, "instance %s has no running VM; it is woken by a request or by state: Running",
			  name);
		return;
	}
	if (!httpd_query(r, "command") || !*httpd_query(r, "command")) {
		port_fail(r, E_BAD_REQUEST, "exec needs at least one command=… parameter");
		return;
	}
	if (!upgrade || strcasecmp(upgrade, "websocket") != 0 || !key || strlen(key) > 64 || !streq(version, "13") ||
	    !protocol) {
		port_fail(
			r, E_BAD_REQUEST,
			"exec needs a WebSocket (version 13) with v5.channel.k8s.io or v4.channel.k8s.io as its protocol");
		return;
	}
	struct exec_session *s = xcalloc(1, sizeof(*s));
	s->agent = g;
	s->ns = xstrdup(ns);
	s->name = xstrdup(name);
	s->uid = xstrdup(i->uid);
	s->v5 = protocol[1] == '5';
	s->tty = flag(r, "tty");
	s->stdin_on = flag(r, "stdin");
	s->command = copy_command(r);
	s->pending = BUF_INIT(PENDING_MAX);
	s->message = BUF_INIT(WS_MESSAGE_MAX);
	ws_parser_init(&s->ws, true);
	ws_accept_key(key, accept);
	httpd_set_header(r, "Upgrade", "websocket");
	httpd_set_header(r, "Connection", "Upgrade");
	httpd_set_header(r, "Sec-WebSocket-Accept", accept);
	httpd_set_header(r, "Sec-WebSocket-Protocol", protocol);
	httpd_upgrade(r, on_upgraded, s);
}
