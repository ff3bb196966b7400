/*
 * main.c - berthctl: finding the command, the global flags, printing the error.
 */
#include "cli/cli.h"
#include "lib/man.h"

#include <stdio.h>

static const char summary[] = "berthctl controls Berth: VM-isolated containers, one instance an ID.";
static const char closing[] = "Names of types, columns and fields are the server's: see `kubectl explain container`.";

static void print_help(const struct option_spec *global)
{
	printf("%s\n\nUsage: berthctl COMMAND [flags]\n\nCommands:\n", summary);
	for (const struct command *c = commands; c->name; c++)
		printf("  %-11s %s\n", c->name, c->summary);
	printf("\nFlags of every command:\n");
	options_help(global);
	printf("\n%s\n", closing);
}

static void print_manual(struct cli *c, const struct option_spec *global)
{
	_buf_ out = BUF_INIT(MAN_PAGE_MAX);

	man_begin(&out, "berthctl", 1, "COMMAND [flags]",
		  "Controls Berth: VM-isolated containers, one instance an ID.");
	man_section(&out, "COMMANDS", NULL);
	for (const struct command *k = commands; k->name; k++)
		man_command(&out, arena_printf(c->arena, "berthctl %s %s", k->name, k->arguments),
			    arena_printf(c->arena, "%s.", k->summary), k->options);
	man_section(&out, "FLAGS OF EVERY COMMAND", NULL);
	man_options(&out, global);
	man_section(&out, "EXIT STATUS",
		    "0 when done, 1 when it failed, 2 for wrong usage, 124 when --timeout passed, 130 after Ctrl-C. "
		    "exec ends with the exit status of its command.");
	man_section(&out, "ENVIRONMENT",
		    "KUBECONFIG: kubeconfig files, separated by colons.\n"
		    "BERTH_REGISTRY: HOST[:PORT][/PATH] that build and deploy push to.\n"
		    "NO_COLOR: when set, no colours.");
	man_section(&out, "NOTES", closing);
	fwrite(out.data, 1, out.len, stdout);
}

/* Global flags may stand before the command, as in kubectl. */
static int leading_flags(struct cli *c, int argc, char **argv, int *ret_command, struct error *e)
{
	bool help = false, version = false;
	struct option_spec specs[CLI_GLOBAL_OPTIONS_MAX];

	cli_global_options(c, &help, &version, specs);
	if (man_wanted(argc, argv)) {
		print_manual(c, specs);
		exit(0);
	}
	const char **args = arena_calloc(c->arena, (size_t)(argc + 1) * sizeof(*args));
	int count = 0, r = options_parse(specs, argc, argv, true, args, &count, e);

	if (r)
		return r;
	if (version) {
		version_print("berthctl");
		exit(0);
	}
	if (help || !count) {
		print_help(specs);
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
		cmd = command_find(argv[at]);
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
