/*
 * logfile.h - what an app wrote, kept as lines in a bounded set of files.
 *
 * <dir>/app.log is written, app.log.1 and app.log.2 are older; each at most LOGFILE_SEGMENT_MAX bytes. A line is
 * "<RFC 3339 with nanoseconds> <stdout|stderr|berth> <F|P> <text>": F ends a line of the app, P is a piece of one that
 * is longer than LOGFILE_LINE_MAX or that the app never ended. Source: the CRI log format (Kubernetes). The stream
 * "berth" marks the start of a run ("run 3").
 *
 * The writer runs on the loop's thread. Readers use files alone, on worker threads, while they are written and rotated.
 */
#ifndef BERTH_AGENT_LOGFILE_H
#define BERTH_AGENT_LOGFILE_H

#include "lib/buf.h"
#include "lib/error.h"

#define LOGFILE_SEGMENT_MAX (10 * 1024 * 1024)
#define LOGFILE_SEGMENTS 3
#define LOGFILE_LINE_MAX 16384

enum logfile_stream { LOGFILE_STDOUT, LOGFILE_STDERR, LOGFILE_BERTH, LOGFILE_STREAM_COUNT };

/* ---- writing ---- */
struct logfile;
/* segment_max: 0 for the default; tests use small ones. Does not create the file before the first line. */
struct logfile *logfile_open(const char *dir, size_t segment_max);
void logfile_close(struct logfile *l); /* NULL-safe; unfinished lines are written */
/* Bytes of an app's stream as they come, at wall-clock time now_ns. Errors are counted, never returned: a full disk
 * must not stop the app. */
void logfile_write(struct logfile *l, enum logfile_stream s, const void *data, size_t len, int64_t now_ns);
/* Ends unfinished lines (the app is over). */
void logfile_flush(struct logfile *l, int64_t now_ns);
/* A new run begins. */
void logfile_run(struct logfile *l, int64_t run, int64_t now_ns);
uint64_t logfile_lost(const struct logfile *l); /* bytes that could not be written */

/* ---- reading ---- */
struct logfile_query {
	int64_t tail_lines; /* -1: all */
	int64_t since_ns;   /* wall clock; 0: no limit */
	bool timestamps;
	bool previous; /* the run before the last one; else the last one */
};
struct logfile_cursor {
	uint64_t inode; /* of the segment; 0: there is none yet */
	int64_t offset;
	bool mid_line; /* the last piece was a P */
	bool end;      /* nothing can follow: the previous run is over */
};
#define LOGFILE_PAGE_MAX (256U * 1024)
/* Sets the cursor to the first line that the query asks for. Errors: E_NOT_FOUND when there is no previous run, E_IO.
 */
int logfile_seek(const char *dir, const struct logfile_query *q, struct logfile_cursor *ret, struct error *e);
/* Appends the text from the cursor on, about LOGFILE_PAGE_MAX bytes, and moves the cursor behind it. *ret_more: there
 * is more to read now. Lines that were rotated away under the cursor are skipped. Errors: E_IO. */
int logfile_page(const char *dir, const struct logfile_query *q, struct logfile_cursor *c, struct buf *out,
		 bool *ret_more, struct error *e);

#endif
