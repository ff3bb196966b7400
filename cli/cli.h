/*
 * cli.h - what every command of berthctl shares: the connection, the global flags, and the table of commands.
 *
 * A command is a function over its own arguments. It prints its result on standard output and everything else on
 * standard error, and returns an exit code (0, or 1 with *e filled, or 2 for wrong usage). Strings live in the
 * context's arena.
 */
#ifndef BERTH_CLI_CLI_H
#define BERTH_CLI_CLI_H

#include "lib/kube.h"
#include "lib/options.h"

struct cli {
	struct arena *arena;
	struct kube_config config;
	struct kube *kube; /* connected on first use by cli_connect() */
	const char *kubeconfig, *context, *namespace, *server_flag, *token_flag;
	bool colour;		/* standard output is a terminal and NO_COLOR is not set */
	struct json *discovery; /* array of resources, fetched on first use; see resource.h */
};

struct command {
	const char *name;
	const char *arguments; /* "TYPE [NAME...]" */
	const char *summary;
	int (*run)(struct cli *c, int argc, char **argv, struct error *e);
	const struct option_spec *options; /* besides the global ones; NULL for none */
};
extern const struct command commands[];		      /* ends with an empty name */
const struct command *command_find(const char *name); /* NULL when there is none */

#define CLI_OK 0
#define CLI_FAILED 1
#define CLI_USAGE 2
#define CLI_TIMED_OUT 124   /* as timeout(1) */
#define CLI_INTERRUPTED 130 /* as a shell says it of SIGINT */

/* Flags of every command, into ret; help and version may be NULL, and are then left out. */
#define CLI_GLOBAL_OPTIONS_MAX 6
void cli_global_options(struct cli *c, bool *help, bool *version, struct option_spec ret[CLI_GLOBAL_OPTIONS_MAX]);
/* Parses a command's flags plus the global ones; --help prints and exits. *ret_args has argc entries of room. */
int cli_parse(struct cli *c, const char *command, bool stop_at_positional, int argc, char **argv,
	      const char ***ret_args, int *ret_count, struct error *e);
int cli_connect(struct cli *c, struct error *e);
/* Fails with usage text when the number of arguments is not within [min, max]. */
int cli_want_args(const char *command, int count, int min, int max, struct error *e);

int cmd_get(struct cli *c, int argc, char **argv, struct error *e);
int cmd_describe(struct cli *c, int argc, char **argv, struct error *e);
int cmd_apply(struct cli *c, int argc, char **argv, struct error *e);
int cmd_deploy(struct cli *c, int argc, char **argv, struct error *e);
int cmd_build(struct cli *c, int argc, char **argv, struct error *e);
int cmd_delete(struct cli *c, int argc, char **argv, struct error *e);
int cmd_logs(struct cli *c, int argc, char **argv, struct error *e);
int cmd_exec(struct cli *c, int argc, char **argv, struct error *e);
int cmd_wait(struct cli *c, int argc, char **argv, struct error *e);
int cmd_top(struct cli *c, int argc, char **argv, struct error *e);
int cmd_explain(struct cli *c, int argc, char **argv, struct error *e);
int cmd_why_not(struct cli *c, int argc, char **argv, struct error *e);
int cmd_completion(struct cli *c, int argc, char **argv, struct error *e);
int cmd_version(struct cli *c, int argc, char **argv, struct error *e);

extern const struct option_spec cmd_get_options[], cmd_apply_options[], cmd_deploy_options[], cmd_build_options[],
	cmd_delete_options[], cmd_logs_options[], cmd_exec_options[], cmd_wait_options[], cmd_explain_options[];

#endif
