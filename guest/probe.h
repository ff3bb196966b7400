/*
 * probe.h - is the app ready? A connection or a GET from inside the guest, tried often at first, then once a period.
 *
 * Tries 127.0.0.1, then the machine's own address (for an app that listens on that one alone). Until the first success
 * the pause between tries is a sixteenth of the time the app has had, from PROBE_FAST_MS up to the period: readiness is
 * noticed a few percent late at most. Afterwards `failures` failed tries in a row make it unready. Nothing here waits;
 * time comes in as an argument. Called by machine.c.
 */
#ifndef BERTH_GUEST_PROBE_H
#define BERTH_GUEST_PROBE_H

#include <netinet/in.h>

#include "lib/base.h"

#define PROBE_FAST_MS 2U
#define PROBE_PERIOD_DEFAULT_MS 1000U
#define PROBE_TIMEOUT_DEFAULT_MS 1000U
#define PROBE_FAILURES_DEFAULT 3U
#define PROBE_MS_MAX 3600000U
#define PROBE_FAILURES_MAX 1000000U
#define PROBE_WHY_MAX 96U

enum probe_kind { PROBE_NONE, PROBE_TCP, PROBE_HTTP };
enum probe_event { PROBE_NOTHING, PROBE_READY, PROBE_UNREADY };

struct probe_config {
	enum probe_kind kind;
	uint16_t port;
	uint64_t period_ms, timeout_ms;
	unsigned failures;
	char path[1024];
};

struct probe {
	struct probe_config config;
	struct in_addr own; /* INADDR_ANY: none to try */
	bool active, ready;
	bool on_own; /* this try is at the machine's own address */
	bool sent;   /* the request is written (HTTP) */
	int fd;	     /* -1 between tries */
	unsigned failed;
	uint64_t started_at, next_at, deadline;
	size_t got;
	char answer[16];
	char why[PROBE_WHY_MAX]; /* the last failure */
};

void probe_init(struct probe *p);
void probe_start(struct probe *p, const struct probe_config *config, struct in_addr own, uint64_t now);
void probe_stop(struct probe *p);
/* What to poll p->fd for, 0 for nothing. */
short probe_wants(const struct probe *p);
/* When probe_step() is due at the latest; UINT64_MAX for never. */
uint64_t probe_due(const struct probe *p);
/* Goes on after revents of p->fd (0 for none) or because time has passed. */
enum probe_event probe_step(struct probe *p, short revents, uint64_t now);

#endif
