/*
 * openapi_protobuf.c - a Swagger 2.0 document as gnostic's openapi.v2.Document, which kubectl before 1.28 and Argo CD
 * ask for. Field numbers: github.com/google/gnostic-models/openapiv2/OpenAPIv2.proto, as the kubectl research lists
 * them.
 *
 * Of operations only what clients look at is written: identity, query parameters, media types, extensions.
 */
#include "apiserver/openapi_private.h"

#define MESSAGE_MAX (16U * 1024 * 1024)

enum wire { WIRE_VARINT = 0, WIRE_BYTES = 2 };

static void put_varint(struct buf *out, uint64_t n)
{
	for (; n > 127; n >>= 7)
		buf_addc(out, (char)(n | 0x80));
	buf_addc(out, (char)n);
}

static void put_bytes(struct buf *out, unsigned field, const void *data, size_t len)
{
	put_varint(out, field << 3 | WIRE_BYTES);
	put_varint(out, len);
	buf_add(out, data, len);
}

static void put_text(struct buf *out, unsigned field, const struct json *v)
{
	if (json_is(v, JSON_STRING))
		put_bytes(out, field, json_str(v), json_strlen(v));
}

/* Takes what inner holds as the message of the field. */
static void put_message(struct buf *out, unsigned field, struct buf *inner)
{
	put_bytes(out, field, inner->len ? inner->data : "", inner->len);
	inner->len = 0;
}

static void put_texts(struct buf *out, unsigned field, const struct json *list)
{
	for (size_t i = 0; i < json_count(list); i++)
		put_text(out, field, json_item(list, i));
}

/* Any{2 yaml}: JSON text is YAML. */
static void put_any(struct buf *out, unsigned field, const struct json *v)
{
	_buf_ text = BUF_INIT(MESSAGE_MAX);
	_buf_ any = BUF_INIT(MESSAGE_MAX);

	json_write(v, JSON_COMPACT, &text);
	put_bytes(&any, 2, text.data, text.len);
	put_message(out, field, &any);
}

/* NamedAny{1 name, 2 Any} for every x-… member. */
static void put_extensions(struct buf *out, unsigned field, const struct json *object)
{
	for (size_t i = 0; i < json_count(object); i++) {
		const char *key = json_key(object, i);
		_buf_ named = BUF_INIT(MESSAGE_MAX);

		if (!str_starts(key, "x-"))
			continue;
		put_bytes(&named, 1, key, strlen(key));
		put_any(&named, 2, json_item(object, i));
		put_message(out, field, &named);
	}
}

/* ---- schemas ---- */

static void put_schema(struct buf *out, unsigned field, const struct json *schema);

/* NamedSchema{1 name, 2 Schema} for every member. */
static void put_named_schemas(struct buf *out, unsigned field, const struct json *properties)
{
	for (size_t i = 0; i < json_count(properties); i++) {
		const char *name = json_key(properties, i);
		_buf_ named = BUF_INIT(MESSAGE_MAX);

		put_bytes(&named, 1, name, strlen(name));
		put_schema(&named, 2, json_item(properties, i));
		put_message(out, field, &named);
	}
}

/* A message with one schema: AdditionalPropertiesItem, ItemsItem. */
static void put_schema_item(struct buf *out, unsigned field, const struct json *schema)
{
	_buf_ item = BUF_INIT(MESSAGE_MAX);

	if (!json_is(schema, JSON_OBJECT))
		return;
	put_schema(&item, 1, schema);
	put_message(out, field, &item);
}

/* Field numbers are written in ascending order, as protobuf encoders do. */
static void put_schema(struct buf *out, unsigned field, const struct json *schema)
{
	_buf_ s = BUF_INIT(MESSAGE_MAX);
	_buf_ part = BUF_INIT(MESSAGE_MAX);
	const struct json *list = json_get(schema, "enum");

	put_text(&s, 1, json_get(schema, "$ref"));
	put_text(&s, 2, json_get(schema, "format"));
	put_text(&s, 4, json_get(schema, "description"));
	put_texts(&s, 19, json_get(schema, "required"));
	for (size_t i = 0; i < json_count(list); i++)
		put_any(&s, 20, json_item(list, i));
	put_schema_item(&s, 21, json_get(schema, "additionalProperties"));
	if (json_get(schema, "type")) {
		put_text(&part, 1, json_get(schema, "type"));
		put_message(&s, 22, &part);
	}
	put_schema_item(&s, 23, json_get(schema, "items"));
	if (json_count(json_get(schema, "properties"))) {
		put_named_schemas(&part, 1, json_get(schema, "properties"));
		put_message(&s, 25, &part);
	}
	put_extensions(&s, 31, schema);
	put_message(out, field, &s);
}

/* ---- paths ---- */

/* ParametersItem{1 Parameter{2 NonBody{3 query{2 in, 3 description, 4 name, 6 type, 20 uniqueItems}}}} */
static void put_query_parameter(struct buf *out, unsigned field, const struct json *p)
{
	_buf_ query = BUF_INIT(MESSAGE_MAX);
	_buf_ outer = BUF_INIT(MESSAGE_MAX);

	if (!streq(json_str(json_get(p, "in")), "query"))
		return;
	put_text(&query, 2, json_get(p, "in"));
	put_text(&query, 3, json_get(p, "description"));
	put_text(&query, 4, json_get(p, "name"));
	put_text(&query, 6, json_get(p, "type"));
	put_varint(&query, 20 << 3 | WIRE_VARINT);
	put_varint(&query, 1);
	put_message(&outer, 3, &query); /* NonBodyParameter */
	put_message(&query, 2, &outer); /* Parameter */
	put_message(&outer, 1, &query); /* ParametersItem */
	put_message(out, field, &outer);
}

static void put_operation(struct buf *out, unsigned field, const struct json *operation)
{
	_buf_ op = BUF_INIT(MESSAGE_MAX);
	_buf_ empty = BUF_INIT(16);
	const struct json *parameters = json_get(operation, "parameters");

	if (!operation)
		return;
	put_texts(&op, 1, json_get(operation, "tags"));
	put_text(&op, 3, json_get(operation, "description"));
	put_text(&op, 5, json_get(operation, "operationId"));
	put_texts(&op, 6, json_get(operation, "produces"));
	put_texts(&op, 7, json_get(operation, "consumes"));
	for (size_t i = 0; i < json_count(parameters); i++)
		put_query_parameter(&op, 8, json_item(parameters, i));
	put_message(&op, 9, &empty); /* Responses */
	put_extensions(&op, 13, operation);
	put_message(out, field, &op);
}

/* Paths{2 NamedPathItem{1 name, 2 PathItem{2 get, 3 put, 4 post, 5 delete, 8 patch}}} */
static void put_paths(struct buf *out, unsigned field, const struct json *paths)
{
	static const struct {
		const char *method;
		unsigned field;
	} methods[] = {{"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"patch", 8}};
	_buf_ all = BUF_INIT(MESSAGE_MAX);

	for (size_t i = 0; i < json_count(paths); i++) {
		const char *path = json_key(paths, i);
		_buf_ item = BUF_INIT(MESSAGE_MAX);
		_buf_ named = BUF_INIT(MESSAGE_MAX);

		for (size_t m = 0; m < ARRAY_SIZE(methods); m++)
			put_operation(&item, methods[m].field, json_get(json_item(paths, i), methods[m].method));
		put_bytes(&named, 1, path, strlen(path));
		put_message(&named, 2, &item);
		put_message(&all, 2, &named);
	}
	put_message(out, field, &all);
}

void openapi_v2_protobuf(const struct json *document, struct buf *out)
{
	_buf_ part = BUF_INIT(MESSAGE_MAX);

	put_text(out, 1, json_get(document, "swagger"));
	put_text(&part, 1, json_in(document, "info", "title"));
	put_text(&part, 2, json_in(document, "info", "version"));
	put_message(out, 2, &part);
	put_paths(out, 8, json_get(document, "paths"));
	put_named_schemas(&part, 1, json_get(document, "definitions"));
	put_message(out, 9, &part);
}
