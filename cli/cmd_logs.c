/*
 * cmd_logs.c - berthctl logs: what the app of an instance wrote to its standard output and error.
 */
#include "cli/resource.h"
#include "lib/codec.h"

#include <stdio.h>

static struct {
	bool follow, timestamps, previous;
	int64_t tail, since_ms;
} opt = {.tail = -1};

const struct option_spec cmd_logs_options[] = {
	{"follow", 'f', OPT_BOOL, &opt.follow, NULL, "Go on printing as it is written"},
	{"tail", 0, OPT_INT, &opt.tail, "LINES", "Only the last lines (default: all)"},
	{"since", 0, OPT_DURATION, &opt.since_ms, "TIME", "Only what is newer than this (5m, 1h)"},
	{"timestamps", 0, OPT_BOOL, &opt.timestamps, NULL, "The time before each line"},
	{"previous", 'p', OPT_BOOL, &opt.previous, NULL, "Of the run before the present one"},
	{0},
};

static int write_out(void *user, const void *data, size_t len, struct error *e)
{
	(void)user;
	if (fwrite(data, 1, len, stdout) != len || fflush(stdout))
		return error_set(e, E_IO, "cannot write to standard output");
	return 0;
}

int cmd_logs(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	int n, r = cli_parse(c, "logs", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("logs", n, 1, 1, e);
	if (!r)
		r = cli_connect(c, e);
	if (r)
		return r;
	_buf_ path = BUF_INIT(4096);

	buf_adds(&path, kube_path(c->arena, &KUBE_INSTANCES, c->namespace, args[0], "log"));
	buf_addf(&path, "?follow=%s&timestamps=%s&previous=%s", opt.follow ? "true" : "false",
		 opt.timestamps ? "true" : "false", opt.previous ? "true" : "false");
	if (opt.tail >= 0)
		buf_addf(&path, "&tailLines=%lld", (long long)opt.tail);
	if (opt.since_ms)
		buf_addf(&path, "&sinceSeconds=%lld", (long long)((opt.since_ms + 999) / 1000));
	return kube_do(c->kube,
		       &(struct kube_call){.method = "GET", .path = path.data, .accept = "*/*", .sink = write_out},
		       c->arena, NULL, e);
}
