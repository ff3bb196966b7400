/*
 * document.h - a set of fixed documents, found by path and Accept header. Used by discovery.c and openapi.c.
 */
#ifndef BERTH_APISERVER_DOCUMENT_H
#define BERTH_APISERVER_DOCUMENT_H

#include "apiserver/discovery.h"

#define DOCUMENTS_MAX 128

struct document_set {
	struct {
		const char *path;
		const char *offer; /* what Accept has to name: the content type, when it is not another */
		struct document document;
	} items[DOCUMENTS_MAX];
	size_t count;
};

/* Takes the bytes of body. offer and content_type are borrowed for good, path copied;
 * offer is NULL when Accept names the content type itself. The first of a path is what wildcards get. */
void document_add(struct document_set *s, const char *path, const char *offer, const char *content_type,
		  struct buf *body);
/* Errors: E_NOT_FOUND, E_NOT_ACCEPTABLE. */
int document_find(const struct document_set *s, const char *path, const char *accept, const struct document **ret,
		  struct error *e);

#endif
