/*
 * etcd_fixture.c - see etcd_fixture.h.
 */
#include "test/unit/apiserver/etcd_fixture.h"
#include "lib/fsutil.h"
#include "lib/http.h"
#include "lib/json.h"
#include "lib/units.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#define READY_MS 30000

#define RUNNING_MAX 4

extern char **environ;

static struct etcd *running[RUNNING_MAX];

/* A test that failed has not cleaned up. */
static void end_what_is_left(void)
{
	for (size_t i = 0; i < RUNNING_MAX; i++) {
		if (!running[i])
			continue;
		kill(running[i]->pid, SIGKILL);
		waitpid(running[i]->pid, NULL, 0);
	}
}

static void note_running(struct etcd *d, bool is)
{
	static bool registered;
	size_t i = 0;

	if (!registered)
		atexit(end_what_is_left);
	registered = true;
	while (i < RUNNING_MAX && running[i] != (is ? NULL : d))
		i++;
	assert_true(i < RUNNING_MAX);
	running[i] = is ? d : NULL;
}

static int listen_on(int port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 64) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Outside the range that outgoing connections get theirs from: it stays free while its server is away. */
int free_loopback_port(void)
{
	static unsigned seed;

	if (!seed)
		seed = (unsigned)getpid() ^ (unsigned)time_mono_ms();
	for (;;) {
		int port = 20000 + rand_r(&seed) % 12000, fd = listen_on(port);
		if (fd >= 0) {
			close(fd);
			return port;
		}
	}
}

static bool answers(const struct etcd *d)
{
	_cleanup_(http_client_freep) struct http_client *c = http_client_new();
	_arena_ a = arena_new();
	_free_ char *url = xasprintf("%s/version", d->url);
	struct http_request req = {.url = url, .timeout_ms = 2000};
	struct http_response res;

	return http_do(c, &req, a, &res, NULL) == 0 && res.status == 200;
}

void etcd_start(struct etcd *d)
{
	_free_ char *data = xasprintf("%s/data", d->dir), *log = xasprintf("%s/log", d->dir);
	_free_ char *peer = xasprintf("http://127.0.0.1:%d", d->peer_port), *cluster = xasprintf("default=%s", peer);
	const char *argv[] = {"etcd",	"--data-dir",
			      data,	"--listen-client-urls",
			      d->url,	"--advertise-client-urls",
			      d->url,	"--listen-peer-urls",
			      peer,	"--initial-advertise-peer-urls",
			      peer,	"--initial-cluster",
			      cluster,	"--log-level",
			      "error",	d->quota ? "--quota-backend-bytes" : NULL,
			      d->quota, NULL};
	posix_spawn_file_actions_t files;
	int64_t deadline = time_mono_ms() + READY_MS;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&files, 1, 2);
	if (posix_spawnp(&d->pid, "etcd", &files, NULL, (char *const *)argv, environ) != 0)
		fail_msg("etcd cannot be started: install etcd-server (hack/deps test)");
	posix_spawn_file_actions_destroy(&files);
	note_running(d, true);
	while (!answers(d)) {
		if (time_mono_ms() > deadline)
			fail_msg("etcd does not answer at %s", d->url);
		usleep(20000);
	}
}

void etcd_begin(struct etcd *d, const char *quota)
{
	*d = (struct etcd){.quota = quota, .port = free_loopback_port(), .peer_port = free_loopback_port()};
	snprintf(d->dir, sizeof(d->dir), "/tmp/berth-test-etcd-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	snprintf(d->url, sizeof(d->url), "http://127.0.0.1:%d", d->port);
	etcd_start(d);
}

void etcd_kill(struct etcd *d)
{
	if (d->pid <= 0)
		return;
	note_running(d, false);
	kill(d->pid, SIGKILL);
	waitpid(d->pid, NULL, 0);
	d->pid = 0;
}

void etcd_end(struct etcd *d)
{
	etcd_kill(d);
	assert_int_equal(tree_remove(d->dir, NULL), 0);
}

static struct json *post(const struct etcd *d, struct arena *a, const char *path, const char *body)
{
	_cleanup_(http_client_freep) struct http_client *c = http_client_new();
	struct http_request req = {.method = "POST",
				   .url = arena_printf(a, "%s/v3/%s", d->url, path),
				   .body = body,
				   .body_len = strlen(body),
				   .timeout_ms = 20000};
	struct http_response res;
	struct json *answer = NULL;

	assert_int_equal(http_do(c, &req, a, &res, NULL), 0);
	assert_int_equal(res.status, 200);
	assert_int_equal(json_parse(a, res.body, res.body_len, NULL, &answer, NULL), 0);
	return answer;
}

void etcd_disarm(const struct etcd *d)
{
	_arena_ a = arena_new();
	const struct json *alarms = json_get(post(d, a, "maintenance/alarm", "{\"action\":\"GET\"}"), "alarms");

	assert_true(json_count(alarms) > 0);
	for (size_t i = 0; i < json_count(alarms); i++)
		post(d, a, "maintenance/alarm",
		     arena_printf(a, "{\"action\":\"DEACTIVATE\",\"alarm\":\"NOSPACE\",\"memberID\":\"%s\"}",
				  json_str(json_get(json_item(alarms, i), "memberID"))));
}

/* ---- the lossy line ---- */

struct lossy_line {
	int listener, port, etcd_port;
	char url[40];
	_Atomic int lose;
	_Atomic bool ending;
	_Atomic int open;
	pthread_t thread;
};

struct lossy_connection {
	struct lossy_line *line;
	int client;
};

/* Moves what is there. False at the end. */
static bool pump(int from, int to)
{
	char data[65536];
	ssize_t n = read(from, data, sizeof(data));

	for (ssize_t done = 0; done < n;) {
		ssize_t m = write(to, data + done, (size_t)(n - done));
		if (m <= 0)
			return false;
		done += m;
	}
	return n > 0;
}

static void forward(struct lossy_line *l, int client, int server)
{
	struct pollfd fds[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};

	while (!l->ending) {
		if (poll(fds, 2, 50) <= 0)
			continue;
		if (fds[1].revents && l->lose > 0) {
			l->lose--;
			return;
		}
		if (fds[1].revents && !pump(server, client))
			return;
		if (fds[0].revents && !pump(client, server))
			return;
	}
}

static void *connection_run(void *arg)
{
	struct lossy_connection *c = arg;
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)c->line->etcd_port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(server, (struct sockaddr *)&at, sizeof(at)) == 0)
		forward(c->line, c->client, server);
	close(server);
	close(c->client);
	c->line->open--;
	free(c);
	return NULL;
}

static void *line_run(void *arg)
{
	struct lossy_line *l = arg;
	struct pollfd fd = {.fd = l->listener, .events = POLLIN};
	pthread_t thread;

	while (!l->ending) {
		if (poll(&fd, 1, 50) <= 0)
			continue;
		struct lossy_connection *c = xcalloc(1, sizeof(*c));
		*c = (struct lossy_connection){l, accept4(l->listener, NULL, NULL, SOCK_CLOEXEC)};
		l->open++;
		if (pthread_create(&thread, NULL, connection_run, c) != 0)
			abort();
		pthread_detach(thread);
	}
	return NULL;
}

struct lossy_line *lossy_line_new(const struct etcd *d)
{
	struct lossy_line *l = xcalloc(1, sizeof(*l));

	signal(SIGPIPE, SIG_IGN);
	l->etcd_port = d->port;
	l->port = free_loopback_port();
	l->listener = listen_on(l->port);
	assert_true(l->listener >= 0);
	snprintf(l->url, sizeof(l->url), "http://127.0.0.1:%d", l->port);
	assert_int_equal(pthread_create(&l->thread, NULL, line_run, l), 0);
	return l;
}

void lossy_line_free(struct lossy_line *l)
{
	l->ending = true;
	pthread_join(l->thread, NULL);
	while (l->open > 0)
		usleep(1000);
	close(l->listener);
	free(l);
}

const char *lossy_line_url(const struct lossy_line *l)
{
	return l->url;
}

void lossy_line_lose(struct lossy_line *l, int n)
{
	l->lose = n;
}

int lossy_line_left(struct lossy_line *l)
{
	return l->lose;
}
