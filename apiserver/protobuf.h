/*
 * protobuf.h - request bodies in Kubernetes' protobuf form, for the kinds that kubectl 1.32 and newer sends that way.
 *
 * Source: k8s.io/apimachinery/pkg/runtime/generated.proto (envelope), k8s.io/api generated.proto files (field numbers).
 * Content type application/vnd.kubernetes.protobuf. Empty strings and zeros are taken as absent. Used by call.c.
 */
#ifndef BERTH_APISERVER_PROTOBUF_H
#define BERTH_APISERVER_PROTOBUF_H

#include "lib/json.h"

#define PROTOBUF_CONTENT_TYPE "application/vnd.kubernetes.protobuf"

/* The object as JSON, with apiVersion and kind. Errors: E_BAD_REQUEST (malformed), E_UNSUPPORTED_MEDIA (a kind that is
 * not known here; JSON is to be used). */
int protobuf_decode(struct arena *a, const void *data, size_t len, struct json **ret, struct error *e);

#endif
