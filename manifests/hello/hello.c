/*
 * hello.c - the example app: an HTTP server that says which machine it runs in. Plain C, no dependencies, static.
 *
 * GET /hello/<id> and any other path      JSON about this instance and its machine
 * GET /slow?seconds=N                     the same after N seconds (to see requests in flight)
 * GET /exit?code=N                        answers, then ends with that code (to see restarts)
 * GET /ws with Upgrade: websocket         echoes messages (RFC 6455)
 *
 * One thread per connection. SIGTERM stops accepting and ends once the requests in flight are answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 8192
#define MESSAGE_MAX 65536
#define IDLE_SECONDS 75

struct connection {
	int fd;
	size_t len;
	char in[REQUEST_MAX + 1];
};

static atomic_ulong requests;
static atomic_int in_flight;
static atomic_bool stopping;
static int listener = -1;

/* ---- small things ----------------------------------------------------------------------------------------------- */

static void read_line(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static bool send_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool recv_all(int fd, void *data, size_t len)
{
	char *p = data;

	while (len > 0) {
		ssize_t n = recv(fd, p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v ? v : "";
}

/* Appends a JSON string. */
static size_t put_string(char *out, size_t size, size_t at, const char *s)
{
	if (at < size)
		out[at++] = '"';
	for (; *s && at + 8 < size; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\') {
			out[at++] = '\\';
			out[at++] = (char)c;
		} else if (c < 0x20) {
			at += (size_t)snprintf(out + at, size - at, "\\u%04x", c);
		} else {
			out[at++] = (char)c;
		}
	}
	if (at < size)
		out[at++] = '"';
	return at;
}

static long query_number(const char *path, const char *name, long otherwise)
{
	const char *p = strchr(path, '?');
	size_t len = strlen(name);

	while (p) {
		p++;
		if (strncmp(p, name, len) == 0 && p[len] == '=')
			return strtol(p + len + 1, NULL, 10);
		p = strchr(p, '&');
	}
	return otherwise;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static double uptime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t write_about(char *out, size_t size, const char *path)
{
	char boot_id[64], host[256] = "";
	struct utsname name = {0};
	size_t at = 0;

	read_line("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id));
	gethostname(host, sizeof(host) - 1);
	uname(&name);
	const struct {
		const char *name, *value;
	} texts[] = {
		{"id", env("BERTH_INSTANCE_ID")},
		{"instance", env("BERTH_INSTANCE")},
		{"container", env("BERTH_CONTAINER")},
		{"revision", env("BERTH_REVISION")},
		{"location", env("BERTH_LOCATION")},
		{"version", env("HELLO_VERSION")},
		{"kernel", name.release},
		{"bootId", boot_id},
		{"hostname", host},
		{"path", path},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		out[at++] = i ? ',' : '{';
		at = put_string(out, size, at, texts[i].name);
		out[at++] = ':';
		at = put_string(out, size, at, texts[i].value);
	}
	at += (size_t)snprintf(out + at, size - at, ",\"pid\":%d,\"uptime\":%.3f,\"requests\":%lu}\n", (int)getpid(),
			       uptime(), (unsigned long)atomic_load(&requests));
	return at;
}

static bool answer(int fd, const char *status, const char *type, const char *body, size_t len, bool keep)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n", status,
			 type, len, keep ? "keep-alive" : "close");

	return send_all(fd, head, (size_t)n) && send_all(fd, body, len);
}

/* ---- WebSocket -------------------------------------------------------------------------------------------------- */

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static void sha1_block(uint32_t h[5], const uint8_t *block)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
		       (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (int i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (int i = 0; i < 80; i++) {
		uint32_t f = i < 20   ? (b & c) | (~b & d)
			     : i < 40 ? b ^ c ^ d
			     : i < 60 ? (b & c) | (b & d) | (c & d)
				      : b ^ c ^ d;
		uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
		uint32_t t = rotate(a, 5) + f + e + k + w[i];

		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = t;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

/* SHA-1 of at most 119 bytes (FIPS 180-4): all that the handshake needs. */
static void sha1(const char *text, size_t len, uint8_t out[20])
{
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	uint8_t data[128] = {0};
	size_t size = len < 56 ? 64 : 128;

	memcpy(data, text, len);
	data[len] = 0x80;
	for (size_t i = 0; i < 8; i++)
		data[size - 1 - i] = (uint8_t)((uint64_t)len * 8 >> (8 * i));
	for (size_t at = 0; at < size; at += 64)
		sha1_block(h, data + at);
	for (size_t i = 0; i < 20; i++)
		out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const uint8_t *in, size_t len, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0) |
			     (i + 2 < len ? in[i + 2] : 0);

		*out++ = digits[v >> 18 & 63];
		*out++ = digits[v >> 12 & 63];
		*out++ = i + 1 < len ? digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < len ? digits[v & 63] : '=';
	}
	*out = '\0';
}

static bool send_frame(int fd, uint8_t opcode, const uint8_t *data, size_t len)
{
	uint8_t head[4] = {(uint8_t)(0x80 | opcode), (uint8_t)len};
	size_t n = 2;

	if (len > 125) {
		head[1] = 126;
		head[2] = (uint8_t)(len >> 8);
		head[3] = (uint8_t)len;
		n = 4;
	}
	return send_all(fd, head, n) && send_all(fd, data, len);
}

/* Echoes frame by frame, which keeps fragments as they were; a control frame is answered in between. */
static void echo_messages(int fd)
{
	static const uint8_t too_big[2] = {1009 >> 8, 1009 & 0xff};
	uint8_t *data = malloc(MESSAGE_MAX), head[2], more[8], mask[4];

	while (data && recv_all(fd, head, 2) && (head[1] & 0x80)) {
		size_t len = head[1] & 0x7f, extra = len == 126 ? 2 : len == 127 ? 8 : 0;

		if (extra && !recv_all(fd, more, extra))
			break;
		for (size_t i = 0; i < extra; i++)
			len = i ? len << 8 | more[i] : more[i];
		if (len >= MESSAGE_MAX) {
			send_frame(fd, 8, too_big, sizeof(too_big));
			break;
		}
		if (!recv_all(fd, mask, 4) || !recv_all(fd, data, len))
			break;
		for (size_t i = 0; i < len; i++)
			data[i] ^= mask[i % 4];
		uint8_t opcode = head[0] & 0x0f;

		if (opcode == 10)
			continue;
		head[0] = (uint8_t)((head[0] & 0x80) | (opcode == 9 ? 10 : opcode));
		if (!send_frame(fd, head[0] & 0x8f, data, len) || opcode == 8)
			break;
	}
	free(data);
}

static void serve_websocket(int fd, const char *key)
{
	char text[128], accept[32], head[256];
	uint8_t digest[20];
	int n = snprintf(text, sizeof(text), "%.60s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);

	sha1(text, (size_t)n, digest);
	base64(digest, sizeof(digest), accept);
	n = snprintf(
		head, sizeof(head),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		accept);
	if (send_all(fd, head, (size_t)n))
		echo_messages(fd);
}

/* ---- HTTP ------------------------------------------------------------------------------------------------------- */

/* The value of a header of the request, "" when absent. */
static void header(const char *request, const char *name, char *out, size_t size)
{
	size_t len = strlen(name);

	out[0] = '\0';
	for (const char *line = strstr(request, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		line += len + 1;
		line += strspn(line, " \t");
		snprintf(out, size, "%.*s", (int)strcspn(line, "\r"), line);
		return;
	}
}

/* True when the connection may carry another request. */
static bool serve_one(int fd, const char *request)
{
	char method[16], path[2048], value[256], body[8192];
	size_t len;
	bool keep;
	long code;

	if (sscanf(request, "%15s %2047s", method, path) != 2) {
		answer(fd, "400 Bad Request", "text/plain", "not HTTP\n", 9, false);
		return false;
	}
	atomic_fetch_add(&requests, 1);
	header(request, "Upgrade", value, sizeof(value));
	if (strcasecmp(value, "websocket") == 0) {
		header(request, "Sec-WebSocket-Key", value, sizeof(value));
		serve_websocket(fd, value);
		return false;
	}
	header(request, "Connection", value, sizeof(value));
	keep = strcasecmp(value, "close") != 0 && !atomic_load(&stopping);
	if (strstr(path, "/slow"))
		sleep((unsigned)query_number(path, "seconds", 1));
	len = write_about(body, sizeof(body), path);
	if (strcmp(method, "HEAD") == 0)
		len = 0;
	if (!answer(fd, "200 OK", "application/json", body, len, keep))
		return false;
	code = strstr(path, "/exit") ? query_number(path, "code", 0) : -1;
	if (code >= 0) {
		printf("asked to exit with code %ld\n", code);
		fflush(stdout);
		_exit((int)code);
	}
	return keep;
}

/* Reads up to the end of one request's head and skips its body. NULL-safe; false when the connection is over. */
static bool read_request(struct connection *c, char *ret)
{
	for (;;) {
		char *end = strstr(c->in, "\r\n\r\n"), value[32];
		ssize_t n;

		if (end) {
			size_t size = (size_t)(end - c->in) + 4;
			size_t body;

			memcpy(ret, c->in, size);
			ret[size] = '\0';
			header(ret, "Content-Length", value, sizeof(value));
			body = (size_t)strtoul(value, NULL, 10);
			while (size < c->len && body > 0) {
				size++;
				body--;
			}
			memmove(c->in, c->in + size, c->len - size + 1);
			c->len -= size;
			for (char skipped; body > 0; body--)
				if (!recv_all(c->fd, &skipped, 1))
					return false;
			return true;
		}
		if (c->len == REQUEST_MAX)
			return false;
		n = recv(c->fd, c->in + c->len, REQUEST_MAX - c->len, 0);
		if (n <= 0)
			return false;
		c->len += (size_t)n;
		c->in[c->len] = '\0';
	}
}

static void *serve(void *arg)
{
	struct connection *c = arg;
	char request[REQUEST_MAX + 1];
	bool more = true;

	while (more && read_request(c, request)) {
		atomic_fetch_add(&in_flight, 1);
		more = serve_one(c->fd, request);
		atomic_fetch_sub(&in_flight, 1);
	}
	close(c->fd);
	free(c);
	return NULL;
}

static void on_term(int signal_number)
{
	(void)signal_number;
	atomic_store(&stopping, true);
	shutdown(listener, SHUT_RDWR);
}

static void accept_all(void)
{
	struct timeval idle = {.tv_sec = IDLE_SECONDS};
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 128 * 1024);
	while (!atomic_load(&stopping)) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		struct connection *c;
		pthread_t thread;

		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
		c = calloc(1, sizeof(*c));
		if (c)
			c->fd = fd;
		if (!c || pthread_create(&thread, &attr, serve, c) != 0) {
			close(fd);
			free(c);
		}
	}
}

int main(void)
{
	const char *port = env("PORT");
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)(port[0] ? strtol(port, NULL, 10) : 8080))};
	struct sigaction term = {.sa_handler = on_term};
	int on = 1;

	sigaction(SIGTERM, &term, NULL);
	sigaction(SIGINT, &term, NULL);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 1024) < 0) {
		perror("cannot listen");
		return 1;
	}
	printf("listening on port %d\n", ntohs(address.sin_port));
	fflush(stdout);
	accept_all();
	printf("stopping: %d requests in flight\n", atomic_load(&in_flight));
	fflush(stdout);
	while (atomic_load(&in_flight) > 0)
		usleep(10000);
	return 0;
}
