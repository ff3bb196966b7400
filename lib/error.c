/*
 * error.c - filling errors, and the one table of what each code means; see error.h.
 */
#include "lib/error.h"

#include <errno.h>
#include <stdio.h>

static const struct {
	int http;
	const char *reason;
	bool retryable;
} codes[E_CODE_COUNT] = {
	[0] = {200, "", false},
	[E_INTERNAL] = {500, "InternalError", true},
	[E_BAD_REQUEST] = {400, "BadRequest", false},
	[E_UNAUTHORIZED] = {401, "Unauthorized", false},
	[E_FORBIDDEN] = {403, "Forbidden", false},
	[E_NOT_FOUND] = {404, "NotFound", false},
	[E_METHOD_NOT_ALLOWED] = {405, "MethodNotAllowed", false},
	[E_NOT_ACCEPTABLE] = {406, "NotAcceptable", false},
	[E_ALREADY_EXISTS] = {409, "AlreadyExists", false},
	[E_CONFLICT] = {409, "Conflict", false},
	[E_EXPIRED] = {410, "Expired", false},
	[E_TOO_LARGE] = {413, "RequestEntityTooLarge", false},
	[E_UNSUPPORTED_MEDIA] = {415, "UnsupportedMediaType", false},
	[E_INVALID] = {422, "Invalid", false},
	[E_TOO_MANY] = {429, "TooManyRequests", true},
	[E_UNAVAILABLE] = {503, "ServiceUnavailable", true},
	[E_TIMEOUT] = {504, "Timeout", true},
	[E_NO_SPACE] = {507, "InsufficientStorage", true},
	[E_IO] = {500, "InternalError", true},
};

/* What proxies and other servers answer, beyond the table above. */
static const struct {
	int http, code;
} other_statuses[] = {{408, E_TIMEOUT}, {502, E_UNAVAILABLE}};

static void fill(struct error *e, int code, const char *field, const char *fmt, va_list ap) _printf_(4, 0);
static void fill(struct error *e, int code, const char *field, const char *fmt, va_list ap)
{
	/* The arguments may point into *e, so it is written at the end. */
	struct error filled = {.code = code};

	if (!e)
		return;
	vsnprintf(filled.text, sizeof(filled.text), fmt, ap);
	snprintf(filled.field, sizeof(filled.field), "%s", field);
	*e = filled;
}

int error_set(struct error *e, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, code, "", fmt, ap);
	va_end(ap);
	return -code;
}

int error_set_field(struct error *e, int code, const char *field, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, code, field, fmt, ap);
	va_end(ap);
	return -code;
}

static int code_of_errno(int err)
{
	switch (err) {
	case ENOSPC:
	case EDQUOT:
		return E_NO_SPACE;
	case ENOENT:
		return E_NOT_FOUND;
	default:
		return E_IO;
	}
}

int error_set_errno(struct error *e, int err, const char *fmt, ...)
{
	int code = code_of_errno(err);
	va_list ap;

	va_start(ap, fmt);
	fill(e, code, "", fmt, ap);
	va_end(ap);
	if (e) {
		size_t n = strlen(e->text);

		snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror(err));
	}
	return -code;
}

int error_prefix(struct error *e, const char *fmt, ...)
{
	char context[ERROR_TEXT_MAX / 2], text[ERROR_TEXT_MAX];
	va_list ap;

	if (!e)
		return -E_INTERNAL;
	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	memcpy(text, e->text, sizeof(text));
	snprintf(e->text, sizeof(e->text), "%s: %.*s", context, (int)(sizeof(text) - strlen(context) - 3), text);
	return -e->code;
}

int error_http_status(int code)
{
	return code > 0 && code < E_CODE_COUNT ? codes[code].http : 500;
}

const char *error_reason(int code)
{
	return code > 0 && code < E_CODE_COUNT ? codes[code].reason : "InternalError";
}

int error_code_from_http(int status, const char *reason)
{
	for (int i = 1; reason && *reason && i < E_CODE_COUNT; i++)
		if (streq(codes[i].reason, reason))
			return i;
	for (int i = 1; i < E_CODE_COUNT; i++)
		if (codes[i].http == status)
			return i;
	for (size_t i = 0; i < ARRAY_SIZE(other_statuses); i++)
		if (other_statuses[i].http == status)
			return other_statuses[i].code;
	return status >= 400 && status < 500 ? E_BAD_REQUEST : E_INTERNAL;
}

bool error_is_retryable(int code)
{
	return code > 0 && code < E_CODE_COUNT && codes[code].retryable;
}
