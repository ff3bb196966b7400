/*
 * httpd_reply.c - shared bytes, and answers of known length; see httpd.h.
 */
#include "lib/httpd_internal.h"

#include "lib/log.h"

#include <stdio.h>
#include <strings.h>
#include <zlib.h>

/* ---- chunks ---- */

struct chunk {
	_Atomic unsigned refs;
	size_t len;
	char *data; /* points behind the struct unless taken */
};

struct chunk *chunk_new(const void *data, size_t len)
{
	struct chunk *c = xmalloc(sizeof(*c) + len + 1);

	atomic_init(&c->refs, 1);
	c->len = len;
	c->data = (char *)(c + 1);
	if (len)
		memcpy(c->data, data, len);
	c->data[len] = '\0';
	return c;
}

struct chunk *chunk_take(char *data, size_t len)
{
	struct chunk *c = xmalloc(sizeof(*c));

	atomic_init(&c->refs, 1);
	c->len = len;
	c->data = data;
	return c;
}

struct chunk *chunk_ref(struct chunk *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void chunk_unref(struct chunk *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (c->data != (char *)(c + 1))
		free(c->data);
	free(c);
}

const char *chunk_data(const struct chunk *c)
{
	return c->data;
}

size_t chunk_len(const struct chunk *c)
{
	return c->len;
}

static void chunk_free_cb(void *c)
{
	chunk_unref(c);
}

/* ---- answers ---- */

void httpd_set_header(struct httpd_request *r, const char *name, const char *value)
{
	struct reply_header *h = arena_calloc(r->a, sizeof(*h));

	h->name = arena_strdup(r->a, name);
	h->value = arena_strdup(r->a, value);
	h->next = r->headers;
	r->headers = h;
}

void response_add_headers(const struct httpd_request *r, struct MHD_Response *response)
{
	for (const struct reply_header *h = r->headers; h; h = h->next)
		if (MHD_add_response_header(response, h->name, h->value) != MHD_YES)
			log_warn("header of an answer left out", "name", h->name, NULL);
}

void request_answer(struct httpd_request *r, unsigned status, struct MHD_Response *response)
{
	struct httpd *h = r->h;

	r->status = status;
	r->response = response;
	if (atomic_exchange(&r->phase, PHASE_ANSWERED) == PHASE_PARKED)
		MHD_resume_connection(r->mhd);
	/* From here on r may be gone; and h too, once nothing is pending any more and no lock is held. */
	if (!atomic_load(&h->stopping)) {
		atomic_fetch_sub(&h->pending, 1);
		return;
	}
	pthread_mutex_lock(&h->idle_lock);
	atomic_fetch_sub(&h->pending, 1);
	pthread_cond_broadcast(&h->idle_cond);
	pthread_mutex_unlock(&h->idle_lock);
}

/* Does a list like "br, gzip;q=0.8" take gzip? Source: RFC 9110 section 12.5.3. */
static bool takes_gzip(const char *accept)
{
	while (accept && *accept) {
		size_t n = strcspn(accept, ","), name;
		const char *q;

		while (n && (*accept == ' ' || *accept == '\t')) {
			accept++;
			n--;
		}
		name = strcspn(accept, ",; \t");
		if (name == 4 && strncasecmp(accept, "gzip", 4) == 0) {
			q = memchr(accept, '=', n);
			return !q || strtod(q + 1, NULL) > 0;
		}
		accept += n + (accept[n] == ',');
	}
	return false;
}

static struct chunk *compress_chunk(const struct chunk *c)
{
	z_stream z = {0};
	struct chunk *ret = NULL;
	char *out;
	size_t cap;

	/* Level 1 as kube-apiserver; 15 + 16: a gzip header. */
	if (c->len > UINT32_MAX || deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return NULL;
	cap = deflateBound(&z, c->len);
	out = xmalloc(cap);
	z.next_in = (Bytef *)c->data;
	z.avail_in = (uInt)c->len;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)cap;
	if (deflate(&z, Z_FINISH) == Z_STREAM_END)
		ret = chunk_take(xrealloc(out, z.total_out), z.total_out);
	else
		free(out);
	deflateEnd(&z);
	return ret;
}

void httpd_reply_chunk(struct httpd_request *r, int status, const char *content_type, struct chunk *c)
{
	struct MHD_Response *resp;
	struct chunk *small = NULL;

	if (c->len > HTTPD_GZIP_MIN && takes_gzip(httpd_header(r, "Accept-Encoding")))
		small = compress_chunk(c);
	if (small) {
		chunk_unref(c);
		c = small;
	}
	resp = MHD_create_response_from_buffer_with_free_callback_cls(c->len, c->data, chunk_free_cb, c);
	if (!resp) {
		log_error("out of memory", NULL);
		abort();
	}
	if (content_type)
		MHD_add_response_header(resp, "Content-Type", content_type);
	if (small) {
		MHD_add_response_header(resp, "Content-Encoding", "gzip");
		MHD_add_response_header(resp, "Vary", "Accept-Encoding");
	}
	response_add_headers(r, resp);
	request_answer(r, (unsigned)status, resp);
}

void httpd_reply(struct httpd_request *r, int status, const char *content_type, const void *body, size_t len)
{
	httpd_reply_chunk(r, status, content_type, chunk_new(body, len));
}
