/*
 * log.h - one line an event, in logfmt, on standard error: a constant message, then typed fields.
 *
 *     log_info("instance started", "instance", name, "node", node, NULL);
 *     → time=2026-01-02T03:04:05.678Z level=info component=agent msg="instance started" instance=shop.u1 node=n1
 *
 * Fields are pairs of strings ended by NULL; a NULL value is left out. Secrets never go into a log line. Thread-safe;
 * a line is one write(2).
 *
 * Anyone may include this file.
 */
#ifndef BERTH_LIB_LOG_H
#define BERTH_LIB_LOG_H

#include "lib/base.h"
#include "lib/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_init(const char *component, enum log_level threshold);
/* "debug", "info", "warn", "error"; false for anything else. */
bool log_level_parse(const char *s, enum log_level *ret);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *msg, ...) __attribute__((sentinel));
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
/* A decimal text of a number for a field; a small ring per thread, valid for the next 8 calls. */
const char *log_num(int64_t n);

#endif
