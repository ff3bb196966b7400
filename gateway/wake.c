/*
 * wake.c - see wake.h; docs/gateway.md, "Waking", has the table in words.
 */
#include "gateway/wake.h"

#include <stdio.h>

#define COME_BACK_SOON 1 /* seconds */
#define COME_BACK_LATER 5

static _printf_(5, 6) void refuse(struct wake_verdict *v, int status, int retry_after, const char *reason,
				  const char *fmt, ...)
{
	va_list ap;

	v->action = WAKE_REFUSE;
	v->status = status;
	v->retry_after = retry_after;
	v->reason = reason;
	va_start(ap, fmt);
	vsnprintf(v->message, sizeof(v->message), fmt, ap);
	va_end(ap);
}

static const char *colon(const char *text)
{
	return *text ? ": " : "";
}

/* The app ended, or its VM could not be made. A request that comes later starts it anew. */
static void decide_failed(const struct wake_input *in, struct wake_verdict *v)
{
	const struct instance *i = in->instance;
	int64_t left = i->changed_at + WAKE_FAILED_PAUSE_MS - in->wall_now;

	if (in->new_request && (left <= 0 || left > WAKE_FAILED_PAUSE_MS)) {
		v->action = WAKE_RESET;
		return;
	}
	refuse(v, 503, left > 0 && left <= WAKE_FAILED_PAUSE_MS ? (int)(left + 999) / 1000 : COME_BACK_SOON,
	       "InstanceFailed", "the instance failed%s%s%s%s", colon(i->reason), i->reason, colon(i->message),
	       i->message);
}

static void decide_running(const struct wake_input *in, struct wake_verdict *v)
{
	const struct instance *i = in->instance;

	if (i->phase == PHASE_FAILED)
		decide_failed(in, v);
	else if (i->phase == PHASE_PENDING && streq(i->reason, "MaxInstancesReached") &&
		 in->waited_ms >= WAKE_ROOM_WAIT_MS)
		refuse(v, 503, COME_BACK_LATER, "MaxInstancesReached", "no more instances may run now%s%s",
		       colon(i->message), i->message);
}

void wake_decide(const struct wake_input *in, struct wake_verdict *v)
{
	const struct instance *i = in->instance;

	*v = (struct wake_verdict){.action = WAKE_WAIT, .reason = ""};
	if (i && instance_address(i)) { /* even while the caches are behind: HAProxy finds out soon enough */
		v->action = WAKE_ANSWER;
		return;
	}
	if (!in->synced)
		return;
	if (!in->container || json_in(in->container, "metadata", "deletionTimestamp")) {
		refuse(v, 503, COME_BACK_LATER, "ContainerNotFound", "the Container of this Route does not exist");
		return;
	}
	if (!i) {
		v->action = WAKE_CREATE;
		return;
	}
	if (i->deleting || i->falling_asleep || instance_is_stale(i))
		return;
	if (i->state == STATE_STOPPED)
		refuse(v, 503, 0, "InstanceStopped",
		       "the instance is stopped; its owner has to set spec.state to Asleep");
	else if (i->state == STATE_RUNNING)
		decide_running(in, v);
	else if (i->phase == PHASE_ASLEEP || i->phase == PHASE_STOPPED || i->phase == PHASE_PENDING)
		v->action = WAKE_RUN;
	/* Else its agent has yet to stop what runs (or to acknowledge a failure). Set to Running before that, nobody
	 * could tell whether a Ready in its status still holds. */
}

void wake_timeout(const struct wake_input *in, struct wake_verdict *v)
{
	const struct instance *i = in->instance;
	long long seconds = (long long)in->timeout_ms / 1000;

	if (!in->synced)
		refuse(v, 503, COME_BACK_LATER, "ApiserverUnavailable", "the apiserver cannot be reached; try again");
	else if (!i)
		refuse(v, 503, COME_BACK_LATER, "WakeTimeout", "the instance could not be created within %llds",
		       seconds);
	else
		refuse(v, 503, COME_BACK_LATER, "WakeTimeout",
		       "the instance is not ready after %llds: it is %s%s%s%s%s", seconds, i->phase_name,
		       colon(i->reason), i->reason, colon(i->message), i->message);
}
