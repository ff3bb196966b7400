/*
 * man.c - rendering tables as roff; see man.h. Source of the macros: man(7).
 */
#include "lib/man.h"

#include <ctype.h>
#include <stdio.h>

/* Text may not look like a request (a dot or quote begins a line) nor hold bare backslashes and minus signs. */
static void add_text(struct buf *out, const char *s)
{
	bool line_begins = out->len == 0 || out->data[out->len - 1] == '\n';

	for (; *s; s++) {
		if (line_begins && (*s == '.' || *s == '\''))
			buf_adds(out, "\\&");
		if (*s == '\\')
			buf_adds(out, "\\e");
		else if (*s == '-')
			buf_adds(out, "\\-");
		else
			buf_addc(out, *s);
		line_begins = *s == '\n';
	}
}

/* Lines as written, without blanks at their begin nor empty ones at the end; an empty line begins a paragraph. */
static void add_lines(struct buf *out, const char *text)
{
	_free_ char *whole = xstrdup(text);
	bool follows = false;

	for (char *rest = whole, *line; (line = strsep(&rest, "\n"));) {
		line += strspn(line, " ");
		if (*line) {
			if (follows)
				buf_adds(out, ".br\n");
			add_text(out, line);
			buf_addc(out, '\n');
		} else if (follows && rest && *rest) {
			buf_adds(out, ".PP\n");
		}
		follows = *line != '\0';
	}
}

void man_section(struct buf *out, const char *title, const char *text)
{
	buf_addf(out, ".SH %s\n", title);
	if (text)
		add_lines(out, text);
}

void man_begin(struct buf *out, const char *program, int section, const char *usage, const char *summary)
{
	_free_ char *first = xstrndup(summary, strcspn(summary, "\n")), *title = xstrdup(program);
	size_t len = strlen(first);

	if (len && (first[len - 1] == '.' || first[len - 1] == ':'))
		first[len - 1] = '\0';
	*first = (char)tolower((unsigned char)*first); /* man-pages(7): "program - does this and that" */
	for (char *p = title; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	buf_addf(out, ".TH %s %d " BERTH_RELEASED " \"berth " BERTH_VERSION "\" Berth\n.SH NAME\n", title, section);
	add_text(out, program);
	buf_adds(out, " \\- ");
	add_text(out, first);
	buf_adds(out, "\n.SH SYNOPSIS\n.B ");
	add_text(out, program);
	buf_addc(out, '\n');
	add_lines(out, usage);
	man_section(out, "DESCRIPTION", summary);
}

void man_command(struct buf *out, const char *usage, const char *summary, const struct option_spec *options)
{
	buf_adds(out, ".SS \"");
	add_text(out, usage);
	buf_adds(out, "\"\n");
	add_lines(out, summary);
	if (options)
		man_options(out, options);
}

void man_options(struct buf *out, const struct option_spec *options)
{
	for (const struct option_spec *s = options; s->name; s++) {
		buf_adds(out, ".TP\n");
		if (s->letter)
			buf_addf(out, "\\fB\\-%c\\fR, ", s->letter);
		buf_adds(out, "\\fB\\-\\-");
		add_text(out, s->name);
		buf_adds(out, "\\fR");
		if (s->argument) {
			buf_adds(out, " \\fI");
			add_text(out, s->argument);
			buf_adds(out, "\\fR");
		}
		buf_addc(out, '\n');
		add_text(out, s->help);
		buf_addc(out, '\n');
	}
}

bool man_wanted(int argc, char **argv)
{
	return argc == 2 && streq(argv[1], "--man");
}

void man_print(const char *program, const char *usage, const char *summary, const struct option_spec *options)
{
	_buf_ out = BUF_INIT(MAN_PAGE_MAX);

	if (strchr(program, ' ')) {
		_free_ char *whole = xasprintf("%s %s", program, usage);

		man_command(&out, whole, summary, options);
	} else {
		man_begin(&out, program, 8, usage, summary);
		man_section(&out, "OPTIONS", NULL);
		man_options(&out, options);
	}
	fwrite(out.data, 1, out.len, stdout);
}
