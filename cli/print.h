/*
 * print.h - objects on standard output as JSON or YAML.
 */
#ifndef BERTH_CLI_PRINT_H
#define BERTH_CLI_PRINT_H

#include "lib/json.h"

/* format: "json" (indented) or anything else for YAML. */
void print_object(const struct json *o, const char *format);

#endif
