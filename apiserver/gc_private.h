/*
 * gc_private.h - what gc.c, gc_namespace.c and gc_change.c share; nobody else includes it.
 */
#ifndef BERTH_APISERVER_GC_PRIVATE_H
#define BERTH_APISERVER_GC_PRIVATE_H

#include "apiserver/cache.h"
#include "apiserver/gc.h"

/* Changes made by the controller; each is run again until it went through. A vanished object is no error. */
void gc_delete(struct server *s, const struct object *o, const char *finalizer); /* finalizer: to add, or NULL */
void gc_drop_owner(struct server *s, const struct object *o, const char *uid);	 /* takes the reference out */
void gc_drop_finalizer(struct server *s, const struct object *o, const char *finalizer);
/* Removes a Namespace object; only for one that is terminating and empty. */
void gc_remove_namespace(struct server *s, const struct object *o);

/* Deletes everything in a namespace; true when nothing is left. */
bool gc_empty_namespace(struct server *s, const char *ns);
/* Makes the namespaces that always exist. */
void gc_default_namespaces(struct server *s);

#endif
