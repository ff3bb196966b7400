/*
 * httpd_request.c - reading a request; see httpd.h. Everything returned lives as long as the request.
 */
#include "lib/httpd_internal.h"

#include "lib/codec.h"

struct arena *httpd_arena(struct httpd_request *r)
{
	return r->a;
}

const char *httpd_method(const struct httpd_request *r)
{
	return r->method;
}

const char *httpd_path(const struct httpd_request *r)
{
	return r->path;
}

const char *httpd_query_string(const struct httpd_request *r)
{
	return r->query;
}

/* The gate has checked the percent-encoding, so decoding cannot fail. */
static const char *decode(struct arena *a, const char *s, size_t n)
{
	_buf_ b = BUF_INIT(n + 1);

	if (percent_decode(s, n, true, &b, NULL) < 0 || !b.len)
		return "";
	return arena_strndup(a, b.data, b.len);
}

static void parse_query(struct httpd_request *r)
{
	struct query_item **tail = &r->query_items;
	const char *s = r->query;

	r->query_parsed = true;
	while (*s) {
		size_t n = strcspn(s, "&"), name = 0;
		struct query_item *q;

		while (name < n && s[name] != '=')
			name++;
		if (n) {
			q = arena_calloc(r->a, sizeof(*q));
			q->name = decode(r->a, s, name);
			q->value = name < n ? decode(r->a, s + name + 1, n - name - 1) : "";
			*tail = q;
			tail = &q->next;
		}
		s += n + (s[n] == '&');
	}
}

const char *httpd_query_n(const struct httpd_request *r, const char *name, size_t i)
{
	if (!r->query_parsed)
		parse_query((struct httpd_request *)(uintptr_t)r);
	for (const struct query_item *q = r->query_items; q; q = q->next)
		if (streq(q->name, name) && i-- == 0)
			return q->value;
	return NULL;
}

const char *httpd_query(const struct httpd_request *r, const char *name)
{
	return httpd_query_n(r, name, 0);
}

const char *httpd_header(const struct httpd_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

struct header_search {
	const char *prefix, *name, *value;
	size_t left;
};

static enum MHD_Result search_header(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct header_search *s = user;

	(void)kind;
	if (strncasecmp(name, s->prefix, strlen(s->prefix)) != 0 || s->left-- > 0)
		return MHD_YES;
	s->name = name;
	s->value = value ? value : "";
	return MHD_NO;
}

const char *httpd_header_n(const struct httpd_request *r, const char *prefix, size_t i, const char **ret_name)
{
	struct header_search s = {.prefix = prefix, .left = i};

	MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, search_header, &s);
	*ret_name = s.name;
	return s.value;
}

const char *httpd_body(const struct httpd_request *r, size_t *ret_len)
{
	*ret_len = r->body.len;
	return r->body.data ? r->body.data : "";
}

const char *httpd_peer_cn(const struct httpd_request *r)
{
	return r->conn->peer_cn;
}

const char *httpd_peer_org(const struct httpd_request *r, size_t i)
{
	return i < HTTPD_PEER_ORGS_MAX ? r->conn->peer_orgs[i] : NULL;
}

const char *httpd_peer_address(const struct httpd_request *r)
{
	return r->conn->address;
}

void httpd_set_data(struct httpd_request *r, void *data)
{
	r->data = data;
}

void *httpd_data(const struct httpd_request *r)
{
	return r->data;
}
