/*
 * openapi.h - OpenAPI v3 per group and version, and v2 as JSON and as gnostic's protobuf, made from the kinds' schemas.
 *
 * Source: kubectl research, traps 3 to 7 and section 4. Documents are made by openapi_init() and shared for the life of
 * the process. Used by the HTTP front.
 */
#ifndef BERTH_APISERVER_OPENAPI_H
#define BERTH_APISERVER_OPENAPI_H

#include "apiserver/discovery.h"

/* Once, after kind_table_init(), before threads. discovery_init() calls it. */
int openapi_init(struct error *e);
/* path: /openapi/v2, /openapi/v3, /openapi/v3/apis/<group>/<version>, /openapi/v3/api/v1. accept may be NULL. The
 * document stays the table's. Errors: E_NOT_FOUND, E_NOT_ACCEPTABLE. */
int openapi_get(const char *path, const char *accept, const struct document **ret, struct error *e);

#endif
