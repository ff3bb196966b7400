/*
 * log.c - formatting and writing log lines; see log.h.
 */
#include "lib/log.h"

#include "lib/buf.h"
#include "lib/units.h"

#include <stdio.h>
#include <time.h>

#define LINE_MAX_BYTES 8192
#define VALUE_MAX_BYTES 2048 /* of one field; what is cut off is marked with … */

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *component_name = "berth";
static enum log_level log_threshold = LOG_INFO;

void log_init(const char *component, enum log_level threshold)
{
	component_name = component;
	log_threshold = threshold;
}

bool log_level_parse(const char *s, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (streq(level_names[i], s)) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_enabled(enum log_level level)
{
	return level >= log_threshold;
}

static bool is_plain(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] <= ' ' || strchr("\"=\\\x7f", s[i]))
			return false;
	return len > 0;
}

static void add_value(struct buf *b, const char *s)
{
	size_t len = strnlen(s, VALUE_MAX_BYTES);
	bool cut = s[len] != '\0';
	const char *end;

	/* A cut never splits a character. */
	while (cut && len && (s[len] & 0xc0) == 0x80)
		len--;
	end = s + len;
	if (!cut && is_plain(s, len)) {
		buf_add(b, s, len);
		return;
	}
	buf_addc(b, '"');
	for (; s < end; s++) {
		if (*s == '"' || *s == '\\')
			buf_addf(b, "\\%c", *s);
		else if (*s == '\n')
			buf_adds(b, "\\n");
		else if ((unsigned char)*s < ' ' || *s == 0x7f)
			buf_addf(b, "\\x%02x", (unsigned char)*s);
		else
			buf_addc(b, *s);
	}
	buf_adds(b, cut ? "…\"" : "\"");
}

void log_write(enum log_level level, const char *msg, ...)
{
	_buf_ line = BUF_INIT(LINE_MAX_BYTES - 1), field = BUF_INIT(8 * VALUE_MAX_BYTES);
	struct timespec now;
	struct tm tm;
	const char *key;
	va_list ap;

	if (!log_enabled(level))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	buf_addf(&line, "time=%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ level=%s component=%s msg=", tm.tm_year + 1900,
		 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000, level_names[level],
		 component_name);
	add_value(&line, msg);
	va_start(ap, msg);
	while ((key = va_arg(ap, const char *))) {
		const char *value = va_arg(ap, const char *);

		if (!value)
			continue;
		/* A field that does not fit is left out whole. */
		buf_reset(&field);
		buf_addf(&field, " %s=", key);
		add_value(&field, value);
		buf_add(&line, field.data, field.len);
	}
	va_end(ap);
	line.max++;
	buf_addc(&line, '\n');
	(void)!write(STDERR_FILENO, line.data, line.len);
}

const char *log_num(int64_t n)
{
	static _Thread_local char ring[8][24];
	static _Thread_local unsigned at;
	char *s = ring[at++ % ARRAY_SIZE(ring)];

	snprintf(s, sizeof(ring[0]), "%lld", (long long)n);
	return s;
}
