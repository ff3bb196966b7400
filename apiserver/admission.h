/*
 * admission.h - what single kinds ask for beyond their schema: Instances, Namespaces, Secrets, roles.
 *
 * Called by the write rules (prepare.c), with trees they may change. Reads other objects from the cache.
 */
#ifndef BERTH_APISERVER_ADMISSION_H
#define BERTH_APISERVER_ADMISSION_H

#include "apiserver/prepare.h"

/* A name for an object that came without name and generateName; none is no error here. */
int admission_default_name(struct write_rules *w, struct json *obj, struct error *e);
/* The namespace of a new object exists and is not being deleted. */
int admission_namespace(struct write_rules *w, const char *name, struct error *e);
int admission_create(struct write_rules *w, struct json *obj, struct error *e);
int admission_update(struct write_rules *w, const struct json *live, struct json *next, struct error *e);
/* E_FORBIDDEN for what may never be deleted. */
int admission_delete(const struct kind *k, const char *name, struct error *e);
/* True for a kind whose objects are removed by the garbage collector, not with their last finalizer. */
bool admission_ends_elsewhere(const struct kind *k);

/* ---- rows of the table in admission.c that have a file of their own: admission_rbac.c ---- */
void admission_role_create(struct write_rules *w, struct json *obj);
void admission_role_update(struct write_rules *w, const struct json *live, struct json *next);
void admission_binding_create(struct write_rules *w, struct json *obj);
void admission_binding_update(struct write_rules *w, const struct json *live, struct json *next);

#endif
