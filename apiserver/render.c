/*
 * render.c - objects, lists and watch events as text; see render.h.
 */
#include "apiserver/render.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#define CLAUSE_MAX 256

/* ---- Accept ---- */

static enum form table_form(const char *include)
{
	if (streq(include, "Object"))
		return FORM_TABLE_OBJECT;
	return streq(include, "None") ? FORM_TABLE_NONE : FORM_TABLE_METADATA;
}

/* One clause, lower-cased and without spaces; true when it can be served. */
static bool clause_form(const char *clause, const char *include, enum form *ret)
{
	size_t type = strcspn(clause, ";");
	const char *as = strstr(clause, ";as=");

	if (strncmp(clause, "application/json", type) != 0 && strncmp(clause, "*/*", type) != 0 &&
	    strncmp(clause, "application/*", type) != 0)
		return false;
	if (type == 0)
		return false;
	if (!as) {
		*ret = FORM_OBJECT;
		return true;
	}
	as += strlen(";as=");
	bool meta_group = strstr(clause, ";g=meta.k8s.io") != NULL;
	if (meta_group && str_starts(as, "table")) {
		*ret = table_form(include);
		return true;
	}
	if (meta_group && str_starts(as, "partialobjectmetadata")) { /* …List is the same for a list */
		*ret = FORM_PARTIAL;
		return true;
	}
	return false;
}

int form_negotiate(const char *accept, const char *include, enum form *ret, struct error *e)
{
	char clause[CLAUSE_MAX];

	*ret = FORM_OBJECT;
	if (!accept || !*accept)
		return 0;
	for (const char *p = accept; *p; p += *p == ',') {
		size_t n = 0;
		for (; *p && *p != ','; p++)
			if (*p != ' ' && n + 1 < sizeof(clause))
				clause[n++] = (char)tolower((unsigned char)*p);
		clause[n] = '\0';
		if (clause_form(clause, include, ret))
			return 0;
	}
	return error_set(e, E_NOT_ACCEPTABLE, "only the following media types are accepted: application/json");
}

/* ---- pieces ---- */

static enum table_include include_of(enum form f)
{
	return f == FORM_TABLE_OBJECT ? TABLE_OBJECT : f == FORM_TABLE_NONE ? TABLE_NONE : TABLE_METADATA;
}

static void add_row(enum form f, const struct object *o, int64_t now_ms, struct buf *out)
{
	_arena_ a = arena_new();

	table_row(a, o->kind, object_tree(a, o), chunk_data(o->json), chunk_len(o->json), include_of(f), now_ms, out);
}

static bool is_table(enum form f)
{
	return f >= FORM_TABLE_METADATA;
}

static void begin_table(const struct kind *k, const char *list_metadata, struct buf *out)
{
	buf_addf(out, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{%s},\"columnDefinitions\":",
		 list_metadata);
	table_columns(k, out);
	buf_adds(out, ",\"rows\":[");
}

void render_object(enum form f, const struct object *o, int64_t now_ms, struct buf *out)
{
	char metadata[64];

	if (f == FORM_OBJECT) {
		buf_add(out, chunk_data(o->json), chunk_len(o->json));
	} else if (f == FORM_PARTIAL) {
		_arena_ a = arena_new();
		partial_object(a, object_tree(a, o), out);
	} else {
		snprintf(metadata, sizeof(metadata), "\"resourceVersion\":\"%" PRId64 "\"", o->revision);
		begin_table(o->kind, metadata, out);
		add_row(f, o, now_ms, out);
		buf_adds(out, "]}");
	}
}

/* ---- lists ---- */

static char *list_metadata(const struct render_list *l)
{
	_buf_ out = BUF_INIT(65536);

	buf_addf(&out, "\"resourceVersion\":\"%" PRId64 "\"", l->page->revision);
	if (l->continue_token)
		buf_addf(&out, ",\"continue\":\"%s\"", l->continue_token);
	if (l->continue_token && l->page->remaining > 0)
		buf_addf(&out, ",\"remainingItemCount\":%" PRId64, l->page->remaining);
	return buf_steal(&out);
}

void render_list(enum form f, const struct render_list *l, int64_t now_ms, struct buf *out)
{
	_free_ char *metadata = list_metadata(l);

	if (is_table(f)) {
		begin_table(l->kind, metadata, out);
	} else if (f == FORM_PARTIAL) {
		buf_addf(
			out,
			"{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{%s},\"items\":[",
			metadata);
	} else {
		buf_addf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{%s},\"items\":[",
			 l->kind->list_kind, l->kind->api_version, metadata);
	}
	for (size_t i = 0; i < l->page->count; i++) {
		if (i)
			buf_addc(out, ',');
		if (is_table(f))
			add_row(f, l->page->items[i], now_ms, out);
		else
			render_object(f, l->page->items[i], now_ms, out);
	}
	buf_adds(out, "]}");
}

/* ---- watches ---- */

void render_event(enum form f, enum event_type type, const struct object *o, int64_t now_ms, struct buf *out)
{
	static const char *const names[] = {
		[EVENT_ADDED] = "ADDED", [EVENT_MODIFIED] = "MODIFIED", [EVENT_DELETED] = "DELETED"};

	buf_addf(out, "{\"type\":\"%s\",\"object\":", names[type]);
	render_object(f, o, now_ms, out);
	buf_adds(out, "}\n");
}

void render_bookmark(enum form f, const struct kind *k, int64_t revision, bool initial_end, struct buf *out)
{
	const char *annotations = initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "";

	buf_adds(out, "{\"type\":\"BOOKMARK\",\"object\":{");
	if (is_table(f)) {
		buf_addf(
			out,
			"\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{\"resourceVersion\":\"%" PRId64
			"\"},\"columnDefinitions\":[],\"rows\":[]}}\n",
			revision);
		return;
	}
	if (f == FORM_PARTIAL) {
		buf_adds(out, "\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\"");
	} else {
		buf_addf(out, "\"kind\":\"%s\",\"apiVersion\":\"%s\"", k->kind, k->api_version);
	}
	buf_addf(out, ",\"metadata\":{\"resourceVersion\":\"%" PRId64 "\"%s}}}\n", revision, annotations);
}

void render_error(const char *status, size_t len, struct buf *out)
{
	buf_adds(out, "{\"type\":\"ERROR\",\"object\":");
	buf_add(out, status, len);
	buf_adds(out, "}\n");
}
