/*
 * patch.h - the three ways to patch an object that are not server-side apply.
 *
 * Pure functions: doc and patch are not changed; *ret is a new tree that may share unchanged nodes with them, so they
 * must live as long as it does and the result is cloned before it is changed in place: json_clone().
 * Used by the write path.
 */
#ifndef BERTH_APISERVER_PATCH_H
#define BERTH_APISERVER_PATCH_H

#include "apiserver/kind.h"

#define PATCH_OPERATIONS_MAX 10000 /* as kube-apiserver limits JSON Patch */

/* RFC 6902. E_BAD_REQUEST: not a JSON Patch. E_INVALID: a test failed or a path does not exist.
 * E_TOO_LARGE: too many operations, or a result beyond JSON_MAX_BYTES. The result is a deep copy. */
int patch_json(struct arena *a, const struct json *doc, const struct json *ops, struct json **ret, struct error *e);
/* RFC 7386. E_BAD_REQUEST: the patch is not an object. The result is a deep copy. */
int patch_merge(struct arena *a, const struct json *doc, const struct json *patch, struct json **ret, struct error *e);
/* Kubernetes' strategic merge, by the merge keys in the kind's schema; $patch, $deleteFromPrimitiveList, $retainKeys
 * and $setElementOrder are understood. Source: k8s.io/apimachinery/pkg/util/strategicpatch. E_UNSUPPORTED_MEDIA for
 * kinds that are not core, E_BAD_REQUEST for a malformed patch. The result is a deep copy. */
int patch_strategic(struct arena *a, const struct kind *k, const struct json *doc, const struct json *patch,
		    struct json **ret, struct error *e);

#endif
