/*
 * document.c - see document.h. The ETag is a hash of the bytes, so equal servers agree on it.
 */
#include "apiserver/document.h"

#include "apiserver/accept.h"
#include "lib/codec.h"

#define VARIANTS_MAX 8

void document_add(struct document_set *s, const char *path, const char *offer, const char *content_type,
		  struct buf *body)
{
	char hash[SHA256_HEX_MAX];
	size_t len = body->len;

	if (s->count == DOCUMENTS_MAX)
		abort(); /* the number follows from api-spec/ alone */
	sha256_hex(len ? body->data : "", len, hash);
	s->items[s->count].path = xstrdup(path);
	s->items[s->count].offer = offer ? offer : content_type;
	s->items[s->count].document.content_type = content_type;
	s->items[s->count].document.etag = xasprintf("\"%s\"", hash);
	s->items[s->count].document.body = chunk_take(buf_steal(body), len);
	s->count++;
}

int document_find(const struct document_set *s, const char *path, const char *accept, const struct document **ret,
		  struct error *e)
{
	const struct document *variants[VARIANTS_MAX];
	const char *offers[VARIANTS_MAX];
	size_t n = 0;
	int chosen;

	for (size_t i = 0; i < s->count && n < VARIANTS_MAX; i++)
		if (streq(s->items[i].path, path)) {
			variants[n] = &s->items[i].document;
			offers[n++] = s->items[i].offer;
		}
	if (n == 0)
		return error_set(e, E_NOT_FOUND, "the server could not find the requested resource");
	chosen = accept_choose(accept, offers, n, 0);
	if (chosen < 0)
		return error_set(
			e, E_NOT_ACCEPTABLE,
			"only the following media types are accepted: application/json and those of discovery");
	*ret = variants[chosen];
	return 0;
}
