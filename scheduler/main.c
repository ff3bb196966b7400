/*
 * main.c - berth-scheduler: flags, the loop, signals, the metrics port.
 */
#include "lib/httpd.h"
#include "lib/kube.h"
#include "lib/log.h"
#include "lib/options.h"
#include "scheduler/shell.h"

#include <signal.h>
#include <stdio.h>

static struct {
	const char *kubeconfig, *metrics_listen, *log_level;
	struct registry_options registry;
} cfg = {.log_level = "info"};

static const struct option_spec options[] = {
	{"kubeconfig", 0, OPT_STRING, &cfg.kubeconfig, "FILE", "How to reach the apiserver (default: as kubectl)"},
	{"metrics-listen", 0, OPT_STRING, &cfg.metrics_listen, "ADDR:PORT", "Serve /metrics and /healthz there"},
	REGISTRY_OPTION_SPECS(cfg.registry),
	{"log-level", 0, OPT_STRING, &cfg.log_level, "LEVEL", "debug, info, warn or error"},
	{0},
};

static void on_signal(uv_signal_t *sig, int number)
{
	log_info("stopping", "signal", log_num(number), NULL);
	uv_stop(sig->loop);
}

static int run(struct error *e)
{
	_arena_ a = arena_new();
	struct kube_config kube_cfg;
	struct kube *kube;
	struct registry_secrets *secrets;
	struct httpd *metrics = NULL;
	uv_loop_t loop;
	uv_signal_t term, intr;
	int r;

	uv_loop_init(&loop);
	r = kube_config_load(a, cfg.kubeconfig, NULL, &kube_cfg, e);
	if (r)
		return r;
	r = kube_new(&kube_cfg, &loop, "berth-scheduler/" BERTH_VERSION, &kube, e);
	if (!r)
		r = registry_secrets_new(&kube_cfg, "berth-scheduler/" BERTH_VERSION, &secrets, e);
	if (r)
		return r;
	if (cfg.metrics_listen) {
		r = httpd_start(&(struct httpd_config){.listen = cfg.metrics_listen,
						       .threads = 1,
						       .handler = httpd_serve_metrics},
				&metrics, e);
		if (r)
			return r;
	}
	uv_signal_init(&loop, &term);
	uv_signal_init(&loop, &intr);
	uv_signal_start(&term, on_signal, SIGTERM);
	uv_signal_start(&intr, on_signal, SIGINT);
	struct registry *registry = registry_new(&cfg.registry);
	struct shell *shell = shell_start(&loop, kube, registry, secrets);

	log_info("started", "server", kube_cfg.server, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	shell_stop(shell);
	uv_close((uv_handle_t *)&term, NULL);
	uv_close((uv_handle_t *)&intr, NULL);
	kube_free(kube);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	httpd_stop(metrics);
	registry_free(registry);
	registry_secrets_free(secrets);
	return 0;
}

int main(int argc, char **argv)
{
	struct error e = {0};
	enum log_level level;

	options_parse_or_exit("berth-scheduler",
			      "Makes Berth's cluster-wide decisions: revisions, prefetch, placement, rollouts.",
			      options, argc, argv);
	if (!log_level_parse(cfg.log_level, &level)) {
		fprintf(stderr, "berth-scheduler: --log-level: \"%s\" is not debug, info, warn or error\n",
			cfg.log_level);
		return 2;
	}
	if (registry_options_check(&cfg.registry, &e)) {
		fprintf(stderr, "berth-scheduler: %s\n", e.text);
		return 2;
	}
	log_init("scheduler", level);
	if (run(&e)) {
		log_error("cannot start", "error", e.text, NULL);
		return 1;
	}
	return 0;
}
