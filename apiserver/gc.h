/*
 * gc.h - the built-in controller: what owners leave behind, foreground and orphan deletion, namespaces that end.
 *
 * One thread that follows the watch cache's events and changes objects like any other writer; it keeps an index from an
 * owner's uid to its dependents. Nothing it knows has to survive: it reads the whole cache when it starts.
 * Source of rules: k8s.io/kubernetes pkg/controller/garbagecollector and pkg/controller/namespace.
 */
#ifndef BERTH_APISERVER_GC_H
#define BERTH_APISERVER_GC_H

#include "apiserver/server.h"

struct gc;
struct gc *gc_start(struct server *s);
void gc_stop(struct gc *g); /* NULL-safe */

#endif
