/*
 * object.c - attributes, text and keys of objects; see object.h.
 *
 * Safe without locks: a version is made by one thread and never changes after it is published.
 */
#include "apiserver/object.h"
#include <stdatomic.h>
#include <stdio.h>

/* Everything an object version keeps in its one block. A first pass only measures. */
struct packer {
	char *out;
	size_t len;
	bool measure;
};

static void pack(struct packer *p, const char *s)
{
	size_t n = strlen(s) + 1;

	if (!p->measure)
		memcpy(p->out + p->len, s, n);
	p->len += n;
}

static const struct json *path_value(const struct json *tree, const char *path)
{
	char part[64];

	while (tree && *path) {
		size_t n = strcspn(path, ".");
		if (n >= sizeof(part))
			return NULL;
		memcpy(part, path, n);
		part[n] = '\0';
		tree = json_get(tree, part);
		path += n + (path[n] == '.');
	}
	return tree;
}

static void pack_value(struct packer *p, const struct json *v)
{
	char number[32];

	switch (json_type(v)) {
	case JSON_STRING:
		pack(p, json_str(v));
		break;
	case JSON_INT:
		snprintf(number, sizeof(number), "%lld", (long long)json_int_or(v, 0));
		pack(p, number);
		break;
	case JSON_BOOL:
		pack(p, json_bool_or(v, false) ? "true" : "false");
		break;
	default:
		pack(p, "");
	}
}

static void pack_labels(struct packer *p, struct object *o, const struct json *labels)
{
	o->labels = p->out + p->len;
	o->label_count = 0;
	for (size_t i = 0; i < json_count(labels); i++) {
		pack(p, json_key(labels, i));
		pack(p, json_str_or(json_item(labels, i), ""));
		o->label_count++;
	}
}

static void pack_owners(struct packer *p, struct object *o, const struct json *owners)
{
	o->owners = p->out + p->len;
	o->owner_count = 0;
	for (size_t i = 0; i < json_count(owners); i++) {
		pack(p, json_str_or(json_get(json_item(owners, i), "uid"), ""));
		o->owner_count++;
	}
}

/* Fills o from the tree; when measuring, only p->len is of use. */
static void pack_all(struct packer *p, struct object *o, const struct kind *k, const struct json *tree)
{
	const struct json *meta = json_get(tree, "metadata");
	const char *name = json_str_or(json_get(meta, "name"), ""), *ns = json_str_or(json_get(meta, "namespace"), "");

	o->kind = k;
	o->ns = p->out + p->len;
	pack(p, k->namespaced ? ns : "");
	o->key = p->out + p->len;
	if (k->namespaced) {
		pack(p, ns);
		p->len--;
		pack(p, "/");
		p->len--;
	}
	o->name = p->out + p->len;
	pack(p, name);
	o->uid = p->out + p->len;
	pack(p, json_str_or(json_get(meta, "uid"), ""));
	pack_labels(p, o, json_get(meta, "labels"));
	o->fields = p->out + p->len;
	for (size_t i = 0; k->selectable[i]; i++)
		pack_value(p, path_value(tree, k->selectable[i]));
	pack_owners(p, o, json_get(meta, "ownerReferences"));
	o->terminating = json_get(meta, "deletionTimestamp") != NULL;
	o->finalized = json_count(json_get(meta, "finalizers")) > 0;
}

struct object *object_new(const struct kind *k, const struct json *tree)
{
	struct object size;
	struct packer p = {.out = (char *)&size, .measure = true};

	pack_all(&p, &size, k, tree);
	struct object *o = xcalloc(1, sizeof(*o) + p.len);
	p = (struct packer){.out = o->data};
	pack_all(&p, o, k, tree);
	o->refs = 1;
	return o;
}

void object_publish(struct object *o, int64_t revision, struct chunk *json)
{
	o->revision = revision;
	o->json = json;
}

struct object *object_load(const struct kind *k, int64_t revision, const char *text, size_t len)
{
	_arena_ a = arena_new();
	struct json *tree;
	struct error e;

	if (json_parse(a, text, len, NULL, &tree, &e) < 0 || !json_is(tree, JSON_OBJECT))
		return NULL;
	struct object *o = object_new(k, tree);
	object_publish(o, revision, chunk_new(text, len));
	return o;
}

struct object *object_ref(struct object *o)
{
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

void object_unref(struct object *o)
{
	if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) > 1)
		return;
	chunk_unref(o->json);
	free(o);
}

/* ---- text ---- */

struct json *object_tree(struct arena *a, const struct object *o)
{
	struct json_options unlimited = {.max_bytes = SIZE_MAX};
	struct json *tree;

	if (json_parse(a, chunk_data(o->json), chunk_len(o->json), &unlimited, &tree, NULL) < 0)
		abort(); /* it was parsed or written by us before it was stored */
	return tree;
}

static void write_member(const struct json *object, size_t i, struct arena *a, struct buf *out)
{
	json_write(json_string(a, json_key(object, i)), JSON_COMPACT, out);
	buf_addc(out, ':');
	json_write(json_item(object, i), JSON_COMPACT, out);
}

static void write_metadata(const struct json *meta, struct arena *a, struct buf *out, size_t *ret_revision_at)
{
	buf_adds(out, "{\"resourceVersion\":\"");
	*ret_revision_at = out->len;
	buf_addc(out, '"');
	for (size_t i = 0; i < json_count(meta); i++) {
		if (streq(json_key(meta, i), "resourceVersion"))
			continue;
		buf_addc(out, ',');
		write_member(meta, i, a, out);
	}
	buf_addc(out, '}');
}

void object_text(const struct json *tree, struct buf *out, size_t *ret_revision_at)
{
	_arena_ a = arena_new();

	buf_adds(out, "{\"kind\":");
	json_write(json_get(tree, "kind"), JSON_COMPACT, out);
	buf_adds(out, ",\"apiVersion\":");
	json_write(json_get(tree, "apiVersion"), JSON_COMPACT, out);
	buf_adds(out, ",\"metadata\":");
	write_metadata(json_get(tree, "metadata"), a, out, ret_revision_at);
	for (size_t i = 0; i < json_count(tree); i++) {
		const char *key = json_key(tree, i);
		if (streq(key, "kind") || streq(key, "apiVersion") || streq(key, "metadata"))
			continue;
		buf_addc(out, ',');
		write_member(tree, i, a, out);
	}
	buf_addc(out, '}');
}

/* ---- keys ---- */

char *object_key(struct arena *a, const struct kind *k, const char *ns, const char *name)
{
	return k->namespaced ? arena_printf(a, "%s/%s", ns, name) : arena_strdup(a, name);
}

char *object_store_key(struct arena *a, const struct kind *k, const char *ns, const char *name)
{
	return arena_printf(a, "%s/%s/%s/%s", k->group, k->plural, k->namespaced ? ns : "", name);
}

char *object_store_prefix(struct arena *a, const struct kind *k)
{
	return arena_printf(a, "%s/%s/", k->group, k->plural);
}

const struct kind *object_kind_of_key(const char *store_key)
{
	size_t group = strcspn(store_key, "/");
	const char *plural = store_key + group + (store_key[group] == '/');
	size_t n = strcspn(plural, "/");

	for (size_t i = 0; i < kind_count(); i++) {
		const struct kind *k = kind_at(i);
		if (strlen(k->group) == group && strncmp(k->group, store_key, group) == 0 && strlen(k->plural) == n &&
		    strncmp(k->plural, plural, n) == 0)
			return k;
	}
	return NULL;
}

/* ---- selection ---- */

static const char *label_of(const void *user, const char *key)
{
	const struct object *o = user;
	const char *p = o->labels;

	for (uint16_t i = 0; i < o->label_count; i++) {
		const char *value = p + strlen(p) + 1;
		if (streq(p, key))
			return value;
		p = value + strlen(value) + 1;
	}
	return NULL;
}

static const char *field_of(const void *user, const char *key)
{
	const struct object *o = user;
	const char *p = o->fields;

	if (streq(key, "metadata.name"))
		return o->name;
	if (streq(key, "metadata.namespace"))
		return o->ns;
	for (size_t i = 0; o->kind->selectable[i]; i++, p += strlen(p) + 1)
		if (streq(o->kind->selectable[i], key))
			return p;
	return NULL;
}

bool filter_matches(const struct filter *f, const struct object *o)
{
	if (o->kind != f->kind || (f->ns && !streq(f->ns, o->ns)) || (f->name && !streq(f->name, o->name)))
		return false;
	if (f->labels && !selector_matches(f->labels, label_of, o))
		return false;
	return !f->fields || selector_matches(f->fields, field_of, o);
}
