/*
 * print.c - writing one object; see print.h.
 */
#include "cli/print.h"

#include "lib/yaml.h"

#include <stdio.h>

#define OUTPUT_MAX (1024U * 1024 * 1024)

void print_object(const struct json *o, const char *format)
{
	_buf_ out = BUF_INIT(OUTPUT_MAX);

	if (streq(format, "json")) {
		json_write(o, JSON_PRETTY, &out);
		buf_addc(&out, '\n');
	} else {
		yaml_write(o, &out);
	}
	fwrite(out.data, 1, out.len, stdout);
}
