/*
 * port.h - the node port: HTTPS for the apiserver alone, docs/architecture.md "The node port".
 *
 * Requests come on the server's threads and are handed to the loop; answers are given there, or by worker threads.
 */
#ifndef BERTH_AGENT_PORT_H
#define BERTH_AGENT_PORT_H

#include "agent/agent.h"
#include "lib/httpd.h"

#define PORT_CALLER "berth-apiserver" /* common name of the one client that may call */

struct port;
int port_start(struct agent *g, struct port **ret, struct error *e);
unsigned port_number(const struct port *p);

/* Answers with a Kubernetes Status. */
void port_fail(struct httpd_request *r, int code, const char *fmt, ...) _printf_(3, 4);
void port_fail_error(struct httpd_request *r, const struct error *e);
void port_reply_json(struct httpd_request *r, int status, const struct json *v);

#endif
