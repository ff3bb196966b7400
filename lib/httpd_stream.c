/*
 * httpd_stream.c - pushed answers; see httpd.h.
 *
 * A stream is a queue of chunk references. libmicrohttpd asks for bytes in stream_read(), which takes from as many
 * chunks as fit; when there is nothing, the connection is suspended and the next writer resumes it. The struct belongs
 * to the response and is freed with it; the caller's last moment with it is on_closed.
 *
 * lock guards everything after it. A suspended connection notices nothing, so the warden watches its socket.
 */
#include "lib/httpd_internal.h"

#include "lib/log.h"

#include <sys/mman.h>
#include <sys/socket.h>

#define RING_MIN 8

struct httpd_stream {
	httpd_stream_closed *on_closed;
	void *user;
	pthread_mutex_t lock;
	struct MHD_Connection *mhd; /* NULL once the connection is done with the stream */
	int fd;
	struct chunk **ring; /* cap slots, a power of two; count of them used from head on */
	size_t cap, head, count;
	size_t offset; /* bytes of the first chunk already taken */
	size_t queued; /* bytes waiting */
	bool suspended, ended, broken;
};

static void stream_wake(struct httpd_stream *s)
{
	if (!s->suspended || !s->mhd)
		return;
	s->suspended = false;
	MHD_resume_connection(s->mhd);
}

/* Ends it without regard for what is queued; the client may be one that never reads. */
static void stream_break(struct httpd_stream *s)
{
	s->broken = true;
	if (s->mhd)
		shutdown(s->fd, SHUT_RDWR);
	stream_wake(s);
}

static size_t stream_take(struct httpd_stream *s, char *out, size_t max)
{
	size_t n = 0;

	while (s->count && n < max) {
		struct chunk *c = s->ring[s->head];
		size_t part = chunk_len(c) - s->offset;

		if (part > max - n)
			part = max - n;
		memcpy(out + n, chunk_data(c) + s->offset, part);
		n += part;
		s->offset += part;
		if (s->offset < chunk_len(c))
			break;
		s->offset = 0;
		s->head = (s->head + 1) & (s->cap - 1);
		s->count--;
		chunk_unref(c);
	}
	s->queued -= n;
	return n;
}

/* Gives the pages of libmicrohttpd's empty output buffer back to the system. A waiting stream then costs a page or two;
 * the next event costs a page fault. */
static void release_pages(char *buf, size_t len)
{
	uintptr_t page = 4096, from = ((uintptr_t)buf + page) & ~(page - 1), to = ((uintptr_t)buf + len) & ~(page - 1);

	if (from < to)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

static ssize_t stream_read(void *user, uint64_t position, char *buf, size_t max)
{
	struct httpd_stream *s = user;
	ssize_t n;

	pthread_mutex_lock(&s->lock);
	/* A broken stream's socket is shut down, so the proper end never gets out. (Returning an error instead would
	 * make libmicrohttpd 0.9.75 forget the closed connection until it happens to look at it again.) */
	if (s->broken) {
		n = MHD_CONTENT_READER_END_OF_STREAM;
	} else if (s->count) {
		n = (ssize_t)stream_take(s, buf, max);
	} else if (s->ended) {
		n = MHD_CONTENT_READER_END_OF_STREAM;
	} else {
		n = 0;
		s->suspended = true;
		MHD_suspend_connection(s->mhd);
		if (position == 0 || s->cap > RING_MIN) {
			free(s->ring);
			s->ring = NULL;
			s->cap = s->head = 0;
			release_pages(buf, max);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void stream_free(void *user)
{
	struct httpd_stream *s = user;

	while (s->count) {
		chunk_unref(s->ring[s->head]);
		s->head = (s->head + 1) & (s->cap - 1);
		s->count--;
	}
	free(s->ring);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

struct httpd_stream *httpd_stream_start(struct httpd_request *r, int status, const char *content_type,
					httpd_stream_closed *on_closed, void *user)
{
	struct httpd_stream *s = xcalloc(1, sizeof(*s));
	struct httpd_conn *c = r->conn;
	struct httpd *h = r->h;
	struct MHD_Response *resp;

	s->on_closed = on_closed;
	s->user = user;
	s->mhd = r->mhd;
	s->fd = c->fd;
	pthread_mutex_init(&s->lock, NULL);
	resp = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, stream_read, s, stream_free);
	if (!resp) {
		log_error("out of memory", NULL);
		abort();
	}
	if (content_type)
		MHD_add_response_header(resp, "Content-Type", content_type);
	response_add_headers(r, resp);
	r->stream = s;
	pthread_mutex_lock(&h->conns_lock);
	c->stream = s;
	s->ended = atomic_load(&h->stopping);
	pthread_mutex_unlock(&h->conns_lock);
	warden_watch(c);
	request_answer(r, (unsigned)status, resp);
	return s;
}

bool httpd_stream_write(struct httpd_stream *s, struct chunk *c)
{
	bool ok = true;

	pthread_mutex_lock(&s->lock);
	if (s->broken || s->ended || !s->mhd) {
		ok = !s->broken;
	} else if (s->queued + chunk_len(c) > HTTPD_STREAM_QUEUE_MAX && s->queued) {
		ok = false;
		stream_break(s);
	} else if (chunk_len(c)) {
		if (s->count == s->cap) {
			size_t cap = s->cap ? 2 * s->cap : RING_MIN;
			struct chunk **grown = xmalloc(cap * sizeof(struct chunk *));

			for (size_t i = 0; i < s->count; i++)
				grown[i] = s->ring[(s->head + i) & (s->cap - 1)];
			free(s->ring);
			s->ring = grown;
			s->cap = cap;
			s->head = 0;
		}
		s->ring[(s->head + s->count++) & (s->cap - 1)] = chunk_ref(c);
		s->queued += chunk_len(c);
		stream_wake(s);
	}
	pthread_mutex_unlock(&s->lock);
	return ok;
}

size_t httpd_stream_queued(struct httpd_stream *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->queued;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void httpd_stream_end(struct httpd_stream *s)
{
	pthread_mutex_lock(&s->lock);
	s->ended = true;
	stream_wake(s);
	pthread_mutex_unlock(&s->lock);
}

bool stream_is_ended(struct httpd_stream *s)
{
	bool ended;

	pthread_mutex_lock(&s->lock);
	ended = s->ended;
	pthread_mutex_unlock(&s->lock);
	return ended;
}

void stream_hangup(struct httpd_stream *s)
{
	pthread_mutex_lock(&s->lock);
	stream_break(s);
	pthread_mutex_unlock(&s->lock);
}

void stream_end_all(struct httpd *h)
{
	pthread_mutex_lock(&h->conns_lock);
	for (size_t i = 0; i < h->conns_cap; i++)
		if (h->conns[i] && h->conns[i]->stream)
			httpd_stream_end(h->conns[i]->stream);
	pthread_mutex_unlock(&h->conns_lock);
}

void stream_closed(struct httpd_request *r)
{
	struct httpd_stream *s = r->stream;
	struct httpd_conn *c = r->conn;
	struct httpd *h = r->h;

	warden_unwatch(c);
	pthread_mutex_lock(&h->conns_lock);
	c->stream = NULL;
	pthread_mutex_unlock(&h->conns_lock);
	pthread_mutex_lock(&s->lock);
	s->mhd = NULL;
	pthread_mutex_unlock(&s->lock);
	s->on_closed(s, s->user);
}
