/*
 * access_defaults.h - the roles and bindings every cluster has (api-spec/access), and the rules of aggregated roles.
 *
 * As in Kubernetes: what is missing is made at each start; what is there gets the rules and subjects it lacks, unless
 * its annotation rbac.authorization.kubernetes.io/autoupdate is "false".
 */
#ifndef BERTH_APISERVER_ACCESS_DEFAULTS_H
#define BERTH_APISERVER_ACCESS_DEFAULTS_H

#include "apiserver/server.h"
#include "lib/json.h"

/* Before anybody is served. What goes wrong is logged. */
void access_defaults_make(struct server *s);
/* Writes into each aggregated ClusterRole the rules it comes to give, for people to read; nothing when no ClusterRole
 * has changed since *revision. */
void access_aggregate(struct server *s, int64_t *revision);
/* The objects of api-spec/access as they are embedded, for tests. */
int access_defaults_read(struct arena *a, struct json **ret, struct error *e);

#endif
