/*
 * command.h - runs one of the host's own tools (nft, mkfs.ext4) and waits for it.
 *
 * Blocking: called on worker threads or before the loop runs. No shell is involved.
 */
#ifndef BERTH_AGENT_COMMAND_H
#define BERTH_AGENT_COMMAND_H

#include "lib/error.h"

/* Runs argv[0] (found in PATH) with input (may be NULL) on its standard input. A non-zero exit is E_INTERNAL with the
 * first 600 bytes of its standard error. */
int command_run(const char *const argv[], const char *input, size_t input_len, struct error *e);

#endif
