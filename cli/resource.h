/*
 * resource.h - which types the server has, and which objects an argument list means.
 */
#ifndef BERTH_CLI_RESOURCE_H
#define BERTH_CLI_RESOURCE_H

#include "cli/cli.h"

/* Finds a type by plural, singular, short name, kind, or any of these with ".group". Errors: E_NOT_FOUND naming what
 * there is. */
int resource_find(struct cli *c, const char *text, struct kube_resource *ret, struct error *e);
/* Finds the type of an object by its apiVersion and kind. */
int resource_of_object(struct cli *c, const struct json *object, struct kube_resource *ret, struct error *e);
/* All types a client can list, in discovery order. */
int resource_all(struct cli *c, const struct kube_resource **ret, size_t *ret_count, struct error *e);

struct target {
	struct kube_resource resource;
	const char *name; /* NULL: all of the type */
};
/* "TYPE", "TYPE NAME…", "TYPE/NAME…" and "TYPE,TYPE"; *ret is in the arena. */
int targets_parse(struct cli *c, const char *const *args, int count, struct target **ret, size_t *ret_count,
		  struct error *e);
/* The namespace for a type: NULL for cluster-wide ones. */
const char *resource_namespace(const struct cli *c, const struct kube_resource *r);
/* "container.berth.dev/hello": how commands name an object they changed. */
const char *resource_label(struct cli *c, const struct kube_resource *r, const char *name);

#endif
