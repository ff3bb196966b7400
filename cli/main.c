/*
 * main.c - berthctl: finding the command, the global flags, printing the error.
 */
#include "cli/cli.h"

#include <stdio.h>

const struct command commands[] = {
	{"get", "TYPE[/NAME] [NAME...]", "List objects, or show some", cmd_get},
	{"describe", "TYPE[/NAME] [NAME...]", "Show objects in full, with their Events", cmd_describe},
	{"apply", "-f FILE", "Create or change objects from files", cmd_apply},
	{"delete", "TYPE NAME... | -f FILE", "Delete objects", cmd_delete},
	{"logs", "INSTANCE", "Print what an instance's app wrote", cmd_logs},
	{"exec", "INSTANCE -- COMMAND [ARG...]", "Run a command inside an instance's VM", cmd_exec},
	{"wait", "TYPE/NAME... --for=WHAT", "Wait until objects reach a state", cmd_wait},
	{"top", "[nodes | instances]", "Show what nodes and instances use", cmd_top},
	{"completion", "bash | zsh | fish", "Print a completion script for a shell", cmd_completion},
	{"version", "", "Print the versions of client and server", cmd_version},
	{0},
};

static void print_help(void)
{
	printf("berthctl controls Berth: VM-isolated containers, one instance an ID.\n\nUsage: berthctl COMMAND [flags]\n\n"
	       "Commands:\n");
	for (const struct command *c = commands; c->name; c++)
		printf("  %-11s %s\n", c->name, c->summary);
	printf("\nFlags of every command:\n"
	       "  -n, --namespace NAME   Namespace (default: the context's)\n"
	       "      --kubeconfig FILE  Default: $KUBECONFIG, else ~/.kube/config\n"
	       "      --context NAME     Context of the kubeconfig\n"
	       "  -h, --help             Help of the command\n"
	       "      --version          Version of berthctl\n"
	       "\nNames of types, columns and fields are the server's: see `kubectl explain container`.\n");
}

static const struct command *find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (streq(c->name, name))
			return c;
	return NULL;
}

int cli_parse(struct cli *c, const char *command, const struct option_spec *specs, bool stop_at_positional, int argc,
	      char **argv, const char ***ret_args, int *ret_count, struct error *e)
{
	bool help = false;
	const struct option_spec global[] = {
		{"namespace", 'n', OPT_STRING, &c->namespace, "NAME", "Namespace (default: the context's)"},
		{"kubeconfig", 0, OPT_STRING, &c->kubeconfig, "FILE", "Default: $KUBECONFIG, else ~/.kube/config"},
		{"context", 0, OPT_STRING, &c->context, "NAME", "Context of the kubeconfig"},
		{"help", 'h', OPT_BOOL, &help, NULL, "This text"},
		{0},
	};
	size_t n = 0;

	while (specs && specs[n].name)
		n++;
	struct option_spec *all = arena_calloc(c->arena, (n + ARRAY_SIZE(global)) * sizeof(*all));

	if (n)
		memcpy(all, specs, n * sizeof(*all));
	memcpy(all + n, global, sizeof(global));
	*ret_args = arena_calloc(c->arena, (size_t)(argc + 1) * sizeof(**ret_args));
	int r = options_parse(all, argc, argv, stop_at_positional, *ret_args, ret_count, e);

	if (!r && help) {
		const struct command *cmd = find(command);

		printf("%s.\n\nUsage: berthctl %s %s\n\nFlags:\n", cmd->summary, command, cmd->arguments);
		options_help(all);
		exit(0);
	}
	return r;
}

int cli_want_args(const char *command, int count, int min, int max, struct error *e)
{
	const struct command *cmd = find(command);

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

/* Global flags may stand before the command, as in kubectl. */
static int leading_flags(struct cli *c, int argc, char **argv, int *ret_command, struct error *e)
{
	bool help = false, version = false;
	const struct option_spec specs[] = {
		{"namespace", 'n', OPT_STRING, &c->namespace, "NAME", ""},
		{"kubeconfig", 0, OPT_STRING, &c->kubeconfig, "FILE", ""},
		{"context", 0, OPT_STRING, &c->context, "NAME", ""},
		{"help", 'h', OPT_BOOL, &help, NULL, ""},
		{"version", 0, OPT_BOOL, &version, NULL, ""},
		{0},
	};
	const char **args = arena_calloc(c->arena, (size_t)(argc + 1) * sizeof(*args));
	int count = 0, r = options_parse(specs, argc, argv, true, args, &count, e);

	if (r)
		return r;
	if (version) {
		version_print("berthctl");
		exit(0);
	}
	if (help || !count) {
		print_help();
		exit(help ? 0 : CLI_USAGE);
	}
	*ret_command = argc - count;
	return 0;
}

int main(int argc, char **argv)
{
	struct cli c = {.arena = arena_new()};
	struct error e = {0};
	const struct command *cmd = NULL;
	int at = 0, code;

	c.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	code = leading_flags(&c, argc, argv, &at, &e) ? CLI_USAGE : CLI_OK;
	if (!code) {
		cmd = find(argv[at]);
		if (!cmd) {
			error_set(&e, E_BAD_REQUEST, "unknown command \"%s\" (see berthctl --help)", argv[at]);
			code = CLI_USAGE;
		}
	}
	if (!code)
		code = cmd->run(&c, argc - at, argv + at, &e);
	if (e.code) {
		fflush(stdout);
		fprintf(stderr, "error: %s\n", e.text);
		if (!code)
			code = CLI_FAILED;
	}
	kube_free(c.kube);
	arena_free(c.arena);
	/* Commands return an error code below zero, an exit code (that of exec's command, too) from zero on. */
	return code < 0 ? (code == -E_BAD_REQUEST ? CLI_USAGE : CLI_FAILED) : code;
}
