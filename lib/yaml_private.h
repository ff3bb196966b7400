/*
 * yaml_private.h - what plain scalars mean, between yaml_scalar.c and yaml.c alone.
 */
#ifndef BERTH_LIB_YAML_PRIVATE_H
#define BERTH_LIB_YAML_PRIVATE_H

#include "lib/json.h"

/* The value of a plain scalar; NULL when it is a number that JSON does not have (.inf, .nan). */
struct json *yaml_plain_value(struct arena *a, const char *s, size_t len);
/* True when the text, written plain, is the same string to every reader; syntax is not its business. */
bool yaml_plain_is_string(const char *s);

#endif
