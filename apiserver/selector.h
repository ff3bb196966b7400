/*
 * selector.h - label and field selectors of list, watch and deletecollection.
 *
 * Sources: k8s.io/apimachinery/pkg/labels and pkg/fields. A parsed selector belongs to its arena, is immutable and
 * thread-safe; NULL matches everything. Used by the read verbs, the cache and the watch hub.
 */
#ifndef BERTH_APISERVER_SELECTOR_H
#define BERTH_APISERVER_SELECTOR_H

#include "apiserver/kind.h"

struct selector;

#define SELECTOR_TEXT_MAX 8192
#define SELECTOR_REQUIREMENTS_MAX 256

/* `a=b,c!=d,e in (f,g),h notin (i),j,!k`. NULL or "" gives NULL. E_BAD_REQUEST with upstream's text. */
int selector_parse_labels(struct arena *a, const char *text, struct selector **ret, struct error *e);
/* `metadata.name=x,spec.nodeName!=y`; backslash escapes `\`, `,` and `=`. E_BAD_REQUEST; for a field that is not one of
 * metadata.name, metadata.namespace and the kind's selectable ones `field label not supported: x`. */
int selector_parse_fields(struct arena *a, const struct kind *k, const char *text, struct selector **ret,
			  struct error *e);

/* The value of a key, NULL when the object does not have it. */
typedef const char *selector_lookup(const void *user, const char *key);
bool selector_matches(const struct selector *s, selector_lookup *get, const void *user);
/* The value when the selector demands exactly key=value, else NULL. */
const char *selector_requires(const struct selector *s, const char *key);

#endif
