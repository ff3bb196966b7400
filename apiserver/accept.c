/*
 * accept.c - see accept.h.
 */
#include "apiserver/accept.h"

#include <strings.h>

/* True when the list of parameters (";a=b; c=d") has this one. */
static bool has_parameter(const char *params, size_t len, const char *want, size_t want_len)
{
	while (len > 0) {
		size_t n;

		params++, len--; /* the semicolon */
		while (len > 0 && (*params == ' ' || *params == '\t'))
			params++, len--;
		n = 0;
		while (n < len && params[n] != ';')
			n++;
		if (n == want_len && strncasecmp(params, want, n) == 0)
			return true;
		params += n, len -= n;
	}
	return false;
}

static bool names_form(const char *params, size_t len)
{
	for (size_t i = 0; i + 4 <= len; i++)
		if (params[i] == ';' && strncasecmp(params + i + 1 + strspn(params + i + 1, " "), "as=", 3) == 0)
			return true;
	return false;
}

/* One clause, without the surrounding blanks, against one offer. */
static bool fits(const char *clause, size_t len, const char *offer)
{
	size_t type = 0, offer_type = strcspn(offer, ";");

	while (type < len && clause[type] != ';' && clause[type] != ' ')
		type++;
	if (type != offer_type || strncasecmp(clause, offer, type) != 0)
		return false;
	while (type < len && clause[type] != ';')
		type++;
	if (!offer[offer_type])
		return !names_form(clause + type, len - type);
	for (const char *p = offer + offer_type; *p; p += 1 + strcspn(p + 1, ";"))
		if (!has_parameter(clause + type, len - type, p + 1, strcspn(p + 1, ";")))
			return false;
	return true;
}

static bool is_wildcard(const char *clause, size_t len)
{
	size_t type = 0;

	while (type < len && clause[type] != ';' && clause[type] != ' ')
		type++;
	return (type == 3 && memcmp(clause, "*/*", 3) == 0) ||
	       (type == 13 && strncasecmp(clause, "application/*", 13) == 0);
}

int accept_choose(const char *accept, const char *const *offers, size_t count, int otherwise)
{
	if (!accept || !accept[strspn(accept, " ,")])
		return otherwise;
	if (strlen(accept) > ACCEPT_LENGTH_MAX)
		return -1;
	while (*accept) {
		size_t len = strcspn(accept, ","), skip = strspn(accept, " \t");

		if (skip < len) {
			for (size_t i = 0; i < count; i++)
				if (fits(accept + skip, len - skip, offers[i]))
					return (int)i;
			if (is_wildcard(accept + skip, len - skip))
				return otherwise;
		}
		accept += len + (accept[len] == ',');
	}
	return -1;
}
