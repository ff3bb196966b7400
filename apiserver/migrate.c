/*
 * migrate.c - from one store to another; see migrate.h.
 */
#include "apiserver/migrate.h"
#include "apiserver/object.h"
#include <inttypes.h>

#define ENDPOINTS_MAX 16
#define BATCH 64

int migrate_open_etcd(const struct etcd_choice *c, struct store **ret, struct error *e)
{
	_arena_ a = arena_new();
	const char *endpoints[ENDPOINTS_MAX];
	struct store_etcd_options opt = {.endpoints = endpoints,
					 .ca_file = c->ca_file,
					 .cert_file = c->cert_file,
					 .key_file = c->key_file,
					 .prefix = c->prefix};
	char *rest = arena_strdup(a, c->endpoints ? c->endpoints : "");

	for (char *url; (url = strsep(&rest, ","));) {
		if (!*url)
			continue;
		if (opt.endpoint_count == ENDPOINTS_MAX)
			return error_set(e, E_BAD_REQUEST, "more than %d endpoints of etcd", ENDPOINTS_MAX);
		endpoints[opt.endpoint_count++] = url;
	}
	return store_etcd_open(&opt, ret, e);
}

/* Objects on their way. */
struct batch {
	struct store *to;
	struct arena *a;
	struct store_write writes[BATCH];
	size_t count, total;
	struct error *e;
};

static int batch_flush(struct batch *b)
{
	struct store_write *writes[BATCH];

	if (b->count == 0)
		return 0;
	for (size_t i = 0; i < b->count; i++)
		writes[i] = &b->writes[i];
	int code = b->to->ops->commit(b->to, writes, b->count, b->e);
	for (size_t i = 0; i < b->count; i++) {
		chunk_unref(writes[i]->stored);
		if (code == 0 && writes[i]->result < 0)
			code = error_set(b->e, -writes[i]->result, "%s could not be stored (%s)", writes[i]->key,
					 error_reason(-writes[i]->result));
	}
	b->total += b->count;
	b->count = 0;
	arena_free(b->a);
	b->a = arena_new();
	return code;
}

/* The text without its resourceVersion, so that the target can give it a new one. */
static int copy_visit(void *user, const struct store_entry *entry)
{
	static const struct json_options limits = {.max_bytes = BUF_UNLIMITED};
	struct batch *b = user;
	_buf_ text = BUF_INIT(BUF_UNLIMITED);
	struct json *tree;
	size_t at;
	int code = json_parse(b->a, entry->value, entry->len, &limits, &tree, b->e);

	if (code < 0)
		return error_prefix(b->e, "%s", entry->key);
	object_text(tree, &text, &at);
	b->writes[b->count++] = (struct store_write){
		.key = arena_strdup(b->a, entry->key),
		.expect = STORE_ABSENT,
		.value = arena_strndup(b->a, text.data, text.len),
		.len = text.len,
		.revision_at = at,
	};
	return b->count == BATCH ? batch_flush(b) : 0;
}

static int found_visit(void *user, const struct store_entry *entry)
{
	return error_set(user, E_CONFLICT, "the target holds objects already (%s is one); give an empty store",
			 entry->key);
}

int migrate_objects(struct store *from, struct store *to, size_t *ret_count, struct error *e)
{
	int64_t revision = from->ops->revision(from);
	int code = to->ops->range(to, "", NULL, 0, 1, found_visit, e, e);

	if (code == 0 && revision > to->ops->revision(to))
		code = to->ops->advance(to, revision, e);
	if (code < 0)
		return code;
	struct batch b = {.to = to, .a = arena_new(), .e = e};
	code = from->ops->range(from, "", NULL, 0, 0, copy_visit, &b, e);
	if (code == 0)
		code = batch_flush(&b);
	arena_free(b.a);
	if (code < 0)
		return code;
	*ret_count = b.total;
	return 0;
}

static int open_named(const char *name, const struct etcd_choice *rest, bool must_exist, struct store **ret,
		      struct error *e)
{
	if (name && str_starts(name, "etcd:")) {
		struct etcd_choice c = *rest;
		c.endpoints = name + strlen("etcd:");
		return migrate_open_etcd(&c, ret, e);
	}
	if (!name || !str_starts(name, "sqlite:") || !name[strlen("sqlite:")])
		return error_set(e, E_BAD_REQUEST, "\"%s\" names no store: give sqlite:PATH or etcd:URL[,URL...]",
				 name ? name : "");
	struct store_sqlite_options opt = {.path = name + strlen("sqlite:")};
	if (must_exist && access(opt.path, R_OK) < 0)
		return error_set(e, E_NOT_FOUND, "there is no store at %s", opt.path);
	return store_sqlite_open(&opt, ret, e);
}

int migrate(const char *from, const char *to, const struct etcd_choice *rest, size_t *ret_count, struct error *e)
{
	struct store *source = NULL, *target = NULL;
	int code = open_named(from, rest, true, &source, e);

	if (code < 0)
		return error_prefix(e, "--from");
	if ((code = open_named(to, rest, false, &target, e)) < 0)
		error_prefix(e, "--to");
	else
		code = migrate_objects(source, target, ret_count, e);
	store_close(target);
	store_close(source);
	return code;
}
