/*
 * fixture.c - see fixture.h.
 */
#include "test/unit/gateway/fixture.h"

struct json *fixture_json(struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text);
	struct error e = {0};
	struct json *v;

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	if (json_parse(a, copy, strlen(copy), NULL, &v, &e))
		fail_msg("%s: %s", e.text, copy);
	return v;
}

struct json *fixture_jsonf(struct arena *a, const char *fmt, ...)
{
	_buf_ text = BUF_INIT(65536);
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	return fixture_json(a, text.data);
}
