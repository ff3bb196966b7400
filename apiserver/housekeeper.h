/*
 * housekeeper.h - what has to be done by the clock: compaction, old Events, the token file.
 *
 * One thread. History is kept for at least HISTORY_MS; Events (core/v1) for EVENT_TTL_MS after they were last written.
 */
#ifndef BERTH_APISERVER_HOUSEKEEPER_H
#define BERTH_APISERVER_HOUSEKEEPER_H

#include "apiserver/server.h"
#include "lib/json.h"

#define HISTORY_MS (5 * 60 * 1000)
#define EVENT_TTL_MS (60 * 60 * 1000)

struct housekeeper;
struct housekeeper *housekeeper_start(struct server *s);
void housekeeper_stop(struct housekeeper *h); /* NULL-safe */

/* Was it last written more than EVENT_TTL_MS ago, by what it says itself? Times in the future do not count. */
bool event_is_old(const struct json *event, int64_t now_ms);

/* Which revision may be forgotten: the newest one that was already current HISTORY_MS ago. Pure, for simulated time. */
#define HISTORY_MARKS 16
struct history_marks {
	struct {
		int64_t at_ms, revision;
	} marks[HISTORY_MARKS];
	size_t count;
};
/* Notes the current revision; returns the revision to compact at, 0 for none. */
int64_t history_tick(struct history_marks *m, int64_t now_ms, int64_t revision);

#endif
