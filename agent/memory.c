/*
 * memory.c - reads /proc/self/smaps and drops the file mappings that hold nothing of this process's own.
 *
 * A mapping is dropped only when it is of a file, not writable, and without private pages: then every page of it can be
 * read again. (The relocated tables of libraries are not writable either, but they are private.)
 */
#include "agent/memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/mman.h>

#include "lib/buf.h"
#include "lib/fsutil.h"

#define SMAPS_MAX (1U << 20)

struct mapping {
	uintptr_t start, end;
	bool candidate;
};

static void drop(const struct mapping *m)
{
	if (m->candidate)
		(void)madvise((void *)m->start, m->end - m->start,
			      MADV_DONTNEED); /* nothing is lost when it does not */
}

/* "7f00-7f10 r-xp 00000000 fe:00 123   /usr/lib/x.so" begins a mapping; the lines up to the next one describe it. */
static bool parse_head(const char *line, struct mapping *ret)
{
	char mode[5];
	unsigned long inode;
	uintptr_t start, end;

	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %lu", &start, &end, mode, &inode) != 4)
		return false;
	*ret = (struct mapping){start, end, inode != 0 && mode[1] == '-' && mode[3] == 'p'};
	return true;
}

void memory_trim(void)
{
	_buf_ text = BUF_INIT(SMAPS_MAX);
	struct mapping now = {0}, next;
	unsigned long kib;

	malloc_trim(64 * 1024);
	if (file_read("/proc/self/smaps", &text, NULL) < 0 || !text.data)
		return;
	for (const char *line = text.data; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (parse_head(line, &next)) {
			drop(&now);
			now = next;
		} else if ((sscanf(line, "Private_Dirty: %lu", &kib) == 1 ||
			    sscanf(line, "Anonymous: %lu", &kib) == 1 || sscanf(line, "Locked: %lu", &kib) == 1) &&
			   kib) {
			now.candidate = false;
		}
	}
	drop(&now);
}
