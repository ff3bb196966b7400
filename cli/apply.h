/*
 * apply.h - server-side apply of one object, field manager "berthctl".
 */
#ifndef BERTH_CLI_APPLY_H
#define BERTH_CLI_APPLY_H

#include "cli/cli.h"

struct apply_options {
	bool force;   /* take over fields that another manager set */
	bool dry_run; /* the server checks, and stores nothing */
};
/* Applies it and prints what became of it, as kubectl does. *ret (may be NULL) is the object as the server has it now.
 * Errors name the object; a conflict says what to do. */
int apply_object(struct cli *c, const struct json *o, const struct apply_options *opt, struct json **ret,
		 struct error *e);

#endif
