/*
 * program.c - posix_spawn with a file as standard output; see program.h.
 */
#include "cli/program.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

bool program_exists(const char *name)
{
	const char *path = getenv("PATH");
	_free_ char *whole = xstrdup(path && *path ? path : PATH_DEFAULT);
	char *rest = whole, *folder;

	while ((folder = strsep(&rest, ":"))) {
		_free_ char *file = xasprintf("%s/%s", *folder ? folder : ".", name);

		if (access(file, X_OK) == 0)
			return true;
	}
	return false;
}

static int read_all(int fd, struct buf *out, const char *who, struct error *e)
{
	char piece[65536];
	ssize_t n;

	for (off_t at = 0; (n = pread(fd, piece, sizeof(piece), at)) > 0; at += n)
		buf_add(out, piece, (size_t)n);
	return out->over ? error_set(e, E_TOO_LARGE, "%s wrote more than %zu bytes", who, out->max) : 0;
}

int program_run(const char *const argv[], struct buf *output, struct error *e)
{
	_close_ int captured = output ? memfd_create("output", MFD_CLOEXEC) : -1;
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status;

	if (output && captured < 0)
		return error_set_errno(e, errno, "%s", argv[0]);
	fflush(stdout);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, output ? captured : STDERR_FILENO, STDOUT_FILENO);
	int r = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);

	posix_spawn_file_actions_destroy(&actions);
	if (r)
		return error_set_errno(e, r, "cannot run %s", argv[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(e, errno, "waiting for %s", argv[0]);
	if (WIFSIGNALED(status))
		return error_set(e, E_INTERNAL, "%s %s was ended by signal %d", argv[0], argv[1], WTERMSIG(status));
	if (WEXITSTATUS(status))
		return error_set(e, E_INTERNAL, "%s %s failed with exit code %d; what it says stands above", argv[0],
				 argv[1], WEXITSTATUS(status));
	return output ? read_all(captured, output, argv[0], e) : 0;
}
