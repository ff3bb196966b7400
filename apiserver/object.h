/*
 * object.h - one stored version of an object: its JSON text once, and what lists and watches select by.
 *
 * Ownership: reference-counted and immutable after object_publish(); thread-safe from then on. The attributes (labels,
 * selectable fields, owners) are taken out of the tree when the version is made, so nothing parses JSON to select.
 *
 * The text of an object has its resourceVersion at a known place: object_text() writes it without, the store inserts
 * it. Used by everything in the apiserver that touches objects.
 */
#ifndef BERTH_APISERVER_OBJECT_H
#define BERTH_APISERVER_OBJECT_H

#include "apiserver/kind.h"
#include "apiserver/selector.h"
#include "lib/httpd.h"
#include "lib/json.h"

#define BUF_UNLIMITED (SIZE_MAX / 4) /* for text of our own making, whose parts are bounded */

struct object {
	_Atomic unsigned refs;
	const struct kind *kind;
	int64_t revision;
	struct chunk *json; /* NULL until published */
	const char *key;    /* "namespace/name", or "name" for cluster-scoped kinds */
	const char *ns, *name, *uid;
	uint16_t label_count, owner_count;
	bool terminating;   /* has a deletionTimestamp */
	bool finalized;	    /* has finalizers */
	const char *labels; /* key NUL value NUL … */
	const char *fields; /* one value NUL per kind->selectable */
	const char *owners; /* uid NUL … */
	char data[];
};

/* The attributes of a tree; one reference. */
struct object *object_new(const struct kind *k, const struct json *tree);
/* Completes a version with what the store made of it; takes the reference of json. */
void object_publish(struct object *o, int64_t revision, struct chunk *json);
/* From the store's text; NULL when it is not an object's. */
struct object *object_load(const struct kind *k, int64_t revision, const char *text, size_t len);
struct object *object_ref(struct object *o);
void object_unref(struct object *o); /* NULL-safe */
static inline void object_unrefp(struct object **o)
{
	object_unref(*o);
}
#define _object_ _cleanup_(object_unrefp) struct object *

/* The tree of a published version, in a. Never NULL: the text is our own. */
struct json *object_tree(struct arena *a, const struct object *o);
/* Compact text without metadata.resourceVersion; *ret_revision_at is where its digits belong. */
void object_text(const struct json *tree, struct buf *out, size_t *ret_revision_at);

/* "namespace/name" or "name"; "group/plural/namespace/name"; "group/plural/". */
char *object_key(struct arena *a, const struct kind *k, const char *ns, const char *name);
char *object_store_key(struct arena *a, const struct kind *k, const char *ns, const char *name);
char *object_store_prefix(struct arena *a, const struct kind *k);
/* The kind a store key belongs to, NULL when this release knows none. */
const struct kind *object_kind_of_key(const char *store_key);

/* What a list or watch asks for. */
struct filter {
	const struct kind *kind;
	const char *ns, *name; /* NULL: any */
	const struct selector *labels, *fields;
};
bool filter_matches(const struct filter *f, const struct object *o);

#endif
