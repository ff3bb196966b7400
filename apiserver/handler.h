/*
 * handler.h - the front door: every HTTP request arrives here and is sent on to a document, a health check or a verb.
 */
#ifndef BERTH_APISERVER_HANDLER_H
#define BERTH_APISERVER_HANDLER_H

#include "lib/httpd.h"

/* An httpd_handler; user is the struct server. */
void handle_request(struct httpd_request *r, void *user);

#endif
