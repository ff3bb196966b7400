/*
 * metrics.c - the registry of metric families and its text form; see metrics.h.
 *
 * Series are only ever added, at the front of their family's list, so that an update finds its own without a lock; the
 * lock is taken to add one, or to register a family.
 */
#include "lib/metrics.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#define SERIES_MAX 64
#define OTHER "other"

static const double bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60};

struct metric_series {
	struct metric_series *next;
	char *label;				 /* NULL when the family has no label */
	double value;				 /* sum of a histogram */
	uint64_t counts[ARRAY_SIZE(bounds) + 1]; /* histograms only; the last one is +Inf */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric *families, **families_end = &families; /* guarded by lock */

/* ---- updating ---- */

static struct metric_series *find(struct metric *m, const char *label, size_t *ret_count)
{
	struct metric_series *s = __atomic_load_n(&m->series, __ATOMIC_ACQUIRE);

	*ret_count = 0;
	for (; s; s = s->next, ++*ret_count)
		if (!m->label || strcmp(s->label, label) == 0)
			return s;
	return NULL;
}

/* The series of a label value, made if need be; "other" once there are too many. */
static struct metric_series *series_of(struct metric *m, const char *label)
{
	struct metric_series *s;
	size_t count;

	label = label ? label : "";
	s = find(m, label, &count);
	if (s)
		return s;
	pthread_mutex_lock(&lock);
	if (!m->registered) {
		m->registered = 1;
		*families_end = m;
		families_end = &m->next;
	}
	s = find(m, label, &count);
	if (!s && m->label && count >= SERIES_MAX) {
		label = OTHER;
		s = find(m, label, &count);
	}
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->label = m->label ? xstrdup(label) : NULL;
		s->next = m->series;
		__atomic_store_n(&m->series, s, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
	return s;
}

static void add(double *to, double v)
{
	double old, new;

	__atomic_load(to, &old, __ATOMIC_RELAXED);
	do
		new = old + v;
	while (!__atomic_compare_exchange(to, &old, &new, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

void metric_add(struct metric *m, const char *label_value, double v)
{
	add(&series_of(m, label_value)->value, v);
}

void metric_set(struct metric *m, const char *label_value, double v)
{
	__atomic_store(&series_of(m, label_value)->value, &v, __ATOMIC_RELAXED);
}

void metric_observe(struct metric *m, const char *label_value, double seconds)
{
	struct metric_series *s = series_of(m, label_value);
	size_t i = 0;

	while (i < ARRAY_SIZE(bounds) && seconds > bounds[i])
		i++;
	__atomic_add_fetch(&s->counts[i], 1, __ATOMIC_RELAXED);
	add(&s->value, seconds);
}

/* ---- writing ---- */

static void write_escaped(struct buf *out, const char *s, bool quotes)
{
	for (; *s; s++) {
		if (*s == '\\' || (quotes && *s == '"'))
			buf_addf(out, "\\%c", *s);
		else if (*s == '\n')
			buf_adds(out, "\\n");
		else
			buf_addc(out, *s);
	}
}

/* name{label="value",le="0.1"} with what applies. */
static void write_name(struct buf *out, const struct metric *m, const char *suffix, const struct metric_series *s,
		       const char *le)
{
	buf_addf(out, "%s%s", m->name, suffix);
	if (!m->label && !le)
		return;
	buf_addc(out, '{');
	if (m->label) {
		buf_addf(out, "%s=\"", m->label);
		write_escaped(out, s->label, true);
		buf_adds(out, le ? "\"," : "\"");
	}
	if (le)
		buf_addf(out, "le=\"%s\"", le);
	buf_addc(out, '}');
}

static double value_of(const struct metric_series *s)
{
	double v;

	__atomic_load(&s->value, &v, __ATOMIC_RELAXED);
	return v;
}

static void write_histogram(struct buf *out, const struct metric *m, const struct metric_series *s)
{
	uint64_t count = 0;

	for (size_t i = 0; i <= ARRAY_SIZE(bounds); i++) {
		char le[32] = "+Inf";

		if (i < ARRAY_SIZE(bounds))
			snprintf(le, sizeof(le), "%g", bounds[i]);
		count += __atomic_load_n(&s->counts[i], __ATOMIC_RELAXED);
		write_name(out, m, "_bucket", s, le);
		buf_addf(out, " %llu\n", (unsigned long long)count);
	}
	write_name(out, m, "_sum", s, NULL);
	buf_addf(out, " %.9g\n", value_of(s));
	write_name(out, m, "_count", s, NULL);
	buf_addf(out, " %llu\n", (unsigned long long)count);
}

static void write_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP %s ", name);
	write_escaped(out, help, false);
	buf_addf(out, "\n# TYPE %s %s\n", name, type);
}

static void write_family(struct buf *out, const struct metric *m)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};

	write_head(out, m->name, types[m->type], m->help);
	for (const struct metric_series *s = __atomic_load_n(&m->series, __ATOMIC_ACQUIRE); s; s = s->next) {
		if (m->type == METRIC_TYPE_HISTOGRAM) {
			write_histogram(out, m, s);
			continue;
		}
		write_name(out, m, "", s, NULL);
		buf_addf(out, " %.15g\n", value_of(s));
	}
}

/* ---- the process itself; names: Prometheus' client guidelines ---- */

static double resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long total = 0, resident = 0;

	if (f) {
		if (fscanf(f, "%lu %lu", &total, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *entry;
	double n = -1; /* the folder's own */

	if (!d)
		return 0;
	while ((entry = readdir(d)))
		n += entry->d_name[0] != '.';
	closedir(d);
	return n;
}

/* Source: proc(5), /proc/self/stat field 22 in clock ticks since boot, and btime of /proc/stat. */
static double start_time_seconds(void)
{
	FILE *self = fopen("/proc/self/stat", "re"), *system = fopen("/proc/stat", "re");
	unsigned long long ticks = 0, boot = 0;
	char line[1024];

	if (self && fgets(line, sizeof(line), self)) {
		/* The second field, the program's name, may hold anything; what follows it starts with field 3. */
		const char *p = strrchr(line, ')');

		for (int field = 3; p && field <= 22; field++)
			p = strchr(p + 1, ' ');
		if (p)
			ticks = strtoull(p, NULL, 10);
	}
	while (system && fgets(line, sizeof(line), system))
		if (sscanf(line, "btime %llu", &boot) == 1)
			break;
	if (self)
		fclose(self);
	if (system)
		fclose(system);
	return (double)boot + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static void write_process(struct buf *out)
{
	const struct {
		const char *name, *type, *help;
		double value;
	} values[] = {
		{"process_cpu_seconds_total", "counter", "CPU time used, user and system", cpu_seconds()},
		{"process_open_fds", "gauge", "Open file descriptors", open_descriptors()},
		{"process_resident_memory_bytes", "gauge", "Resident memory", resident_bytes()},
		{"process_start_time_seconds", "gauge", "When this process started, since the epoch",
		 start_time_seconds()},
	};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		write_head(out, values[i].name, values[i].type, values[i].help);
		buf_addf(out, "%s %.15g\n", values[i].name, values[i].value);
	}
	write_head(out, "berth_build_info", "gauge", "What this program was built from");
	buf_addf(out, "berth_build_info{version=\"%s\",commit=\"%s\"} 1\n", BERTH_VERSION, version_commit());
}

void metrics_write(struct buf *out)
{
	pthread_mutex_lock(&lock);
	for (const struct metric *m = families; m; m = m->next)
		write_family(out, m);
	pthread_mutex_unlock(&lock);
	write_process(out);
}
