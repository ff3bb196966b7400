/*
 * cgroup.c - control groups (version 2) of the guest; see cgroup.h.
 */
#include "guest/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "guest/files.h"

#define ROOT "/sys/fs/cgroup"
#define CONTROLLERS "+cpu +memory +pids"

static void set_limits(void)
{
	char text[4096], limit[32];
	uint64_t kib, threads;

	if (file_read("/proc/meminfo", text, sizeof(text)) > 0 && text_find_u64(text, "MemAvailable:", &kib) &&
	    kib * 1024 > 4 * CGROUP_MEMORY_RESERVE) {
		snprintf(limit, sizeof(limit), "%llu", (unsigned long long)(kib * 1024 - CGROUP_MEMORY_RESERVE));
		if (file_write(ROOT "/berth/memory.max", limit) < 0)
			say("cannot limit memory");
	}
	if (file_read("/proc/sys/kernel/threads-max", text, sizeof(text)) > 0 && text_find_u64(text, "", &threads) &&
	    threads > 4 * CGROUP_PIDS_RESERVE) {
		snprintf(limit, sizeof(limit), "%llu", (unsigned long long)(threads - CGROUP_PIDS_RESERVE));
		if (file_write(ROOT "/berth/app/pids.max", limit) < 0)
			say("cannot limit processes");
	}
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		say("cannot open %s: %s", path, strerror(errno));
	return fd;
}

void cgroup_init(struct cgroup *c)
{
	(void)file_write(ROOT "/cgroup.subtree_control", CONTROLLERS);
	(void)mkdir(ROOT "/berth", 0755);
	(void)file_write(ROOT "/berth/cgroup.subtree_control", CONTROLLERS);
	(void)mkdir(ROOT "/berth/app", 0755);
	(void)mkdir(ROOT "/berth/exec", 0755);
	set_limits();
	c->app = open_file(ROOT "/berth/app", O_PATH | O_DIRECTORY);
	c->exec = open_file(ROOT "/berth/exec", O_PATH | O_DIRECTORY);
	c->app_kill = open_file(ROOT "/berth/app/cgroup.kill", O_WRONLY);
	c->app_events = open_file(ROOT "/berth/app/memory.events", O_RDONLY);
	c->cpu = open_file(ROOT "/berth/cpu.stat", O_RDONLY);
	c->memory = open_file(ROOT "/berth/memory.current", O_RDONLY);
	c->memory_detail = open_file(ROOT "/berth/memory.stat", O_RDONLY);
	c->pids = open_file(ROOT "/berth/pids.current", O_RDONLY);
}

void cgroup_kill_app(const struct cgroup *c)
{
	if (c->app_kill >= 0 && pwrite(c->app_kill, "1", 1, 0) < 0)
		say("cannot kill the app's group: %s", strerror(errno));
}

uint64_t cgroup_oom_kills(const struct cgroup *c)
{
	char text[512];
	uint64_t n;

	if (c->app_events < 0 || fd_reread(c->app_events, text, sizeof(text)) < 0 ||
	    !text_find_u64(text, "oom_kill ", &n))
		return 0;
	return n;
}
