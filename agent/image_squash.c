/*
 * image_squash.c - sqfstar as a child process; see image_squash.h.
 */
#include "agent/image_squash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define PROGRAM "sqfstar"
#define PIPE_SIZE (1 << 20)
#define MEMORY_MAX (UINT64_C(4) << 30) /* address space; what it really uses is bounded by -mem and the entries */
#define THREADS_MAX 4L
#define WORDS_MAX 4096

struct image_squash {
	pid_t pid;
	int input;  /* our end of the pipe */
	int output; /* a memory file with what it printed */
};

/* The end of what it printed. */
static void read_words(const struct image_squash *s, char out[WORDS_MAX])
{
	off_t size = lseek(s->output, 0, SEEK_END);
	ssize_t n = pread(s->output, out, WORDS_MAX - 1, size > WORDS_MAX - 1 ? size - (WORDS_MAX - 1) : 0);

	while (n > 0 && strchr("\r\n ", out[n - 1]))
		n--;
	out[n > 0 ? n : 0] = '\0';
}

/* The line that says what was fatal, else the last one. */
static const char *fatal_line(char *words)
{
	static const char mark[] = "FATAL ERROR:";
	char *line = strstr(words, mark);

	if (line)
		line += strlen(mark);
	else
		line = (line = strrchr(words, '\n')) ? line + 1 : words;
	line += strspn(line, " ");
	line[strcspn(line, "\n")] = '\0';
	return *line ? line : "no reason given";
}

static int failed(const struct image_squash *s, int status, struct error *e)
{
	char words[WORDS_MAX];

	read_words(s, words);
	if (strstr(words, "No space left on device") || (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ))
		return error_set(e, E_NO_SPACE, "no space left for the image's file system");
	if (WIFSIGNALED(status))
		return error_set(e, E_IO, PROGRAM " was ended by signal %d", WTERMSIG(status));
	return error_set(e, E_IO, PROGRAM " failed: %s", fatal_line(words));
}

static void release(struct image_squash *s)
{
	if (s->input >= 0)
		close(s->input);
	if (s->output >= 0)
		close(s->output);
	free(s);
}

static int reap(const struct image_squash *s)
{
	int status;

	while (waitpid(s->pid, &status, 0) < 0)
		if (errno != EINTR)
			return 255 << 8; /* nobody knows: not a success */
	return status;
}

/* lz4: reading it back costs a guest almost nothing; docs/images.md has the figures. */
static int spawn(struct image_squash *s, int input, const char *path, const struct image_squash_options *opt)
{
	char mode[16], threads[24], epoch[64];
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	const char *argv[] = {PROGRAM,		"-comp", "lz4",	 "-quiet",	"-no-progress",
			      "-exit-on-error", "-mem",	 "128M", "-processors", threads,
			      "-root-mode",	mode,	 path,	 NULL};
	const char *environment[] = {"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C", epoch, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;

	snprintf(mode, sizeof(mode), "%o", opt->root_mode & 07777);
	snprintf(epoch, sizeof(epoch), "SOURCE_DATE_EPOCH=%lld", (long long)opt->latest);
	snprintf(threads, sizeof(threads), "%ld",
		 processors < 1		    ? 1
		 : processors > THREADS_MAX ? THREADS_MAX
					    : processors);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input, 0);
	posix_spawn_file_actions_adddup2(&actions, s->output, 1);
	posix_spawn_file_actions_adddup2(&actions, s->output, 2);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	int r = posix_spawnp(&s->pid, PROGRAM, &actions, &attr, (char *const *)argv, (char *const *)environment);

	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

int image_squash_start(const char *path, const struct image_squash_options *opt, struct image_squash **ret,
		       struct error *e)
{
	struct image_squash *s = xcalloc(1, sizeof(*s));
	struct rlimit file = {(rlim_t)opt->size_max, (rlim_t)opt->size_max}, memory = {MEMORY_MAX, MEMORY_MAX},
		      core = {0, 0};
	int ends[2] = {-1, -1};
	int r = 0;

	s->input = s->output = -1;
	if (pipe2(ends, O_CLOEXEC) || (s->output = memfd_create("sqfstar", MFD_CLOEXEC)) < 0)
		r = errno;
	s->input = ends[1];
	if (!r)
		fcntl(s->input, F_SETPIPE_SZ, PIPE_SIZE); /* only faster */
	if (!r)
		r = spawn(s, ends[0], path, opt);
	if (ends[0] >= 0)
		close(ends[0]);
	if (r) {
		release(s);
		return r == ENOENT ? error_set(e, E_NOT_FOUND, PROGRAM " is missing; install squashfs-tools")
				   : error_set_errno(e, r, "cannot start " PROGRAM);
	}
	prlimit(s->pid, RLIMIT_FSIZE, &file, NULL);
	prlimit(s->pid, RLIMIT_AS, &memory, NULL);
	prlimit(s->pid, RLIMIT_CORE, &core, NULL);
	*ret = s;
	return 0;
}

/* The child has closed its input before the end: it failed, or is about to. */
static int broken(struct image_squash *s, struct error *e)
{
	kill(s->pid, SIGTERM);
	int status = reap(s);

	s->pid = 0;
	return failed(s, status, e);
}

int image_squash_write(struct image_squash *s, const void *data, size_t len, struct error *e)
{
	sigset_t pipe_signal, old;
	const char *p = data;
	int r = 0;

	/* A broken pipe is an error here, whatever the process does about SIGPIPE elsewhere. */
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_signal, &old);
	while (!r && len) {
		ssize_t n = write(s->input, p, len);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EPIPE) {
			const struct timespec now = {0};

			sigtimedwait(&pipe_signal, NULL, &now);
			r = broken(s, e);
		} else if (n < 0 && errno != EINTR) {
			r = error_set_errno(e, errno, "cannot write to " PROGRAM);
		}
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

int image_squash_finish(struct image_squash *s, struct error *e)
{
	close(s->input);
	s->input = -1;
	int status = reap(s);
	int r = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : failed(s, status, e);

	release(s);
	return r;
}

void image_squash_abort(struct image_squash *s)
{
	if (!s)
		return;
	if (s->pid) {
		kill(s->pid, SIGKILL);
		reap(s);
	}
	release(s);
}
