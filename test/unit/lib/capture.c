/*
 * capture.c - a descriptor pointed at a file in memory for a while; see capture.h.
 */
#include "test/unit/lib/capture.h"

#include "lib/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

struct capture capture_begin(int fd)
{
	struct capture c = {
		.fd = fd, .saved = fcntl(fd, F_DUPFD_CLOEXEC, 10), .file = memfd_create("capture", MFD_CLOEXEC)};

	fflush(NULL);
	/* Several threads may write: each write(2) goes to the end, whole. */
	if (c.saved < 0 || c.file < 0 || fcntl(c.file, F_SETFL, O_APPEND) || dup2(c.file, fd) < 0)
		abort();
	return c;
}

char *capture_end(struct capture *c)
{
	off_t size;
	char *text;

	fflush(NULL);
	size = lseek(c->file, 0, SEEK_END);
	text = xcalloc((size_t)size + 1, 1);
	if (pread(c->file, text, (size_t)size, 0) != size || dup2(c->saved, c->fd) < 0)
		abort();
	close(c->saved);
	close(c->file);
	return text;
}
