/*
 * post.h - runs a function on the loop's thread, from any thread.
 *
 * Calls run in the order they were posted, each exactly once. Used by files whose callbacks come on threads of a
 * library (libvirt's events, the node port's requests).
 */
#ifndef BERTH_AGENT_POST_H
#define BERTH_AGENT_POST_H

#include <uv.h>

#include "lib/base.h"

struct post;
struct post *post_new(uv_loop_t *loop);
void post_call(struct post *p, void (*fn)(void *arg), void *arg);

#endif
