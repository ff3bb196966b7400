/*
 * fuzz_httpgate.c - bytes sent to a real server over loopback: whatever comes, it answers or closes, and a handler only
 * sees what the gate promises.
 *
 * Links: lib
 */
#include "lib/codec.h"
#include "lib/httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned port;

static void require(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "broken promise: %s\n", what);
	abort();
}

static void handler(struct httpd_request *r, void *user _unused_)
{
	const char *path = httpd_path(r), *length = httpd_header(r, "Content-Length");
	_buf_ decoded = BUF_INIT(65536);
	size_t len;

	require(path[0] == '/', "the path begins with a slash");
	for (const char *p = path; *p; p++)
		require(*p > 0x20 && *p < 0x7f && *p != '#' && *p != '?', "the path is clean");
	require(percent_decode(path, strlen(path), false, &decoded, NULL) == 0, "the path can be decoded");
	require(!decoded.len || strlen(decoded.data) == decoded.len, "no NUL is hidden in the path");
	require(strlen(path) + strlen(httpd_query_string(r)) <= 8192, "the target is short");
	httpd_body(r, &len);
	require(len <= 4096, "the body is small");
	require(!length || strtoull(length, NULL, 10) == len, "the body is whole");
	require(!length || !httpd_header(r, "Transfer-Encoding"), "one way to tell the length");
	httpd_query(r, "a");
	httpd_reply(r, 200, "text/plain", "ok", 2);
}

int LLVMFuzzerInitialize(int *argc _unused_, char ***argv _unused_)
{
	static struct httpd *h;
	struct httpd_config cfg = {.listen = "127.0.0.1:0",
				   .handler = handler,
				   .max_body = 4096,
				   .threads = 1,
				   .request_deadline_ms = 80, /* looked at every tenth of that */
				   .idle_timeout_ms = 80};
	struct error e;

	if (httpd_start(&cfg, &h, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	port = httpd_port(h);
	return 0;
}

/* libFuzzer's timer interrupts system calls; a connect(2) goes on by itself. */
static bool dial(int fd, const struct sockaddr_in *sa)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int err = 0;
	socklen_t len = sizeof(err);

	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
		return true;
	if (errno != EINTR)
		return false;
	while (poll(&p, 1, 10000) < 0 && errno == EINTR)
		;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct timeval patience = {.tv_sec = 10};
	char answer[4096];
	ssize_t n;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct linger at_once = {.l_onoff = 1}; /* no TIME_WAIT: ports would run out */

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	require(dial(fd, &sa), "the server accepts");
	while (size && ((n = send(fd, data, size, MSG_NOSIGNAL)) > 0 || errno == EINTR)) {
		data += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	shutdown(fd, SHUT_WR);
	while ((n = recv(fd, answer, sizeof(answer), 0)) > 0 || (n < 0 && errno == EINTR))
		;
	require(n == 0 || errno == ECONNRESET, "the server closes");
	close(fd);
	return 0;
}
