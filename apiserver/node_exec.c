/*
 * node_exec.c - exec: a WebSocket of the client joined to one of the node, byte for byte; see node.h.
 *
 * The node speaks the protocol (v4 or v5.channel.k8s.io); what passes here is not looked at. The client's handshake
 * headers go to the node, the node's answer to the client.
 */
#include "apiserver/node.h"
#include "lib/http_tunnel.h"
#include "lib/log.h"
#include <errno.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

#define RELAY_BYTES 32768
#define HEAD_MAX 16384

static const char *const passed_headers[] = {"Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol"};

struct relay {
	struct node_call *n;
	struct http_tunnel *tunnel;
	int fd;
};

/* Everything the node has sent so far goes to the client; false at the end. */
static bool from_node(struct relay *r)
{
	char data[RELAY_BYTES];
	struct error e;

	for (;;) {
		ssize_t n = http_tunnel_read(r->tunnel, data, sizeof(data), &e);
		if (n == -1)
			return true;
		if (n <= 0)
			return false;
		for (ssize_t done = 0; done < n;) {
			ssize_t sent = send(r->fd, data + done, (size_t)(n - done), MSG_NOSIGNAL);
			if (sent < 0 && errno != EINTR)
				return false;
			done += sent > 0 ? sent : 0;
		}
	}
}

static bool from_client(struct relay *r)
{
	char data[RELAY_BYTES];
	struct error e;
	ssize_t n = recv(r->fd, data, sizeof(data), 0);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	return n > 0 && http_tunnel_write(r->tunnel, data, (size_t)n, &e) == 0;
}

static void relay_run(int fd, void *user)
{
	struct relay *r = user;
	bool open = true;

	r->fd = fd;
	open = from_node(r); /* may have come with the handshake */
	while (open) {
		struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
				       {.fd = http_tunnel_fd(r->tunnel), .events = POLLIN}};
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			open = from_node(r);
		if (open && fds[0].revents)
			open = from_client(r);
	}
	close(fd);
	http_tunnel_close(r->tunnel);
	node_call_free(r->n);
}

/* "Name: value" lines of the node's 101 that belong to the WebSocket handshake. */
static void pass_answer(struct call *c, struct buf *head)
{
	char *save = NULL;

	for (char *line = head->data ? strtok_r(head->data, "\r\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\r\n", &save)) {
		char *colon = strchr(line, ':');
		if (!colon || strncasecmp(line, "Sec-WebSocket-", strlen("Sec-WebSocket-")) != 0)
			continue;
		*colon = '\0';
		httpd_set_header(c->http, line, colon + 1 + strspn(colon + 1, " "));
	}
	httpd_set_header(c->http, "Upgrade", "websocket");
}

static int open_tunnel(struct node_call *n, struct buf *head, struct http_tunnel **ret, struct error *e)
{
	struct http_request req = {.url = n->url, .tls = &n->tls, .connect_timeout_ms = 5000, .timeout_ms = 30000};
	const char *upgrade = httpd_header(n->call->http, "Upgrade");
	size_t count = 0;

	if (!upgrade || strcasecmp(upgrade, "websocket") != 0)
		return error_set(e, E_BAD_REQUEST,
				 "exec needs a WebSocket: Upgrade: websocket, Sec-WebSocket-Protocol: "
				 "v5.channel.k8s.io or v4.channel.k8s.io");
	for (size_t i = 0; i < ARRAY_SIZE(passed_headers); i++) {
		const char *value = httpd_header(n->call->http, passed_headers[i]);
		if (value)
			req.headers[count++] = arena_printf(n->arena, "%s: %s", passed_headers[i], value);
	}
	return http_tunnel_open(&req, "websocket", head, ret, e);
}

void node_exec_run(struct node_call *n)
{
	struct relay *r = arena_calloc(n->arena, sizeof(*r));
	_buf_ head = BUF_INIT(HEAD_MAX);
	struct error e = {0};

	r->n = n;
	if (open_tunnel(n, &head, &r->tunnel, &e) < 0) {
		call_fail(n->call, &e);
		node_call_free(n);
		return;
	}
	pass_answer(n->call, &head);
	call_count(n->call, 101);
	httpd_upgrade(n->call->http, relay_run, r);
}
