/*
 * metrics.h - counters, gauges and histograms in Prometheus' text format.
 *
 * A family is declared once, statically, and registers itself on first use. Thread-safe: updates are atomic adds, one
 * short lock finds a label value. Label values are few and bounded (never an ID); at most 64 per family, the rest is
 * counted under "other". Names follow Prometheus' conventions (berth_<component>_<what>_<unit>_total).
 *
 *     static struct metric requests = METRIC_COUNTER("berth_apiserver_requests_total", "Requests answered", "verb");
 *     metric_add(&requests, "get", 1);
 *
 * Anyone may include this file.
 */
#ifndef BERTH_LIB_METRICS_H
#define BERTH_LIB_METRICS_H

#include "lib/buf.h"

enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM };

struct metric_series;
struct metric {
	const char *name, *help, *label; /* label: name of the one label, NULL for none */
	enum metric_type type;
	struct metric_series *series; /* the rest is metrics.c's */
	struct metric *next;
	int registered;
};

/* clang-format off */
#define METRIC_COUNTER(n, h, l) {.name = (n), .help = (h), .label = (l), .type = METRIC_TYPE_COUNTER}
#define METRIC_GAUGE(n, h, l) {.name = (n), .help = (h), .label = (l), .type = METRIC_TYPE_GAUGE}
/* Histograms hold seconds; buckets 0.0005 … 60 in steps of about 2.5. */
#define METRIC_HISTOGRAM(n, h, l) {.name = (n), .help = (h), .label = (l), .type = METRIC_TYPE_HISTOGRAM}
/* clang-format on */

void metric_add(struct metric *m, const char *label_value, double v);
void metric_set(struct metric *m, const char *label_value, double v);
void metric_observe(struct metric *m, const char *label_value, double seconds);
/* All registered families, plus process_* and berth_build_info. */
void metrics_write(struct buf *out);

#endif
