/*
 * progress.h - how far a Container's rollout is, read from the objects' statuses. No I/O.
 */
#ifndef BERTH_CLI_PROGRESS_H
#define BERTH_CLI_PROGRESS_H

#include "lib/json.h"

enum progress_state {
	PROGRESS_GOING,
	PROGRESS_DONE,
	PROGRESS_FAILING, /* it is tried again, and may still come right */
	PROGRESS_FAILED,  /* for good: nothing happens before somebody does something */
};

struct progress_row {
	const char *label; /* unique among a deployment's rows: "shop prefetch fra" */
	int percent;
	const char *text;
};

#define PROGRESS_ROWS_MAX 32U
struct progress {
	enum progress_state state;
	const char *message; /* what it waits for, what is done, or what is wrong */
	struct progress_row rows[PROGRESS_ROWS_MAX];
	size_t count;
};

/* Name of the Image object that the Container's rollout is about; NULL as long as there is none. */
const char *progress_image_name(struct arena *a, const struct json *container, int64_t generation);
/* generation: of the Container as it was applied; older statuses do not count. image may be NULL. Strings live in a or
 * in the objects. */
void progress_read(struct arena *a, const struct json *container, const struct json *image, int64_t generation,
		   struct progress *ret);
/* Why instances of a Container's newest Revision failed, from a list of its Instances: "shop.u-1: exit code 7"; NULL
 * when none did. */
const char *progress_failure(struct arena *a, const struct json *container, const struct json *instances);

#endif
