/*
 * cmd_completion.c - berthctl completion: scripts for bash, zsh and fish, made from the table of commands and their
 * flags.
 *
 * Types and names are completed by asking the server through berthctl itself.
 */
#include "cli/cli.h"

#include <stdio.h>

#define TYPES "containers instances revisions images locations routes nodes namespaces secrets configmaps events leases"
#define NAMES "berthctl get %s -o name 2>/dev/null | sed 's#.*/##'"
/* What why-not takes: instance/NAME and container/NAME. */
#define TYPED_NAMES "berthctl get instances,containers -o name 2>/dev/null | sed 's#\\.berth\\.dev/#/#'"

static void print_words(void)
{
	for (const struct command *k = commands; k->name; k++)
		printf("%s%s", k == commands ? "" : " ", k->name);
}

static void print_flags(const struct option_spec *options)
{
	for (const struct option_spec *o = options; o && o->name; o++)
		printf("--%s ", o->name);
}

/* case branches "get) flags='--output …' ;;", the same in bash and zsh */
static void print_flag_cases(const struct option_spec *global)
{
	for (const struct command *k = commands; k->name; k++) {
		printf("  %s) flags='", k->name);
		print_flags(k->options);
		print_flags(global);
		printf("' ;;\n");
	}
}

static void print_bash(const struct option_spec *global)
{
	printf("_berthctl() {\n"
	       "  local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[1]} flags=\n"
	       "  if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W '");
	print_words();
	printf("' -- \"$cur\")); return; fi\n"
	       "  case \"$cmd\" in\n");
	print_flag_cases(global);
	printf("  esac\n"
	       "  case \"$cur\" in -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")); return ;; esac\n"
	       "  case \"$cmd:$COMP_CWORD\" in\n"
	       "  explain:2) COMPREPLY=($(compgen -W 'placement' -- \"$cur\")) ;;\n"
	       "  why-not:2) COMPREPLY=($(compgen -W \"$(" TYPED_NAMES ")\" -- \"$cur\")) ;;\n"
	       "  logs:*|exec:2|explain:3) COMPREPLY=($(compgen -W \"$(" NAMES ")\" -- \"$cur\")) ;;\n",
	       "instances");
	printf("  get:2|describe:2|delete:2|wait:2) COMPREPLY=($(compgen -W '" TYPES "' -- \"$cur\")) ;;\n"
	       "  get:*|describe:*|delete:*) COMPREPLY=($(compgen -W \"$(" NAMES ")\" -- \"$cur\")) ;;\n",
	       "\"${COMP_WORDS[2]}\"");
	printf("  top:*) COMPREPLY=($(compgen -W 'nodes instances' -- \"$cur\")) ;;\n"
	       "  completion:*) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")) ;;\n"
	       "  *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
	       "  esac\n}\ncomplete -F _berthctl berthctl\n");
}

/* A quote within single quotes, in any shell: 'it'\''s'. */
static void print_quoted(const char *s)
{
	for (; *s; s++)
		printf(*s == '\'' ? "'\\''" : "%c", *s);
}

/* As a function to be sourced, and as a file _berthctl in $fpath. */
static void print_zsh(const struct option_spec *global)
{
	printf("#compdef berthctl\n"
	       "_berthctl() {\n"
	       "  local flags=\n"
	       "  local -a known\n"
	       "  known=(\n");
	for (const struct command *k = commands; k->name; k++) {
		printf("    '%s:", k->name);
		print_quoted(k->summary);
		printf("'\n");
	}
	printf("  )\n"
	       "  if (( CURRENT == 2 )); then _describe command known; return; fi\n"
	       "  case $words[2] in\n");
	print_flag_cases(global);
	printf("  esac\n"
	       "  if [[ $words[CURRENT] == -* ]]; then compadd -- ${=flags}; return; fi\n"
	       "  case $words[2]:$CURRENT in\n"
	       "  explain:3) compadd -- placement ;;\n"
	       "  why-not:3) compadd -- ${(f)\"$(" TYPED_NAMES ")\"} ;;\n"
	       "  logs:*|exec:3|explain:4) compadd -- ${(f)\"$(" NAMES ")\"} ;;\n",
	       "instances");
	printf("  get:3|describe:3|delete:3|wait:3) compadd -- " TYPES " ;;\n"
	       "  get:*|describe:*|delete:*) compadd -- ${(f)\"$(" NAMES ")\"} ;;\n",
	       "$words[3]");
	printf("  top:*) compadd -- nodes instances ;;\n"
	       "  completion:*) compadd -- bash zsh fish ;;\n"
	       "  *) _files ;;\n"
	       "  esac\n}\n"
	       "if [[ $funcstack[1] == _berthctl ]]; then _berthctl \"$@\"; else compdef _berthctl berthctl; fi\n");
}

static void print_fish_flags(const char *condition, const struct option_spec *options)
{
	for (const struct option_spec *o = options; o && o->name; o++) {
		printf("complete -c berthctl %s -l %s", condition, o->name);
		if (o->letter)
			printf(" -s %c", o->letter);
		printf("%s -d '", o->argument ? " -r" : "");
		for (const char *s = o->help; *s; s++)
			printf(*s == '\'' ? "\\'" : "%c", *s);
		printf("'\n");
	}
}

static void print_fish(struct cli *c, const struct option_spec *global)
{
	printf("complete -c berthctl -n 'not __fish_seen_subcommand_from apply deploy build' -f\n");
	for (const struct command *k = commands; k->name; k++) {
		printf("complete -c berthctl -n __fish_use_subcommand -a %s -d '", k->name);
		for (const char *s = k->summary; *s; s++)
			printf(*s == '\'' ? "\\'" : "%c", *s);
		printf("'\n");
		print_fish_flags(arena_printf(c->arena, "-n '__fish_seen_subcommand_from %s'", k->name), k->options);
	}
	print_fish_flags("", global);
	printf("complete -c berthctl -n '__fish_seen_subcommand_from explain' -a placement\n"
	       "complete -c berthctl -n '__fish_seen_subcommand_from why-not' -a '(berthctl get instances,containers -o "
	       "name 2>/dev/null | string replace \".berth.dev\" \"\")'\n");
	printf("complete -c berthctl -n '__fish_seen_subcommand_from logs exec explain' -a '(berthctl get instances -o name 2>/dev/null "
	       "| string replace -r \".*/\" \"\")'\n"
	       "complete -c berthctl -n '__fish_seen_subcommand_from get describe delete wait' -a '" TYPES "'\n");
}

int cmd_completion(struct cli *c, int argc, char **argv, struct error *e)
{
	struct option_spec global[CLI_GLOBAL_OPTIONS_MAX];
	const char **args;
	bool help;
	int n, r = cli_parse(c, "completion", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("completion", n, 1, 1, e);
	if (r)
		return r;
	cli_global_options(c, &help, NULL, global);
	if (streq(args[0], "bash"))
		print_bash(global);
	else if (streq(args[0], "zsh"))
		print_zsh(global);
	else if (streq(args[0], "fish"))
		print_fish(c, global);
	else
		return error_set(e, E_BAD_REQUEST, "completion is for bash, zsh or fish, not \"%s\"", args[0]);
	return 0;
}
