/*
 * files.h - small files and folders, as PID 1 needs them: whole reads and writes, folders with their parents.
 *
 * Nothing here allocates or blocks on anything but a disk. Functions return 0 (or a count) or a negative errno.
 * Called by every file of guest/.
 */
#ifndef BERTH_GUEST_FILES_H
#define BERTH_GUEST_FILES_H

#include "lib/base.h"

/* Milliseconds since boot, the only clock the guest decides by. */
uint64_t now_ms(void);

/* Reads at most size - 1 bytes and ends them with NUL; returns their number or a negative errno. */
ssize_t file_read(const char *path, char *out, size_t size);
/* The same without a trailing newline. */
ssize_t file_read_line(const char *path, char *out, size_t size);
/* Reads a file of procfs or cgroupfs again from its start: no path is walked, so no mount over it is met. */
ssize_t fd_reread(int fd, char *out, size_t size);
/* Writes into an existing file (of procfs, sysfs, cgroupfs). */
int file_write(const char *path, const char *text);
/* Puts a new file of mode 0644 in the place of whatever the path names now; a symbolic link is replaced, not followed.
 */
int file_replace(const char *path, const char *text);
/* Makes a folder and its parents, mode 0755; an existing one is fine. */
int dir_make(const char *path);
/* The decimal number after `key` (which includes its separator) at the start of a line of text. */
bool text_find_u64(const char *text, const char *key, uint64_t *ret);
/* One line for people on the kernel's log, which goes to the console; rate-limited by the kernel. */
void say(const char *fmt, ...) _printf_(1, 2);

#endif
