/*
 * naming.h - names that several processes must derive alike. The rules stand in docs/architecture.md, "Names".
 *
 * Used by apiserver, scheduler, agent, gateway, cli.
 */
#ifndef BERTH_LIB_NAMING_H
#define BERTH_LIB_NAMING_H

#include "lib/arena.h"
#include "lib/error.h"

#define INSTANCE_ID_MAX 256

/* The Instance's name for an ID. Errors: E_INVALID for an empty ID, one longer than INSTANCE_ID_MAX bytes, one with
 * control characters, or one that is not UTF-8. */
int instance_name(struct arena *a, const char *container, const char *id, char **ret, struct error *e);
/* "sha256-<hex>" for "sha256:<hex>"; NULL when the digest is not of that form. */
char *image_object_name(struct arena *a, const char *digest);
/* DNS label / subdomain by RFC 1123, as Kubernetes checks names. */
bool name_is_label(const char *s);
bool name_is_subdomain(const char *s);

/* The fixed sizes of instance types; false for an unknown type. memory and disk in bytes. */
bool instance_type_lookup(const char *type, int64_t *ret_milli_vcpu, int64_t *ret_memory, int64_t *ret_disk);

#endif
