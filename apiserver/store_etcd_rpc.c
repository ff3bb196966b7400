/*
 * store_etcd_rpc.c - calls to etcd through its v3 JSON gateway: keys and values in base64, failover over endpoints.
 */
#include "apiserver/store_etcd_private.h"
#include "lib/codec.h"
#include <inttypes.h>
#include <stdio.h>

#define CONNECT_TIMEOUT_MS 1000
#define ANSWER_MAX (512U << 20)

/* gRPC's codes that the gateway passes on. */
#define GRPC_INVALID_ARGUMENT 3
#define GRPC_PERMISSION_DENIED 7
#define GRPC_RESOURCE_EXHAUSTED 8
#define GRPC_OUT_OF_RANGE 11
#define GRPC_UNAUTHENTICATED 16

void etcd_rpc_open(struct etcd_rpc *r, const struct etcd_target *t, int64_t timeout_ms)
{
	*r = (struct etcd_rpc){.target = t, .client = http_client_new(), .timeout_ms = timeout_ms};
}

void etcd_rpc_close(struct etcd_rpc *r)
{
	http_client_free(r->client);
	r->client = NULL;
}

/* ---- answers ---- */

/* An answer that says no. */
static int refused(const struct http_response *res, const struct json *body, const char *endpoint, struct error *e)
{
	const char *text = json_str_or(json_get(body, "error"), "no reason given");

	switch (json_int_or(json_get(body, "code"), 0)) {
	case GRPC_RESOURCE_EXHAUSTED:
		if (strstr(text, "space exceeded"))
			return error_set(e, E_NO_SPACE,
					 "etcd's space quota is used up: compact and defragment etcd or raise its "
					 "--quota-backend-bytes, then run `etcdctl alarm disarm`");
		break;
	case GRPC_INVALID_ARGUMENT:
		if (strstr(text, "too large"))
			return error_set(e, E_TOO_LARGE, "etcd takes no request of that size (--max-request-bytes)");
		return error_set(e, E_INTERNAL, "etcd at %s: %s", endpoint, text);
	case GRPC_OUT_OF_RANGE:
		return error_set(e, E_EXPIRED, "etcd at %s: %s", endpoint, text);
	case GRPC_PERMISSION_DENIED:
	case GRPC_UNAUTHENTICATED:
		return error_set(e, E_INTERNAL,
				 "etcd at %s refuses this client: %s; give it a certificate that may use the prefix",
				 endpoint, text);
	}
	if (res->status == 404)
		return error_set(e, E_INTERNAL,
				 "%s has no v3 gateway: is this etcd 3.4 or later, with --enable-grpc-gateway?",
				 endpoint);
	return error_set(e, E_UNAVAILABLE, "etcd at %s: %d %s", endpoint, res->status, text);
}

static int call_endpoint(struct etcd_rpc *r, struct arena *a, const char *path, const struct buf *body, bool *ret_sent,
			 struct json **ret, struct error *e)
{
	static const struct json_options limits = {.max_bytes = ANSWER_MAX};
	const char *endpoint = r->target->endpoints[r->at];
	struct http_request req = {
		.method = "POST",
		.url = arena_printf(a, "%s/v3/%s", endpoint, path),
		.headers = {"Content-Type: application/json"},
		.body = body->data,
		.body_len = body->len,
		.tls = &r->target->tls,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.timeout_ms = r->timeout_ms,
		.max_response = ANSWER_MAX,
		.ret_sent = ret_sent,
	};
	struct http_response res;
	struct json *answer;
	int code = http_do(r->client, &req, a, &res, e);

	if (code < 0)
		return code;
	code = json_parse(a, res.body, res.body_len, &limits, &answer, e);
	if (res.status != 200)
		return refused(&res, code < 0 ? NULL : answer, endpoint, e);
	if (code < 0)
		return error_set(e, E_UNAVAILABLE, "etcd at %s: the answer is not JSON", endpoint);
	*ret = answer;
	return 0;
}

/* Is another endpoint worth asking? */
static bool is_endpoints_fault(int code)
{
	return code == -E_UNAVAILABLE || code == -E_TIMEOUT || code == -E_IO;
}

int etcd_unavailable(struct error *e)
{
	if (e)
		e->code = E_UNAVAILABLE;
	return -E_UNAVAILABLE;
}

int etcd_call(struct etcd_rpc *r, struct arena *a, const char *path, const struct buf *body, bool *ret_sent,
	      struct json **ret, struct error *e)
{
	bool sent = false;
	int code = 0;

	for (size_t i = 0; i < r->target->count; i++) {
		bool now = false;
		code = call_endpoint(r, a, path, body, &now, ret, e);
		if (code == 0 || !is_endpoints_fault(code))
			break;
		sent = sent || now;
		r->at = (r->at + 1) % r->target->count;
	}
	if (sent && ret_sent)
		*ret_sent = true;
	return sent || !is_endpoints_fault(code) ? code : etcd_unavailable(e);
}

const char *etcd_bytes(struct arena *a, const struct json *base64, size_t *ret_len)
{
	const char *text = json_str_or(base64, "");
	_buf_ out = BUF_INIT(ANSWER_MAX);

	if (base64_decode(text, strlen(text), &out, NULL) < 0)
		buf_reset(&out);
	char *copy = arena_alloc(a, out.len + 1);
	if (out.len)
		memcpy(copy, out.data, out.len);
	copy[out.len] = '\0';
	if (ret_len)
		*ret_len = out.len;
	return copy;
}

int64_t etcd_number(const struct json *v)
{
	const char *text = json_str(v);

	return text ? strtoll(text, NULL, 10) : json_int_or(v, 0);
}

const struct json *etcd_ranged(const struct json *txn, size_t k)
{
	return json_in(json_item(json_get(txn, "responses"), k), "response_range", "kvs");
}

int64_t etcd_number_at(struct arena *a, const struct json *kvs)
{
	return strtoll(etcd_bytes(a, json_get(json_item(kvs, 0), "value"), NULL), NULL, 10);
}

/* ---- requests ---- */

/* A separator unless it is the first of its list. */
static void next_item(struct buf *b)
{
	if (b->data[b->len - 1] != '[')
		buf_addc(b, ',');
}

static void add_base64(struct buf *b, const char *name, const void *data, size_t len)
{
	buf_addf(b, "\"%s\":\"", name);
	base64_encode(data, len, b);
	buf_addc(b, '"');
}

void txn_begin(struct buf *b)
{
	buf_adds(b, "{\"compare\":[");
}

void txn_compare_value(struct buf *b, const char *key, const char *value)
{
	next_item(b);
	buf_adds(b, "{\"target\":\"VALUE\",");
	add_base64(b, "key", key, strlen(key));
	buf_addc(b, ',');
	add_base64(b, "value", value, strlen(value));
	buf_addc(b, '}');
}

void txn_compare_absent(struct buf *b, const char *key)
{
	next_item(b);
	buf_adds(b, "{\"target\":\"CREATE\",\"create_revision\":\"0\",");
	add_base64(b, "key", key, strlen(key));
	buf_addc(b, '}');
}

void txn_success(struct buf *b)
{
	buf_adds(b, "],\"success\":[");
}

void txn_failure(struct buf *b)
{
	buf_adds(b, "],\"failure\":[");
}

void txn_end(struct buf *b)
{
	buf_adds(b, "]}");
}

void txn_put(struct buf *b, const char *key, const void *value, size_t len)
{
	next_item(b);
	buf_adds(b, "{\"request_put\":{");
	add_base64(b, "key", key, strlen(key));
	buf_addc(b, ',');
	add_base64(b, "value", value, len);
	buf_adds(b, "}}");
}

void txn_get(struct buf *b, const char *key)
{
	next_item(b);
	buf_adds(b, "{\"request_range\":{");
	add_base64(b, "key", key, strlen(key));
	buf_adds(b, "}}");
}

static void add_range(struct buf *b, const char *key, const char *end, size_t limit, bool keys_only)
{
	buf_addf(b, "{\"limit\":\"%zu\",\"keys_only\":%s,", limit, keys_only ? "true" : "false");
	add_base64(b, "key", key, strlen(key));
	buf_addc(b, ',');
	add_base64(b, "range_end", end, strlen(end));
	buf_addc(b, '}');
}

void txn_range(struct buf *b, const char *key, const char *end, size_t limit)
{
	next_item(b);
	buf_adds(b, "{\"request_range\":");
	add_range(b, key, end, limit, false);
	buf_addc(b, '}');
}

void txn_delete(struct buf *b, const char *key)
{
	next_item(b);
	buf_adds(b, "{\"request_delete_range\":{");
	add_base64(b, "key", key, strlen(key));
	buf_adds(b, "}}");
}

void range_body(struct buf *b, const char *key, const char *end, size_t limit, bool keys_only)
{
	add_range(b, key, end, limit, keys_only);
}
