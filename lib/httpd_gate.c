/*
 * httpd_gate.c - what is refused before a handler sees it.
 *
 * libmicrohttpd is lenient and gives the head already cut into pieces. The pieces still lie where the client's bytes
 * were received, so their addresses say what was cut away: exactly one space around the target, exactly CRLF after
 * every line, no folded line, no NUL. A sum that does not come out is a head that another parser could read
 * differently, and is refused. What libmicrohttpd itself refuses (a request line that is no such thing, a head over its
 * memory) is answered by it in plain HTML. Not visible here: line ends inside a chunked body.
 *
 * Sources: RFC 9110 section 5, RFC 9112 sections 2, 3, 6 and 11.2.
 */
#include "lib/httpd_internal.h"

#include <ctype.h>
#include <strings.h>

const struct refusal REFUSED_TOO_LARGE = {413, "RequestEntityTooLarge", "the request body is too large"};
const struct refusal REFUSED_STOPPING = {503, "ServiceUnavailable", "the server is stopping"};
static const struct refusal bad_line = {400, "BadRequest", "malformed request line"};
static const struct refusal bad_method = {400, "BadRequest", "malformed request method"};
static const struct refusal bad_target = {400, "BadRequest",
					  "malformed request target: it must be a path, without "
					  "control characters, and percent-encoded correctly"};
static const struct refusal long_target = {414, "RequestURITooLong", "the request target is longer than 8 KiB"};
static const struct refusal long_head = {431, "RequestHeaderFieldsTooLarge", "the request head is larger than 32 KiB"};
static const struct refusal bad_head = {400, "BadRequest",
					"malformed request head: line ends must be CRLF, and lines "
					"must not be folded"};
static const struct refusal bad_header = {400, "BadRequest", "malformed header field"};
static const struct refusal no_host = {400, "BadRequest", "the Host header is missing"};
static const struct refusal bad_host = {400, "BadRequest", "malformed Host header"};
static const struct refusal duplicate = {400, "BadRequest",
					 "Host, Content-Length and Transfer-Encoding may appear once"};
static const struct refusal bad_length = {400, "BadRequest", "malformed Content-Length header"};
static const struct refusal both_lengths = {400, "BadRequest",
					    "Content-Length and Transfer-Encoding exclude each other"};
static const struct refusal bad_encoding = {400, "BadRequest",
					    "the only Transfer-Encoding supported is \"chunked\", in "
					    "HTTP/1.1"};

struct head {
	const char *next; /* where the next line must begin */
	bool misplaced, malformed;
	unsigned hosts, lengths, encodings;
	const char *host, *length, *encoding;
};

static bool is_token_char(unsigned char c)
{
	return isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_token_char((unsigned char)s[i]))
			return false;
	return n > 0;
}

static bool is_field_value(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool name_is(const char *name, size_t n, const char *want)
{
	return n == strlen(want) && strncasecmp(name, want, n) == 0;
}

static enum MHD_Result on_field(void *user, enum MHD_ValueKind kind _unused_, const char *name, size_t name_len,
				const char *value, size_t value_len)
{
	struct head *h = user;

	if (name != h->next || !value || value <= name + name_len) {
		h->misplaced = true;
		return MHD_NO;
	}
	h->next = value + value_len + 2;
	if (!is_token(name, name_len) || !is_field_value(value, value_len)) {
		h->malformed = true;
		return MHD_NO;
	}
	if (name_is(name, name_len, "Host")) {
		h->hosts++;
		h->host = value;
	} else if (name_is(name, name_len, "Content-Length")) {
		h->lengths++;
		h->length = value;
	} else if (name_is(name, name_len, "Transfer-Encoding")) {
		h->encodings++;
		h->encoding = value;
	}
	return MHD_YES;
}

static bool is_hex(char c)
{
	return isxdigit((unsigned char)c) != 0;
}

/* origin-form only: nobody uses us as a proxy. */
static bool is_target(const char *s)
{
	if (*s != '/')
		return false;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c <= 0x20 || c >= 0x7f || c == '#')
			return false;
		if (c == '%' && (!is_hex(s[1]) || !is_hex(s[2]) || (s[1] == '0' && s[2] == '0')))
			return false;
	}
	return true;
}

/* RFC 9112 section 3.2: uri-host [ ":" port ]. Trailing white space is not part of the value. */
static bool is_host(const char *s)
{
	size_t n = strlen(s), i = 0;

	while (n && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	if (!n || n > 261)
		return false;
	if (s[0] == '[') {
		for (i = 1; i < n && (is_hex(s[i]) || s[i] == ':' || s[i] == '.'); i++)
			;
		if (i == 1 || i == n || s[i++] != ']')
			return false;
	} else {
		for (; i < n && (isalnum((unsigned char)s[i]) || strchr("-._~!$&'()*+,;=%", s[i])); i++)
			;
		if (!i)
			return false;
	}
	if (i < n && s[i++] != ':')
		return false;
	for (; i < n; i++)
		if (!isdigit((unsigned char)s[i]))
			return false;
	return true;
}

static bool is_number(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n > 0 && n <= 18 && !s[n + strspn(s + n, " \t")];
}

static const struct refusal *check_framing(const struct head *h, bool http_1_0, size_t max_body, bool expects)
{
	if (h->hosts > 1 || h->lengths > 1 || h->encodings > 1)
		return &duplicate;
	if (!h->hosts && !http_1_0)
		return &no_host;
	if (h->hosts && !is_host(h->host))
		return &bad_host;
	if (h->encodings && h->lengths)
		return &both_lengths;
	if (h->encodings && (http_1_0 || strcasecmp(h->encoding, "chunked") != 0))
		return &bad_encoding;
	if (h->lengths && !is_number(h->length))
		return &bad_length;
	/* A client that asks first is told at once. One that sends anyway would lose the answer to a reset connection,
	 * so a few bodies' worth are read and dropped for it; beyond that it is cut off. */
	if (h->lengths && strtoull(h->length, NULL, 10) > (expects ? max_body : 4 * max_body))
		return &REFUSED_TOO_LARGE;
	return NULL;
}

const struct refusal *gate_check(struct httpd_request *r, const char *method, const char *version)
{
	struct head h = {.next = version + strlen("HTTP/1.1\r\n")};
	const union MHD_ConnectionInfo *size;
	const char *expect;

	if (!is_token(method, strlen(method)) || strlen(method) > 32)
		return &bad_method;
	if (r->raw_len > HTTPD_TARGET_MAX)
		return &long_target;
	if (r->raw != method + strlen(method) + 1 || version != r->raw + r->raw_len + 1)
		return &bad_line;
	if (!is_target(r->target))
		return &bad_target;
	size = MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	if (size && size->header_size > HTTPD_HEAD_MAX)
		return &long_head;
	MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, on_field, &h);
	if (h.malformed)
		return &bad_header;
	if (h.misplaced || !size || (size_t)(h.next + 2 - method) != size->header_size)
		return &bad_head;
	expect = MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, "Expect");
	return check_framing(&h, streq(version, "HTTP/1.0"), r->h->max_body, expect != NULL);
}

struct MHD_Response *refusal_response(const struct refusal *f)
{
	struct buf b = BUF_INIT(1024);
	struct MHD_Response *resp;

	buf_addf(&b,
		 "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"%s\","
		 "\"reason\":\"%s\",\"code\":%u}\n",
		 f->message, f->reason, f->status);
	resp = MHD_create_response_from_buffer(b.len, b.data, MHD_RESPMEM_MUST_COPY);
	buf_free(&b);
	if (resp)
		MHD_add_response_header(resp, "Content-Type", "application/json");
	return resp;
}
