/*
 * disk.c - mkfs once for each size, a sparse copy for each VM (a few milliseconds: an empty ext4 holds about 1 MiB).
 */
#include "agent/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "agent/command.h"
#include "lib/fsutil.h"

#define DISK_MIN (INT64_C(16) << 20) /* less is no ext4 worth its name */

static int make_template(const char *path, int64_t bytes, struct error *e)
{
	_free_ char *tmp = xasprintf("%s.tmp", path);
	const char *argv[] = {
		"mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0",
		"-m",	     "0",  tmp,	 NULL};
	_close_ int fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, bytes) < 0)
		return error_set_errno(e, errno, "%s", tmp);
	int r = command_run(argv, NULL, 0, e);
	if (r < 0)
		return r;
	return rename(tmp, path) < 0 ? error_set_errno(e, errno, "%s", path) : 0;
}

static int ensure_template(const char *state_dir, int64_t bytes, char **ret, struct error *e)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	_free_ char *dir = xasprintf("%s/templates", state_dir);
	_free_ char *path = xasprintf("%s/ext4-%" PRId64 ".img", dir, bytes);
	int r = 0;

	pthread_mutex_lock(&lock);
	if (access(path, F_OK) < 0 && (r = dir_make(dir, 0700, e)) == 0)
		r = make_template(path, bytes, e);
	pthread_mutex_unlock(&lock);
	if (r == 0)
		*ret = steal(&path);
	return r;
}

static int copy_range(int from, int to, off_t start, off_t end, struct error *e)
{
	off_t in = start, out = start;

	while (in < end) {
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - in), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set_errno(e, n < 0 ? errno : EIO, "copy of the empty disk");
	}
	return 0;
}

static int copy_sparse(int from, int to, off_t size, struct error *e)
{
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	if (ftruncate(to, size) < 0)
		return error_set_errno(e, errno, "disk of %" PRId64 " bytes", (int64_t)size);
	for (off_t at = 0; (at = lseek(from, at, SEEK_DATA)) >= 0;) {
		off_t end = lseek(from, at, SEEK_HOLE);
		int r = copy_range(from, to, at, end, e);
		if (r < 0)
			return r;
		at = end;
	}
	return errno == ENXIO ? 0 : error_set_errno(e, errno, "copy of the empty disk");
}

int disk_create(const char *state_dir, const char *path, int64_t bytes, struct error *e)
{
	_free_ char *template = NULL;
	struct stat st;
	int r = ensure_template(state_dir, bytes < DISK_MIN ? DISK_MIN : bytes, &template, e);

	if (r < 0)
		return error_prefix(e, "disk");
	unlink(path);
	_close_ int from = open(template, O_RDONLY | O_CLOEXEC);
	_close_ int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (from < 0 || to < 0 || fstat(from, &st) < 0)
		return error_set_errno(e, errno, "disk %s", path);
	return copy_sparse(from, to, st.st_size, e);
}
