/*
 * cmd_exec.c - berthctl exec: a command inside an instance's VM over WebSocket, with a terminal or without.
 *
 * Speaks v5.channel.k8s.io. The exit code is the command's own; signals that end it give 128 + their number, as a shell
 * would say.
 */
#include "cli/resource.h"
#include "lib/codec.h"
#include "lib/http_tunnel.h"
#include "lib/websocket.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

static struct {
	bool in, tty;
} opt;

const struct option_spec cmd_exec_options[] = {
	{"stdin", 'i', OPT_BOOL, &opt.in, NULL, "Pass standard input on"},
	{"tty", 't', OPT_BOOL, &opt.tty, NULL, "Give the command a terminal"},
	{0},
};

struct session {
	struct http_tunnel *tunnel;
	struct ws_parser parser;
	int signals; /* signalfd for SIGWINCH */
	bool input_open;
	int exit_code;
	bool done;
};

static struct termios saved;

static void restore_terminal(void)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static int raw_terminal(struct error *e)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved))
		return error_set_errno(e, errno, "cannot set up the terminal");
	raw = saved;
	cfmakeraw(&raw);
	atexit(restore_terminal);
	return tcsetattr(STDIN_FILENO, TCSANOW, &raw) ? error_set_errno(e, errno, "cannot set up the terminal") : 0;
}

static int send_channel(struct session *s, uint8_t channel, const void *data, size_t len, struct error *e)
{
	_buf_ message = BUF_INIT(WS_MESSAGE_MAX), frame = BUF_INIT(WS_MESSAGE_MAX + 64);

	buf_addc(&message, (char)channel);
	buf_add(&message, data, len);
	ws_frame(&frame, WS_BINARY, true, message.data, message.len);
	return http_tunnel_write(s->tunnel, frame.data, frame.len, e);
}

static int send_size(struct session *s, struct error *e)
{
	struct winsize ws;
	char text[64];

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws))
		return 0;
	int n = snprintf(text, sizeof(text), "{\"Width\":%u,\"Height\":%u}", ws.ws_col, ws.ws_row);

	return send_channel(s, WS_CHANNEL_RESIZE, text, (size_t)n, e);
}

static int on_result(struct session *s, const char *text, size_t len, struct error *e)
{
	_arena_ a = arena_new();
	struct json *o;
	int r = json_parse(a, text, len, NULL, &o, e);

	if (r)
		return r;
	s->done = true;
	if (streq(json_str(json_get(o, "status")), "Success"))
		return 0;
	if (!streq(json_str(json_get(o, "reason")), "NonZeroExitCode"))
		return error_set(e, error_code_from_http(0, json_str(json_get(o, "reason"))), "%s",
				 json_str_or(json_get(o, "message"), "the command could not be run"));
	/* 125 to 127 mean that the command itself never ran; the message says why. */
	s->exit_code = (int)strtol(json_str_or(json_in(json_item(json_in(o, "details", "causes"), 0), "message"), "1"),
				   NULL, 10);
	if (s->exit_code >= 125 && s->exit_code <= 127 && json_str(json_get(o, "message")))
		fprintf(stderr, "%s\n", json_str(json_get(o, "message")));
	return 0;
}

static int on_message(struct session *s, enum ws_opcode op, const struct buf *m, struct error *e)
{
	_buf_ pong = BUF_INIT(512);

	switch (op) {
	case WS_PING:
		ws_frame(&pong, WS_PONG, true, m->data, m->len);
		return http_tunnel_write(s->tunnel, pong.data, pong.len, e);
	case WS_CLOSE:
		s->done = true;
		return 0;
	case WS_BINARY:
	case WS_TEXT:
		break;
	default:
		return 0;
	}
	if (!m->len)
		return 0;
	switch ((uint8_t)m->data[0]) {
	case WS_CHANNEL_STDOUT:
	case WS_CHANNEL_STDERR:
		fwrite(m->data + 1, 1, m->len - 1, m->data[0] == WS_CHANNEL_STDOUT ? stdout : stderr);
		fflush(stdout);
		return 0;
	case WS_CHANNEL_ERROR:
		return on_result(s, m->data + 1, m->len - 1, e);
	default:
		return 0;
	}
}

static int on_server(struct session *s, struct error *e)
{
	_buf_ message = BUF_INIT(WS_MESSAGE_MAX);
	char piece[16384];
	enum ws_opcode op;
	ssize_t n = http_tunnel_read(s->tunnel, piece, sizeof(piece), e);
	int r;

	if (n == -1)
		return 0;
	if (n < 0)
		return (int)n;
	if (n == 0) {
		s->done = true;
		return 0;
	}
	ws_parser_feed(&s->parser, piece, (size_t)n);
	while (!s->done && (r = ws_parser_next(&s->parser, &op, &message, e)) != 0) {
		if (r > 0)
			r = on_message(s, op, &message, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int on_input(struct session *s, struct error *e)
{
	char piece[16384];
	ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));

	if (n > 0)
		return send_channel(s, WS_CHANNEL_STDIN, piece, (size_t)n, e);
	s->input_open = false;
	return send_channel(s, WS_CHANNEL_CLOSE, "\0", 1, e);
}

static int converse(struct session *s, struct error *e)
{
	int r = opt.tty ? send_size(s, e) : 0;

	if (!r) /* what came with the answer's head */
		r = on_server(s, e);
	while (!r && !s->done) {
		struct pollfd p[] = {{.fd = http_tunnel_fd(s->tunnel), .events = POLLIN},
				     {.fd = s->input_open ? STDIN_FILENO : -1, .events = POLLIN},
				     {.fd = s->signals, .events = POLLIN}};
		struct signalfd_siginfo info;

		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return error_set_errno(e, errno, "poll");
		if (p[2].revents && read(s->signals, &info, sizeof(info)) > 0)
			r = send_size(s, e);
		if (!r && p[0].revents)
			r = on_server(s, e);
		if (!r && p[1].revents)
			r = on_input(s, e);
	}
	return r;
}

static int open_session(struct cli *c, const char *instance, const char *const *argv, int argc, struct session *s,
			struct error *e)
{
	_buf_ url = BUF_INIT(65536);
	struct http_tls tls = {.ca_file = c->config.ca_file,
			       .cert_file = c->config.cert_file,
			       .key_file = c->config.key_file,
			       .insecure = c->config.insecure};
	unsigned char nonce[16];
	_buf_ key = BUF_INIT(64);

	buf_addf(&url, "%s%s?stdout=true&stderr=%s&stdin=%s&tty=%s", c->config.server,
		 kube_path(c->arena, &KUBE_INSTANCES, c->namespace, instance, "exec"), opt.tty ? "false" : "true",
		 opt.in ? "true" : "false", opt.tty ? "true" : "false");
	for (int i = 0; i < argc; i++) {
		buf_adds(&url, "&command=");
		percent_encode(argv[i], &url);
	}
	if (url.over)
		return error_set(e, E_TOO_LARGE, "the command is too long");
	random_bytes(nonce, sizeof(nonce));
	base64_encode(nonce, sizeof(nonce), &key);
	struct http_request req = {.url = url.data,
				   .tls = &tls,
				   .bearer_token = c->config.token,
				   .headers = {"Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: v5.channel.k8s.io",
					       arena_printf(c->arena, "Sec-WebSocket-Key: %s", key.data)}};

	return http_tunnel_open(&req, "websocket", NULL, &s->tunnel, e);
}

int cmd_exec(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	struct session s = {.signals = -1};
	sigset_t set;
	int n, r = cli_parse(c, "exec", false, argc, argv, &args, &n, e);

	if (!r && n < 2)
		r = error_set(e, E_BAD_REQUEST, "usage: berthctl exec [-i] [-t] INSTANCE -- COMMAND [ARG...]");
	if (!r)
		r = cli_connect(c, e);
	if (r)
		return r;
	if (opt.tty && !isatty(STDIN_FILENO)) {
		fprintf(stderr, "standard input is no terminal: going on without -t\n");
		opt.tty = false;
	}
	s.input_open = opt.in;
	r = open_session(c, args[0], args + 1, n - 1, &s, e);
	if (r)
		return r;
	ws_parser_init(&s.parser, false);
	sigemptyset(&set);
	if (opt.tty) {
		sigaddset(&set, SIGWINCH);
		sigprocmask(SIG_BLOCK, &set, NULL);
		r = raw_terminal(e);
	}
	s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (!r)
		r = converse(&s, e);
	ws_parser_free(&s.parser);
	http_tunnel_close(s.tunnel);
	close(s.signals);
	return r ? r : s.exit_code;
}
