/*
 * handlers.h - what PID 1 does about each event in each state. Called by machine.c.
 */
#ifndef BERTH_GUEST_HANDLERS_H
#define BERTH_GUEST_HANDLERS_H

#include "guest/machine.h"

enum machine_event {
	/* frames of the agent */
	EVENT_ATTACH,
	EVENT_START,
	EVENT_EXEC,
	EVENT_INPUT,
	EVENT_RESIZE,
	EVENT_SIGNAL,
	EVENT_STATS,
	EVENT_POWER_OFF,
	EVENT_ACK,
	EVENT_RESUME,
	/* the app */
	EVENT_APP_STARTED, /* the child became the image's program */
	EVENT_APP_EXITED,
	/* the other end of the port */
	EVENT_HOST_CAME,
	EVENT_HOST_WENT,
	EVENTS,
};

/* Looks the event up in the table. f is NULL unless the event is a frame. */
void machine_event(struct machine *m, enum machine_event event, const struct channel_frame *f);
/* The event of a frame's type; unknown types are answered with ERROR. */
void machine_frame(struct machine *m, const struct channel_frame *f);
void machine_probe(struct machine *m, enum probe_event event);
/* Queues everything the agent is owed, then app output, as far as there is room. */
void machine_tell(struct machine *m);

#endif
