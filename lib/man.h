/*
 * man.h - manual pages in roff's man macros, rendered from the option tables that --help is printed from.
 *
 * A page is what man_begin() opens, then sections, commands and options in any order. Everything is appended to the
 * caller's buffer; check out->over at the end. `make man` runs each program with --man, which prints its page, or one
 * command's part of it; docs/hacking.md, "Manual pages".
 *
 * Used by lib/options.c, apiserver, agent and cli.
 */
#ifndef BERTH_LIB_MAN_H
#define BERTH_LIB_MAN_H

#include "lib/buf.h"
#include "lib/options.h"

#define MAN_PAGE_MAX (1U << 20)

/* NAME, SYNOPSIS and DESCRIPTION. The summary's first line is the name's; usage is without the program. */
void man_begin(struct buf *out, const char *program, int section, const char *usage, const char *summary);
/* A heading and its text, which may be NULL. */
void man_section(struct buf *out, const char *title, const char *text);
/* A command with its flags (may be NULL): usage "berthctl get TYPE", and what it does. */
void man_command(struct buf *out, const char *usage, const char *summary, const struct option_spec *options);
void man_options(struct buf *out, const struct option_spec *options);

/* Was the program started as "PROGRAM --man"? */
bool man_wanted(int argc, char **argv);
/* On standard output: a daemon's page (section 8), or, for a program with a space in its name ("berth-gateway stop"),
 * that command's part of it. */
void man_print(const char *program, const char *usage, const char *summary, const struct option_spec *options);

#endif
