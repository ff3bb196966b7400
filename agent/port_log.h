/*
 * port_log.h - GET …/log of the node port: pages of an instance's log files, and the following of them.
 *
 * Runs on the loop's thread; files are read on worker threads, one page at a time, and no faster than the client reads.
 */
#ifndef BERTH_AGENT_PORT_LOG_H
#define BERTH_AGENT_PORT_LOG_H

#include "agent/instance.h"
#include "lib/httpd.h"

void port_log_handle(struct agent *g, struct httpd_request *r, const char *ns, const char *name);
/* The instance's log has grown. */
void port_log_written(struct instance *i);
/* Its VM is gone: followers end when they have sent what is there. */
void port_log_ended(struct instance *i);
/* The instance itself is going. */
void port_log_instance_gone(struct instance *i);

#endif
