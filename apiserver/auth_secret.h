/*
 * auth_secret.h - which Secrets a node may read: those that an Image names to be pulled with.
 *
 * The table of auth_rules.c lets nodes get any one Secret by its name; this narrows it down by what is stored.
 * Thread-safe; reads the watch cache. Used by handler.c.
 */
#ifndef BERTH_APISERVER_AUTH_SECRET_H
#define BERTH_APISERVER_AUTH_SECRET_H

#include "apiserver/auth.h"
#include "apiserver/cache.h"

/* False when the caller is a node, it is about a Secret, and no Image has it in spec.pullSecrets. */
bool auth_secret_allows(struct cache *cache, const struct identity *who, const struct access *what);

#endif
