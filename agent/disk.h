/*
 * disk.h - an instance's own disk: a sparse ext4 file, copied from an empty one of its size.
 *
 * Blocking; runs on worker threads, any number at a time. Disks live as long as their VM, so nothing is synced.
 */
#ifndef BERTH_AGENT_DISK_H
#define BERTH_AGENT_DISK_H

#include "lib/error.h"

/* Makes <path> as an empty ext4 of that size; templates are kept in <state_dir>/templates and made when missing.
 * An old file is replaced. Errors: E_NO_SPACE, E_IO. */
int disk_create(const char *state_dir, const char *path, int64_t bytes, struct error *e);

#endif
