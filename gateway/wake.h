/*
 * wake.h - what to do next for the requests that wait for one ID. Pure.
 *
 * Given what is known of the Container and the Instance: answer with the address, refuse with a reason, write
 * something, or wait. One decision serves all requests for the ID, so a hundred of them start one VM.
 */
#ifndef BERTH_GATEWAY_WAKE_H
#define BERTH_GATEWAY_WAKE_H

#include "gateway/instance.h"

/* maxInstances is reached: how long a request waits for room before it is told to come back. */
#define WAKE_ROOM_WAIT_MS 2000
/* A Failed instance is started anew by a request that comes so long after the failure. */
#define WAKE_FAILED_PAUSE_MS 10000

enum wake_action {
	WAKE_WAIT,   /* until something changes, or again_ms have passed */
	WAKE_ANSWER, /* instance_address() */
	WAKE_REFUSE, /* status, retry_after, reason, message */
	WAKE_CREATE, /* the Instance, to run */
	WAKE_RUN,    /* state: Running, unless it changed since */
	WAKE_RESET,  /* state: Asleep, so that a Failed one can run again */
};

struct wake_input {
	bool synced;		      /* the caches are complete */
	const struct json *container; /* NULL: none */
	const struct instance *instance;
	int64_t waited_ms;  /* by the request that has waited longest */
	bool new_request;   /* none of those waiting has seen the Instance fail */
	int64_t wall_now;   /* ms, to compare with times in objects */
	int64_t timeout_ms; /* --wake-timeout, for texts */
};

struct wake_verdict {
	enum wake_action action;
	int status;
	int retry_after;
	const char *reason;
	char message[512];
};

void wake_decide(const struct wake_input *in, struct wake_verdict *ret);
/* Why a request that has waited for too long is refused. */
void wake_timeout(const struct wake_input *in, struct wake_verdict *ret);

#endif
