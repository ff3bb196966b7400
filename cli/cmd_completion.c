/*
 * cmd_completion.c - berthctl completion: scripts for bash, zsh and fish, made from the table of commands.
 *
 * Types and names are completed by asking the server through berthctl itself.
 */
#include "cli/cli.h"

#include <stdio.h>

static void print_words(void)
{
	for (const struct command *k = commands; k->name; k++)
		printf("%s%s", k == commands ? "" : " ", k->name);
}

static void print_bash(void)
{
	printf("_berthctl() {\n"
	       "  local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[1]}\n"
	       "  if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W '");
	print_words();
	printf("' -- \"$cur\")); return; fi\n"
	       "  case \"$cmd:$COMP_CWORD\" in\n"
	       "  logs:*|exec:2) COMPREPLY=($(compgen -W \"$(berthctl get instances -o name 2>/dev/null | sed 's#.*/##')\" -- \"$cur\")) ;;\n"
	       "  get:2|describe:2|delete:2|wait:2) COMPREPLY=($(compgen -W 'containers instances revisions images locations "
	       "routes nodes namespaces secrets configmaps events leases' -- \"$cur\")) ;;\n"
	       "  get:*|describe:*|delete:*) COMPREPLY=($(compgen -W \"$(berthctl get \"${COMP_WORDS[2]}\" -o name 2>/dev/null | "
	       "sed 's#.*/##')\" -- \"$cur\")) ;;\n"
	       "  top:*) COMPREPLY=($(compgen -W 'nodes instances' -- \"$cur\")) ;;\n"
	       "  completion:*) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")) ;;\n"
	       "  *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
	       "  esac\n}\ncomplete -F _berthctl berthctl\n");
}

static void print_fish(void)
{
	printf("complete -c berthctl -f\n");
	for (const struct command *k = commands; k->name; k++)
		printf("complete -c berthctl -n __fish_use_subcommand -a %s -d '%s'\n", k->name, k->summary);
	printf("complete -c berthctl -n '__fish_seen_subcommand_from logs exec' -a '(berthctl get instances -o name 2>/dev/null "
	       "| string replace -r \".*/\" \"\")'\n"
	       "complete -c berthctl -n '__fish_seen_subcommand_from get describe delete wait' -a 'containers instances revisions "
	       "images locations routes nodes namespaces'\n");
}

int cmd_completion(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	int n, r = cli_parse(c, "completion", NULL, false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("completion", n, 1, 1, e);
	if (r)
		return r;
	if (streq(args[0], "bash")) {
		print_bash();
	} else if (streq(args[0], "zsh")) {
		printf("autoload -U +X bashcompinit && bashcompinit\n");
		print_bash();
	} else if (streq(args[0], "fish")) {
		print_fish();
	} else {
		return error_set(e, E_BAD_REQUEST, "completion is for bash, zsh or fish, not \"%s\"", args[0]);
	}
	return 0;
}
