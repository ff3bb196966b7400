/*
 * prepare.h - the rules every write goes through: from what a client sent to what is stored.
 *
 * Order: identity (kind, name, namespace) → prune → system fields → defaults → admission → validation → generation →
 * managedFields → is anything different at all? Pure functions over trees, but for admission, which reads the
 * cache. Trees are in the rules' arena.
 *
 * Sources: kubectl research sections 3.2 to 3.8, that is k8s.io/apiserver/pkg/registry/rest and registry/generic.
 */
#ifndef BERTH_APISERVER_PREPARE_H
#define BERTH_APISERVER_PREPARE_H

#include "apiserver/change.h"

enum field_validation { FIELDS_WARN, FIELDS_STRICT, FIELDS_IGNORE };

struct write_rules {
	struct arena *arena;
	struct cache *cache;
	const struct kind *kind;
	const char *ns, *name, *sub; /* from the URL; "" when it has none */
	enum field_validation validation;
	const char *manager;
	bool apply; /* managedFields are already right */
	int64_t now_ms;
	struct json *unknown; /* array of texts: unknown and duplicate fields */
	struct json *causes;  /* array; why E_INVALID was returned */
};

/* The body's apiVersion, kind and namespace agree with the URL, or are filled in from it. E_BAD_REQUEST. */
int prepare_identity(struct write_rules *w, struct json *obj, struct error *e);
/* Takes unknown fields out; refuses them when validation is strict. E_BAD_REQUEST. */
int prepare_fields(struct write_rules *w, struct json *obj, struct error *e);

/* A new object, in place. Errors: E_BAD_REQUEST, E_INVALID, E_NOT_FOUND and E_FORBIDDEN (namespace). */
int prepare_create(struct write_rules *w, struct json *obj, struct error *e);
/* obj as the next state of live: preconditions, subresource, all rules. Sets action and next of the change.
 * put: the whole object was sent, so it must name its resourceVersion. Errors: E_CONFLICT, E_INVALID, … */
int prepare_update(struct write_rules *w, struct change *ch, const struct json *live, struct json *obj, bool put,
		   struct error *e);
/* The later half of it, for a tree that the server itself made from live. */
int prepare_store(struct write_rules *w, struct change *ch, const struct json *live, struct json *next,
		  struct error *e);

#endif
