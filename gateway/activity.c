/*
 * activity.c - see activity.h.
 */
#include "gateway/activity.h"

#include "gateway/haproxy_cfg.h"

/* Entries live for HAPROXY_ACTIVITY_EXPIRE_MS: looking twice as often, no ended request is forgotten unseen. */
#define LOOK_AT_LEAST_MS (HAPROXY_ACTIVITY_EXPIRE_MS / 2)
/* A look costs a question to HAProxy; the shortest sleepAfter gets no more than this many. */
#define LOOK_AT_MOST_MS 250

static void plan(struct activity *a, int64_t now, int64_t sleep_after)
{
	if (sleep_after <= 0) {
		a->check_at = INT64_MAX;
		return;
	}
	a->check_at = a->last_active + sleep_after;
	if (a->check_at < now + LOOK_AT_MOST_MS)
		a->check_at = now + LOOK_AT_MOST_MS;
	if (a->check_at > now + LOOK_AT_LEAST_MS)
		a->check_at = now + LOOK_AT_LEAST_MS;
}

void activity_start(struct activity *a, int64_t now, int64_t sleep_after)
{
	a->last_active = now;
	plan(a, now, sleep_after);
}

void activity_retime(struct activity *a, int64_t now, int64_t sleep_after)
{
	plan(a, now, sleep_after);
}

void activity_touch(struct activity *a, int64_t now, int64_t sleep_after)
{
	activity_start(a, now, sleep_after);
}

enum activity_verdict activity_judge(struct activity *a, int64_t now, int64_t sleep_after,
				     const struct activity_sample *s)
{
	if (s->found && s->in_flight > 0)
		a->last_active = now;
	else if (s->found && now - s->idle_ms > a->last_active)
		a->last_active = now - s->idle_ms;
	else if (!s->found && s->table_full)
		a->last_active = now;
	if (sleep_after > 0 && now - a->last_active >= sleep_after)
		return ACTIVITY_SLEEP;
	plan(a, now, sleep_after);
	return ACTIVITY_STAY;
}
