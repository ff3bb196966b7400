/*
 * fixed.h - everything that is not a resource: health, version, metrics, discovery, OpenAPI.
 */
#ifndef BERTH_APISERVER_FIXED_H
#define BERTH_APISERVER_FIXED_H

#include "apiserver/call.h"

/* Answers the call. */
void fixed_reply(struct call *c, const char *path);

#endif
