/*
 * post.c - a locked list and one uv_async. The lock is held for a pointer's change only.
 */
#include "agent/post.h"

#include <pthread.h>

struct posted {
	struct posted *next;
	void (*fn)(void *arg);
	void *arg;
};

struct post {
	uv_async_t async;
	pthread_mutex_t lock;
	struct posted *first, **last;
};

static void on_async(uv_async_t *async)
{
	struct post *p = async->data;

	pthread_mutex_lock(&p->lock);
	struct posted *list = p->first;
	p->first = NULL;
	p->last = &p->first;
	pthread_mutex_unlock(&p->lock);
	while (list) {
		struct posted *now = list;
		list = now->next;
		now->fn(now->arg);
		free(now);
	}
}

struct post *post_new(uv_loop_t *loop)
{
	struct post *p = xcalloc(1, sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	p->last = &p->first;
	p->async.data = p;
	uv_async_init(loop, &p->async, on_async);
	return p;
}

void post_call(struct post *p, void (*fn)(void *arg), void *arg)
{
	struct posted *item = xmalloc(sizeof(*item));

	*item = (struct posted){.fn = fn, .arg = arg};
	pthread_mutex_lock(&p->lock);
	*p->last = item;
	p->last = &item->next;
	pthread_mutex_unlock(&p->lock);
	uv_async_send(&p->async);
}
