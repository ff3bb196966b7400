/*
 * main.c - the agent's process: flags, signals, the loop.
 *
 * Crash-only: SIGTERM ends it at once, VMs go on, and the next process takes them over.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#include "agent/agent.h"
#include "lib/log.h"

static void on_signal(uv_signal_t *handle, int number)
{
	log_info("stopping; VMs go on", "signal", log_num(number), NULL);
	uv_stop(handle->loop);
}

static int serve(const struct agent_config *cfg)
{
	static struct agent agent;
	static uv_signal_t sigterm, sigint;
	struct error e = {0};
	uv_loop_t *loop = uv_default_loop();

	if (agent_start(&agent, cfg, loop, &e) < 0) {
		log_error("cannot start", "error", e.text, NULL);
		return 1;
	}
	uv_signal_init(loop, &sigterm);
	uv_signal_init(loop, &sigint);
	uv_signal_start(&sigterm, on_signal, SIGTERM);
	uv_signal_start(&sigint, on_signal, SIGINT);
	log_info("agent started", "node", cfg->node_name, "location", cfg->location, "commit", version_commit(), NULL);
	uv_run(loop, UV_RUN_DEFAULT);
	/* Threads of libraries still run, and memory is theirs too: nothing is taken down. */
	fflush(NULL);
	_exit(0);
}

int main(int argc, char **argv)
{
	static struct agent_config cfg;

	signal(SIGPIPE, SIG_IGN);
	/* Many threads, little memory each: malloc's arena for each of them would cost more than what they hold. */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
	setenv("UV_THREADPOOL_SIZE", AGENT_WORKERS, 0);
	if (argc > 1 && streq(argv[1], "image"))
		return image_cli_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "cleanup")) {
		config_parse_cleanup_or_exit(&cfg, argc - 1, argv + 1);
		return cleanup_main(&cfg);
	}
	config_parse_or_exit(&cfg, argc, argv);
	return serve(&cfg);
}
