/*
 * golden.h - compares a text with a file below test/golden/, for texts too long to stand in a test.
 *
 *     assert_golden("agent/domain-kvm.xml", text);
 *
 * GOLDEN_UPDATE=1 in the environment writes the file instead; the difference then shows in git and is reviewed like
 * code. Tests run in the repository's root. For test programs only: include it after cmocka.h.
 */
#ifndef BERTH_TEST_GOLDEN_H
#define BERTH_TEST_GOLDEN_H

#include "lib/fsutil.h"

#include <libgen.h>
#include <stdio.h>

#define GOLDEN_MAX (4U << 20)

static inline void golden_update(const char *path, const char *text)
{
	_free_ char *folder = xstrdup(path);
	struct error e = {0};

	if (dir_make(dirname(folder), 0755, &e) || file_write_atomic(path, text, strlen(text), 0644, &e))
		fail_msg("%s", e.text);
}

/* The first line that differs, for the message. */
static inline void golden_report(const char *path, const char *want, const char *text)
{
	unsigned line = 1;
	const char *w = want, *t = text;

	for (; *w && *w == *t; w++, t++)
		line += *w == '\n';
	while (w > want && w[-1] != '\n')
		w--, t--;
	fail_msg(
		"%s differs in line %u:\n  wanted: %.*s\n  is:     %.*s\nGOLDEN_UPDATE=1 writes the new text; see git diff",
		path, line, (int)strcspn(w, "\n"), w, (int)strcspn(t, "\n"), t);
}

static inline void assert_golden(const char *file, const char *text)
{
	_free_ char *path = xasprintf("test/golden/%s", file);
	_buf_ want = BUF_INIT(GOLDEN_MAX);
	struct error e = {0};

	if (getenv("GOLDEN_UPDATE")) {
		golden_update(path, text);
		return;
	}
	if (file_read(path, &want, &e))
		fail_msg("%s (GOLDEN_UPDATE=1 makes it)", e.text);
	if (strcmp(want.data ? want.data : "", text) != 0)
		golden_report(path, want.data ? want.data : "", text);
}

#endif
