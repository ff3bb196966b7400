/*
 * revision.h - when a Container needs a new Revision, what is in it, and which old ones go. Pure.
 *
 * A Revision is made when the hash of all that shapes a VM (image reference included) differs from the newest
 * Revision's. The image's tag is resolved to a digest at that moment, once.
 */
#ifndef BERTH_SCHEDULER_REVISION_H
#define BERTH_SCHEDULER_REVISION_H

#include "scheduler/action.h"

/* So many Revisions of a Container are kept, besides those in use. */
#define REVISION_HISTORY 10

/* What the registry said about an image reference. */
struct resolved_image {
	const char *digest;	   /* of the linux/amd64 manifest, "sha256:…" */
	const char *reference;	   /* repository@digest */
	const struct json *config; /* Revision.spec.imageConfig */
};

/* Points every Container at its newest, current and previous Revision and marks the Revisions in use. */
void revision_link(struct world *w);
/* The newest Revision is of the Container's present template. */
bool revision_is_up_to_date(const struct container *c);
/* Asks for the image to be resolved where a new Revision is due; deletes what is beyond the history. */
void revision_step(struct world *w, int64_t now, struct action_list *out);
/* The creation of the next Revision, once its image is resolved. */
void revision_create(struct container *c, const struct resolved_image *image, struct action_list *out);

#endif
