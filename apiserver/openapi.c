/*
 * openapi.c - putting the OpenAPI documents together; see openapi.h.
 */
#include "apiserver/openapi.h"

#include "apiserver/document.h"
#include "apiserver/openapi_private.h"
#include "lib/codec.h"

#define OPENAPI_BYTES_MAX (16U * 1024 * 1024)
#define TYPE_JSON "application/json"
/* Clients ask with an '@', which is no character of a media type; their own parsers refuse it in the answer. */
#define OFFER_PROTOBUF "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
#define TYPE_PROTOBUF "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

static struct document_set documents;

static struct json *info(struct arena *a, struct json *document)
{
	struct json *v = json_ensure_object(a, document, "info");

	json_set_str(a, v, "title", "Berth");
	json_set_str(a, v, "version", "v" BERTH_VERSION);
	return v;
}

static void add_shared(struct arena *a, struct json *schemas)
{
	const struct json *shared = kind_shared_schemas();

	for (size_t i = 0; i < json_count(shared); i++)
		json_set(a, schemas, json_key(shared, i), json_item(shared, i));
}

/* The document of the group and version whose first kind this is; *ret_name is its place in the index. */
static void add_v3(struct arena *a, const struct kind *first, struct json *index)
{
	struct json *doc = json_object(a), *paths, *schemas, *entry;
	const char *name = arena_printf(a, "%s/%s", *first->group ? "apis" : "api", first->api_version);
	struct buf text = BUF_INIT(OPENAPI_BYTES_MAX);
	char hash[SHA256_HEX_MAX];

	json_set_str(a, doc, "openapi", "3.0.0");
	info(a, doc);
	paths = json_ensure_object(a, doc, "paths");
	schemas = json_ensure_object(a, json_ensure_object(a, doc, "components"), "schemas");
	for (size_t i = first->index; i < kind_count() && streq(kind_at(i)->api_version, first->api_version); i++) {
		openapi_kind_paths(a, kind_at(i), paths);
		openapi_kind_schemas(a, kind_at(i), schemas);
	}
	add_shared(a, schemas);
	json_write(doc, JSON_COMPACT, &text);
	sha256_hex(text.data, text.len, hash);
	entry = json_ensure_object(a, index, name);
	json_set(a, entry, "serverRelativeURL", json_stringf(a, "/openapi/v3/%s?hash=%s", name, hash));
	document_add(&documents, arena_printf(a, "/openapi/v3/%s", name), NULL, TYPE_JSON, &text);
}

static void add_v3_all(struct arena *a)
{
	struct json *root = json_object(a), *index = json_ensure_object(a, root, "paths");
	struct buf text = BUF_INIT(OPENAPI_BYTES_MAX);

	for (size_t i = 0; i < kind_count(); i++)
		if (i == 0 || !streq(kind_at(i)->api_version, kind_at(i - 1)->api_version))
			add_v3(a, kind_at(i), index);
	json_write(root, JSON_COMPACT, &text);
	document_add(&documents, "/openapi/v3", NULL, TYPE_JSON, &text);
}

static void add_v2(struct arena *a)
{
	struct json *doc = json_object(a), *v3_paths = json_object(a), *v3_schemas = json_object(a), *paths,
		    *definitions;
	struct buf text = BUF_INIT(OPENAPI_BYTES_MAX), binary = BUF_INIT(OPENAPI_BYTES_MAX);

	for (size_t i = 0; i < kind_count(); i++) {
		openapi_kind_paths(a, kind_at(i), v3_paths);
		openapi_kind_schemas(a, kind_at(i), v3_schemas);
	}
	add_shared(a, v3_schemas);
	json_set_str(a, doc, "swagger", "2.0");
	info(a, doc);
	paths = json_ensure_object(a, doc, "paths");
	for (size_t i = 0; i < json_count(v3_paths); i++)
		json_set(a, paths, json_key(v3_paths, i), openapi_v2_path_item(a, json_item(v3_paths, i)));
	definitions = json_ensure_object(a, doc, "definitions");
	for (size_t i = 0; i < json_count(v3_schemas); i++)
		json_set(a, definitions, json_key(v3_schemas, i), openapi_v2_schema(a, json_item(v3_schemas, i)));
	json_write(doc, JSON_COMPACT, &text);
	openapi_v2_protobuf(doc, &binary);
	document_add(&documents, "/openapi/v2", NULL, TYPE_JSON, &text);
	document_add(&documents, "/openapi/v2", OFFER_PROTOBUF, TYPE_PROTOBUF, &binary);
}

int openapi_init(struct error *e)
{
	_arena_ a = arena_new();

	if (documents.count > 0)
		return 0;
	if (kind_count() == 0)
		return error_set(e, E_INTERNAL, "the table of kinds is empty");
	add_v3_all(a);
	add_v2(a);
	return 0;
}

int openapi_get(const char *path, const char *accept, const struct document **ret, struct error *e)
{
	return document_find(&documents, path, accept, ret, e);
}
