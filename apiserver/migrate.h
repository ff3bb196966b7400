/*
 * migrate.h - etcd as the command line names it, and moving everything from one store to another.
 *
 * Used by main.c.
 */
#ifndef BERTH_APISERVER_MIGRATE_H
#define BERTH_APISERVER_MIGRATE_H

#include "apiserver/store.h"

struct etcd_choice {
	const char *endpoints; /* URL[,URL...] */
	const char *ca_file, *cert_file, *key_file, *prefix;
};
/* Errors: E_BAD_REQUEST, or store_etcd_open()'s. */
int migrate_open_etcd(const struct etcd_choice *c, struct store **ret, struct error *e);

/* Copies all live objects from a store to one that holds nothing, and gives each a new revision, greater than all of
 * the source's: what clients know of it stays older. No other process may write to either. *ret_count objects were
 * copied. Errors: E_CONFLICT (the target holds something), or the stores'. */
int migrate_objects(struct store *from, struct store *to, size_t *ret_count, struct error *e);
/* The same, with stores named as "sqlite:PATH" and "etcd:URL[,URL...]"; rest: how to reach etcd. */
int migrate(const char *from, const char *to, const struct etcd_choice *rest, size_t *ret_count, struct error *e);

#endif
