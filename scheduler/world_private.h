/*
 * world_private.h - what world.c (records and links) and world_book.c (capacity) share; nobody else includes it.
 */
#ifndef BERTH_SCHEDULER_WORLD_PRIVATE_H
#define BERTH_SCHEDULER_WORLD_PRIVATE_H

#include "scheduler/decode.h"
#include "scheduler/world.h"

/* Gives back what an instance has booked. */
void world_unbook(struct instance *i);
/* Books what its bind under way or its phase asks for; says whether its Container, node and Revision are known. */
void world_rebook(struct world *w, struct instance *i);
/* Takes a booked instance out of its Container's tallies, and puts it back after its node's domain changed. */
void world_uncount(struct world *w, struct instance *i);
void world_count_again(struct world *w, struct instance *i);
/* Removes a record and everything that points to it. */
void world_drop(struct world *w, struct record *r);

#endif
