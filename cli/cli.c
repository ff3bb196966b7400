/*
 * cli.c - the table of commands, the flags all of them take, and the connection; see cli.h.
 */
#include "cli/cli.h"

#include <stdio.h>

const struct command commands[] = {
	{"get", "TYPE[/NAME] [NAME...]", "List objects, or show some", cmd_get, cmd_get_options},
	{"describe", "TYPE[/NAME] [NAME...]", "Show objects in full, with their Events", cmd_describe, NULL},
	{"apply", "-f FILE", "Create or change objects from files", cmd_apply, cmd_apply_options},
	{"deploy", "-f FILE", "Build the images files name by path, push and apply, and watch the rollout", cmd_deploy,
	 cmd_deploy_options},
	{"build", "DIR", "Build an image from a Dockerfile, and push it", cmd_build, cmd_build_options},
	{"delete", "TYPE NAME... | -f FILE", "Delete objects", cmd_delete, cmd_delete_options},
	{"logs", "INSTANCE", "Print what an instance's app wrote", cmd_logs, cmd_logs_options},
	{"exec", "INSTANCE -- COMMAND [ARG...]", "Run a command inside an instance's VM", cmd_exec, cmd_exec_options},
	{"wait", "TYPE/NAME... --for=WHAT", "Wait until objects reach a state", cmd_wait, cmd_wait_options},
	{"top", "[nodes | instances]", "Show what nodes and instances use", cmd_top, NULL},
	{"explain", "placement INSTANCE", "Show why an instance runs where it runs", cmd_explain, cmd_explain_options},
	{"why-not", "INSTANCE | CONTAINER", "Show what keeps instances from running", cmd_why_not, cmd_explain_options},
	{"completion", "bash | zsh | fish", "Print a completion script for a shell", cmd_completion, NULL},
	{"version", "", "Print the versions of client and server", cmd_version, NULL},
	{0},
};

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (streq(c->name, name))
			return c;
	return NULL;
}

void cli_global_options(struct cli *c, bool *help, bool *version, struct option_spec ret[CLI_GLOBAL_OPTIONS_MAX])
{
	size_t n = 0;

	ret[n++] = (struct option_spec){"namespace",   'n',    OPT_STRING,
					&c->namespace, "NAME", "Namespace (default: the context's)"};
	ret[n++] = (struct option_spec){"kubeconfig",	0,	OPT_STRING,
					&c->kubeconfig, "FILE", "Default: $KUBECONFIG, else ~/.kube/config"};
	ret[n++] = (struct option_spec){"context", 0, OPT_STRING, &c->context, "NAME", "Context of the kubeconfig"};
	if (help)
		ret[n++] = (struct option_spec){"help", 'h', OPT_BOOL, help, NULL, "Help of the command"};
	if (version)
		ret[n++] = (struct option_spec){"version", 0, OPT_BOOL, version, NULL, "Version of berthctl"};
	ret[n] = (struct option_spec){0};
}

int cli_parse(struct cli *c, const char *command, bool stop_at_positional, int argc, char **argv,
	      const char ***ret_args, int *ret_count, struct error *e)
{
	const struct command *cmd = command_find(command);
	struct option_spec global[CLI_GLOBAL_OPTIONS_MAX];
	bool help = false;
	size_t n = 0;

	cli_global_options(c, &help, NULL, global);
	while (cmd->options && cmd->options[n].name)
		n++;
	struct option_spec *all = arena_calloc(c->arena, (n + ARRAY_SIZE(global)) * sizeof(*all));

	if (n)
		memcpy(all, cmd->options, n * sizeof(*all));
	memcpy(all + n, global, sizeof(global));
	*ret_args = arena_calloc(c->arena, (size_t)(argc + 1) * sizeof(**ret_args));
	int r = options_parse(all, argc, argv, stop_at_positional, *ret_args, ret_count, e);

	if (!r && help) {
		printf("%s.\n\nUsage: berthctl %s %s\n\nFlags:\n", cmd->summary, command, cmd->arguments);
		options_help(all);
		exit(0);
	}
	return r;
}

int cli_want_args(const char *command, int count, int min, int max, struct error *e)
{
	const struct command *cmd = command_find(command);

	if (count >= min && (max < 0 || count <= max))
		return 0;
	return error_set(e, E_BAD_REQUEST, "usage: berthctl %s %s (see berthctl %s --help)", command, cmd->arguments,
			 command);
}

int cli_connect(struct cli *c, struct error *e)
{
	int r;

	if (c->kube)
		return 0;
	r = kube_config_load(c->arena, c->kubeconfig, c->context, &c->config, e);
	if (r)
		return r;
	if (!c->namespace)
		c->namespace = c->config.namespace;
	return kube_new(&c->config, NULL, "berthctl/" BERTH_VERSION, &c->kube, e);
}
