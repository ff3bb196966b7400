/*
 * apply.h - server-side apply and the bookkeeping of who owns which field (metadata.managedFields).
 *
 * Source: KEP-555 and sigs.k8s.io/structured-merge-diff: fields are leaves of the object, keyed by member name, by key
 * members for lists of type map, by value for sets; atomic lists and maps are one leaf. Pure functions on trees.
 * Used by the write path.
 */
#ifndef BERTH_APISERVER_APPLY_H
#define BERTH_APISERVER_APPLY_H

#include "apiserver/kind.h"

#define APPLY_MANAGERS_MAX 10 /* Update entries kept apart; older ones are joined as "ancient-changes" */

struct apply_request {
	const struct kind *kind;
	const char *manager;	 /* fieldManager, or made from the User-Agent */
	const char *subresource; /* "" or "status", … */
	bool force;		 /* take fields over in a conflict; only for apply_merge() */
	int64_t now_ms;
};

/* applied into live (NULL: the object does not exist yet) for the manager; *ret is a new tree with its managedFields.
 * When nothing but times would change, *ret equals live. Errors: E_BAD_REQUEST (managedFields in applied, duplicate
 * list keys), E_CONFLICT with upstream's text and *ret_causes, an array of {reason, message, field}. */
int apply_merge(struct arena *a, const struct apply_request *r, const struct json *live, const struct json *applied,
		struct json **ret, struct json **ret_causes, struct error *e);
/* Sets obj's metadata.managedFields, in place, for an ordinary write by the manager. old: the object before, NULL on
 * create. managedFields sent by the client count: [{}] clears them, absent or empty leaves the old ones. Entries whose
 * field set does not change keep their time. */
void apply_update_managed(struct arena *a, const struct apply_request *r, const struct json *old, struct json *obj);

#endif
