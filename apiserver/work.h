/*
 * work.h - a few threads for what would hold up an HTTP thread: long lists, retried writes, calls to nodes.
 *
 * Jobs run in the order they came; none may wait for another job. Thread-safe.
 */
#ifndef BERTH_APISERVER_WORK_H
#define BERTH_APISERVER_WORK_H

#include "lib/base.h"

struct work;
struct work *work_start(unsigned threads);
void work_submit(struct work *w, void (*run)(void *arg), void *arg);
/* Runs what is queued, then ends the threads. NULL-safe. */
void work_stop(struct work *w);

#endif
