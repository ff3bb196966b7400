/*
 * units.c - quantities, durations and times; see units.h.
 */
#include "lib/units.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

/* ---- quantities: decimal arithmetic on digits, so that nothing is lost before the final rounding ---- */

static const struct {
	const char *suffix;
	int decimal; /* power of ten */
	int binary;  /* power of 1024 */
} suffixes[] = {
	{"", 0, 0},   {"n", -9, 0}, {"u", -6, 0}, {"m", -3, 0}, {"k", 3, 0},  {"M", 6, 0},  {"G", 9, 0},  {"T", 12, 0},
	{"P", 15, 0}, {"E", 18, 0}, {"Ki", 0, 1}, {"Mi", 0, 2}, {"Gi", 0, 3}, {"Ti", 0, 4}, {"Pi", 0, 5}, {"Ei", 0, 6},
};

#define DIGITS_MAX 64	  /* of a number as written */
#define EXPONENT_MAX 1000 /* beyond it everything is too large or next to nothing */

struct decimal {
	bool negative;
	uint8_t digits[DIGITS_MAX + 20]; /* 1024^6 adds 19 */
	int count;
	int point; /* how many of the digits stand before the point; may lie outside of them */
};

/* [+-]digits[.digits]; advances *s. */
static bool decimal_parse(const char **s, struct decimal *d)
{
	const char *p = *s;
	bool point = false;

	*d = (struct decimal){.negative = *p == '-'};
	if (*p == '-' || *p == '+')
		p++;
	for (; isdigit((unsigned char)*p) || (*p == '.' && !point); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		if (d->count == DIGITS_MAX)
			return false;
		d->digits[d->count++] = (uint8_t)(*p - '0');
		d->point += !point;
	}
	*s = p;
	return d->count > 0;
}

static void decimal_times(struct decimal *d, unsigned factor)
{
	unsigned carry = 0;

	for (int i = d->count - 1; i >= 0; i--) {
		unsigned v = d->digits[i] * factor + carry;

		d->digits[i] = (uint8_t)(v % 10);
		carry = v / 10;
	}
	for (; carry; carry /= 10) {
		memmove(d->digits + 1, d->digits, (size_t)d->count++);
		d->digits[0] = (uint8_t)(carry % 10);
		d->point++;
	}
}

/* Rounded away from zero; false when it does not fit. */
static bool decimal_round(const struct decimal *d, int64_t *ret)
{
	int64_t v = 0;
	bool rest = false;

	for (int i = 0; i < d->count || (v && i < d->point); i++) {
		int digit = i < d->count ? d->digits[i] : 0;

		if (i >= d->point)
			rest |= digit != 0;
		else if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
			return false;
	}
	if (rest && __builtin_add_overflow(v, 1, &v))
		return false;
	*ret = d->negative ? -v : v;
	return true;
}

/* The suffix, or a decimal exponent; "E" alone is the suffix. */
static bool scale(const char *p, struct decimal *d)
{
	if ((*p == 'e' || *p == 'E') && (isdigit((unsigned char)p[1]) || p[1] == '+' || p[1] == '-')) {
		char *end;
		long exponent = strtol(p + 1, &end, 10);

		if (*end)
			return false;
		if (exponent > EXPONENT_MAX)
			exponent = EXPONENT_MAX;
		else if (exponent < -EXPONENT_MAX)
			exponent = -EXPONENT_MAX;
		d->point += (int)exponent;
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		if (strcmp(suffixes[i].suffix, p) != 0)
			continue;
		d->point += suffixes[i].decimal;
		for (int k = 0; k < suffixes[i].binary; k++)
			decimal_times(d, 1024);
		return true;
	}
	return false;
}

static int quantity(const char *s, int shift, int64_t *ret, struct error *e)
{
	const char *p = s;
	struct decimal d;

	if (!decimal_parse(&p, &d) || !scale(p, &d))
		return error_set(e, E_INVALID, "\"%s\" is not a quantity (examples: 2, 0.5, 500m, 256Mi, 4G)", s);
	d.point += shift;
	if (!decimal_round(&d, ret))
		return error_set(e, E_INVALID, "\"%s\" is too large", s);
	return 0;
}

int quantity_parse_milli(const char *s, int64_t *ret, struct error *e)
{
	return quantity(s, 3, ret, e);
}

int quantity_parse(const char *s, int64_t *ret, struct error *e)
{
	return quantity(s, 0, ret, e);
}

/* ---- durations ---- */

static const struct {
	const char *name;
	unsigned factor; /* nanoseconds: factor * 10^power */
	int power;
} duration_units[] = {
	{"ns", 1, 0}, {"us", 1, 3}, {"µs", 1, 3}, {"μs", 1, 3}, {"ms", 1, 6}, {"s", 1, 9}, {"m", 6, 10}, {"h", 36, 11},
};

/* One number with its unit, in nanoseconds; advances *s. 0, or a negative code without a text. */
static int duration_part(const char **s, int64_t *ret_ns)
{
	struct decimal d;
	size_t len, unit = 0;

	if ((!isdigit((unsigned char)**s) && **s != '.') || !decimal_parse(s, &d))
		return -E_INVALID;
	len = strcspn(*s, "0123456789.");
	while (unit < ARRAY_SIZE(duration_units) &&
	       (strlen(duration_units[unit].name) != len || memcmp(duration_units[unit].name, *s, len) != 0))
		unit++;
	if (unit == ARRAY_SIZE(duration_units))
		return -E_INVALID;
	*s += len;
	decimal_times(&d, duration_units[unit].factor);
	d.point += duration_units[unit].power;
	return decimal_round(&d, ret_ns) ? 0 : -E_TOO_LARGE;
}

int duration_parse_ms(const char *s, int64_t *ret_ms, struct error *e)
{
	int64_t total = 0, part;
	const char *p = s;
	int r = *s ? 0 : -E_INVALID;

	if (streq(s, "0"))
		p++;
	while (!r && *p) {
		r = duration_part(&p, &part);
		if (!r && __builtin_add_overflow(total, part, &total))
			r = -E_TOO_LARGE;
	}
	if (r == -E_TOO_LARGE)
		return error_set(e, E_INVALID, "\"%s\" is too long: at most 292 years", s);
	if (r)
		return error_set(e, E_INVALID, "\"%s\" is not a duration (examples: 10s, 5m, 1h30m, 250ms)", s);
	*ret_ms = total / 1000000 + (total % 1000000 != 0);
	return 0;
}

void duration_format_ms(int64_t ms, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	if (ms < 0) {
		n = (size_t)snprintf(out, size, "-");
		ms = -ms;
	}
	int64_t h = ms / 3600000, m = ms / 60000 % 60, s = ms / 1000 % 60, rest = ms % 1000;

	if (ms > 0 && ms < 1000) {
		snprintf(out + n, size - n, "%lldms", (long long)ms);
		return;
	}
	if (h)
		n += (size_t)snprintf(out + n, size - n, "%lldh", (long long)h);
	if (m && n < size)
		n += (size_t)snprintf(out + n, size - n, "%lldm", (long long)m);
	if (n < size && rest) {
		char fraction[8];

		snprintf(fraction, sizeof(fraction), "%03d", (int)rest);
		for (size_t i = 3; i > 0 && fraction[i - 1] == '0'; i--)
			fraction[i - 1] = '\0';
		snprintf(out + n, size - n, "%lld.%ss", (long long)s, fraction);
	} else if (n < size && (s || !n)) {
		snprintf(out + n, size - n, "%llds", (long long)s);
	}
}

void duration_human(int64_t s, char *out, size_t size)
{
	int64_t m = s / 60, h = m / 60, d = h / 24;

	if (s < -1)
		snprintf(out, size, "<invalid>");
	else if (s < 0)
		snprintf(out, size, "0s");
	else if (s < 120)
		snprintf(out, size, "%llds", (long long)s);
	else if (m < 10 && s % 60)
		snprintf(out, size, "%lldm%llds", (long long)m, (long long)(s % 60));
	else if (m < 180)
		snprintf(out, size, "%lldm", (long long)m);
	else if (h < 8 && m % 60)
		snprintf(out, size, "%lldh%lldm", (long long)h, (long long)(m % 60));
	else if (h < 48)
		snprintf(out, size, "%lldh", (long long)h);
	else if (d < 8 && h % 24)
		snprintf(out, size, "%lldd%lldh", (long long)d, (long long)(h % 24));
	else if (d < 730)
		snprintf(out, size, "%lldd", (long long)d);
	else if (d < 365 * 8 && d % 365)
		snprintf(out, size, "%lldy%lldd", (long long)(d / 365), (long long)(d % 365));
	else
		snprintf(out, size, "%lldy", (long long)(d / 365));
}

void bytes_human(uint64_t bytes, char *out, size_t size)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double n = (double)bytes;
	size_t u = 0;

	while (n >= 999.5 && u + 1 < ARRAY_SIZE(units)) {
		n /= 1000;
		u++;
	}
	snprintf(out, size, u && n < 99.95 ? "%.1f%s" : "%.0f%s", n, units[u]);
}

static int64_t clock_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t time_now_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

int64_t time_mono_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

static void break_down(int64_t ms, struct tm *tm)
{
	time_t s = (time_t)(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);

	gmtime_r(&s, tm);
}

const char *time_format(int64_t ms, char out[TIME_TEXT_MAX])
{
	struct tm tm;

	break_down(ms, &tm);
	strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return out;
}

const char *time_format_micro(int64_t ms, char out[TIME_TEXT_MAX])
{
	struct tm tm;
	size_t n;

	break_down(ms, &tm);
	n = strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, TIME_TEXT_MAX - n, ".%03d000Z", (int)((ms % 1000 + 1000) % 1000));
	return out;
}

/* Exactly n digits as a number within [low, high]. */
static bool take_digits(const char **p, int n, int low, int high, int *ret)
{
	int v = 0;

	for (int i = 0; i < n; i++, ++*p) {
		if (!isdigit((unsigned char)**p))
			return false;
		v = v * 10 + (**p - '0');
	}
	*ret = v;
	return v >= low && v <= high;
}

static bool take(const char **p, char c)
{
	if (**p != c)
		return false;
	++*p;
	return true;
}

static bool take_offset(const char **p, int *ret_minutes)
{
	int h, m, sign = **p == '-' ? -1 : 1;

	*ret_minutes = 0;
	if (take(p, 'Z') || take(p, 'z'))
		return true;
	if (**p != '+' && **p != '-')
		return false;
	++*p;
	if (!take_digits(p, 2, 0, 23, &h) || !take(p, ':') || !take_digits(p, 2, 0, 59, &m))
		return false;
	*ret_minutes = sign * (h * 60 + m);
	return true;
}

int time_parse(const char *s, int64_t *ret_ms, struct error *e)
{
	static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	const char *p = s;
	struct tm tm = {0};
	int year, month, offset, fraction = 0;
	bool ok = take_digits(&p, 4, 0, 9999, &year) && take(&p, '-') && take_digits(&p, 2, 1, 12, &month) &&
		  take(&p, '-') && take_digits(&p, 2, 1, 31, &tm.tm_mday) && (take(&p, 'T') || take(&p, 't')) &&
		  take_digits(&p, 2, 0, 23, &tm.tm_hour) && take(&p, ':') && take_digits(&p, 2, 0, 59, &tm.tm_min) &&
		  take(&p, ':') && take_digits(&p, 2, 0, 60, &tm.tm_sec);

	if (ok && take(&p, '.')) {
		int scale = 100;

		ok = isdigit((unsigned char)*p);
		for (; isdigit((unsigned char)*p); p++, scale /= 10)
			fraction += (*p - '0') * scale;
	}
	bool leap = ok && ((year % 4 == 0 && year % 100) || year % 400 == 0);

	if (!ok || !take_offset(&p, &offset) || *p || tm.tm_mday > days[month - 1] ||
	    (month == 2 && tm.tm_mday == 29 && !leap))
		return error_set(e, E_INVALID, "\"%s\" is not a time (example: 2026-01-02T03:04:05Z)", s);
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	*ret_ms = ((int64_t)timegm(&tm) - offset * 60) * 1000 + fraction;
	return 0;
}
