/*
 * bars.c - drawing rows over those drawn before; see bars.h. Source of the escape sequences: ECMA-48, CUU and ED.
 */
#include "cli/bars.h"

#include <ctype.h>
#include <sys/ioctl.h>

#define BAR_CELLS 24
#define LABEL_MIN 16U
#define PLAIN_STEP 10 /* percent between two plain lines of a row */

void bars_init(struct bars *b, struct arena *a, bool live)
{
	*b = (struct bars){.arena = a, .live = live, .lines = json_object(a)};
}

struct bars_size bars_terminal_size(void)
{
	struct winsize ws;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) || !ws.ws_col || !ws.ws_row)
		return (struct bars_size){.columns = 80, .lines = 24};
	return (struct bars_size){.columns = ws.ws_col, .lines = ws.ws_row};
}

bool bars_can_live(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && term && *term && !streq(term, "dumb");
}

/* At most `room` columns of it; statuses hold what users chose, and nothing of it may steer the terminal. A character
 * of several bytes counts as one column, and is not cut. */
static size_t add_cut(struct buf *out, const char *s, size_t room)
{
	size_t used = 0;

	for (; *s; s++) {
		bool begins = ((unsigned char)*s & 0xc0) != 0x80;

		if (begins && used == room)
			break;
		used += begins;
		buf_addc(out, iscntrl((unsigned char)*s) ? '?' : *s);
	}
	return used;
}

static void add_bar(struct buf *out, const struct progress_row *row, size_t label_width, size_t columns)
{
	int percent = row->percent < 0 ? 0 : row->percent > 100 ? 100 : row->percent, full = percent * BAR_CELLS / 100;
	_buf_ line = BUF_INIT(65536);

	size_t used = add_cut(&line, row->label, label_width);

	buf_addf(&line, "%*s [", (int)(label_width - used), "");
	for (int i = 0; i < BAR_CELLS; i++)
		buf_addc(&line, i < full ? '#' : '.');
	buf_addf(&line, "] %3d%%  ", percent);
	buf_adds(&line, row->text);
	add_cut(out, line.data, columns > 1 ? columns - 1 : 1); /* a line that fills the last column may wrap */
	buf_addc(out, '\n');
}

static void draw(struct bars *b, const struct progress_row *rows, size_t count, struct bars_size size, struct buf *out)
{
	size_t width = LABEL_MIN, columns = size.columns;
	size_t room = size.lines > 1 ? size.lines - 1 : 1; /* the cursor stands below the last one */

	if (count > room)
		count = room;
	for (size_t i = 0; i < count; i++)
		if (strlen(rows[i].label) > width)
			width = strlen(rows[i].label);
	if (width > columns / 3 && columns / 3 > LABEL_MIN)
		width = columns / 3;
	if (b->drawn)
		buf_addf(out, "\033[%zuA\r\033[J", b->drawn);
	for (size_t i = 0; i < count; i++)
		add_bar(out, &rows[i], width, columns);
	b->drawn = count;
}

static void say_changes(struct bars *b, const struct progress_row *rows, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		const char *key = arena_printf(b->arena, "%d %s", rows[i].percent / PLAIN_STEP, rows[i].text);

		if (streq(json_str(json_get(b->lines, rows[i].label)), key))
			continue;
		json_set_str(b->arena, b->lines, rows[i].label, key);
		add_cut(out, rows[i].label, SIZE_MAX);
		buf_addf(out, ": %d%%  ", rows[i].percent);
		add_cut(out, rows[i].text, SIZE_MAX);
		buf_addc(out, '\n');
	}
}

void bars_update(struct bars *b, const struct progress_row *rows, size_t count, struct bars_size size, struct buf *out)
{
	if (b->live)
		draw(b, rows, count, size, out);
	else
		say_changes(b, rows, count, out);
}
