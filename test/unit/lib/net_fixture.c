/*
 * net_fixture.c - see net_fixture.h.
 */
#include "test/unit/lib/net_fixture.h"

#include "lib/fsutil.h"
#include "lib/pki.h"
#include "lib/units.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

int64_t net_now_ms(void)
{
	return time_mono_ms();
}

void net_pause(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

char *net_folder(struct arena *a)
{
	char *path = arena_strdup(a, "/tmp/berth-test-XXXXXX");

	assert_non_null(mkdtemp(path));
	return path;
}

void net_folder_drop(const char *path)
{
	assert_int_equal(tree_remove(path, NULL), 0);
}

int net_dial(unsigned port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	return fd;
}

void net_send(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* the server has closed: the answer is what counts */
		data += n;
		len -= (size_t)n;
	}
}

void net_read_until(int fd, struct buf *b, const char *text)
{
	char piece[16384];

	while (!b->data || !memmem(b->data, b->len, text, strlen(text))) {
		ssize_t n = recv(fd, piece, sizeof(piece), 0);

		if (n <= 0)
			fail_msg("connection ended before \"%s\"; got: %s", text, b->data ? b->data : "(nothing)");
		buf_add(b, piece, (size_t)n);
	}
}

void net_read_end(int fd, struct buf *b)
{
	char piece[16384];

	for (;;) {
		ssize_t n = recv(fd, piece, sizeof(piece), 0);

		if (n < 0 && errno != ECONNRESET)
			fail_msg("connection is still open; got: %s", b->data ? b->data : "(nothing)");
		if (n <= 0)
			return;
		buf_add(b, piece, (size_t)n);
	}
}

char *net_exchange(struct arena *a, unsigned port, const char *data, size_t len)
{
	_buf_ b = BUF_INIT(64U << 20);
	_close_ int fd = net_dial(port);

	net_send(fd, data, len);
	net_read_end(fd, &b);
	return arena_strndup(a, b.data ? b.data : "", b.len);
}

int net_status(const char *answer)
{
	int status = 0;

	return sscanf(answer, "HTTP/1.%*d %d", &status) == 1 ? status : 0;
}

void net_certificate(const char *dir, const char *name, const char *common_name, const char *organization)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost", NULL};
	struct pki_request req = {.common_name = common_name,
				  .organization = organization,
				  .hosts = hosts,
				  .server = true,
				  .client = true,
				  .valid_days = 2};
	_free_ char *ca = xasprintf("%s/ca", dir);
	struct error e;

	if (pki_ca_ensure(ca, "test-ca", 10, &e) < 0 || pki_issue(ca, dir, name, &req, &e) < 0)
		fail_msg("%s", e.text);
}
