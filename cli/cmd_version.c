/*
 * cmd_version.c - berthctl version: of the client, and of the server when it answers.
 */
#include "cli/cli.h"

#include <stdio.h>

int cmd_version(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	struct json *o;
	int n, r = cli_parse(c, "version", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("version", n, 0, 0, e);
	if (r)
		return r;
	version_print("berthctl");
	fflush(stdout);
	r = cli_connect(c, e);
	if (!r)
		r = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = "/version"}, c->arena, &o, e);
	if (!r)
		printf("server %s at %s\n", json_str_or(json_get(o, "gitVersion"), "?"), c->config.server);
	return r;
}
