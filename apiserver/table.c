/*
 * table.c - see table.h. Sources: k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor for columns
 * by JSONPath, k8s.io/kubernetes/pkg/printers/internalversion for the computed ones.
 */
#include "apiserver/table.h"

#include "apiserver/jsonpath.h"
#include "lib/units.h"

#include <ctype.h>
#include <stdio.h>

#define ROLE_LABEL "node-role.kubernetes.io/"
#define ROLES_MAX 16
#define ARGUMENTS_MAX 4

/* One computed cell under way. Functions return text for people, NULL for an empty cell. */
struct cell {
	struct arena *arena;
	const struct json *obj;
	int64_t now_ms;
	const char *args[ARGUMENTS_MAX];
	size_t arg_count;
};

static const char *age_text(struct arena *a, const char *time, int64_t now_ms)
{
	char text[32];
	int64_t ms;

	if (!time || time_parse(time, &ms, NULL) < 0)
		return NULL;
	duration_human((now_ms - ms) / 1000, text, sizeof(text));
	return arena_strdup(a, text);
}

/* ---- computed cells ---- */

static const char *cell_count(struct cell *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->arg_count; i++)
		n += json_count(json_get(c->obj, c->args[i]));
	return arena_printf(c->arena, "%zu", n);
}

static const char *cell_role(struct cell *c)
{
	const struct json *ref = json_get(c->obj, "roleRef");

	return arena_printf(c->arena, "%s/%s", json_str_or(json_get(ref, "kind"), ""),
			    json_str_or(json_get(ref, "name"), ""));
}

static const char *cell_node_status(struct cell *c)
{
	const struct json *conditions = json_in(c->obj, "status", "conditions");
	const char *status = "Unknown";

	for (size_t i = 0; i < json_count(conditions); i++) {
		const struct json *condition = json_item(conditions, i);

		if (streq(json_str(json_get(condition, "type")), "Ready"))
			status = streq(json_str(json_get(condition, "status")), "True") ? "Ready" : "NotReady";
	}
	if (!json_bool_or(json_in(c->obj, "spec", "unschedulable"), false))
		return status;
	return arena_printf(c->arena, "%s,SchedulingDisabled", status);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *cell_node_roles(struct cell *c)
{
	const struct json *labels = json_in(c->obj, "metadata", "labels");
	const char *roles[ROLES_MAX], *text = NULL;
	size_t n = 0;

	for (size_t i = 0; i < json_count(labels) && n < ROLES_MAX; i++) {
		const char *key = json_key(labels, i), *value = json_str_or(json_item(labels, i), "");

		if (str_starts(key, ROLE_LABEL) && key[strlen(ROLE_LABEL)])
			roles[n++] = key + strlen(ROLE_LABEL);
		else if (streq(key, "kubernetes.io/role") && *value)
			roles[n++] = value;
	}
	qsort(roles, n, sizeof(*roles), compare_text);
	for (size_t i = 0; i < n; i++)
		text = text ? arena_printf(c->arena, "%s,%s", text, roles[i]) : roles[i];
	return text ? text : "<none>";
}

static const char *cell_node_address(struct cell *c)
{
	const struct json *addresses = json_in(c->obj, "status", "addresses");

	for (size_t i = 0; i < json_count(addresses); i++)
		if (streq(json_str(json_get(json_item(addresses, i), "type")), c->args[0]))
			return json_str_or(json_get(json_item(addresses, i), "address"), "<none>");
	return "<none>";
}

static const char *cell_or_unknown(struct cell *c)
{
	const struct json *v = c->obj;

	for (size_t i = 0; i < c->arg_count; i++)
		v = json_get(v, c->args[i]);
	return json_str(v) && *json_str(v) ? json_str(v) : "<unknown>";
}

static const char *cell_label(struct cell *c)
{
	return json_str_or(json_get(json_in(c->obj, "metadata", "labels"), c->args[0]), "<none>");
}

static const char *cell_event_first_seen(struct cell *c)
{
	const char *text = age_text(c->arena, json_str(json_get(c->obj, "firstTimestamp")), c->now_ms);

	if (!text)
		text = age_text(c->arena, json_str(json_get(c->obj, "eventTime")), c->now_ms);
	return text ? text : "<unknown>";
}

static const char *cell_event_last_seen(struct cell *c)
{
	const char *text = age_text(c->arena, json_str(json_in(c->obj, "series", "lastObservedTime")), c->now_ms);

	if (!text)
		text = age_text(c->arena, json_str(json_get(c->obj, "lastTimestamp")), c->now_ms);
	return text ? text : cell_event_first_seen(c);
}

static const char *cell_event_count(struct cell *c)
{
	int64_t n = json_int_or(json_in(c->obj, "series", "count"), json_int_or(json_get(c->obj, "count"), 0));

	return arena_printf(c->arena, "%lld", (long long)(n > 0 ? n : 1));
}

static const char *cell_event_object(struct cell *c)
{
	const struct json *about = json_get(c->obj, "involvedObject");
	char *text = arena_printf(c->arena, "%s/%s", json_str_or(json_get(about, "kind"), ""),
				  json_str_or(json_get(about, "name"), ""));

	for (char *p = text; *p && *p != '/'; p++)
		*p = (char)tolower((unsigned char)*p);
	return text;
}

static const char *cell_event_source(struct cell *c)
{
	const char *who = json_str(json_in(c->obj, "source", "component")),
		   *where = json_str(json_in(c->obj, "source", "host"));

	if (!who) {
		who = json_str_or(json_get(c->obj, "reportingComponent"), "");
		where = json_str(json_get(c->obj, "reportingInstance"));
	}
	return where && *where ? arena_printf(c->arena, "%s, %s", who, where) : who;
}

static const struct {
	const char *name;
	const char *(*compute)(struct cell *c);
} functions[] = {
	{"count", cell_count},
	{"role", cell_role},
	{"nodeStatus", cell_node_status},
	{"nodeRoles", cell_node_roles},
	{"nodeAddress", cell_node_address},
	{"orUnknown", cell_or_unknown},
	{"label", cell_label},
	{"eventLastSeen", cell_event_last_seen},
	{"eventFirstSeen", cell_event_first_seen},
	{"eventCount", cell_event_count},
	{"eventObject", cell_event_object},
	{"eventSource", cell_event_source},
};

/* "@name" or "@name(arg,arg)". */
static const char *compute_cell(struct cell *c, const char *path)
{
	size_t len = strcspn(path + 1, "(");

	if (path[1 + len] == '(') {
		char *args = arena_strdup(c->arena, path + len + 2), *rest = NULL;

		args[strcspn(args, ")")] = '\0';
		for (char *arg = strtok_r(args, ",", &rest); arg && c->arg_count < ARGUMENTS_MAX;
		     arg = strtok_r(NULL, ",", &rest))
			c->args[c->arg_count++] = arg;
	}
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (strlen(functions[i].name) == len && memcmp(functions[i].name, path + 1, len) == 0)
			return functions[i].compute(c);
	return NULL;
}

/* ---- cells by JSONPath ---- */

struct joined {
	struct buf *out;
	size_t count;
};

static bool join_match(void *user, const struct json *match)
{
	struct joined *j = user;

	if (j->count++)
		buf_addc(j->out, ' ');
	if (json_str(match))
		buf_add(j->out, json_str(match), json_strlen(match));
	else
		json_write(match, JSON_COMPACT, j->out);
	return true;
}

static const struct json *path_cell(struct arena *a, const struct kind_column *col, const struct json *obj,
				    int64_t now_ms)
{
	const struct json *first = jsonpath_first(col->compiled, obj);
	_buf_ text = BUF_INIT(64U * 1024);
	struct joined joined = {&text, 0};

	if (!first || json_is(first, JSON_NULL))
		return NULL;
	if (streq(col->type, "integer"))
		return json_is(first, JSON_INT)	   ? first
		       : json_is(first, JSON_REAL) ? json_int(a, json_whole_or(first, 0))
						   : NULL;
	if (streq(col->type, "number"))
		return json_is(first, JSON_INT) || json_is(first, JSON_REAL) ? first : NULL;
	if (streq(col->type, "boolean"))
		return json_is(first, JSON_BOOL) ? first : NULL;
	if (streq(col->type, "date")) {
		const char *age = age_text(a, json_str(first), now_ms);

		return json_string(a, age ? age : "<invalid>");
	}
	jsonpath_each(col->compiled, obj, join_match, &joined);
	return json_stringn(a, text.len ? text.data : "", text.len);
}

/* ---- rows ---- */

static bool has_own_name(const struct kind *k)
{
	for (size_t i = 0; i < k->column_count; i++)
		if (streq(k->columns[i].name, "Name"))
			return true;
	return false;
}

static void write_text(struct arena *a, const char *name, const char *text, struct buf *out)
{
	buf_addf(out, "\"%s\":", name);
	json_write(json_string(a, text), JSON_COMPACT, out);
}

static void write_column(struct arena *a, const struct kind_column *c, struct buf *out)
{
	buf_addc(out, '{');
	write_text(a, "name", c->name, out);
	buf_addc(out, ',');
	write_text(a, "type", c->type, out);
	buf_addc(out, ',');
	write_text(a, "format", c->format, out);
	buf_addc(out, ',');
	write_text(a, "description", c->description, out);
	buf_addf(out, ",\"priority\":%lld}", (long long)c->priority);
}

void table_columns(const struct kind *k, struct buf *out)
{
	static const struct kind_column name = {
		.name = "Name",
		.type = "string",
		.format = "name",
		.description = "Name of the object.",
	};
	_arena_ a = arena_new();

	buf_addc(out, '[');
	if (!has_own_name(k))
		write_column(a, &name, out);
	for (size_t i = 0; i < k->column_count; i++) {
		if (i > 0 || !has_own_name(k))
			buf_addc(out, ',');
		write_column(a, &k->columns[i], out);
	}
	buf_addc(out, ']');
}

static void write_cell(const struct json *v, size_t *count, struct buf *out)
{
	if ((*count)++)
		buf_addc(out, ',');
	if (v)
		json_write(v, JSON_COMPACT, out);
	else
		buf_adds(out, "null");
}

void table_row(struct arena *a, const struct kind *k, const struct json *obj, const char *obj_text, size_t obj_len,
	       enum table_include inc, int64_t now_ms, struct buf *out)
{
	size_t count = 0;

	buf_adds(out, "{\"cells\":[");
	if (!has_own_name(k))
		write_cell(json_in(obj, "metadata", "name"), &count, out);
	for (size_t i = 0; i < k->column_count; i++) {
		const struct kind_column *col = &k->columns[i];

		if (col->compiled) {
			write_cell(path_cell(a, col, obj, now_ms), &count, out);
		} else {
			struct cell c = {.arena = a, .obj = obj, .now_ms = now_ms};
			const char *text = compute_cell(&c, col->path);

			write_cell(text ? json_string(a, text) : NULL, &count, out);
		}
	}
	buf_adds(out, "],\"object\":");
	if (inc == TABLE_OBJECT)
		buf_add(out, obj_text, obj_len);
	else if (inc == TABLE_METADATA)
		partial_object(a, obj, out);
	else
		buf_adds(out, "null");
	buf_addc(out, '}');
}

void partial_object(struct arena *a, const struct json *obj, struct buf *out)
{
	const struct json *meta = json_get(obj, "metadata");

	buf_adds(out, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
	json_write(meta ? meta : json_object(a), JSON_COMPACT, out);
	buf_addc(out, '}');
}
