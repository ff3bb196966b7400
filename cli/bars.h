/*
 * bars.h - progress on standard error: live bars on a terminal, a line for each change elsewhere.
 */
#ifndef BERTH_CLI_BARS_H
#define BERTH_CLI_BARS_H

#include "cli/progress.h"

struct bars {
	struct arena *arena;
	bool live;	    /* a terminal that can move its cursor */
	size_t drawn;	    /* lines that stand on the terminal */
	struct json *lines; /* label → what was printed of it last, when not live */
};

void bars_init(struct bars *b, struct arena *a, bool live);
struct bars_size {
	size_t columns, lines;
};
/* What to write for a new look at the rows. On a terminal of that size no line wraps, and no more rows are drawn than
 * it has lines to go back over. */
void bars_update(struct bars *b, const struct progress_row *rows, size_t count, struct bars_size size, struct buf *out);
/* Of the terminal on standard error, 80 by 24 when it does not say. */
struct bars_size bars_terminal_size(void);
/* Is standard error a terminal that can show them? */
bool bars_can_live(void);

#endif
