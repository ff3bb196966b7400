/*
 * command.c - posix_spawn with a file as standard input and a file as standard error.
 *
 * Both are memfds, so nothing can block on a full pipe and one wait is enough.
 */
#include "agent/command.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/fsutil.h"

#define COMMAND_ERROR_TEXT_MAX 600

extern char **environ;

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int spawn(const char *const argv[], int in, int out, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, defaults;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, out, 2);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int r = posix_spawnp(ret_pid, argv[0], &actions, &attr, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return r;
}

int command_run(const char *const argv[], const char *input, size_t input_len, struct error *e)
{
	_close_ int in = memfd_create("command-in", MFD_CLOEXEC);
	_close_ int out = memfd_create("command-out", MFD_CLOEXEC);
	char text[COMMAND_ERROR_TEXT_MAX + 1];
	pid_t pid;

	if (in < 0 || out < 0)
		return error_set_errno(e, errno, "%s", argv[0]);
	if (input_len && fd_write_all(in, input, input_len, e) < 0)
		return error_prefix(e, "%s", argv[0]);
	lseek(in, 0, SEEK_SET);
	int r = spawn(argv, in, out, &pid);
	if (r)
		return error_set_errno(e, r, "cannot run %s (is its package installed?)", argv[0]);
	int code = wait_for(pid);
	if (code == 0)
		return 0;
	ssize_t n = pread(out, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = 0;
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = ' ';
	return error_set(e, E_INTERNAL, "%s ended with %d: %s", argv[0], code, text);
}
