/*
 * sleeper.h - puts idle instances to sleep.
 *
 * In this order, so that no request meets a VM that is going away: the map entry is taken out; HAProxy is asked once
 * more whether anything is in flight (whoever had seen the entry is counted before he saw it); only then is spec.state
 * set to Asleep, and only if the Instance has not changed since. If anything came in, the entry goes back. Requests
 * that come in between wait at the resolver.
 *
 * An instance sleeps when it was Ready in its newest generation and nothing used it for the Container's sleepAfter; by
 * the gateway of the Location that woke it.
 *
 * Ownership: options are copied, what they point to is borrowed. Runs on the loop's thread.
 */
#ifndef BERTH_GATEWAY_SLEEPER_H
#define BERTH_GATEWAY_SLEEPER_H

#include "gateway/instance.h"
#include "gateway/maps.h"
#include "gateway/runtime.h"
#include "lib/kube.h"

struct sleeper_options {
	uv_loop_t *loop;
	struct kube *kube;
	struct instance_table *instances;
	struct maps *maps;
	struct runtime *rt;
	const char *location;
	const struct json *(*container)(void *user, const char *ns, const char *name);
	/* falling_asleep or min_version of the record changed. */
	void (*changed)(void *user, struct instance *i);
	void *user;
};

struct sleeper;
struct sleeper *sleeper_new(const struct sleeper_options *opt);
void sleeper_free(struct sleeper *s);
/* HAProxy counts (or has begun to count anew: everybody is given a full sleepAfter). */
void sleeper_up(struct sleeper *s, bool fresh);
void sleeper_down(struct sleeper *s);
/* The record was put or changed. */
void sleeper_touch(struct sleeper *s, struct instance *i);
/* Its sleepAfter may have changed. */
void sleeper_container_changed(struct sleeper *s, const char *ns, const char *name);

/* Adds up what one or more answers to "show table" say about a key. */
void sleeper_parse_sample(const char *answer, const char *key, struct activity_sample *ret);

#endif
