/*
 * status.c - Status objects and the texts of errors; see status.h.
 */
#include "apiserver/status.h"
#include <stdarg.h>
#include <stdio.h>

const char *kind_resource(struct arena *a, const struct kind *k)
{
	return *k->group ? arena_printf(a, "%s.%s", k->plural, k->group) : k->plural;
}

#define RESOURCE_FMT "%s%s%s"
#define RESOURCE_ARGS(word, k) (word), *(k)->group ? "." : "", (k)->group

int error_not_found(struct error *e, const struct kind *k, const char *name)
{
	return error_set(e, E_NOT_FOUND, RESOURCE_FMT " \"%s\" not found", RESOURCE_ARGS(k->plural, k), name);
}

int error_already_exists(struct error *e, const struct kind *k, const char *name)
{
	return error_set(e, E_ALREADY_EXISTS, RESOURCE_FMT " \"%s\" already exists", RESOURCE_ARGS(k->plural, k), name);
}

int error_conflict(struct error *e, const struct kind *k, const char *name, const char *why)
{
	return error_set(e, E_CONFLICT, "Operation cannot be fulfilled on " RESOURCE_FMT " \"%s\": %s",
			 RESOURCE_ARGS(k->plural, k), name, why);
}

int error_modified(struct error *e, const struct kind *k, const char *name)
{
	return error_conflict(
		e, k, name,
		"the object has been modified; please apply your changes to the latest version and try again");
}

int error_forbidden(struct error *e, const struct kind *k, const char *name, const char *why)
{
	return error_set(e, E_FORBIDDEN, RESOURCE_FMT " \"%s\" is forbidden: %s", RESOURCE_ARGS(k->plural, k), name,
			 why);
}

int error_invalid(struct error *e, const struct kind *k, const char *name, const struct json *causes)
{
	_buf_ text = BUF_INIT(ERROR_TEXT_MAX);
	size_t n = json_count(causes);

	for (size_t i = 0; i < n; i++) {
		const struct json *cause = json_item(causes, i);
		buf_addf(&text, "%s%s: %s", i ? ", " : "", json_str_or(json_get(cause, "field"), "<nil>"),
			 json_str_or(json_get(cause, "message"), ""));
	}
	return error_set(e, E_INVALID, RESOURCE_FMT " \"%s\" is invalid: %s%s%s", RESOURCE_ARGS(k->kind, k), name,
			 n > 1 ? "[" : "", text.data ? text.data : "", n > 1 ? "]" : "");
}

void cause_add(struct arena *a, struct json *causes, const char *reason, const char *field, const char *fmt, ...)
{
	char message[ERROR_TEXT_MAX];
	struct json *cause = json_object(a);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	json_set_str(a, cause, "reason", reason);
	json_set_str(a, cause, "message", message);
	json_set_str(a, cause, "field", field);
	json_append(a, causes, cause);
}

static void add_details(struct arena *a, struct json *status, const struct status_details *d, int retry_after)
{
	struct json *details = json_object(a);

	json_set_str(a, details, "name", d->name);
	if (d->group && *d->group)
		json_set_str(a, details, "group", d->group);
	json_set_str(a, details, "kind", d->kind);
	json_set_str(a, details, "uid", d->uid);
	if (json_count(d->causes))
		json_set(a, details, "causes", json_clone(a, d->causes));
	if (retry_after)
		json_set_int(a, details, "retryAfterSeconds", retry_after);
	if (json_count(details))
		json_set(a, status, "details", details);
}

static void status_write(struct arena *a, struct buf *out, const struct error *e, int code,
			 const struct status_details *d)
{
	struct json *status = json_object(a);

	json_set_str(a, status, "kind", "Status");
	json_set_str(a, status, "apiVersion", "v1");
	json_set(a, status, "metadata", json_object(a));
	json_set_str(a, status, "status", e ? "Failure" : "Success");
	if (e) {
		json_set_str(a, status, "message", e->text);
		json_set_str(a, status, "reason", error_reason(e->code));
	}
	add_details(a, status, d, e ? e->retry_after : 0);
	json_set_int(a, status, "code", code);
	json_write(status, JSON_COMPACT, out);
}

void status_failure(struct buf *out, const struct error *e, const struct status_details *d)
{
	_arena_ a = arena_new();

	status_write(a, out, e, error_http_status(e->code), d);
}

void status_success(struct buf *out, int http_status, const struct status_details *d)
{
	_arena_ a = arena_new();

	status_write(a, out, NULL, http_status, d);
}
