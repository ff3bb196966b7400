/*
 * status.h - failures and successes as Kubernetes Status objects, with the texts kube-apiserver uses.
 *
 * Source of texts: k8s.io/apimachinery/pkg/api/errors. Pure functions; used by everything in the apiserver that
 * answers.
 */
#ifndef BERTH_APISERVER_STATUS_H
#define BERTH_APISERVER_STATUS_H

#include "apiserver/kind.h"
#include "lib/buf.h"
#include "lib/error.h"
#include "lib/json.h"

/* "instances.berth.dev", "configmaps" */
const char *kind_resource(struct arena *a, const struct kind *k);

/* Each fills *e and returns its negative code. */
int error_not_found(struct error *e, const struct kind *k, const char *name);
int error_already_exists(struct error *e, const struct kind *k, const char *name);
int error_conflict(struct error *e, const struct kind *k, const char *name, const char *why);
/* The object was changed since it was read. */
int error_modified(struct error *e, const struct kind *k, const char *name);
int error_forbidden(struct error *e, const struct kind *k, const char *name, const char *why);
/* causes: array of {reason, message, field}, at least one. */
int error_invalid(struct error *e, const struct kind *k, const char *name, const struct json *causes);

void cause_add(struct arena *a, struct json *causes, const char *reason, const char *field, const char *fmt, ...)
	_printf_(5, 6);

struct status_details {
	const char *name, *group, *kind, *uid; /* NULL: left out */
	const struct json *causes;	       /* or NULL */
};
void status_failure(struct buf *out, const struct error *e, const struct status_details *d);
void status_success(struct buf *out, int http_status, const struct status_details *d);

#endif
