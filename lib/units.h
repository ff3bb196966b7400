/*
 * units.h - the notations of the Kubernetes API for amounts and times.
 *
 * Quantities ("256Mi", "500m", "2G", "0.0625"): source, k8s.io/apimachinery/pkg/api/resource.
 * Durations ("10m", "1h30m", "0s", "250ms"): source, Go's time.ParseDuration without negative values.
 * Times: RFC 3339 in UTC with a Z.
 *
 * Anyone may include this file.
 */
#ifndef BERTH_LIB_UNITS_H
#define BERTH_LIB_UNITS_H

#include "lib/error.h"

/* In thousandths: "1" → 1000, "500m" → 500, "1Ki" → 1024000. Rounded away from zero. Errors: E_INVALID. */
int quantity_parse_milli(const char *s, int64_t *ret, struct error *e);
/* In whole units, rounded up: "256Mi" → 268435456. Errors: E_INVALID. */
int quantity_parse(const char *s, int64_t *ret, struct error *e);
/* In milliseconds, rounded up. Errors: E_INVALID. */
int duration_parse_ms(const char *s, int64_t *ret_ms, struct error *e);
/* "10m", "1h30m", "1.5s"; the shortest exact text. out: at least 32 bytes. */
void duration_format_ms(int64_t ms, char *out, size_t size);
/* kubectl's age column: "5s", "3m12s", "2h", "4d". Source: k8s.io/apimachinery/pkg/util/duration.HumanDuration. */
void duration_human(int64_t seconds, char *out, size_t size);
/* "12.3MB": decimal units, for people. */
void bytes_human(uint64_t bytes, char *out, size_t size);

#define TIME_TEXT_MAX 40
/* Milliseconds since the epoch, by the wall clock / by a clock that never jumps. */
int64_t time_now_ms(void);
int64_t time_mono_ms(void);
/* "2026-01-02T03:04:05Z" (metav1.Time) and with microseconds, "….678000Z" (metav1.MicroTime). */
const char *time_format(int64_t ms, char out[TIME_TEXT_MAX]);
const char *time_format_micro(int64_t ms, char out[TIME_TEXT_MAX]);
/* RFC 3339 with any offset and fraction. Errors: E_INVALID. */
int time_parse(const char *s, int64_t *ret_ms, struct error *e);

#endif
