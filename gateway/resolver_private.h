/*
 * resolver_private.h - what resolver.c (connections) and waker.c (decisions and writes) share; nobody else includes it.
 */
#ifndef BERTH_GATEWAY_RESOLVER_PRIVATE_H
#define BERTH_GATEWAY_RESOLVER_PRIVATE_H

#include "gateway/resolver.h"
#include "gateway/wake.h"

/* One connection of HAProxy, and after its question one request that waits. */
struct waiter {
	uv_pipe_t pipe; /* first: freed when it is closed */
	struct resolver *r;
	struct waker *waker; /* NULL before the question and after the answer */
	struct waiter *prev, *next;
	int64_t since;
	const char *client; /* its address, in line; "" when unknown */
	bool is_cold;	    /* could not be answered at once */
	bool closing;
	uv_write_t write;
	char *answer;
	char line[INSTANCE_KEY_MAX + 128];
	size_t len;
};

/* All requests that wait for one key. */
struct waker {
	struct resolver *r;
	struct waker *prev, *next;
	char *key, *ns, *container, *id, *name;
	struct waiter *first, *last;
	int64_t count;
	bool busy;	  /* a write is under way; keeps the waker alive */
	int64_t retry_at; /* no write before this time */
	int64_t backoff_ms;
	int64_t created_at;	     /* the Instance was made then: the watch will show it; 0: not */
	bool reset;		     /* it has reset a Failed one */
	bool seen_alive;	     /* it has seen the Instance wanted and not Failed */
	struct wake_verdict refusal; /* of a write; action WAKE_WAIT: none */
};

struct resolver {
	struct resolver_options opt;
	struct arena *a;
	uv_pipe_t listener;
	uv_timer_t timer;
	int handles; /* and writes under way */
	bool stopping;
	struct strmap *wakers; /* by key */
	struct waker *first;
	int64_t waiting;
	struct waiter *idle; /* connections without a waker */
};

/* Joins the waker of the key, or refuses. */
void waker_join(struct resolver *r, struct waiter *w, const char *key);
/* The waiter goes: its client did, or it was answered. */
void waker_leave(struct waiter *w);
/* Decides and acts; may free the waker. */
void waker_step(struct waker *k);
void waker_free(struct waker *k);
/* One handle or write less; the last one frees the resolver. */
void resolver_release(struct resolver *r);
/* Sends one line (without its end) and closes. */
void resolver_answer(struct waiter *w, const char *fmt, ...) _printf_(2, 3);
void resolver_refuse(struct waiter *w, const struct wake_verdict *v);
/* Lets the resolver's clock run while anything waits. */
void resolver_tick_start(struct resolver *r);

#endif
