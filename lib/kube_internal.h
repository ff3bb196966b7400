/*
 * kube_internal.h - what the kube*.c files share; nobody else but their tests includes it.
 */
#ifndef BERTH_LIB_KUBE_INTERNAL_H
#define BERTH_LIB_KUBE_INTERNAL_H

#include "lib/kube.h"
#include "lib/strmap.h"

#define KUBE_ANSWER_MAX (256U << 20) /* a list of everything there is */
#define KUBE_OBJECT_MAX (8U << 20)   /* one line of a watch */

struct event_entry;

struct kube {
	struct arena *a;
	struct kube_config cfg;
	struct http_tls tls;
	char *user_agent; /* "User-Agent: …" */
	char *component;  /* what stands before the slash */
	struct http_client *client;
	uv_loop_t *uv;
	struct http_loop *loop;	      /* NULL without uv */
	struct kube_pending *pending; /* asynchronous calls under way */
	struct strmap *events;
	struct event_entry *events_newest, *events_oldest, *events_leaving;
	int64_t watch_silence_ms; /* a watch without a byte for so long is dead */
	int64_t backoff_min_ms, backoff_max_ms;
};

/* The request for a call; strings live in a, body in *body. Callers set timeouts and sinks. */
void kube_request(struct kube *k, const struct kube_call *c, struct arena *a, struct buf *body,
		  struct http_request *ret);
/* 0 for a 2xx answer, else the error a Status (or whatever came) stands for. */
int kube_check(const struct http_response *res, struct arena *a, struct error *e);
int kube_parse(const struct http_response *res, struct arena *a, struct json **ret, struct error *e);
void kube_events_free(struct kube *k);

/* ---- kube_cache.c: objects with an arena each, for informers ---- */
struct cached {
	struct arena *a; /* the struct lies in it too */
	const struct json *object;
	struct cached *next; /* in a graveyard */
};
/* Takes a, in which object lies. */
struct cached *cached_new(struct arena *a, const struct json *object);
void cached_free(struct cached *c);
/* A graveyard keeps what has left the cache while pointers to it may still be in use. c may be NULL. */
void cached_bury(struct cached **graveyard, struct cached *c);
void cached_free_all(struct cached **graveyard);
/* Frees a map of struct cached with what is in it; NULL-safe. */
void cached_map_free(struct strmap *m);
/* "namespace/name", or "name". */
char *cached_key(struct arena *a, const char *ns, const char *name);
/* The key of an object; NULL for something that has no name. */
char *object_key(struct arena *a, const struct json *object);
/* A string of its metadata, "" when absent. */
const char *object_meta(const struct json *object, const char *field);

#endif
