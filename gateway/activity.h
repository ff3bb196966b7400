/*
 * activity.h - when an instance has been idle for long enough. Pure: time is an argument, in milliseconds of a clock
 * that never jumps.
 *
 * HAProxy counts the requests and WebSockets in flight for every key and keeps when the last one ended; nothing is
 * polled while there is time left: the next look is due when the instance could have become idle for long enough at
 * the earliest. Nobody's word about the past is trusted beyond what was seen: an instance that has just become
 * routable, or a gateway that has just started, begins with a full idle time.
 */
#ifndef BERTH_GATEWAY_ACTIVITY_H
#define BERTH_GATEWAY_ACTIVITY_H

#include "lib/base.h"

struct activity {
	int64_t last_active; /* the latest moment it is known to have been in use */
	int64_t check_at;    /* when to look next; INT64_MAX: never */
};

/* What HAProxy says about a key. */
struct activity_sample {
	bool found;	 /* has an entry */
	bool table_full; /* entries may have been pushed out: no entry says nothing */
	int64_t in_flight;
	int64_t idle_ms; /* since the last request ended or began; meaningful when found */
};

enum activity_verdict { ACTIVITY_STAY, ACTIVITY_SLEEP };

/* It has become routable, or its sleepAfter has changed. sleep_after 0: never sleeps. */
void activity_start(struct activity *a, int64_t now, int64_t sleep_after_ms);
void activity_retime(struct activity *a, int64_t now, int64_t sleep_after_ms);
/* It was used just now, by whatever knows. */
void activity_touch(struct activity *a, int64_t now, int64_t sleep_after_ms);
/* Judges a sample taken at now, and sets check_at. */
enum activity_verdict activity_judge(struct activity *a, int64_t now, int64_t sleep_after_ms,
				     const struct activity_sample *s);

#endif
