/*
 * apply.c - the managers of an object and what a write does to them; see apply.h.
 *
 * Each write becomes sets of fields (apply_fields.c) and a change of values (apply_value.c); here it is decided who
 * owns what afterwards. Entries are told apart by manager, operation, apiVersion and subresource; their time is not
 * part of that.
 */
#include "apiserver/apply.h"

#include "apiserver/apply_value.h"
#include "lib/units.h"

#define MANAGERS_MAX 256
#define MANAGER_BEFORE "before-first-apply"
#define MANAGER_ANCIENT "ancient-changes"
#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

struct manager {
	const char *name, *operation, *api_version, *subresource; /* subresource "" for none */
	const char *time;					  /* or NULL */
	struct field_set *fields;
};

struct managers {
	struct manager items[MANAGERS_MAX];
	size_t count;
};

/* ---- metadata.managedFields ---- */

/* False when an entry is not what it has to be. */
static bool managers_parse(struct arena *a, const struct json *list, struct managers *m)
{
	m->count = 0;
	for (size_t i = 0; i < json_count(list) && m->count < MANAGERS_MAX; i++) {
		const struct json *from = json_item(list, i);
		const char *operation = json_str_or(json_get(from, "operation"), "");

		if (json_is(from, JSON_OBJECT) && json_count(from) == 0)
			continue;
		if ((!streq(operation, "Apply") && !streq(operation, "Update")) ||
		    !json_str(json_get(from, "apiVersion")))
			return false;
		m->items[m->count++] = (struct manager){
			.name = json_str_or(json_get(from, "manager"), ""),
			.operation = operation,
			.api_version = json_str(json_get(from, "apiVersion")),
			.subresource = json_str_or(json_get(from, "subresource"), ""),
			.time = json_str(json_get(from, "time")),
			.fields = fields_parse(a, json_get(from, "fieldsV1")),
		};
	}
	return true;
}

static int compare_managers(const void *a, const void *b)
{
	const struct manager *x = a, *y = b;
	int order = strcmp(x->operation, y->operation);

	if (!order)
		order = strcmp(x->time ? x->time : "", y->time ? y->time : "");
	if (!order)
		order = strcmp(x->name, y->name);
	return order ? order : strcmp(x->subresource, y->subresource);
}

/* Joins the oldest Update entries while there are too many. */
static void managers_cap(struct arena *a, struct managers *m)
{
	size_t first = 0, updates;

	qsort(m->items, m->count, sizeof(m->items[0]), compare_managers);
	while (first < m->count && streq(m->items[first].operation, "Apply"))
		first++;
	updates = m->count - first;
	for (; updates > APPLY_MANAGERS_MAX; updates--) {
		struct manager *oldest = &m->items[first], *next = &m->items[first + 1];

		next->fields = fields_union(a, oldest->fields, next->fields);
		next->name = MANAGER_ANCIENT;
		next->subresource = "";
		memmove(oldest, next, (m->count - first - 1) * sizeof(*oldest));
		m->count--;
	}
}

static void managers_write(struct arena *a, struct managers *m, struct json *obj)
{
	struct json *meta = json_ensure_object(a, obj, "metadata"), *list = json_array(a);

	managers_cap(a, m);
	for (size_t i = 0; i < m->count; i++) {
		const struct manager *from = &m->items[i];
		struct json *entry;

		if (fields_empty(from->fields))
			continue;
		entry = json_append(a, list, json_object(a));
		json_set_str(a, entry, "manager", from->name);
		json_set_str(a, entry, "operation", from->operation);
		json_set_str(a, entry, "apiVersion", from->api_version);
		json_set_str(a, entry, "time", from->time);
		json_set_str(a, entry, "fieldsType", "FieldsV1");
		json_set(a, entry, "fieldsV1", fields_json(a, from->fields));
		if (*from->subresource)
			json_set_str(a, entry, "subresource", from->subresource);
	}
	if (json_count(list))
		json_set(a, meta, "managedFields", list);
	else
		json_unset(meta, "managedFields");
}

/* The entry of the request's manager for the operation; made when missing. NULL when there are too many. */
static struct manager *manager_of(struct arena *a, struct managers *m, const struct apply_request *r,
				  const char *operation)
{
	for (size_t i = 0; i < m->count; i++) {
		struct manager *x = &m->items[i];

		if (streq(x->name, r->manager) && streq(x->operation, operation) &&
		    streq(x->api_version, r->kind->api_version) && streq(x->subresource, r->subresource))
			return x;
	}
	if (m->count == MANAGERS_MAX)
		return NULL;
	m->items[m->count] = (struct manager){
		.name = r->manager,
		.operation = operation,
		.api_version = r->kind->api_version,
		.subresource = r->subresource,
		.fields = fields_new(a),
	};
	return &m->items[m->count++];
}

static const char *now_text(struct arena *a, int64_t now_ms)
{
	char text[TIME_TEXT_MAX];

	return arena_strdup(a, time_format(now_ms, text));
}

/* ---- what can be owned at all ---- */

/* The object without what belongs to the server, and without what this resource or subresource cannot write. */
static struct json *ownable(struct arena *a, const struct apply_request *r, const struct json *obj)
{
	static const char *const system[] = {
		"name",
		"namespace",
		"uid",
		"resourceVersion",
		"generation",
		"creationTimestamp",
		"deletionTimestamp",
		"deletionGracePeriodSeconds",
		"selfLink",
		"managedFields",
	};
	struct json *v = json_object(a), *meta = json_object(a);
	const struct json *from = json_get(obj, "metadata");
	bool status_only = streq(r->subresource, "status");

	for (size_t i = 0; i < json_count(obj); i++) {
		const char *name = json_key(obj, i);
		bool is_status = streq(name, "status");

		if (streq(name, "apiVersion") || streq(name, "kind") || streq(name, "metadata") ||
		    (status_only ? !is_status : is_status && r->kind->has_status))
			continue;
		json_set(a, v, name, json_item(obj, i));
	}
	for (size_t i = 0; i < json_count(from) && !status_only; i++)
		json_set(a, meta, json_key(from, i), json_item(from, i));
	for (size_t i = 0; i < ARRAY_SIZE(system); i++)
		json_unset(meta, system[i]);
	if (json_count(meta))
		json_set(a, v, "metadata", meta);
	return v;
}

/* ---- conflicts ---- */

/* ".spec.ports[containerPort=80].name" */
static const char *path_add(struct arena *a, const char *path, const char *element)
{
	struct json *keys;
	_buf_ text = BUF_INIT(8192);

	if (element[0] == 'f')
		return arena_printf(a, "%s.%s", path, element + 2);
	if (element[0] == 'v')
		return arena_printf(a, "%s[=%s]", path, element + 2);
	if (json_parse(a, element + 2, strlen(element + 2), NULL, &keys, NULL) < 0)
		return arena_printf(a, "%s[%s]", path, element + 2);
	for (size_t i = 0; i < json_count(keys); i++) {
		buf_addf(&text, "%s%s=", i ? "," : "", json_key(keys, i));
		json_write(json_item(keys, i), JSON_COMPACT, &text);
	}
	return arena_printf(a, "%s[%s]", path, text.len ? text.data : "");
}

struct conflicts {
	struct arena *arena;
	struct json *causes;
	struct buf lines; /* as in the message for more than one */
};

static void list_conflicts(struct conflicts *c, const char *who, const struct field_set *set, const char *path)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct field_set *child = set->children[i];
		const char *here = path_add(c->arena, path, child->element);

		if (child->member) {
			struct json *cause = json_append(c->arena, c->causes, json_object(c->arena));

			json_set_str(c->arena, cause, "reason", "FieldManagerConflict");
			json_set(c->arena, cause, "message", json_stringf(c->arena, "conflict with %s", who));
			json_set_str(c->arena, cause, "field", here);
			buf_addf(&c->lines, "\n- %s", here);
		}
		list_conflicts(c, who, child, here);
	}
}

/* "kubectl" with subresource "status" using berth.dev/v1 */
static const char *manager_text(struct arena *a, const struct manager *m)
{
	return arena_printf(a, "\"%s\"%s%s", m->name,
			    *m->subresource ? arena_printf(a, " with subresource \"%s\"", m->subresource) : "",
			    streq(m->operation, "Update") ? arena_printf(a, " using %s", m->api_version) : "");
}

static int conflict_error(struct conflicts *c, struct error *e)
{
	const struct json *first = json_item(c->causes, 0);

	if (json_count(c->causes) == 1)
		return error_set(e, E_CONFLICT, "Apply failed with 1 conflict: %s: %s",
				 json_str(json_get(first, "message")), json_str(json_get(first, "field")));
	return error_set(e, E_CONFLICT, "Apply failed with %zu conflicts: %s", json_count(c->causes), c->lines.data);
}

/* Takes from the other managers what they would lose; without force that is an error. */
static int resolve_conflicts(struct arena *a, const struct apply_request *r, const struct json *live,
			     const struct json *applied, struct managers *m, const struct manager *mine,
			     const struct field_set *wanted, struct json **ret_causes, struct error *e)
{
	struct conflicts c = {.arena = a, .causes = json_array(a), .lines = BUF_INIT(64U * 1024)};
	int rc = 0;

	for (size_t i = 0; i < m->count; i++) {
		struct manager *other = &m->items[i];
		const struct field_set *lost;

		if (other == mine)
			continue;
		lost = apply_value_conflicts(a, r->kind->schema, live, applied, wanted, other->fields);
		if (fields_empty(lost))
			continue;
		if (r->force) {
			other->fields = fields_minus(a, other->fields, lost);
			continue;
		}
		buf_addf(&c.lines, "%sconflicts with %s:", c.lines.len ? "\n" : "", manager_text(a, other));
		list_conflicts(&c, manager_text(a, other), lost, "");
	}
	if (json_count(c.causes)) {
		rc = conflict_error(&c, e);
		*ret_causes = c.causes;
	}
	buf_free(&c.lines);
	return rc;
}

/* ---- apply ---- */

static struct field_set *owned_by_others(struct arena *a, const struct managers *m, const struct manager *mine)
{
	struct field_set *all = fields_new(a);

	for (size_t i = 0; i < m->count; i++)
		if (&m->items[i] != mine)
			all = fields_union(a, all, m->items[i].fields);
	return all;
}

/* kubectl apply without and with --server-side stay compatible: the annotation follows what was applied. */
static void update_last_applied(struct arena *a, const struct apply_request *r, const struct json *applied,
				struct json *obj)
{
	struct json *annotations = json_in(obj, "metadata", "annotations"), *copy;

	if (!streq(r->manager, "kubectl") || *r->subresource || !json_get(annotations, LAST_APPLIED))
		return;
	copy = json_clone(a, applied);
	json_unset(json_in(copy, "metadata", "annotations"), LAST_APPLIED);
	json_set(a, annotations, LAST_APPLIED, json_stringf(a, "%s\n", json_to_string(a, copy)));
}

static bool drop_nulls(_unused_ void *user, const char *key, struct json *value)
{
	if (key && json_is(value, JSON_NULL))
		return false;
	json_filter(value, drop_nulls, NULL);
	return true;
}

/* Everything of live that applied cannot touch, with merged as the rest. */
static struct json *assemble(struct arena *a, const struct apply_request *r, const struct json *live,
			     const struct json *applied, struct json *merged)
{
	struct json *out = json_clone(a, live ? live : applied), *mine = ownable(a, r, out);
	struct json *meta = json_ensure_object(a, out, "metadata");
	const struct json *old_meta = json_get(mine, "metadata"), *new_meta = json_get(merged, "metadata");

	for (size_t i = 0; i < json_count(mine); i++)
		if (!streq(json_key(mine, i), "metadata") && !json_get(merged, json_key(mine, i)))
			json_unset(out, json_key(mine, i));
	for (size_t i = 0; i < json_count(old_meta); i++)
		if (!json_get(new_meta, json_key(old_meta, i)))
			json_unset(meta, json_key(old_meta, i));
	for (size_t i = 0; i < json_count(merged); i++)
		if (!streq(json_key(merged, i), "metadata"))
			json_set(a, out, json_key(merged, i), json_clone(a, json_item(merged, i)));
	for (size_t i = 0; i < json_count(new_meta); i++)
		json_set(a, meta, json_key(new_meta, i), json_clone(a, json_item(new_meta, i)));
	return out;
}

int apply_merge(struct arena *a, const struct apply_request *r, const struct json *live, const struct json *applied,
		struct json **ret, struct json **ret_causes, struct error *e)
{
	struct managers *m = arena_calloc(a, sizeof(*m));
	struct json *wanted_clean = json_clone(a, applied), *wanted, *mine_live, *merged, *out;
	struct field_set *before, *fields, *others;
	struct manager *mine;
	int rc;

	if (json_count(json_in(applied, "metadata", "managedFields")))
		return error_set(e, E_BAD_REQUEST, "metadata.managedFields must be nil");
	json_filter(wanted_clean, drop_nulls, NULL);
	wanted = ownable(a, r, wanted_clean);
	if ((rc = apply_value_check(a, r->kind->schema, wanted, e)) < 0)
		return rc;
	mine_live = live ? ownable(a, r, live) : json_object(a);
	if (!managers_parse(a, json_in(live, "metadata", "managedFields"), m))
		m->count = 0;
	if (live && m->count == 0) {
		struct apply_request first = {r->kind, MANAGER_BEFORE, "", false, r->now_ms};

		mine = manager_of(a, m, &first, "Update");
		mine->fields = fields_of(a, r->kind->schema, mine_live);
		mine->time = now_text(a, r->now_ms);
	}
	mine = manager_of(a, m, r, "Apply");
	if (!mine)
		return error_set(e, E_BAD_REQUEST, "the object has more than %d field managers", MANAGERS_MAX);
	fields = fields_of(a, r->kind->schema, wanted);
	if ((rc = resolve_conflicts(a, r, mine_live, wanted, m, mine, fields, ret_causes, e)) < 0)
		return rc;
	before = mine->fields;
	others = owned_by_others(a, m, mine);
	merged = apply_value_merge(a, r->kind->schema, mine_live, wanted);
	merged = apply_value_remove(a, r->kind->schema, merged,
				    fields_minus(a, fields_minus(a, before, fields), others),
				    fields_union(a, fields, others));
	out = assemble(a, r, live, wanted_clean, merged ? merged : json_object(a));
	update_last_applied(a, r, wanted_clean, out);
	mine->fields = fields;
	if (!mine->time || !fields_equal(before, fields))
		mine->time = now_text(a, r->now_ms);
	for (size_t i = 0; i < m->count; i++)
		if (&m->items[i] != mine)
			m->items[i].fields = fields_existing(a, r->kind->schema, out, m->items[i].fields);
	managers_write(a, m, out);
	*ret = out;
	return 0;
}

/* ---- ordinary writes ---- */

/* What the client sent counts when it is well formed; nothing or rubbish means: as they were. */
static void choose_managers(struct arena *a, const struct apply_request *r, const struct json *old,
			    const struct json *obj, struct managers *m)
{
	const struct json *sent = json_in(obj, "metadata", "managedFields");
	bool usable = json_is(sent, JSON_ARRAY) && json_count(sent) && !(old && *r->subresource);

	if (usable && managers_parse(a, sent, m))
		return;
	if (!managers_parse(a, json_in(old, "metadata", "managedFields"), m))
		m->count = 0;
}

void apply_update_managed(struct arena *a, const struct apply_request *r, const struct json *old, struct json *obj)
{
	struct managers *m = arena_calloc(a, sizeof(*m));
	const struct json *before = old ? ownable(a, r, old) : NULL, *now = ownable(a, r, obj);
	struct field_set *changed = fields_changed(a, r->kind->schema, before, now), *fields;
	struct manager *mine;

	choose_managers(a, r, old, obj, m);
	if (!fields_empty(changed)) {
		for (size_t i = 0; i < m->count; i++)
			m->items[i].fields = fields_minus(a, m->items[i].fields, changed);
		mine = manager_of(a, m, r, "Update");
		if (mine) {
			fields = fields_union(a, mine->fields, changed);
			mine->fields = fields;
			mine->time = now_text(a, r->now_ms);
		}
	}
	for (size_t i = 0; i < m->count; i++)
		m->items[i].fields = fields_existing(a, r->kind->schema, obj, m->items[i].fields);
	managers_write(a, m, obj);
}
