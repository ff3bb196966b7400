/*
 * program.h - runs the user's own tools (buildah, docker) and waits for them. No shell is involved.
 */
#ifndef BERTH_CLI_PROGRAM_H
#define BERTH_CLI_PROGRAM_H

#include "lib/buf.h"
#include "lib/error.h"

/* Is there a program of that name in PATH? */
bool program_exists(const char *name);
/* Runs argv[0] (found in PATH). What it says on standard error is the user's to see; its standard output is appended to
 * output, or goes to standard error, too, when output is NULL. A non-zero exit is E_INTERNAL naming the exit code. */
int program_run(const char *const argv[], struct buf *output, struct error *e);

#endif
