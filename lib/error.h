/*
 * error.h - the one way a function of Berth fails.
 *
 *     int f(args, T **ret_x, struct error *e);
 *
 * returns 0, or a negative enum error_code after filling *e; outputs are untouched on failure. The error lives on the
 * caller's stack; e may be NULL where the caller only needs the code. Context is prepended as the error climbs. A text
 * says what failed, where, why, and what to do next. One table maps a code to the HTTP status, the Status reason, the
 * exit code of a program, and whether trying again makes sense.
 *
 * Anyone may include this file.
 */
#ifndef BERTH_LIB_ERROR_H
#define BERTH_LIB_ERROR_H

#include "lib/base.h"

/* Source of reasons: Kubernetes API conventions, metav1.StatusReason. */
enum error_code {
	E_INTERNAL = 1,	      /* 500 InternalError */
	E_BAD_REQUEST,	      /* 400 BadRequest */
	E_UNAUTHORIZED,	      /* 401 Unauthorized */
	E_FORBIDDEN,	      /* 403 Forbidden */
	E_NOT_FOUND,	      /* 404 NotFound */
	E_METHOD_NOT_ALLOWED, /* 405 MethodNotAllowed */
	E_NOT_ACCEPTABLE,     /* 406 NotAcceptable */
	E_ALREADY_EXISTS,     /* 409 AlreadyExists */
	E_CONFLICT,	      /* 409 Conflict */
	E_EXPIRED,	      /* 410 Expired */
	E_TOO_LARGE,	      /* 413 RequestEntityTooLarge */
	E_UNSUPPORTED_MEDIA,  /* 415 UnsupportedMediaType */
	E_INVALID,	      /* 422 Invalid */
	E_TOO_MANY,	      /* 429 TooManyRequests */
	E_UNAVAILABLE,	      /* 503 ServiceUnavailable */
	E_TIMEOUT,	      /* 504 Timeout */
	E_NO_SPACE,	      /* 507 InsufficientStorage */
	E_IO,		      /* 500, an operating system or network call failed */
	E_CODE_COUNT,
};

#define ERROR_TEXT_MAX 1024
#define ERROR_FIELD_MAX 256

struct error {
	int code;		     /* enum error_code, 0 when none */
	int retry_after;	     /* seconds, 0 when unknown */
	char text[ERROR_TEXT_MAX];   /* without a trailing newline or full stop */
	char field[ERROR_FIELD_MAX]; /* path of the field at fault ("spec.image"), or "" */
};

/* Fills *e and returns -code. */
int error_set(struct error *e, int code, const char *fmt, ...) _printf_(3, 4);
/* The same with the path of a field. */
int error_set_field(struct error *e, int code, const char *field, const char *fmt, ...) _printf_(4, 5);
/* error_set(E_IO) with ": <strerror(err)>" appended; ENOSPC/EDQUOT become E_NO_SPACE, ENOENT E_NOT_FOUND. */
int error_set_errno(struct error *e, int err, const char *fmt, ...) _printf_(3, 4);
/* Prepends "context: "; returns -e->code so that a caller can write `return error_prefix(e, "…");`. */
int error_prefix(struct error *e, const char *fmt, ...) _printf_(2, 3);

int error_http_status(int code);
const char *error_reason(int code);
/* The code for an HTTP status and (may be NULL) a Status reason; E_BAD_REQUEST for any other 4xx,
 * E_INTERNAL for the rest. */
int error_code_from_http(int status, const char *reason);
/* True for faults that pass by themselves: unavailable, timeout, too many, I/O, internal. */
bool error_is_retryable(int code);

#endif
