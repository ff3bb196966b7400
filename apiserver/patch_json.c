/*
 * patch_json.c - JSON Patch (RFC 6902) with JSON Pointers (RFC 6901); see patch.h.
 *
 * The document is cloned once and changed in place; what an operation adds is cloned too, so nothing is shared. A
 * pointer has at most JSON_MAX_DEPTH parts, which bounds the depth of what a series of operations can build.
 */
#include "apiserver/patch.h"

struct patcher {
	struct arena *arena;
	struct json *doc;
	size_t copied; /* bytes added by copy operations */
	struct error *e;
};

/* A place in the document: a member or item of parent; parent is NULL for the document itself. */
struct target {
	struct json *parent, *value; /* value NULL: does not exist (yet) */
	const char *key;	     /* of an object */
	size_t index;		     /* of an array; its count: the end */
};

static int no_path(struct patcher *p, const char *op, const char *path)
{
	return error_set_field(p->e, E_INVALID, path, "%s operation does not apply: doc is missing path: \"%s\"", op,
			       path);
}

/* One part of a pointer, with ~1 and ~0 decoded; *path moves to the next "/" or the end. NULL when malformed. */
static const char *next_part(struct patcher *p, const char **path)
{
	const char *from = *path + 1;
	size_t n = strcspn(from, "/");
	char *part = arena_alloc(p->arena, n + 1), *to = part;

	for (size_t i = 0; i < n; i++) {
		if (from[i] == '~') {
			i++;
			if (i == n || (from[i] != '0' && from[i] != '1'))
				return NULL;
			*to++ = from[i] == '0' ? '~' : '/';
		} else {
			*to++ = from[i];
		}
	}
	*to = '\0';
	*path = from + n;
	return part;
}

/* Decimal without leading zeros, below the count; "-" is the count itself. */
static bool parse_index(const char *part, size_t count, size_t *ret)
{
	size_t n = 0;

	if (streq(part, "-")) {
		*ret = count;
		return true;
	}
	if (!*part || (part[0] == '0' && part[1]))
		return false;
	for (; *part; part++) {
		if (*part < '0' || *part > '9' || n > count)
			return false;
		n = 10 * n + (size_t)(*part - '0');
	}
	*ret = n;
	return n <= count;
}

/* Finds the place; its last part need not exist. */
static int find(struct patcher *p, const char *op, const char *path, struct target *ret)
{
	struct target t = {.value = p->doc};
	const char *rest = path;
	unsigned depth = 0;

	if (*path && *path != '/')
		return error_set(p->e, E_BAD_REQUEST, "JSON pointer \"%s\" does not begin with a slash", path);
	while (*rest) {
		const char *part = next_part(p, &rest);

		if (!part || ++depth > JSON_MAX_DEPTH)
			return error_set(p->e, E_BAD_REQUEST, "JSON pointer \"%s\" is malformed or too deep", path);
		t = (struct target){.parent = t.value, .key = part};
		if (json_is(t.parent, JSON_OBJECT)) {
			t.value = json_get(t.parent, part);
		} else if (json_is(t.parent, JSON_ARRAY) && parse_index(part, json_count(t.parent), &t.index)) {
			t.value = json_item(t.parent, t.index);
		} else {
			return no_path(p, op, path);
		}
	}
	*ret = t;
	return 0;
}

static int op_test(struct patcher *p, const char *path, const struct json *value)
{
	struct target t;
	int rc = find(p, "test", path, &t);

	if (rc < 0)
		return rc;
	if (!t.value || !json_equal(t.value, value))
		return error_set_field(p->e, E_INVALID, path, "testing value %s failed: test failed", path);
	return 0;
}

static int op_add(struct patcher *p, const char *path, struct json *value)
{
	struct target t;
	int rc = find(p, "add", path, &t);

	if (rc < 0)
		return rc;
	if (!t.parent)
		p->doc = value;
	else if (json_is(t.parent, JSON_OBJECT))
		json_set(p->arena, t.parent, t.key, value);
	else
		json_insert(p->arena, t.parent, t.index, value);
	return 0;
}

static int op_replace(struct patcher *p, const char *path, struct json *value)
{
	struct target t;
	int rc = find(p, "replace", path, &t);

	if (rc < 0)
		return rc;
	if (!t.value)
		return no_path(p, "replace", path);
	if (!t.parent)
		p->doc = value;
	else if (json_is(t.parent, JSON_OBJECT))
		json_set(p->arena, t.parent, t.key, value);
	else
		json_replace_item(t.parent, t.index, value);
	return 0;
}

static int op_remove(struct patcher *p, const char *path, struct json **ret_removed)
{
	struct target t;
	int rc = find(p, "remove", path, &t);

	if (rc < 0)
		return rc;
	if (!t.value)
		return no_path(p, "remove", path);
	if (!t.parent)
		return error_set(p->e, E_INVALID,
				 "remove operation does not apply: the document itself cannot be removed");
	if (ret_removed)
		*ret_removed = t.value;
	if (json_is(t.parent, JSON_OBJECT))
		json_unset(t.parent, t.key);
	else
		json_remove_item(t.parent, t.index);
	return 0;
}

static int op_copy(struct patcher *p, const char *from, const char *path)
{
	struct target t;
	_buf_ text = BUF_INIT(JSON_MAX_BYTES);
	int rc = find(p, "copy", from, &t);

	if (rc < 0)
		return rc;
	if (!t.value)
		return no_path(p, "copy", from);
	json_write(t.value, JSON_COMPACT, &text);
	p->copied += text.len;
	if (text.over || p->copied > JSON_MAX_BYTES)
		return error_set(p->e, E_TOO_LARGE, "the copy operations of the patch add more than %u bytes",
				 JSON_MAX_BYTES);
	return op_add(p, path, json_clone(p->arena, t.value));
}

static int op_move(struct patcher *p, const char *from, const char *path)
{
	struct json *value;
	int rc;

	if (str_starts(path, from) && path[strlen(from)] == '/')
		return error_set(p->e, E_INVALID, "move operation does not apply: \"%s\" is below \"%s\"", path, from);
	if ((rc = op_remove(p, from, &value)) < 0)
		return rc;
	return op_add(p, path, value);
}

static int apply(struct patcher *p, const struct json *o)
{
	const char *op = json_str_or(json_get(o, "op"), ""), *path = json_str(json_get(o, "path"));
	const char *from = json_str(json_get(o, "from"));
	const struct json *value = json_get(o, "value");
	bool needs_from = streq(op, "move") || streq(op, "copy");
	bool needs_value = streq(op, "add") || streq(op, "replace") || streq(op, "test");

	if (!path || (!needs_from && !needs_value && !streq(op, "remove")))
		return error_set(p->e, E_BAD_REQUEST,
				 "each operation needs a path and an op of add, remove, replace, move, "
				 "copy, test");
	if (needs_from && !from)
		return error_set(p->e, E_BAD_REQUEST, "operation %s at \"%s\" needs from", op, path);
	if (needs_value && !value)
		return error_set(p->e, E_BAD_REQUEST, "operation %s at \"%s\" needs value", op, path);
	if (streq(op, "test"))
		return op_test(p, path, value);
	if (streq(op, "add"))
		return op_add(p, path, json_clone(p->arena, value));
	if (streq(op, "replace"))
		return op_replace(p, path, json_clone(p->arena, value));
	if (streq(op, "copy"))
		return op_copy(p, from, path);
	if (streq(op, "move"))
		return op_move(p, from, path);
	return op_remove(p, path, NULL);
}

int patch_json(struct arena *a, const struct json *doc, const struct json *ops, struct json **ret, struct error *e)
{
	struct patcher p = {a, json_clone(a, doc), 0, e};
	int rc;

	if (!json_is(ops, JSON_ARRAY))
		return error_set(e, E_BAD_REQUEST, "a JSON patch has to be an array, not %s",
				 json_type_name(json_type(ops)));
	if (json_count(ops) > PATCH_OPERATIONS_MAX)
		return error_set(e, E_TOO_LARGE, "the allowed maximum operations in a JSON patch is %d, got %zu",
				 PATCH_OPERATIONS_MAX, json_count(ops));
	for (size_t i = 0; i < json_count(ops); i++)
		if ((rc = apply(&p, json_item(ops, i))) < 0)
			return rc;
	*ret = p.doc;
	return 0;
}
