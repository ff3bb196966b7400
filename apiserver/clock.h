/*
 * clock.h - a fine clock for measuring, in seconds; its zero means nothing.
 */
#ifndef BERTH_APISERVER_CLOCK_H
#define BERTH_APISERVER_CLOCK_H

#include <time.h>

static inline double clock_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif
