/*
 * fsutil.c - whole reads, atomic writes, folders; see fsutil.h.
 */
#include "lib/fsutil.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define TREE_DEPTH_MAX 256 /* one descriptor each */

int file_read(const char *path, struct buf *out, struct error *e)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char piece[16384];
	ssize_t n;

	if (fd < 0)
		return error_set_errno(e, errno, "cannot open %s", path);
	while ((n = read(fd, piece, sizeof(piece))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(e, errno, "cannot read %s", path);
		buf_add(out, piece, (size_t)n);
		if (out->over)
			return error_set(e, E_TOO_LARGE, "%s is larger than %zu bytes", path, out->max);
	}
	return 0;
}

int fd_write_all(int fd, const void *data, size_t len, struct error *e)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(e, errno, "write failed");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int sync_parent(const char *path, struct error *e)
{
	const char *slash = strrchr(path, '/');
	_free_ char *dir = slash == path ? xstrdup("/") : slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
	_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd))
		return error_set_errno(e, errno, "cannot sync %s", dir);
	return 0;
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, struct error *e)
{
	_free_ char *temporary = xasprintf("%s.new-XXXXXX", path);
	_close_ int fd = mkostemp(temporary, O_CLOEXEC);
	int r;

	if (fd < 0)
		return error_set_errno(e, errno, "cannot create %s", temporary);
	r = fd_write_all(fd, data, len, e);
	if (r)
		error_prefix(e, "%s", path);
	if (!r && (fchmod(fd, mode) || fsync(fd) || rename(temporary, path)))
		r = error_set_errno(e, errno, "cannot write %s", path);
	if (r) {
		unlink(temporary);
		return r;
	}
	return sync_parent(path, e);
}

int dir_make(const char *path, mode_t mode, struct error *e)
{
	_free_ char *p = xstrdup(path);
	struct stat st;

	for (size_t at = strspn(p, "/"); p[at];) {
		at += strcspn(p + at, "/");
		char c = p[at];

		p[at] = '\0';
		if (mkdir(p, mode) && errno != EEXIST)
			return error_set_errno(e, errno, "cannot create the folder %s", p);
		p[at] = c;
		at += strspn(p + at, "/");
	}
	if (stat(path, &st))
		return error_set_errno(e, errno, "cannot create the folder %s", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(e, E_IO, "%s is not a folder", path);
	return 0;
}

/* ---- removing trees ---- */

static int remove_at(int parent, const char *name, dev_t device, unsigned depth, struct error *e);

/* Empties the open folder, which this function closes. */
static int empty_folder(int fd, dev_t device, unsigned depth, struct error *e)
{
	DIR *dir = fdopendir(fd);
	struct dirent *d;
	int r = 0;

	if (!dir) {
		r = error_set_errno(e, errno, "cannot list a folder");
		close(fd);
		return r;
	}
	while (!r && (d = readdir(dir)))
		if (!streq(d->d_name, ".") && !streq(d->d_name, ".."))
			r = remove_at(fd, d->d_name, device, depth + 1, e);
	closedir(dir);
	return r;
}

/* device 0: take that of the folder itself. */
static int remove_at(int parent, const char *name, dev_t device, unsigned depth, struct error *e)
{
	struct stat st;
	int fd, r;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return error_set_errno(e, errno, "cannot remove %s", name);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_set_errno(e, errno, "cannot remove %s", name);
	if (fstat(fd, &st) || depth > TREE_DEPTH_MAX || (device && st.st_dev != device)) {
		r = error_set(e, E_IO, "cannot remove %s: %s", name,
			      depth > TREE_DEPTH_MAX ? "nested too deep" : "another file system is mounted there");
		close(fd);
		return r;
	}
	r = empty_folder(fd, st.st_dev, depth, e);
	if (r)
		return error_prefix(e, "%s", name);
	if (unlinkat(parent, name, AT_REMOVEDIR) && errno != ENOENT)
		return error_set_errno(e, errno, "cannot remove %s", name);
	return 0;
}

int tree_remove(const char *path, struct error *e)
{
	struct error local;

	return remove_at(AT_FDCWD, path, 0, 0, e ? e : &local);
}
