/*
 * options.h - command-line flags as a table: one declaration gives parsing, --help, --version, shell completion and
 * manual pages (man.h).
 *
 *     static const struct option_spec options[] = {
 *             {"state-dir", 's', OPT_STRING, &cfg.state_dir, "DIR", "Folder for everything this process keeps"},
 *             {"verbose", 'v', OPT_BOOL, &cfg.verbose, NULL, "Log more"},
 *             {0}};
 *
 * Long flags take "--name value" and "--name=value"; bools take "--name" and "--name=false"; "--" ends the flags.
 * Values keep their defaults when a flag is absent; strings point into argv.
 *
 * Anyone may include this file.
 */
#ifndef BERTH_LIB_OPTIONS_H
#define BERTH_LIB_OPTIONS_H

#include "lib/error.h"

enum option_type {
	OPT_BOOL,     /* bool * */
	OPT_STRING,   /* const char ** */
	OPT_INT,      /* int64_t * */
	OPT_DURATION, /* int64_t *, milliseconds; "10s" */
	OPT_QUANTITY, /* int64_t *, whole units; "10Gi" */
	OPT_LIST,     /* struct option_list *, may be repeated */
};

#define OPTION_LIST_MAX 64
struct option_list {
	const char *items[OPTION_LIST_MAX];
	size_t count;
};

struct option_spec {
	const char *name; /* without dashes; NULL ends the table */
	char letter;	  /* short form, 0 for none */
	enum option_type type;
	void *value;
	const char *argument; /* what --help calls the value, NULL for bools */
	const char *help;
};

/* Parses argv[1..argc). Positional arguments are moved, in order, to args (room for argc), their number to *ret_nargs.
 * With stop_at_first_positional everything from the first one on is positional (for subcommands and exec).
 * Errors: E_BAD_REQUEST naming the flag, with the nearest known flag as a suggestion. */
int options_parse(const struct option_spec *specs, int argc, char **argv, bool stop_at_first_positional,
		  const char **args, int *ret_nargs, struct error *e);
/* The aligned flag list for --help, on standard output. */
void options_help(const struct option_spec *specs);
/* For daemons: parses, answers --help and --version by itself and exits, exits with 2 and a message on bad flags or on
 * positional arguments. summary is the first lines of --help. */
void options_parse_or_exit(const char *program, const char *summary, const struct option_spec *specs, int argc,
			   char **argv);

#endif
