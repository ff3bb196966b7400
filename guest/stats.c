/*
 * stats.c - counters of the guest; see stats.h.
 */
#include "guest/stats.h"

#include <stdio.h>
#include <sys/statvfs.h>

#include "guest/files.h"

static uint64_t read_number(int fd, const char *key)
{
	char text[4096];
	uint64_t v;

	if (fd < 0 || fd_reread(fd, text, sizeof(text)) < 0 || !text_find_u64(text, key, &v))
		return 0;
	return v;
}

bool stats_parse_net(const char *text, const char *name, uint64_t *ret_rx, uint64_t *ret_tx)
{
	size_t len = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		unsigned long long rx, tx;

		line += strspn(line, " \n");
		if (strncmp(line, name, len) != 0 || line[len] != ':')
			continue;
		/* Of the eight receive columns the first is bytes; bytes sent come right after them. */
		if (sscanf(line + len + 1, "%llu %*u %*u %*u %*u %*u %*u %*u %llu", &rx, &tx) != 2)
			return false;
		*ret_rx = rx;
		*ret_tx = tx;
		return true;
	}
	return false;
}

void stats_read(const struct stats_source *s, struct stats *ret)
{
	struct statvfs disk;
	uint64_t idle;
	char text[2048];

	memset(ret, 0, sizeof(*ret));
	ret->cpu_us = read_number(s->cgroup->cpu, "usage_usec ");
	ret->memory_bytes = read_number(s->cgroup->memory, "");
	idle = read_number(s->cgroup->memory_detail, "inactive_file ");
	ret->memory_bytes -= idle < ret->memory_bytes ? idle : ret->memory_bytes;
	ret->processes = read_number(s->cgroup->pids, "");
	if (s->disk >= 0 && fstatvfs(s->disk, &disk) == 0)
		ret->disk_bytes = (uint64_t)(disk.f_blocks - disk.f_bfree) * disk.f_frsize;
	if (s->net >= 0 && fd_reread(s->net, text, sizeof(text)) > 0)
		(void)stats_parse_net(text, "eth0", &ret->net_rx_bytes, &ret->net_tx_bytes);
}
