/*
 * kind_private.h - what kind.c, kind_table.c and openapi.c share.
 */
#ifndef BERTH_APISERVER_KIND_PRIVATE_H
#define BERTH_APISERVER_KIND_PRIVATE_H

#define KIND_OBJECT_META "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

#endif
