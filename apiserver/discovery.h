/*
 * discovery.h - what this server serves: legacy and aggregated discovery documents.
 *
 * Source: kubectl research section 4; k8s.io/api/apidiscovery/v2. Documents are made on first use, from the table of
 * kinds, and shared for the life of the process. Used by the HTTP front.
 */
#ifndef BERTH_APISERVER_DISCOVERY_H
#define BERTH_APISERVER_DISCOVERY_H

#include "apiserver/kind.h"
#include "lib/httpd.h"

/* Send body with content_type, ETag and "Vary: Accept"; a 304 must carry the same content type. */
struct document {
	struct chunk *body;
	const char *content_type;
	const char *etag; /* with its quotes */
};

/* Makes all documents, here and in openapi.c; once, after kind_table_init(), before threads. */
int discovery_init(struct error *e);
/* path: /api, /apis, /apis/<group>, /apis/<group>/<version>, /api/v1. accept may be NULL. The document stays the
 * table's. Errors: E_NOT_FOUND, E_NOT_ACCEPTABLE. */
int discovery_get(const char *path, const char *accept, const struct document **ret, struct error *e);

#endif
