/*
 * etcd_fixture.h - a real etcd on free ports of the loopback, and a line to it that loses answers, for tests.
 */
#ifndef BERTH_TEST_ETCD_FIXTURE_H
#define BERTH_TEST_ETCD_FIXTURE_H

#include "lib/base.h"

struct etcd {
	char dir[64], url[40];
	int port, peer_port;
	const char *quota; /* --quota-backend-bytes, or NULL */
	pid_t pid;
};

/* Makes a folder and starts etcd in it, and waits until it answers. d must be static: what a failed test leaves running
 * is ended when the program ends. */
void etcd_begin(struct etcd *d, const char *quota);
void etcd_end(struct etcd *d);
/* kill -9, and again from the same files. */
void etcd_kill(struct etcd *d);
void etcd_start(struct etcd *d);
/* Ends its alarms, of which there has to be one. */
void etcd_disarm(const struct etcd *d);
int free_loopback_port(void);

/* Listens on a port of its own and forwards to etcd. */
struct lossy_line;
struct lossy_line *lossy_line_new(const struct etcd *d);
void lossy_line_free(struct lossy_line *l);
const char *lossy_line_url(const struct lossy_line *l);
/* Of the next n answers nothing arrives: the connection is cut as soon as etcd has answered. */
void lossy_line_lose(struct lossy_line *l, int n);
int lossy_line_left(struct lossy_line *l); /* how many of those are still to come */

#endif
