/*
 * haproxy_process.c - see haproxy_process.h.
 */
#include "gateway/haproxy_process.h"

#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CONFIG_MAX (1U << 20)
#define LOG_FILE_MAX (8 << 20)
#define POLL_MS 20	 /* while it comes up */
#define OLD_POLL_MS 5000 /* while old workers live */
#define RELOAD_LIMIT_MS 30000
#define RESTART_MAX_MS 5000
#define STABLE_MS 10000 /* one that lived so long is started again without a pause */
#define KILL_AFTER_MS 5000
#define OLD_MAX 64

static struct metric starts = METRIC_COUNTER("berth_gateway_haproxy_starts_total", "Starts of HAProxy", NULL);
static struct metric reloads = METRIC_COUNTER("berth_gateway_haproxy_reloads_total", "Reloads of HAProxy", "result");
static struct metric up = METRIC_GAUGE("berth_gateway_haproxy_up", "1 while HAProxy runs", NULL);
static struct metric old_workers = METRIC_GAUGE("berth_gateway_haproxy_old_workers",
						"Workers of earlier configurations that still have connections", NULL);

enum process_state {
	PROCESS_DOWN,
	PROCESS_RISING, /* started or adopted; not yet known to serve */
	PROCESS_UP,
	PROCESS_RELOADING,
};

struct haproxy_process {
	uv_loop_t *loop;
	const struct gateway_config *cfg;
	struct runtime *rt;
	struct haproxy_events events;
	enum process_state state;
	bool fresh, draining, freed;
	int pidfd, log_fd, handles;
	uv_poll_t *exit_poll;
	uv_timer_t timer; /* what comes next: a question, a restart, a kill */
	uv_timer_t drain_timer;
	char *wanted, *current;		    /* configurations; current is what config_file holds */
	char *checking;			    /* being checked, NULL: none */
	char *refused;			    /* did not pass, not to be tried again */
	struct haproxy_master_state before; /* the reload */
	int64_t since;			    /* when this state began */
	int64_t pause_ms;		    /* before the next start */
};

static void reconcile(struct haproxy_process *h);
static void on_timer(uv_timer_t *t);

static void set_state(struct haproxy_process *h, enum process_state s)
{
	h->state = s;
	h->since = time_mono_ms();
	metric_set(&up, NULL, s == PROCESS_UP || s == PROCESS_RELOADING ? 1 : 0);
}

static void plan(struct haproxy_process *h, int64_t delay_ms)
{
	uv_timer_start(&h->timer, on_timer, (uint64_t)delay_ms, 0);
}

static void send_signal(const struct haproxy_process *h, int number)
{
	if (h->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, h->pidfd, number, NULL, 0);
}

/* ---- its life ---- */

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

static void forget_process(struct haproxy_process *h)
{
	if (h->exit_poll)
		uv_close((uv_handle_t *)h->exit_poll, free_handle);
	h->exit_poll = NULL;
	closep(&h->pidfd);
	h->pidfd = -1;
}

static void on_exit_seen(uv_poll_t *p, _unused_ int status, _unused_ int events)
{
	struct haproxy_process *h = p->data;
	int64_t lived = time_mono_ms() - h->since;

	forget_process(h);
	set_state(h, PROCESS_DOWN);
	runtime_set_old(h->rt, NULL, 0);
	h->events.down(h->events.user);
	if (h->draining) {
		uv_timer_stop(&h->drain_timer);
		h->events.gone(h->events.user);
		return;
	}
	h->pause_ms = lived >= STABLE_MS ? 0 : h->pause_ms ? h->pause_ms * 2 : 100;
	if (h->pause_ms > RESTART_MAX_MS)
		h->pause_ms = RESTART_MAX_MS;
	log_error("HAProxy has ended; starting it again", "log", h->cfg->log_file, "pauseMs", log_num(h->pause_ms),
		  NULL);
	plan(h, h->pause_ms);
}

static int watch_process(struct haproxy_process *h, int pid, struct error *e)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return error_set_errno(e, errno, "cannot watch process %d", pid);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	h->pidfd = fd;
	h->exit_poll = xcalloc(1, sizeof(*h->exit_poll));
	h->exit_poll->data = h;
	uv_poll_init(h->loop, h->exit_poll, fd);
	uv_poll_start(h->exit_poll, UV_READABLE, on_exit_seen);
	return 0;
}

static int open_log(struct haproxy_process *h)
{
	struct stat st;

	if (h->log_fd < 0)
		h->log_fd = open(h->cfg->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (h->log_fd >= 0 && fstat(h->log_fd, &st) == 0 && st.st_size > LOG_FILE_MAX && ftruncate(h->log_fd, 0))
		log_warn("cannot shorten the log", "path", h->cfg->log_file, NULL);
	return h->log_fd;
}

static int spawn(struct haproxy_process *h, const char *const *args, uv_exit_cb on_exit, void *data, int *ret_pid,
		 struct error *e)
{
	uv_process_t *p = xcalloc(1, sizeof(*p));
	uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE}};
	int log = open_log(h);

	for (int i = 1; i < 3; i++) {
		stdio[i].flags = log >= 0 ? UV_INHERIT_FD : UV_IGNORE;
		stdio[i].data.fd = log;
	}
	uv_process_options_t opt = {.file = args[0],
				    .args = (char **)(uintptr_t)args,
				    .exit_cb = on_exit,
				    .flags = UV_PROCESS_DETACHED,
				    .stdio = stdio,
				    .stdio_count = 3};

	p->data = data;
	int err = uv_spawn(h->loop, p, &opt);

	if (err) {
		uv_close((uv_handle_t *)p, free_handle);
		return error_set(e, E_IO, "cannot run %s: %s", args[0], uv_strerror(err));
	}
	if (ret_pid)
		*ret_pid = p->pid;
	return 0;
}

static void on_reaped(uv_process_t *p, _unused_ int64_t status, _unused_ int number)
{
	uv_close((uv_handle_t *)p, free_handle); /* exit_poll has seen it */
}

static void start(struct haproxy_process *h)
{
	const struct gateway_config *c = h->cfg;
	_free_ char *master = xasprintf("%s,mode,600", c->master_socket);
	const char *const args[] = {c->haproxy, "-W", "-S", master, "-f", c->config_file, "-p", c->pid_file, NULL};
	struct error e = {0};
	int pid, r = h->events.prepare(h->events.user, &e);

	if (!r)
		r = spawn(h, args, on_reaped, NULL, &pid, &e);
	if (!r)
		r = watch_process(h, pid, &e);
	if (r) {
		log_error("cannot start HAProxy", "error", e.text, NULL);
		plan(h, RESTART_MAX_MS);
		return;
	}
	metric_add(&starts, NULL, 1);
	log_info("started HAProxy", "pid", log_num(pid), NULL);
	h->fresh = true;
	set_state(h, PROCESS_RISING);
	plan(h, POLL_MS);
}

/* ---- checking a configuration ---- */

static void on_checked(uv_process_t *p, int64_t status, int number)
{
	struct haproxy_process *h = p->data;
	char *text = steal(&h->checking);

	uv_close((uv_handle_t *)p, free_handle);
	if (status || number || rename(h->cfg->candidate_file, h->cfg->config_file)) {
		log_error("HAProxy refuses the new configuration; the old one stays", "file", h->cfg->candidate_file,
			  "log", h->cfg->log_file, NULL);
		metric_add(&reloads, "refused", 1);
		free(h->refused);
		h->refused = text;
	} else {
		free(h->current);
		h->current = text;
		if (h->state == PROCESS_UP) {
			set_state(h, PROCESS_RELOADING);
			h->before = (struct haproxy_master_state){0};
			plan(h, 0);
		}
	}
	reconcile(h);
}

static void check(struct haproxy_process *h)
{
	const struct gateway_config *c = h->cfg;
	const char *const args[] = {c->haproxy, "-c", "-q", "-f", c->candidate_file, NULL};
	struct error e = {0};
	int r = h->events.prepare(h->events.user, &e); /* the maps it names have to exist */

	if (!r)
		r = file_write_atomic(c->candidate_file, h->wanted, strlen(h->wanted), 0640, &e);
	if (!r)
		r = spawn(h, args, on_checked, h, NULL, &e);
	if (r) {
		log_error("cannot check a configuration", "error", e.text, NULL);
		plan(h, RESTART_MAX_MS);
		return;
	}
	h->checking = xstrdup(h->wanted);
}

/* Brings what is wanted, what lies on disk and what runs together. */
static void reconcile(struct haproxy_process *h)
{
	if (h->draining || h->checking || h->freed)
		return;
	if (h->wanted && !streq(h->wanted, h->current) && !streq(h->wanted, h->refused)) {
		if (h->state == PROCESS_UP || h->state == PROCESS_DOWN)
			check(h);
		return;
	}
	if (h->state == PROCESS_DOWN && h->current && !uv_is_active((uv_handle_t *)&h->timer))
		start(h);
}

/* ---- coming up ---- */

static void rise(struct haproxy_process *h)
{
	set_state(h, PROCESS_UP);
	h->events.up(h->events.user, h->fresh);
	plan(h, OLD_POLL_MS);
	reconcile(h);
}

bool haproxy_master_parse(const char *text, struct haproxy_master_state *ret)
{
	struct haproxy_master_state s = {0};
	bool found = false;

	for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		int pid, count, failed;
		char type[16];

		if (str_starts(p, "# old"))
			break;
		if (sscanf(p, "%d %15s %d [failed: %d]", &pid, type, &count, &failed) == 4 && streq(type, "master")) {
			s.reloads = count;
			s.failed_reloads = failed;
			found = true;
		} else if (sscanf(p, "%d %15s", &pid, type) == 2 && streq(type, "worker")) {
			s.worker = pid;
		}
	}
	if (found)
		*ret = s;
	return found;
}

static void note_old(struct haproxy_process *h, const char *answer)
{
	int pids[OLD_MAX];
	size_t count = runtime_parse_old(answer, pids, OLD_MAX);

	runtime_set_old(h->rt, pids, count);
	metric_set(&old_workers, NULL, (double)count);
}

static void on_master_state(void *user, int err, const char *answer)
{
	struct haproxy_process *h = user;
	struct haproxy_master_state s;

	if (h->state == PROCESS_DOWN || h->draining)
		return;
	bool known = !err && haproxy_master_parse(answer, &s);

	if (known)
		note_old(h, answer);
	if (h->state == PROCESS_RISING && known && s.worker) {
		rise(h);
		return;
	}
	if (h->state == PROCESS_RELOADING && known && h->before.worker) {
		if (s.failed_reloads > h->before.failed_reloads || time_mono_ms() - h->since > RELOAD_LIMIT_MS) {
			log_error("HAProxy could not reload", "log", h->cfg->log_file, NULL);
			metric_add(&reloads, "failed", 1);
			h->fresh = true; /* whatever runs, its maps are looked at */
			rise(h);
			return;
		}
		if (s.reloads > h->before.reloads && s.worker && s.worker != h->before.worker) {
			metric_add(&reloads, "done", 1);
			log_info("reloaded HAProxy", "worker", log_num(s.worker), NULL);
			h->fresh = true;
			rise(h);
			return;
		}
	} else if (h->state == PROCESS_RELOADING && known) {
		struct error e = {0};

		h->before = s;
		if (h->events.prepare(h->events.user, &e))
			log_error("cannot write the maps", "error", e.text, NULL);
		runtime_ask(h->rt, RUNTIME_MASTER, "reload", NULL, NULL);
	}
	plan(h, h->state == PROCESS_UP ? OLD_POLL_MS : POLL_MS);
}

static void on_timer(uv_timer_t *t)
{
	struct haproxy_process *h = t->data;

	if (h->state == PROCESS_DOWN)
		reconcile(h);
	else
		runtime_ask(h->rt, RUNTIME_MASTER, "show proc", on_master_state, h);
}

/* ---- the interface ---- */

struct haproxy_process *haproxy_process_new(uv_loop_t *loop, const struct gateway_config *cfg, struct runtime *rt,
					    const struct haproxy_events *events)
{
	struct haproxy_process *h = xcalloc(1, sizeof(*h));

	h->loop = loop;
	h->cfg = cfg;
	h->rt = rt;
	h->events = *events;
	h->pidfd = h->log_fd = -1;
	uv_timer_init(loop, &h->timer);
	uv_timer_init(loop, &h->drain_timer);
	h->timer.data = h->drain_timer.data = h;
	return h;
}

static bool read_disk_config(struct haproxy_process *h)
{
	_buf_ text = BUF_INIT(CONFIG_MAX);

	if (file_read(h->cfg->config_file, &text, NULL) || text.over || !text.len)
		return false;
	free(h->current);
	h->current = buf_steal(&text);
	return true;
}

int haproxy_process_find(const struct gateway_config *cfg)
{
	_buf_ text = BUF_INIT(64);
	_buf_ cmdline = BUF_INIT(65536);

	if (file_read(cfg->pid_file, &text, NULL) || !text.len)
		return 0;
	int pid = (int)strtol(text.data, NULL, 10);
	_free_ char *path = xasprintf("/proc/%d/cmdline", pid);

	if (pid <= 1 || file_read(path, &cmdline, NULL))
		return 0;
	/* Arguments end with NUL: ours is the one after "-f". */
	for (size_t i = 0; i < cmdline.len; i += strlen(cmdline.data + i) + 1)
		if (streq(cmdline.data + i, cfg->config_file))
			return pid;
	return 0;
}

bool haproxy_process_adopt(struct haproxy_process *h)
{
	int pid = haproxy_process_find(h->cfg);

	if (!pid || !read_disk_config(h) || watch_process(h, pid, NULL))
		return false;
	log_info("adopted a running HAProxy", "pid", log_num(pid), NULL);
	h->fresh = false;
	set_state(h, PROCESS_RISING);
	plan(h, 0);
	return true;
}

bool haproxy_process_start_from_disk(struct haproxy_process *h)
{
	_free_ char *bind = xasprintf("    bind %s\n", h->cfg->listen);

	if (h->state != PROCESS_DOWN || h->current || !read_disk_config(h))
		return h->state != PROCESS_DOWN;
	if (!strstr(h->current, bind)) {
		free(h->current);
		h->current = NULL;
		return false;
	}
	reconcile(h);
	return true;
}

void haproxy_process_apply(struct haproxy_process *h, const char *config)
{
	free(h->wanted);
	h->wanted = xstrdup(config);
	reconcile(h);
}

bool haproxy_process_is_settled(const struct haproxy_process *h)
{
	return h->state == PROCESS_UP && !h->checking && streq(h->wanted, h->current);
}

static void on_drain_timeout(uv_timer_t *t)
{
	struct haproxy_process *h = t->data;
	bool first = uv_timer_get_repeat(t) == 0;

	log_warn("connections are still open; ending HAProxy", NULL);
	send_signal(h, first ? SIGTERM : SIGKILL);
	uv_timer_start(t, on_drain_timeout, KILL_AFTER_MS, KILL_AFTER_MS);
}

void haproxy_process_drain(struct haproxy_process *h, int64_t timeout_ms)
{
	h->draining = true;
	uv_timer_stop(&h->timer);
	if (h->state == PROCESS_DOWN) {
		h->events.gone(h->events.user);
		return;
	}
	send_signal(h, SIGUSR1);
	uv_timer_start(&h->drain_timer, on_drain_timeout, (uint64_t)timeout_ms, 0);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct haproxy_process *h = handle->data;

	if (++h->handles < 2)
		return;
	free(h->wanted);
	free(h->current);
	free(h->checking);
	free(h->refused);
	free(h);
}

void haproxy_process_free(struct haproxy_process *h)
{
	if (!h)
		return;
	h->freed = true;
	forget_process(h);
	closep(&h->log_fd);
	uv_close((uv_handle_t *)&h->timer, on_timer_closed);
	uv_close((uv_handle_t *)&h->drain_timer, on_timer_closed);
}
