/*
 * json.h - JSON values: parsed with yajl's callbacks, written with yajl's generator, under limits.
 *
 * Ownership: every node belongs to the arena it was made in. A tree is built, then passed on as `const` and never
 * changed again; whoever wants to change it makes a json_clone() first. All read functions accept NULL and values of
 * another type and then answer "nothing" (NULL, the default, 0), so that `json_str(json_in(o, "spec", "image"))` needs
 * no check on the way. Object members keep the order they came in.
 *
 * Numbers are never silently changed: an int64_t is a JSON_INT, any other number a JSON_REAL that keeps its text and is
 * written as it came (2 as 2, 1.50 as 1.50, 18446744073709551616 as itself). Strings are UTF-8 and may hold NUL; keys
 * may not. What is built from bytes that are not UTF-8 gets U+FFFD in their place, so that everything written is JSON.
 *
 * json_read.c and json_build.c hold the trees, json.c alone knows yajl. Anyone may include this file.
 */
#ifndef BERTH_LIB_JSON_H
#define BERTH_LIB_JSON_H

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/error.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json;

#define JSON_MAX_DEPTH 64
#define JSON_MAX_BYTES (3U * 1024 * 1024) /* as kube-apiserver limits a request body */

/* What json_parse() refuses or reports. A zeroed struct means the defaults above. */
struct json_options {
	unsigned max_depth; /* at most JSON_MAX_DEPTH */
	size_t max_bytes;
	/* When not NULL: duplicate keys are no error; the last one wins and their paths ("spec.image") are appended to
	 * this array of strings, 100 of them at most. When NULL, a duplicate key is E_BAD_REQUEST. */
	struct json *duplicates;
};

/* Errors: E_BAD_REQUEST with line and column, E_TOO_LARGE beyond a limit. opt may be NULL. */
int json_parse(struct arena *a, const char *text, size_t len, const struct json_options *opt, struct json **ret,
	       struct error *e);

/* ---- reading ---- */
enum json_type json_type(const struct json *v); /* JSON_NULL for NULL */
const char *json_type_name(enum json_type t);	/* "object", "integer", … as OpenAPI spells them */
static inline bool json_is(const struct json *v, enum json_type t)
{
	return v && json_type(v) == t;
}
/* Member of an object, or NULL. */
struct json *json_get(const struct json *object, const char *key);
/* Member of a member …: json_in(o, "metadata", "name"). */
#define json_in(object, ...) json_in_((object), __VA_ARGS__, (const char *)NULL)
struct json *json_in_(const struct json *object, ...) __attribute__((sentinel));
const char *json_str(const struct json *v); /* NULL when not a string */
const char *json_str_or(const struct json *v, const char *otherwise);
size_t json_strlen(const struct json *v); /* bytes; strings may hold NUL */
int64_t json_int_or(const struct json *v, int64_t otherwise);
double json_real_or(const struct json *v, double otherwise);	/* integers too */
int64_t json_whole_or(const struct json *v, int64_t otherwise); /* any number, cut to a whole one in range */
bool json_bool_or(const struct json *v, bool otherwise);
/* Elements of an array or members of an object. */
size_t json_count(const struct json *v);
struct json *json_item(const struct json *v, size_t i); /* element or member value, NULL past the end */
/* The member's name; "" for an element of an array, which may stand where an object belongs, and past the end. */
const char *json_key(const struct json *object, size_t i);
/* Deep equality; member order does not matter, 1 equals 1.0. */
bool json_equal(const struct json *a, const struct json *b);

/* ---- building: the values passed in must live as long as the arena ---- */
struct json *json_null(struct arena *a);
struct json *json_bool(struct arena *a, bool b);
struct json *json_int(struct arena *a, int64_t i);
struct json *json_real(struct arena *a, double d); /* infinities and NaN give null */
/* From text in JSON's syntax for numbers, which is kept; NULL when a double cannot hold it. */
struct json *json_number(struct arena *a, const char *text, size_t len);
struct json *json_string(struct arena *a, const char *s); /* copied; NULL gives null */
struct json *json_stringn(struct arena *a, const char *s, size_t n);
struct json *json_stringf(struct arena *a, const char *fmt, ...) _printf_(2, 3);
struct json *json_array(struct arena *a);
struct json *json_object(struct arena *a);
/* Sets or replaces a member; the key is copied. Returns value. */
struct json *json_set(struct arena *a, struct json *object, const char *key, struct json *value);
void json_set_str(struct arena *a, struct json *object, const char *key, const char *s); /* no member when s is NULL */
void json_set_int(struct arena *a, struct json *object, const char *key, int64_t i);
void json_set_bool(struct arena *a, struct json *object, const char *key, bool b);
/* The object member of that name, made when it is missing or not an object. */
struct json *json_ensure_object(struct arena *a, struct json *object, const char *key);
struct json *json_ensure_array(struct arena *a, struct json *object, const char *key);
/* Keeps the elements or members that keep() wants, in one pass; key is NULL for elements. Returns how many went. */
size_t json_filter(struct json *v, bool (*keep)(void *user, const char *key, struct json *value), void *user);
/* Removing one moves what stands behind it: to remove many out of hostile input, use json_filter(). */
bool json_unset(struct json *object, const char *key); /* true if it was there */
struct json *json_append(struct arena *a, struct json *array, struct json *value);
void json_insert(struct arena *a, struct json *array, size_t index, struct json *value);
void json_replace_item(struct json *v, size_t i, struct json *value);
void json_remove_item(struct json *v, size_t i);
struct json *json_clone(struct arena *a, const struct json *v);

/* ---- writing ---- */
enum json_style { JSON_COMPACT, JSON_PRETTY /* 4 spaces, as kubectl; no line feed at the end */ };
/* out->over when it does not fit, or when the tree is deeper than 120. */
void json_write(const struct json *v, enum json_style style, struct buf *out);
char *json_to_string(struct arena *a, const struct json *v); /* compact */

#endif
