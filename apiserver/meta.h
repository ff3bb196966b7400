/*
 * meta.h - ObjectMeta: which members exist, what they may hold, and what only the server may say.
 *
 * Sources: k8s.io/apimachinery/pkg/api/validation, pkg/apis/meta/v1/validation. Pure functions over trees; used by the
 * write path. Causes are {reason, message, field} as in status.h.
 */
#ifndef BERTH_APISERVER_META_H
#define BERTH_APISERVER_META_H

#include "apiserver/kind.h"
#include "lib/json.h"

#define META_ANNOTATIONS_MAX (256U * 1024)
#define META_FINALIZER_FOREGROUND "foregroundDeletion"
#define META_FINALIZER_ORPHAN "orphan"

/* The metadata object, made when it is missing or of another type. */
struct json *meta_of(struct arena *a, struct json *obj);
/* Removes members that are null, and those ObjectMeta does not have; the latter are named in unknown (may be NULL). */
void meta_prune(struct arena *a, struct json *obj, struct json *unknown);
/* Checks names, labels, annotations, finalizers, owners. Appends to causes. */
void meta_validate(struct arena *a, const struct kind *k, const struct json *obj, struct json *causes);
/* Checks what an update may not do: change names, un-delete, add finalizers to what is being deleted. */
void meta_validate_update(struct arena *a, const struct json *live, const struct json *obj, struct json *causes);

/* uid, creationTimestamp, generation for a new object; everything else the server owns is taken away. */
void meta_create(struct arena *a, const struct kind *k, struct json *obj, int64_t now_ms);
/* Copies from live what a client cannot change. */
void meta_keep_system(struct arena *a, const struct json *live, struct json *obj);
/* Marks for deletion. */
void meta_terminate(struct arena *a, const struct kind *k, struct json *obj, int64_t now_ms);
void meta_raise_generation(struct arena *a, const struct kind *k, struct json *obj);

bool meta_has_finalizer(const struct json *obj, const char *finalizer);
void meta_add_finalizer(struct arena *a, struct json *obj, const char *finalizer);
bool meta_remove_finalizer(struct json *obj, const char *finalizer);

#endif
