/*
 * stats.h - what the app and its exec sessions use, out of control groups, the network device and the disk.
 *
 * Called by machine.c. What cannot be read counts as 0.
 */
#ifndef BERTH_GUEST_STATS_H
#define BERTH_GUEST_STATS_H

#include "guest/cgroup.h"
#include "lib/base.h"

struct stats {
	uint64_t cpu_us;
	uint64_t memory_bytes; /* working set: what is charged, less the file pages that could be dropped at once */
	uint64_t disk_bytes;   /* used on the instance's disk */
	uint64_t net_rx_bytes, net_tx_bytes;
	uint64_t processes;
};

struct stats_source {
	const struct cgroup *cgroup;
	int net;  /* /proc/net/dev, opened before the app ran, or -1 */
	int disk; /* any descriptor on the disk, or -1 */
};

void stats_read(const struct stats_source *s, struct stats *ret);
/* The two byte counts of `name` in the text of /proc/net/dev. */
bool stats_parse_net(const char *text, const char *name, uint64_t *ret_rx, uint64_t *ret_tx);

#endif
