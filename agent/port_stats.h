/*
 * port_stats.h - GET /v1/stats of the node port: asks every running guest, waits a second at most, answers.
 *
 * Runs on the loop's thread.
 */
#ifndef BERTH_AGENT_PORT_STATS_H
#define BERTH_AGENT_PORT_STATS_H

#include "agent/instance.h"
#include "lib/httpd.h"

void port_stats_handle(struct agent *g, struct httpd_request *r, const char *ns, const char *name);
/* A guest's STATS. */
void port_stats_answer(struct instance *i, const struct channel_frame *f);
/* Its channel broke: there will be no answer. */
void port_stats_lost(struct instance *i);

#endif
