/*
 * request.h - a START or EXEC frame, unpacked: words ended by NUL, numbers checked, in memory of fixed size.
 *
 * The frame itself may go away afterwards. Every text of a frame fits, because a field's header is longer than its NUL.
 * Called by machine.c; read by spawn.c, probe.c and netconf.c.
 */
#ifndef BERTH_GUEST_REQUEST_H
#define BERTH_GUEST_REQUEST_H

#include "guest/probe.h"
#include "lib/base.h"
#include "lib/channel.h"

#define REQUEST_WORDS_MAX 4096U
#define REQUEST_VOLUMES_MAX 64U
#define REQUEST_DNS_MAX 3U
#define REQUEST_ENTROPY_MAX 512U
#define REQUEST_WHY_MAX 160U

struct request_words {
	const char **at; /* ended by NULL */
	size_t count, max;
};

struct request {
	const char *arg_at[REQUEST_WORDS_MAX + 1], *env_at[REQUEST_WORDS_MAX + 1];
	const char *volume_at[REQUEST_VOLUMES_MAX + 1], *dns_at[REQUEST_DNS_MAX + 1];
	struct request_words args, envs, volumes, dns;
	const char *cwd, *user, *address, *gateway, *hostname, *probe_kind, *probe_path, *entropy; /* "" when absent */
	size_t entropy_len;
	uint64_t tty, has_stdin, columns, rows, window, time_ns;
	uint64_t probe_port, probe_period_ms, probe_timeout_ms, probe_failures;
	size_t used;
	char text[CHANNEL_FRAME_MAX];
};

/* False after saying in `why` which field is wrong; *ret is then not to be used. */
bool request_parse(const struct channel_frame *f, struct request *ret, char why[REQUEST_WHY_MAX]);
/* The probe that START asks for; false when its fields make no sense. */
bool request_probe(const struct request *r, struct probe_config *ret);
/* The value of NAME in a list of NAME=value, or NULL; the last one counts. */
const char *request_env(const struct request_words *envs, const char *name);

#endif
