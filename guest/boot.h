/*
 * boot.h - from the initramfs to the image's root: mounts, kernel modules, overlay, switch of the root.
 *
 * Runs once, before anything else; each step returns 0, or a negative errno after filling `ret_why`. Called by main.c
 * only.
 */
#ifndef BERTH_GUEST_BOOT_H
#define BERTH_GUEST_BOOT_H

#include "lib/base.h"

#define BOOT_WHY_MAX 256

struct boot_failure {
	char why[BOOT_WHY_MAX];
};

/* devtmpfs, proc and sysfs of the initramfs. */
int boot_mount_kernel(struct boot_failure *ret_why);
/* Loads /modules/<name> for each line of /modules/order and removes each from memory again. */
int boot_load_modules(struct boot_failure *ret_why);
/* Image (/dev/vda) + disk (/dev/vdb, or memory when there is none) become "/". *ret_disk is a folder of the disk. */
int boot_switch_root(int *ret_disk, struct boot_failure *ret_why);
/* What programs expect of a running system: /dev/pts, /dev/shm, /dev/fd, cgroups, /tmp, lo. Failures are only said. */
void boot_finish(void);
/* Kills everything, writes everything to the disk, and turns the machine off. Does not return. */
_Noreturn void boot_power_off(int disk);

#endif
