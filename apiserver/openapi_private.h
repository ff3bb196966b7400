/*
 * openapi_private.h - the parts of the OpenAPI documents, as trees; put together by openapi.c.
 */
#ifndef BERTH_APISERVER_OPENAPI_PRIVATE_H
#define BERTH_APISERVER_OPENAPI_PRIVATE_H

#include "apiserver/kind.h"

#define OPENAPI_V3_PREFIX "#/components/schemas/"
#define OPENAPI_V2_PREFIX "#/definitions/"
#define OPENAPI_META "io.k8s.apimachinery.pkg.apis.meta.v1."

/* {"$ref": prefix + name} */
struct json *openapi_ref(struct arena *a, const char *name);

/* Adds the v3 schemas of the kind and of its list to an object of name → schema. */
void openapi_kind_schemas(struct arena *a, const struct kind *k, struct json *schemas);
/* Adds the v3 paths of the kind to an object of path → path item. */
void openapi_kind_paths(struct arena *a, const struct kind *k, struct json *paths);

/* v3 schemas and paths as Swagger 2.0's; source: apiextensions-apiserver's ToStructuralOpenAPIV2. */
struct json *openapi_v2_schema(struct arena *a, const struct json *v3);
struct json *openapi_v2_path_item(struct arena *a, const struct json *v3);
/* A Swagger 2.0 document as gnostic's openapi.v2.Document. */
void openapi_v2_protobuf(const struct json *document, struct buf *out);

#endif
