/*
 * fanout.c - how long one write takes to reach many watchers.
 *
 * Opens N streaming requests, waits until each has shown a sign of life or a second has passed, then sends one write
 * and notes when every stream has received bytes after it. Repeats that, prints "median_ms max_ms". Serves any server
 * that streams over HTTP: Berth's apiserver (GET …?watch=true) and etcd's JSON gateway (POST /v3/watch) alike.
 */
#include "lib/http.h"
#include "lib/options.h"
#include "lib/units.h"

#include <stdio.h>
#include <sys/resource.h>

#define SETTLE_MS 1500
#define ROUND_TIMEOUT_MS 10000

static struct {
	int64_t watchers, rounds;
	const char *url, *body, *trigger_method, *trigger_url, *trigger_body, *ca, *token, *content_type;
} cfg = {.watchers = 1000, .rounds = 20, .trigger_method = "POST", .content_type = "application/json"};

static const struct option_spec options[] = {
	{"watchers", 0, OPT_INT, &cfg.watchers, "N", "Streams to open"},
	{"rounds", 0, OPT_INT, &cfg.rounds, "N", "Writes to time"},
	{"url", 0, OPT_STRING, &cfg.url, "URL", "What to watch"},
	{"body", 0, OPT_STRING, &cfg.body, "JSON", "Body of the watch request (then it is a POST)"},
	{"trigger-method", 0, OPT_STRING, &cfg.trigger_method, "METHOD", "Of the write"},
	{"trigger-url", 0, OPT_STRING, &cfg.trigger_url, "URL", "Of the write"},
	{"trigger-body", 0, OPT_STRING, &cfg.trigger_body, "JSON", "Of the write; % becomes a number of 12 digits"},
	{"trigger-content-type", 0, OPT_STRING, &cfg.content_type, "TYPE", "Of the write"},
	{"ca", 0, OPT_STRING, &cfg.ca, "FILE", "CA certificate"},
	{"token", 0, OPT_STRING, &cfg.token, "TOKEN", "Bearer token"},
	{0},
};

struct watcher {
	int64_t seen_round; /* last round in which bytes came */
};

static uv_loop_t loop;
static struct http_loop *http;
static struct http_tls tls;
static struct watcher *watchers;
static uv_timer_t timer;
static int64_t this_round, reached;
static uint64_t begun;
static double *took;

static void next_round(uv_timer_t *t);

static int on_bytes(void *user, const void *data, size_t len, struct error *e)
{
	struct watcher *w = user;

	(void)data, (void)len, (void)e;
	if (!this_round || w->seen_round == this_round)
		return 0;
	w->seen_round = this_round;
	if (++reached == cfg.watchers) {
		took[this_round - 1] = (double)(uv_hrtime() - begun) / 1e6;
		uv_timer_start(&timer, next_round, 20, 0);
	}
	return 0;
}

static void on_watch_end(void *user, int err, const struct http_response *res, const struct error *e)
{
	(void)user;
	fprintf(stderr, "a watch ended: %s\n", err ? e->text : res->body);
	exit(1);
}

static void on_triggered(void *user, int err, const struct http_response *res, const struct error *e)
{
	(void)user;
	if (err || res->status >= 300) {
		fprintf(stderr, "the write failed: %s\n", err ? e->text : res->body);
		exit(1);
	}
}

static char *with_number(const char *text, int64_t n)
{
	_buf_ b = BUF_INIT(1U << 20);

	for (; *text; text++)
		if (*text == '%')
			buf_addf(&b, "%012lld", (long long)n); /* valid base64, too */
		else
			buf_addc(&b, *text);
	return buf_steal(&b);
}

static void on_late(uv_timer_t *t)
{
	(void)t;
	fprintf(stderr, "only %lld of %lld watchers were reached within %d ms\n", (long long)reached,
		(long long)cfg.watchers, ROUND_TIMEOUT_MS);
	exit(1);
}

static int compare(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return a < b ? -1 : a > b;
}

static void next_round(uv_timer_t *t)
{
	if (this_round == cfg.rounds) {
		qsort(took, (size_t)cfg.rounds, sizeof(*took), compare);
		printf("%.2f %.2f\n", took[cfg.rounds / 2], took[cfg.rounds - 1]);
		exit(0);
	}
	_free_ char *body = with_number(cfg.trigger_body, ++this_round + (int64_t)getpid() * 1000);
	_free_ char *type = xasprintf("Content-Type: %s", cfg.content_type);

	reached = 0;
	begun = uv_hrtime();
	uv_timer_start(t, on_late, ROUND_TIMEOUT_MS, 0);
	http_start(http,
		   &(struct http_request){.method = cfg.trigger_method,
					  .url = cfg.trigger_url,
					  .headers = {type},
					  .bearer_token = cfg.token,
					  .tls = &tls,
					  .body = body,
					  .body_len = strlen(body)},
		   on_triggered, NULL);
}

int main(int argc, char **argv)
{
	struct rlimit files = {20000, 20000};

	options_parse_or_exit("fanout", "Times how one write reaches many watchers.", options, argc, argv);
	setrlimit(RLIMIT_NOFILE, &files);
	tls = (struct http_tls){.ca_file = cfg.ca};
	uv_loop_init(&loop);
	http = http_loop_new(&loop);
	watchers = xcalloc((size_t)cfg.watchers, sizeof(*watchers));
	took = xcalloc((size_t)cfg.rounds, sizeof(*took));
	for (int64_t i = 0; i < cfg.watchers; i++)
		http_start(http,
			   &(struct http_request){.method = cfg.body ? "POST" : "GET",
						  .url = cfg.url,
						  .headers = {"Content-Type: application/json"},
						  .bearer_token = cfg.token,
						  .tls = &tls,
						  .connect_timeout_ms = 60000,
						  .body = cfg.body,
						  .body_len = cfg.body ? strlen(cfg.body) : 0,
						  .sink = on_bytes,
						  .sink_user = &watchers[i]},
			   on_watch_end, NULL);
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, next_round, SETTLE_MS + (uint64_t)cfg.watchers * 6, 0);
	return uv_run(&loop, UV_RUN_DEFAULT);
}
