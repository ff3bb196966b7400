/*
 * boot.c - mounts, kernel modules and the switch to the image's root; see boot.h.
 *
 * PID 1 moves into the image's root like everything else, so every path means what the image's author expects. The disk
 * below the overlay is hidden by that; a descriptor of it is kept so that it can be made read-only before power-off.
 */
#include "guest/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "guest/files.h"
#include "guest/netconf.h"

#define DISK_WAIT_MS 5000
#define KILL_WAIT_MS 500

struct mount_row {
	const char *source, *target, *type, *options;
	unsigned long flags;
};

static const struct mount_row kernel_mounts[] = {
	{"dev", "/dev", "devtmpfs", "mode=0755", MS_NOSUID},
	{"proc", "/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
	{"sys", "/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
};

static const struct mount_row late_mounts[] = {
	{"devpts", "/dev/pts", "devpts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC},
	{"shm", "/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV},
	{"mqueue", "/dev/mqueue", "mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", "nsdelegate", MS_NOSUID | MS_NODEV | MS_NOEXEC},
};

static const char *const links[][2] = {
	{"/proc/self/fd", "/dev/fd"},
	{"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"},
	{"/proc/self/fd/2", "/dev/stderr"},
};

static int fail(struct boot_failure *ret_why, int err, const char *what, const char *name)
{
	snprintf(ret_why->why, sizeof(ret_why->why), "%s %s: %s", what, name, strerror(err));
	return -err;
}

int boot_mount_kernel(struct boot_failure *ret_why)
{
	for (size_t i = 0; i < ARRAY_SIZE(kernel_mounts); i++) {
		const struct mount_row *m = &kernel_mounts[i];

		if (mount(m->source, m->target, m->type, m->flags, m->options) < 0)
			return fail(ret_why, errno, "cannot mount", m->target);
	}
	return 0;
}

int boot_load_modules(struct boot_failure *ret_why)
{
	char order[4096], path[160];
	ssize_t n = file_read("/modules/order", order, sizeof(order));
	char *save = NULL;

	if (n < 0)
		return fail(ret_why, (int)-n, "cannot read", "/modules/order");
	for (char *name = strtok_r(order, "\n", &save); name; name = strtok_r(NULL, "\n", &save)) {
		snprintf(path, sizeof(path), "/modules/%s", name);
		_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return fail(ret_why, errno, "cannot open", path);
		if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
			return fail(ret_why, errno, "cannot load", path);
		unlink(path);
	}
	return 0;
}

/* Device nodes appear a little after their driver is loaded. */
static bool wait_for(const char *path, int wait_ms)
{
	uint64_t until = now_ms() + (uint64_t)wait_ms;

	while (access(path, F_OK) < 0) {
		if (now_ms() >= until)
			return false;
		usleep(1000);
	}
	return true;
}

static int mount_disk(struct boot_failure *ret_why)
{
	/* The image's disk was found, so all disks of this machine were: no waiting for one that was not given. */
	if (access("/dev/vdb", F_OK) == 0) {
		if (mount("/dev/vdb", "/disk", "ext4", MS_NOATIME, "noinit_itable,discard") < 0)
			return fail(ret_why, errno, "cannot mount", "/dev/vdb");
	} else if (mount("disk", "/disk", "tmpfs", MS_NOATIME, "mode=0755") < 0) {
		return fail(ret_why, errno, "cannot mount", "/disk");
	}
	if ((mkdir("/disk/upper", 0755) < 0 && errno != EEXIST) || (mkdir("/disk/work", 0755) < 0 && errno != EEXIST))
		return fail(ret_why, errno, "cannot make folders on", "/disk");
	return 0;
}

static int move_mounts(struct boot_failure *ret_why)
{
	char target[64];

	for (size_t i = 0; i < ARRAY_SIZE(kernel_mounts); i++) {
		snprintf(target, sizeof(target), "/root%s", kernel_mounts[i].target);
		if (mkdir(target, 0755) < 0 && errno != EEXIST)
			return fail(ret_why, errno, "cannot make", target);
		if (mount(kernel_mounts[i].target, target, NULL, MS_MOVE, NULL) < 0)
			return fail(ret_why, errno, "cannot move", target);
	}
	return 0;
}

int boot_switch_root(int *ret_disk, struct boot_failure *ret_why)
{
	int r;

	if (!wait_for("/dev/vda", DISK_WAIT_MS))
		return fail(ret_why, ENODEV, "cannot find", "/dev/vda");
	if (mount("/dev/vda", "/lower", "squashfs", MS_RDONLY, NULL) < 0)
		return fail(ret_why, errno, "cannot mount", "/dev/vda");
	r = mount_disk(ret_why);
	if (r < 0)
		return r;
	_close_ int disk = open("/disk", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (disk < 0)
		return fail(ret_why, errno, "cannot open", "/disk");
	if (mount("berth", "/root", "overlay", MS_NOATIME, "lowerdir=/lower,upperdir=/disk/upper,workdir=/disk/work") <
	    0)
		return fail(ret_why, errno, "cannot mount", "the overlay");
	r = move_mounts(ret_why);
	if (r < 0)
		return r;
	if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return fail(ret_why, errno, "cannot switch to", "/root");
	*ret_disk = disk;
	disk = -1;
	return 0;
}

void boot_finish(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(late_mounts); i++) {
		const struct mount_row *m = &late_mounts[i];

		(void)mkdir(m->target, 0755);
		if (mount(m->source, m->target, m->type, m->flags, m->options) < 0)
			say("cannot mount %s: %s", m->target, strerror(errno));
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			say("cannot link %s: %s", links[i][1], strerror(errno));
	if (mkdir("/tmp", 01777) == 0)
		(void)chmod("/tmp", 01777);
	netconf_loopback();
	/* As in a container: a program that is not root may listen on port 80. */
	(void)file_write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
	(void)file_write("/proc/self/oom_score_adj", "-1000");
}

_Noreturn void boot_power_off(int disk)
{
	uint64_t until = now_ms() + KILL_WAIT_MS;

	kill(-1, SIGKILL);
	while (now_ms() < until && waitpid(-1, NULL, WNOHANG) >= 0)
		usleep(1000);
	sync();
	if (disk >= 0 && fchdir(disk) == 0)
		(void)mount(NULL, ".", NULL, MS_REMOUNT | MS_RDONLY | MS_NOATIME, NULL);
	for (;;)
		reboot(RB_POWER_OFF);
}
