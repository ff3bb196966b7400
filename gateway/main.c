/*
 * main.c - berth-gateway: flags, the loop, signals, the metrics port, and `berth-gateway stop`.
 */
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/haproxy_process.h"
#include "lib/fsutil.h"
#include "lib/httpd.h"
#include "lib/log.h"
#include "lib/options.h"
#include "lib/units.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/syscall.h>

#define STOP_WAIT_MS 60000

static struct gateway_config cfg;

static const struct option_spec options[] = {
	{"kubeconfig", 0, OPT_STRING, &cfg.kubeconfig, "FILE", "How to reach the apiserver (default: as kubectl)"},
	{"location", 0, OPT_STRING, &cfg.location, "NAME", "The Location this gateway belongs to"},
	{"name", 0, OPT_STRING, &cfg.name, "NAME", "This gateway's name in its Location (default: the host's)"},
	{"listen", 0, OPT_STRING, &cfg.listen, "ADDR:PORT", "Where requests arrive (default 127.0.0.1:8080)"},
	{"url", 0, OPT_STRING, &cfg.url, "URL", "Where clients find it (default: http:// and --listen)"},
	{"address", 0, OPT_STRING, &cfg.address, "IP",
	 "Its own address towards the nodes, which let it in (default: that of --listen, unless loopback or any)"},
	{"state-dir", 0, OPT_STRING, &cfg.state_dir, "DIR", "Folder for everything this process keeps"},
	{"haproxy", 0, OPT_STRING, &cfg.haproxy, "FILE", "The HAProxy program (default haproxy)"},
	{"threads", 0, OPT_INT, &cfg.threads, "N", "Threads of HAProxy (default: one per core)"},
	{"trusted-proxy", 0, OPT_LIST, &cfg.trusted_proxies, "CIDR",
	 "A proxy before this gateway whose X-Forwarded-For names the client (may be repeated)"},
	{"wake-timeout", 0, OPT_DURATION, &cfg.wake_timeout_ms, "DURATION",
	 "How long a request waits for its instance (default 2m)"},
	{"drain-timeout", 0, OPT_DURATION, &cfg.drain_timeout_ms, "DURATION",
	 "How long requests may finish after SIGTERM (default 30s)"},
	{"max-waiting", 0, OPT_INT, &cfg.max_waiting, "N", "Requests held for instances at a time (default 10000)"},
	{"metrics-listen", 0, OPT_STRING, &cfg.metrics_listen, "ADDR:PORT", "Serve /metrics and /healthz there"},
	{"haproxy-metrics-listen", 0, OPT_STRING, &cfg.haproxy_metrics_listen, "ADDR:PORT",
	 "Let HAProxy serve its own /metrics there"},
	{"log-level", 0, OPT_STRING, &cfg.log_level, "LEVEL", "debug, info, warn or error"},
	{0},
};

static const struct option_spec stop_options[] = {
	{"state-dir", 0, OPT_STRING, &cfg.state_dir, "DIR", "The running gateway's"},
	{0},
};

static const char summary[] =
	"Answers HTTP requests through HAProxy: finds the instance a request is for, wakes it, puts it to sleep when idle.\n"
	"`berth-gateway stop --state-dir DIR` ends the gateway of that folder and its HAProxy.";

/* ---- stop ---- */

/* Ends a process softly, then hard; true once it is gone. */
static bool end_process(int pid, int64_t patience_ms)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (fd < 0)
		return errno == ESRCH;
	syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
	bool gone = poll(&p, 1, (int)patience_ms) == 1;

	if (!gone) {
		syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
		gone = poll(&p, 1, 5000) == 1;
	}
	close(fd);
	return gone;
}

/* The pid of the berth-gateway that holds the lock, 0 for none. */
static int lock_holder(void)
{
	_close_ int fd = open(cfg.lock_file, O_RDWR | O_CLOEXEC);
	char text[32] = "";

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return (int)strtol(text, NULL, 10);
}

static int stop(int argc, char **argv)
{
	_arena_ a = arena_new();
	struct error e = {0};
	bool ok = true;

	options_parse_or_exit("berth-gateway stop", "Ends a gateway and its HAProxy.", stop_options, argc, argv);
	if (gateway_config_paths(&cfg, a, &e)) {
		fprintf(stderr, "berth-gateway stop: %s\n", e.text);
		return 2;
	}
	int pid = lock_holder();

	if (pid > 0)
		ok = end_process(pid, STOP_WAIT_MS);
	pid = haproxy_process_find(&cfg);
	if (pid > 0)
		ok = end_process(pid, 5000) && ok;
	if (!ok)
		fprintf(stderr, "berth-gateway stop: a process of %s does not end\n", cfg.state_dir);
	return ok ? 0 : 1;
}

/* ---- serve ---- */

struct program {
	uv_loop_t loop;
	uv_signal_t term, intr;
	struct gateway *gateway;
	struct kube *kube;
	bool draining, over;
};

static void on_drained(void *user)
{
	struct program *p = user;

	p->over = true;
	uv_stop(&p->loop);
}

static void on_signal(uv_signal_t *sig, int number)
{
	struct program *p = sig->data;

	if (p->draining) { /* the second one: leave HAProxy to end by itself */
		on_drained(p);
		return;
	}
	p->draining = true;
	log_info("stopping", "signal", log_num(number), NULL);
	gateway_drain(p->gateway, on_drained, p);
}

/* One berth-gateway per state folder. The descriptor stays open as long as the process lives. */
static int take_lock(struct error *e)
{
	int fd = open(cfg.lock_file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	char text[32];

	if (fd < 0)
		return error_set_errno(e, errno, "cannot open %s", cfg.lock_file);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return error_set(e, E_CONFLICT, "another berth-gateway uses %s; stop it, or name another --state-dir",
				 cfg.state_dir);
	}
	int n = snprintf(text, sizeof(text), "%d\n", getpid());

	if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n) {
		close(fd);
		return error_set_errno(e, errno, "cannot write %s", cfg.lock_file);
	}
	return 0;
}

static void close_signal(uv_signal_t *s)
{
	uv_close((uv_handle_t *)s, NULL);
}

static int serve(struct program *p, struct arena *a, struct error *e)
{
	struct kube_config kube_cfg;
	struct httpd *metrics = NULL;
	int r = gateway_config_finish(&cfg, a, e);

	if (!r)
		r = gateway_config_check_address(&cfg, e);
	if (!r)
		r = gateway_config_make_dirs(&cfg, e);
	if (!r)
		r = take_lock(e);
	if (!r)
		r = kube_config_load(a, cfg.kubeconfig, NULL, &kube_cfg, e);
	if (r)
		return r;
	uv_loop_init(&p->loop);
	r = kube_new(&kube_cfg, &p->loop, "berth-gateway/" BERTH_VERSION, &p->kube, e);
	if (!r && cfg.metrics_listen)
		r = httpd_start(&(struct httpd_config){.listen = cfg.metrics_listen,
						       .threads = 1,
						       .handler = httpd_serve_metrics},
				&metrics, e);
	if (!r)
		r = gateway_start(&p->loop, &cfg, p->kube, &p->gateway, e);
	if (r)
		return r;
	uv_signal_init(&p->loop, &p->term);
	uv_signal_init(&p->loop, &p->intr);
	p->term.data = p->intr.data = p;
	uv_signal_start(&p->term, on_signal, SIGTERM);
	uv_signal_start(&p->intr, on_signal, SIGINT);
	log_info("started", "server", kube_cfg.server, "listen", cfg.listen, "location", cfg.location, NULL);
	while (!p->over)
		uv_run(&p->loop, UV_RUN_DEFAULT);
	gateway_stop(p->gateway);
	close_signal(&p->term);
	close_signal(&p->intr);
	kube_free(p->kube);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	uv_loop_close(&p->loop);
	httpd_stop(metrics);
	return 0;
}

int main(int argc, char **argv)
{
	_arena_ a = arena_new();
	struct program p = {0};
	struct error e = {0};
	enum log_level level;

	gateway_config_init(&cfg);
	if (argc > 1 && streq(argv[1], "stop"))
		return stop(argc - 1, argv + 1);
	options_parse_or_exit("berth-gateway", summary, options, argc, argv);
	if (!log_level_parse(cfg.log_level, &level)) {
		fprintf(stderr, "berth-gateway: --log-level has to be debug, info, warn or error\n");
		return 2;
	}
	log_init("gateway", level);
	signal(SIGPIPE, SIG_IGN);
	if (serve(&p, a, &e)) {
		log_error("cannot start", "error", e.text, NULL);
		return e.code == E_BAD_REQUEST ? 2 : 1;
	}
	return 0;
}
