/*
 * spawn.c - the child's way from fork to exec; see spawn.h.
 */
#include "guest/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "guest/files.h"
#include "guest/user.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define OPEN_FILES_SOFT 65536U
#define OPEN_FILES_HARD 1048576U
#define ENV_EXTRA 4U

static _Noreturn void give_up(const struct spawn *s, int code, const char *fmt, ...) _printf_(3, 4);

static _Noreturn void give_up(const struct spawn *s, int code, const char *fmt, ...)
{
	struct spawn_failure failure = {0};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(failure.why, sizeof(failure.why), fmt, ap);
	va_end(ap);
	/* Less than PIPE_BUF, so whole or not at all; without it there is still the exit code. */
	(void)!write(s->status, &failure, sizeof(failure));
	_exit(code);
}

static void reset_signals(void)
{
	struct sigaction plain = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int n = 1; n < NSIG; n++)
		(void)sigaction(n, &plain, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void set_limits(void)
{
	struct rlimit files = {OPEN_FILES_SOFT, OPEN_FILES_HARD};
	struct rlimit core = {0, RLIM_INFINITY};

	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)setrlimit(RLIMIT_CORE, &core);
	umask(022);
}

static void set_stdio(const struct spawn *s, const struct user *u)
{
	const int given[3] = {s->in, s->out, s->err};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; i < 3; i++) {
		int fd = given[i] >= 0 ? given[i] : null;

		if (fd < 0 || dup2(fd, i) < 0)
			give_up(s, SPAWN_CODE_FAILED, "cannot open /dev/null: %s", strerror(errno));
		/* So that the program may open /dev/stdout again. */
		if (given[i] >= 0)
			(void)!fchown(i, u->uid, u->gid);
	}
	if (s->own->tty && ioctl(0, TIOCSCTTY, 0) < 0)
		give_up(s, SPAWN_CODE_FAILED, "cannot take the terminal: %s", strerror(errno));
}

static const char *first_set(const char *a, const char *b, const char *otherwise)
{
	if (a[0])
		return a;
	return b && b[0] ? b : otherwise;
}

static void enter_folder(const struct spawn *s)
{
	const char *cwd = first_set(s->own->cwd, s->base ? s->base->cwd : NULL, "/");
	int r;

	for (size_t i = 0; i < s->own->volumes.count; i++) {
		r = dir_make(s->own->volumes.at[i]);
		if (r < 0)
			give_up(s, SPAWN_CODE_FAILED, "cannot make the volume %.200s: %s", s->own->volumes.at[i],
				strerror(-r));
	}
	/* The image's working folder is made when missing; one that an EXEC names must exist. */
	r = s->base ? 0 : dir_make(cwd);
	if (r < 0)
		give_up(s, SPAWN_CODE_FAILED, "cannot make the working directory %.200s: %s", cwd, strerror(-r));
	if (chdir(cwd) < 0)
		give_up(s, SPAWN_CODE_FAILED, "cannot enter the working directory %.200s: %s", cwd, strerror(errno));
}

static void become(const struct spawn *s, const struct user *u)
{
	if (setgroups(u->group_count, u->groups) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
	    setresuid(u->uid, u->uid, u->uid) < 0)
		give_up(s, SPAWN_CODE_FAILED, "cannot become user %u, group %u: %s", u->uid, u->gid, strerror(errno));
}

bool spawn_next_path(const char *program, const char **search, char *out, size_t size)
{
	for (;;) {
		const char *end;
		int n;

		if (!*search)
			return false;
		if (strchr(program, '/')) {
			*search = NULL;
			n = snprintf(out, size, "%s", program);
		} else {
			end = strchrnul(*search, ':');
			n = snprintf(out, size, "%.*s%s%s", (int)(end - *search), *search, end > *search ? "/" : "./",
				     program);
			*search = *end ? end + 1 : NULL;
		}
		if (n >= 0 && (size_t)n < size)
			return true;
	}
}

static bool named_later(const struct request_words *envs, size_t from, const char *env)
{
	size_t len = strcspn(env, "=");

	for (size_t i = from; i < envs->count; i++)
		if (strncmp(envs->at[i], env, len) == 0 && envs->at[i][len] == '=')
			return true;
	return false;
}

void spawn_environment(const struct spawn *s, const char *home, const char **envp, size_t max)
{
	static char home_env[USER_NAME_MAX + 8], host_env[HOST_NAME_MAX + 16];
	const struct request_words *own = &s->own->envs, *base = s->base ? &s->base->envs : NULL;
	char host[HOST_NAME_MAX + 1] = "";
	size_t n = 0;

	snprintf(home_env, sizeof(home_env), "HOME=%s", home);
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(host_env, sizeof(host_env), "HOSTNAME=%s", host);
	const struct {
		const char *name, *env;
		bool wanted;
	} defaults[ENV_EXTRA] = {
		{"PATH", "PATH=" PATH_DEFAULT, true},
		{"HOSTNAME", host_env, true},
		{"HOME", home_env, true},
		{"TERM", "TERM=xterm", s->own->tty != 0},
	};
	for (size_t i = 0; i < ENV_EXTRA && n < max - 1; i++)
		if (defaults[i].wanted && !request_env(own, defaults[i].name) &&
		    !(base && request_env(base, defaults[i].name)))
			envp[n++] = defaults[i].env;
	for (size_t i = 0; base && i < base->count && n < max - 1; i++)
		if (!named_later(base, i + 1, base->at[i]) && !named_later(own, 0, base->at[i]))
			envp[n++] = base->at[i];
	for (size_t i = 0; i < own->count && n < max - 1; i++)
		if (!named_later(own, i + 1, own->at[i]))
			envp[n++] = own->at[i];
	envp[n] = NULL;
}

/* Returns only by giving up. PATH is the image's, as it is for Docker. */
static _Noreturn void execute(const struct spawn *s, const char *home)
{
	static const char *envp[2 * REQUEST_WORDS_MAX + ENV_EXTRA + 1];
	const char *program = s->own->args.at[0], *search;
	char path[PATH_MAX];
	int err = ENOENT;

	spawn_environment(s, home, envp, ARRAY_SIZE(envp));
	const struct request_words all = {envp, 0, 0};
	struct request_words env = all;

	while (envp[env.count])
		env.count++;
	search = request_env(&env, "PATH");
	if (!search || !search[0])
		search = PATH_DEFAULT;
	while (spawn_next_path(program, &search, path, sizeof(path))) {
		execve(path, (char *const *)(uintptr_t)s->own->args.at, (char *const *)(uintptr_t)envp);
		if (errno != ENOENT && errno != ENOTDIR)
			err = errno;
		if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
			break;
	}
	give_up(s, err == ENOENT ? SPAWN_CODE_NOT_FOUND : SPAWN_CODE_NOT_EXECUTABLE, "cannot run %.200s: %s", program,
		err == ENOENT ? "not found in the image" : strerror(err));
}

static _Noreturn void run_child(const struct spawn *s)
{
	static struct user user;
	char why[USER_WHY_MAX];

	setsid();
	reset_signals();
	(void)file_write("/proc/self/oom_score_adj", "0");
	set_limits();
	if (!user_find(first_set(s->own->user, s->base ? s->base->user : NULL, ""), "/etc/passwd", "/etc/group", &user,
		       why))
		give_up(s, SPAWN_CODE_FAILED, "%s", why);
	set_stdio(s, &user);
	enter_folder(s);
	become(s, &user);
	execute(s, user.home);
}

/*
 * The child is born in its group: moving it there afterwards would wait for an RCU grace period, tens of milliseconds.
 * The raw call is as good as fork() here, since PID 1 has one thread and the child only prepares its exec.
 */
pid_t spawn_process(const struct spawn *s)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	long pid;

	if (s->group >= 0) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (unsigned)s->group;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		run_child(s);
	return pid < 0 ? -errno : (pid_t)pid;
}
