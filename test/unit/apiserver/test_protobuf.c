/*
 * test_protobuf.c - the decoder, on messages put together here from field numbers.
 */
#include "test/unit/apiserver/text_fixture.h"

#include "apiserver/protobuf.h"

struct message {
	uint8_t data[4096];
	size_t len;
};

static void put_varint(struct message *m, uint64_t n)
{
	for (; n > 127; n >>= 7)
		m->data[m->len++] = (uint8_t)(n | 0x80);
	m->data[m->len++] = (uint8_t)n;
}

static void put_number(struct message *m, unsigned field, uint64_t n)
{
	put_varint(m, field << 3);
	put_varint(m, n);
}

static void put_bytes(struct message *m, unsigned field, const void *data, size_t len)
{
	put_varint(m, field << 3 | 2);
	put_varint(m, len);
	if (len)
		memcpy(m->data + m->len, data, len);
	m->len += len;
}

static void put_text(struct message *m, unsigned field, const char *text)
{
	put_bytes(m, field, text, strlen(text));
}

static void put_message(struct message *m, unsigned field, const struct message *inner)
{
	put_bytes(m, field, inner->data, inner->len);
}

static void put_entry(struct message *m, unsigned field, const char *key, const char *value)
{
	struct message entry = {.len = 0};

	put_text(&entry, 1, key);
	put_text(&entry, 2, value);
	put_message(m, field, &entry);
}

static struct message envelope(const char *api_version, const char *kind, const struct message *raw)
{
	struct message type = {.len = 0}, m = {.data = "k8s", .len = 4};

	put_text(&type, 1, api_version);
	put_text(&type, 2, kind);
	put_message(&m, 1, &type);
	put_message(&m, 2, raw);
	put_text(&m, 3, "");
	put_text(&m, 4, "");
	return m;
}

static const char *decoded(const struct message *m)
{
	struct json *v;
	struct error e = {0};
	/* an exact copy on the heap, so that a read past the end is found */
	uint8_t *copy = memcpy(xmalloc(m->len), m->data, m->len);
	int rc = protobuf_decode(text_arena, copy, m->len, &v, &e);

	free(copy);
	return rc < 0 ? arena_printf(text_arena, "%s", error_reason(e.code)) : text_of(v);
}

static void test_config_map(void **state)
{
	struct message meta = {.len = 0}, raw = {.len = 0}, m;

	(void)state;
	put_text(&meta, 1, "c");
	put_text(&meta, 2, "");
	put_text(&meta, 3, "ns");
	put_bytes(&meta, 8, "", 0);
	put_number(&meta, 7, 0);
	put_entry(&meta, 11, "app", "x");
	put_message(&raw, 1, &meta);
	put_entry(&raw, 2, "a", "1");
	put_entry(&raw, 2, "b", "ä");
	put_entry(&raw, 3, "bin", "\xff\xfe");
	put_number(&raw, 4, 1);
	m = envelope("v1", "ConfigMap", &raw);
	assert_string_equal(decoded(&m),
			    "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c','namespace':'ns','labels':{"
			    "'app':'x'}},'data':{'a':'1','b':'ä'},'binaryData':{'bin':'//4='},'immutable':true}");
}

static void test_secret(void **state)
{
	struct message meta = {.len = 0}, raw = {.len = 0}, m;

	(void)state;
	put_text(&meta, 1, "s");
	put_message(&raw, 1, &meta);
	put_entry(&raw, 2, "k", "hello");
	put_text(&raw, 3, "Opaque");
	m = envelope("v1", "Secret", &raw);
	assert_string_equal(decoded(&m),
			    "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'s'},'data':{'k':'aGVsbG8='},"
			    "'type':'Opaque'}");
}

static void test_access_review(void **state)
{
	struct message attributes = {.len = 0}, spec = {.len = 0}, raw = {.len = 0}, meta = {.len = 0}, m;

	(void)state;
	put_text(&attributes, 1, "default");
	put_text(&attributes, 2, "create");
	put_text(&attributes, 3, "berth.dev");
	put_text(&attributes, 5, "containers");
	put_message(&spec, 1, &attributes);
	put_message(&raw, 1, &meta);
	put_message(&raw, 2, &spec);
	m = envelope("authorization.k8s.io/v1", "SelfSubjectAccessReview", &raw);
	assert_string_equal(decoded(&m),
			    "{'apiVersion':'authorization.k8s.io/v1','kind':'SelfSubjectAccessReview','metadata':{},"
			    "'spec':{'resourceAttributes':{'namespace':'default','verb':'create','group':'berth.dev',"
			    "'resource':'containers'}}}");
}

static void test_roles(void **state)
{
	struct message rule = {.len = 0}, labels = {.len = 0}, aggregation = {.len = 0}, raw = {.len = 0}, m;
	struct message subject = {.len = 0}, ref = {.len = 0}, binding = {.len = 0};

	(void)state;
	put_text(&rule, 1, "get");
	put_text(&rule, 1, "list");
	put_text(&rule, 2, ""); /* the core group */
	put_text(&rule, 3, "secrets");
	put_text(&rule, 4, "a");
	put_text(&rule, 5, "/x");
	put_entry(&labels, 1, "team", "yes");
	put_message(&aggregation, 1, &labels);
	put_message(&raw, 2, &rule);
	put_message(&raw, 3, &aggregation);
	m = envelope("rbac.authorization.k8s.io/v1", "ClusterRole", &raw);
	assert_string_equal(
		decoded(&m),
		"{'apiVersion':'rbac.authorization.k8s.io/v1','kind':'ClusterRole','rules':[{'verbs':['get','list'],"
		"'apiGroups':[''],'resources':['secrets'],'resourceNames':['a'],'nonResourceURLs':['/x']}],"
		"'aggregationRule':{'clusterRoleSelectors':[{'matchLabels':{'team':'yes'}}]}}");
	put_text(&subject, 1, "ServiceAccount");
	put_text(&subject, 2, "");
	put_text(&subject, 3, "ci");
	put_text(&subject, 4, "team");
	put_text(&ref, 1, "rbac.authorization.k8s.io");
	put_text(&ref, 2, "Role");
	put_text(&ref, 3, "r");
	put_message(&binding, 2, &subject);
	put_message(&binding, 3, &ref);
	m = envelope("rbac.authorization.k8s.io/v1", "RoleBinding", &binding);
	assert_string_equal(
		decoded(&m),
		"{'apiVersion':'rbac.authorization.k8s.io/v1','kind':'RoleBinding','subjects':[{'kind':'ServiceAccount',"
		"'name':'ci','namespace':'team'}],'roleRef':{'apiGroup':'rbac.authorization.k8s.io','kind':'Role','name':"
		"'r'}}");
}

static void test_delete_options(void **state)
{
	struct message conditions = {.len = 0}, raw = {.len = 0}, m;

	(void)state;
	put_number(&raw, 1, 0);
	put_text(&conditions, 1, "uid-1");
	put_message(&raw, 2, &conditions);
	put_text(&raw, 4, "Background");
	put_text(&raw, 5, "All");
	m = envelope("v1", "DeleteOptions", &raw);
	assert_string_equal(decoded(&m),
			    "{'apiVersion':'v1','kind':'DeleteOptions','gracePeriodSeconds':0,'preconditions':{'uid':"
			    "'uid-1'},'propagationPolicy':'Background','dryRun':['All']}");
}

static void test_refused(void **state)
{
	struct message raw = {.len = 0}, bad = {.len = 0}, m = envelope("v1", "Pod", &raw);

	(void)state;
	assert_string_equal(decoded(&m), "UnsupportedMediaType");
	m = (struct message){.data = "{\"kind\":1}", .len = 10};
	assert_string_equal(decoded(&m), "BadRequest");
	m = (struct message){.data = "k8s", .len = 3};
	assert_string_equal(decoded(&m), "BadRequest");
	put_entry(&bad, 2, "a", "\xff");
	m = envelope("v1", "ConfigMap", &bad);
	assert_string_equal(decoded(&m), "BadRequest");
	bad.len = 0;
	put_number(&bad, 1, 5); /* metadata is a message */
	m = envelope("v1", "ConfigMap", &bad);
	assert_string_equal(decoded(&m), "BadRequest");
	/* every cut of a whole message is answered, none is read past its end */
	raw.len = 0;
	put_entry(&raw, 2, "key", "value");
	m = envelope("v1", "ConfigMap", &raw);
	for (size_t len = m.len - 1; len > 0; len--) {
		struct message cut = m;

		cut.len = len;
		(void)decoded(&cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEXT_TEST(test_config_map), TEXT_TEST(test_secret),	    TEXT_TEST(test_access_review),
		TEXT_TEST(test_roles),	    TEXT_TEST(test_delete_options), TEXT_TEST(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
