/*
 * protobuf.c - see protobuf.h. Messages are described by tables of their fields; everything else in them is skipped.
 */
#include "apiserver/protobuf.h"

#include "lib/codec.h"

static const char magic[] = {'k', '8', 's', '\0'};

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

enum field_type {
	FIELD_TEXT,	 /* string; "" is absent */
	FIELD_TEXTS,	 /* repeated string */
	FIELD_INT,	 /* int64; only sent when set */
	FIELD_BOOL,	 /* only sent when set */
	FIELD_MESSAGE,	 /* an object */
	FIELD_MESSAGES,	 /* repeated message */
	FIELD_MAP_TEXT,	 /* map<string, string> */
	FIELD_MAP_BYTES, /* map<string, bytes>: values in base64 */
};

struct field {
	unsigned number;
	enum field_type type;
	const char *name; /* NULL ends the table */
	const struct field *message;
};

/* Source of numbers: k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto, k8s.io/api/…/generated.proto. */
static const struct field owner_reference[] = {
	{1, FIELD_TEXT, "kind", NULL},
	{3, FIELD_TEXT, "name", NULL},
	{4, FIELD_TEXT, "uid", NULL},
	{5, FIELD_TEXT, "apiVersion", NULL},
	{6, FIELD_BOOL, "controller", NULL},
	{7, FIELD_BOOL, "blockOwnerDeletion", NULL},
	{0},
};
static const struct field object_meta[] = {
	{1, FIELD_TEXT, "name", NULL},
	{2, FIELD_TEXT, "generateName", NULL},
	{3, FIELD_TEXT, "namespace", NULL},
	{5, FIELD_TEXT, "uid", NULL},
	{6, FIELD_TEXT, "resourceVersion", NULL},
	{11, FIELD_MAP_TEXT, "labels", NULL},
	{12, FIELD_MAP_TEXT, "annotations", NULL},
	{13, FIELD_MESSAGES, "ownerReferences", owner_reference},
	{14, FIELD_TEXTS, "finalizers", NULL},
	{0},
};
static const struct field namespace_spec[] = {{1, FIELD_TEXTS, "finalizers", NULL}, {0}};
static const struct field namespace_object[] = {
	{1, FIELD_MESSAGE, "metadata", object_meta},
	{2, FIELD_MESSAGE, "spec", namespace_spec},
	{0},
};
static const struct field config_map[] = {
	{1, FIELD_MESSAGE, "metadata", object_meta},
	{2, FIELD_MAP_TEXT, "data", NULL},
	{3, FIELD_MAP_BYTES, "binaryData", NULL},
	{4, FIELD_BOOL, "immutable", NULL},
	{0},
};
static const struct field secret[] = {
	{1, FIELD_MESSAGE, "metadata", object_meta}, {2, FIELD_MAP_BYTES, "data", NULL}, {3, FIELD_TEXT, "type", NULL},
	{4, FIELD_MAP_TEXT, "stringData", NULL},     {5, FIELD_BOOL, "immutable", NULL}, {0},
};
static const struct field service_account[] = {
	{1, FIELD_MESSAGE, "metadata", object_meta},
	{4, FIELD_BOOL, "automountServiceAccountToken", NULL},
	{0},
};
static const struct field resource_attributes[] = {
	{1, FIELD_TEXT, "namespace", NULL}, {2, FIELD_TEXT, "verb", NULL},
	{3, FIELD_TEXT, "group", NULL},	    {4, FIELD_TEXT, "version", NULL},
	{5, FIELD_TEXT, "resource", NULL},  {6, FIELD_TEXT, "subresource", NULL},
	{7, FIELD_TEXT, "name", NULL},	    {0},
};
static const struct field non_resource_attributes[] = {
	{1, FIELD_TEXT, "path", NULL},
	{2, FIELD_TEXT, "verb", NULL},
	{0},
};
static const struct field access_review_spec[] = {
	{1, FIELD_MESSAGE, "resourceAttributes", resource_attributes},
	{2, FIELD_MESSAGE, "nonResourceAttributes", non_resource_attributes},
	{0},
};
static const struct field subject_review_spec[] = {
	{1, FIELD_MESSAGE, "resourceAttributes", resource_attributes},
	{2, FIELD_MESSAGE, "nonResourceAttributes", non_resource_attributes},
	{3, FIELD_TEXT, "user", NULL},
	{4, FIELD_TEXTS, "groups", NULL},
	{6, FIELD_TEXT, "uid", NULL},
	{0},
};
static const struct field subject_review[] = {
	{1, FIELD_MESSAGE, "metadata", object_meta},
	{2, FIELD_MESSAGE, "spec", subject_review_spec},
	{0},
};
static const struct field token_review_spec[] = {
	{1, FIELD_TEXT, "token", NULL},
	{2, FIELD_TEXTS, "audiences", NULL},
	{0},
};
static const struct field token_review[] = {
	{1, FIELD_MESSAGE, "metadata", object_meta},
	{2, FIELD_MESSAGE, "spec", token_review_spec},
	{0},
};
static const struct field access_review[] = {
	{1, FIELD_MESSAGE, "metadata", object_meta},
	{2, FIELD_MESSAGE, "spec", access_review_spec},
	{0},
};
static const struct field rules_review_spec[] = {{1, FIELD_TEXT, "namespace", NULL}, {0}};
static const struct field rules_review[] = {
	{1, FIELD_MESSAGE, "metadata", object_meta},
	{2, FIELD_MESSAGE, "spec", rules_review_spec},
	{0},
};
static const struct field self_review[] = {{1, FIELD_MESSAGE, "metadata", object_meta}, {0}};
static const struct field bound_object[] = {
	{1, FIELD_TEXT, "kind", NULL},
	{2, FIELD_TEXT, "apiVersion", NULL},
	{3, FIELD_TEXT, "name", NULL},
	{4, FIELD_TEXT, "uid", NULL},
	{0},
};
static const struct field token_request_spec[] = {
	{1, FIELD_TEXTS, "audiences", NULL},
	{3, FIELD_MESSAGE, "boundObjectRef", bound_object},
	{4, FIELD_INT, "expirationSeconds", NULL},
	{0},
};
static const struct field token_request[] = {
	{1, FIELD_MESSAGE, "metadata", object_meta},
	{2, FIELD_MESSAGE, "spec", token_request_spec},
	{0},
};
static const struct field preconditions[] = {
	{1, FIELD_TEXT, "uid", NULL},
	{2, FIELD_TEXT, "resourceVersion", NULL},
	{0},
};
static const struct field delete_options[] = {
	{1, FIELD_INT, "gracePeriodSeconds", NULL}, {2, FIELD_MESSAGE, "preconditions", preconditions},
	{3, FIELD_BOOL, "orphanDependents", NULL},  {4, FIELD_TEXT, "propagationPolicy", NULL},
	{5, FIELD_TEXTS, "dryRun", NULL},	    {0},
};

static const struct field policy_rule[] = {
	{1, FIELD_TEXTS, "verbs", NULL},	   {2, FIELD_TEXTS, "apiGroups", NULL},
	{3, FIELD_TEXTS, "resources", NULL},	   {4, FIELD_TEXTS, "resourceNames", NULL},
	{5, FIELD_TEXTS, "nonResourceURLs", NULL}, {0},
};
static const struct field label_expression[] = {
	{1, FIELD_TEXT, "key", NULL},
	{2, FIELD_TEXT, "operator", NULL},
	{3, FIELD_TEXTS, "values", NULL},
	{0},
};
static const struct field label_selector[] = {
	{1, FIELD_MAP_TEXT, "matchLabels", NULL},
	{2, FIELD_MESSAGES, "matchExpressions", label_expression},
	{0},
};
static const struct field aggregation_rule[] = {{1, FIELD_MESSAGES, "clusterRoleSelectors", label_selector}, {0}};
static const struct field role[] = {
	{1, FIELD_MESSAGE, "metadata", object_meta},
	{2, FIELD_MESSAGES, "rules", policy_rule},
	{3, FIELD_MESSAGE, "aggregationRule", aggregation_rule}, /* of ClusterRoles only */
	{0},
};
static const struct field subject[] = {
	{1, FIELD_TEXT, "kind", NULL},
	{2, FIELD_TEXT, "apiGroup", NULL},
	{3, FIELD_TEXT, "name", NULL},
	{4, FIELD_TEXT, "namespace", NULL},
	{0},
};
static const struct field role_reference[] = {
	{1, FIELD_TEXT, "apiGroup", NULL},
	{2, FIELD_TEXT, "kind", NULL},
	{3, FIELD_TEXT, "name", NULL},
	{0},
};
static const struct field role_binding[] = {
	{1, FIELD_MESSAGE, "metadata", object_meta},
	{2, FIELD_MESSAGES, "subjects", subject},
	{3, FIELD_MESSAGE, "roleRef", role_reference},
	{0},
};

static const struct {
	const char *kind;
	const struct field *fields;
} kinds[] = {
	{"Role", role},
	{"ClusterRole", role},
	{"RoleBinding", role_binding},
	{"ClusterRoleBinding", role_binding},
	{"SubjectAccessReview", subject_review},
	{"TokenReview", token_review},
	{"Namespace", namespace_object},
	{"ConfigMap", config_map},
	{"Secret", secret},
	{"ServiceAccount", service_account},
	{"SelfSubjectAccessReview", access_review},
	{"SelfSubjectRulesReview", rules_review},
	{"SelfSubjectReview", self_review},
	{"TokenRequest", token_request},
	{"DeleteOptions", delete_options},
};

struct reader {
	const uint8_t *p, *end;
};

struct value {
	unsigned number;
	enum wire wire;
	uint64_t number_value; /* WIRE_VARINT */
	struct reader bytes;   /* WIRE_BYTES */
};

static int malformed(struct error *e, const char *what)
{
	return error_set(e, E_BAD_REQUEST, "the request body is not a Kubernetes protobuf message: %s", what);
}

static bool read_varint(struct reader *r, uint64_t *ret)
{
	uint64_t n = 0;

	for (unsigned shift = 0; shift < 64 && r->p < r->end; shift += 7) {
		uint8_t byte = *r->p++;

		n |= (uint64_t)(byte & 0x7F) << shift;
		if (!(byte & 0x80)) {
			*ret = n;
			return true;
		}
	}
	return false;
}

/* The next field of a message: 1, 0 at the end, -1 when malformed. */
static int next_value(struct reader *r, struct value *ret)
{
	uint64_t tag, len;

	if (r->p == r->end)
		return 0;
	if (!read_varint(r, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
		return -1;
	ret->number = (unsigned)(tag >> 3);
	ret->wire = (enum wire)(tag & 7);
	switch (ret->wire) {
	case WIRE_VARINT:
		return read_varint(r, &ret->number_value) ? 1 : -1;
	case WIRE_FIXED64:
		len = 8;
		break;
	case WIRE_FIXED32:
		len = 4;
		break;
	case WIRE_BYTES:
		if (!read_varint(r, &len))
			return -1;
		break;
	default:
		return -1;
	}
	if (len > (uint64_t)(r->end - r->p))
		return -1;
	ret->bytes = (struct reader){r->p, r->p + len};
	r->p += len;
	return 1;
}

/* Whether the bytes may become a JSON string or key: UTF-8 without NUL. */
static bool is_text(const struct reader *r)
{
	size_t len = (size_t)(r->end - r->p);

	return utf8_prefix((const char *)r->p, len) == len && !memchr(r->p, '\0', len);
}

static struct json *text(struct arena *a, const struct reader *r)
{
	return json_stringn(a, (const char *)r->p, (size_t)(r->end - r->p));
}

static int read_message(struct arena *a, struct reader r, const struct field *fields, struct json *to, struct error *e);

/* An entry of a map: {1 key, 2 value}. */
static int read_entry(struct arena *a, struct reader r, bool bytes, struct json *to, struct error *e)
{
	static const uint8_t nothing[1];
	struct reader key = {nothing, nothing}, v = {nothing, nothing};
	struct value value;
	int rc;

	while ((rc = next_value(&r, &value)) > 0)
		if (value.wire == WIRE_BYTES && (value.number == 1 || value.number == 2))
			*(value.number == 1 ? &key : &v) = value.bytes;
	if (rc < 0 || !is_text(&key) || (!bytes && !is_text(&v)))
		return malformed(e, "a map entry is broken");
	if (bytes) {
		_buf_ encoded = BUF_INIT(JSON_MAX_BYTES * 2);

		base64_encode(v.p, (size_t)(v.end - v.p), &encoded);
		json_set(a, to, json_str(text(a, &key)), json_stringn(a, encoded.len ? encoded.data : "", encoded.len));
	} else {
		json_set(a, to, json_str(text(a, &key)), text(a, &v));
	}
	return 0;
}

static int read_inner(struct arena *a, const struct field *f, const struct value *v, struct json *to, struct error *e)
{
	struct json *inner;
	int rc;

	if (f->type == FIELD_MAP_TEXT || f->type == FIELD_MAP_BYTES)
		return read_entry(a, v->bytes, f->type == FIELD_MAP_BYTES, json_ensure_object(a, to, f->name), e);
	inner = f->type == FIELD_MESSAGE ? json_ensure_object(a, to, f->name) : json_object(a);
	if ((rc = read_message(a, v->bytes, f->message, inner, e)) < 0)
		return rc;
	if (f->type == FIELD_MESSAGES)
		json_append(a, json_ensure_array(a, to, f->name), inner);
	return 0;
}

static int read_field(struct arena *a, const struct field *f, const struct value *v, struct json *to, struct error *e)
{
	bool number = f->type == FIELD_INT || f->type == FIELD_BOOL;

	if (v->wire != (number ? WIRE_VARINT : WIRE_BYTES))
		return malformed(e, "a field is of another type than expected");
	switch (f->type) {
	case FIELD_INT:
		json_set_int(a, to, f->name, (int64_t)v->number_value);
		return 0;
	case FIELD_BOOL:
		json_set_bool(a, to, f->name, v->number_value != 0);
		return 0;
	case FIELD_TEXT:
	case FIELD_TEXTS:
		if (!is_text(&v->bytes))
			return malformed(e, "a string is not UTF-8");
		if (f->type == FIELD_TEXTS)
			json_append(a, json_ensure_array(a, to, f->name), text(a, &v->bytes));
		else if (v->bytes.p < v->bytes.end)
			json_set(a, to, f->name, text(a, &v->bytes));
		return 0;
	case FIELD_MESSAGE:
	case FIELD_MESSAGES:
	case FIELD_MAP_TEXT:
	case FIELD_MAP_BYTES:
		return read_inner(a, f, v, to, e);
	}
	return 0;
}

static int read_message(struct arena *a, struct reader r, const struct field *fields, struct json *to, struct error *e)
{
	struct value v;
	int more, rc;

	while ((more = next_value(&r, &v)) > 0)
		for (const struct field *f = fields; f->name; f++)
			if (f->number == v.number && (rc = read_field(a, f, &v, to, e)) < 0)
				return rc;
	return more < 0 ? malformed(e, "it ends early or a tag is wrong") : 0;
}

int protobuf_decode(struct arena *a, const void *data, size_t len, struct json **ret, struct error *e)
{
	static const struct field type_meta[] = {
		{1, FIELD_TEXT, "apiVersion", NULL}, {2, FIELD_TEXT, "kind", NULL}, {0}};
	struct reader r = {data, (const uint8_t *)data + len}, raw = {data, data};
	struct json *obj = json_object(a);
	struct value v;
	int more, rc;

	if (len < sizeof(magic) || memcmp(data, magic, sizeof(magic)) != 0)
		return malformed(e, "it does not begin with \"k8s\"");
	r.p += sizeof(magic);
	while ((more = next_value(&r, &v)) > 0) {
		if (v.number == 1 && v.wire == WIRE_BYTES && (rc = read_message(a, v.bytes, type_meta, obj, e)) < 0)
			return rc;
		if (v.number == 2 && v.wire == WIRE_BYTES)
			raw = v.bytes;
	}
	if (more < 0)
		return malformed(e, "the envelope ends early");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!streq(kinds[i].kind, json_str(json_get(obj, "kind"))))
			continue;
		if ((rc = read_message(a, raw, kinds[i].fields, obj, e)) < 0)
			return rc;
		*ret = obj;
		return 0;
	}
	return error_set(e, E_UNSUPPORTED_MEDIA, "a %s is not taken as protobuf; send JSON",
			 json_str_or(json_get(obj, "kind"), "body without a kind"));
}
