/*
 * render.h - objects as clients want to see them: whole, as Table rows, or metadata only; alone, in lists, in watches.
 *
 * Pure functions from published objects to text. Used by the read verbs and the watch hub.
 */
#ifndef BERTH_APISERVER_RENDER_H
#define BERTH_APISERVER_RENDER_H

#include "apiserver/cache.h"
#include "apiserver/table.h"

enum form { FORM_OBJECT, FORM_PARTIAL, FORM_TABLE_METADATA, FORM_TABLE_OBJECT, FORM_TABLE_NONE, FORM_COUNT };

/* The form an Accept header asks for: the first clause that can be served. E_NOT_ACCEPTABLE. include: the query's
 * includeObject or NULL. */
int form_negotiate(const char *accept, const char *include, enum form *ret, struct error *e);

/* One object. FORM_OBJECT needs no rendering: the object's own text is the answer. */
void render_object(enum form f, const struct object *o, int64_t now_ms, struct buf *out);
struct render_list {
	const struct kind *kind;
	const struct cache_page *page;
	const char *continue_token; /* NULL: complete */
};
void render_list(enum form f, const struct render_list *l, int64_t now_ms, struct buf *out);
/* One line of a watch, newline included. */
void render_event(enum form f, enum event_type type, const struct object *o, int64_t now_ms, struct buf *out);
void render_bookmark(enum form f, const struct kind *k, int64_t revision, bool initial_end, struct buf *out);
/* {"type":"ERROR","object":<status>} */
void render_error(const char *status, size_t len, struct buf *out);

#endif
