/*
 * test_oci.c - references, manifests and configurations, good and hostile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/oci.h"

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define E "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define CONFIG "{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" D "\",\"size\":10}"
#define LAYER "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"" D "\",\"size\":100}"

static void test_references(void **state)
{
	(void)state;
	static const struct {
		const char *text, *canonical;
	} good[] = {
		{"nginx", "docker.io/library/nginx:latest"},
		{"nginx:1.25", "docker.io/library/nginx:1.25"},
		{"docker.io/nginx", "docker.io/library/nginx:latest"},
		{"index.docker.io/a/b:c", "docker.io/a/b:c"},
		{"a/b", "docker.io/a/b:latest"},
		{"localhost/x", "localhost/x:latest"},
		{"localhost:5000/x:tag", "localhost:5000/x:tag"},
		{"127.0.0.1:5000/a/b-c/d__e.f:T_1", "127.0.0.1:5000/a/b-c/d__e.f:T_1"},
		{"[::1]:5000/x", "[::1]:5000/x:latest"},
		{"ghcr.io/a/b@" D, "ghcr.io/a/b@" D},
		{"ghcr.io/a/b:tag@" D, "ghcr.io/a/b@" D},
		{"REG/x", "REG/x:latest"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_arena_ a = arena_new();
		struct oci_reference ref;
		struct error e;

		if (oci_reference_parse(a, good[i].text, &ref, &e))
			fail_msg("%s: %s", good[i].text, e.text);
		assert_string_equal(oci_reference_format(a, &ref), good[i].canonical);
	}
}

static void test_bad_references(void **state)
{
	(void)state;
	static const char *const bad[] = {"",
					  "https://x.io/a",
					  "a b",
					  "a\x7f",
					  "caf\xc3\xa9",
					  "Nginx",
					  "a//b",
					  "a/",
					  "/a",
					  "a/../b",
					  "x.io/a:",
					  "x.io/a:-t",
					  "a@sha256:12",
					  "a@md5:"
					  "0123",
					  "x.io:port/a",
					  "x.io:/a",
					  "-x.io/a",
					  "a..b",
					  "a___b",
					  "[::1/a",
					  "x.io/a\nb",
					  "a@" D "0",
					  "..",
					  "a:b:c/d"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_arena_ a = arena_new();
		struct oci_reference ref;
		struct error e;

		if (oci_reference_parse(a, bad[i], &ref, &e) != -E_INVALID)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_null(strchr(e.text, '\n'));
	}
	char text[600];
	_arena_ a = arena_new();
	struct oci_reference ref;

	memset(text, 'a', sizeof(text));
	text[512] = '\0';
	assert_int_equal(oci_reference_parse(a, text, &ref, NULL), -E_INVALID);
	memcpy(text, "x.io/", 5);
	text[255] = '\0'; /* 4 + 1 + 250 */
	assert_int_equal(oci_reference_parse(a, text, &ref, NULL), 0);
	text[255] = 'a';
	text[256] = '\0';
	assert_int_equal(oci_reference_parse(a, text, &ref, NULL), -E_INVALID);
}

static int parse(struct arena *a, const char *type, const char *text, enum oci_document *kind,
		 struct oci_descriptor *child, struct oci_image *image, struct error *e)
{
	return oci_document_parse(a, type, text, strlen(text), kind, child, image, e);
}

static void test_manifest(void **state)
{
	(void)state;
	static const char text[] = "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER "," LAYER "]}";
	static const char config[] =
		"{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{\"Entrypoint\":[\"/a\",\"-b\"],\"Cmd\":null,\"Env\":[\"A=1\"],"
		"\"User\":\"7:8\",\"WorkingDir\":\"/w\",\"Volumes\":{\"/v\":{}},\"ExposedPorts\":{\"80/tcp\":{}},\"StopSignal\":\"SIGINT\"},"
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D "\",\"" E "\"]}}";
	_arena_ a = arena_new();
	enum oci_document kind;
	struct oci_descriptor child;
	struct oci_image image;
	struct error e;

	assert_int_equal(parse(a, "application/vnd.oci.image.manifest.v1+json", text, &kind, &child, &image, &e), 0);
	assert_int_equal(kind, OCI_MANIFEST);
	assert_int_equal(image.layer_count, 2);
	assert_int_equal(image.size, (int64_t)strlen(text) + 210);
	assert_int_equal(oci_config_parse(a, config, strlen(config), &image, &e), 0);
	assert_string_equal(image.layers[1].diff_id, E);
	char *json = json_to_string(a, oci_config_to_json(a, &image.config));

	assert_string_equal(json,
			    "{\"entrypoint\":[\"/a\",\"-b\"],\"env\":[\"A=1\"],\"user\":\"7:8\",\"workingDir\":\"/w\","
			    "\"volumes\":[\"/v\"],\"stopSignal\":\"SIGINT\"}");
	struct oci_config back;
	struct json *doc;

	assert_int_equal(json_parse(a, json, strlen(json), NULL, &doc, NULL), 0);
	oci_config_from_json(a, doc, &back);
	assert_string_equal(json_to_string(a, oci_config_to_json(a, &back)), json);
	assert_string_equal(image.config.ports.items[0], "80/tcp");
}

static void test_index(void **state)
{
	(void)state;
#define ENTRY(digest, platform)                                                                                       \
	"{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"size\":5,\"digest\":\"" digest "\"" platform \
	"}"
#define PLATFORM(os, arch, more) ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" more "}"
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"
	static const struct {
		const char *text, *digest, *error;
	} cases[] = {
		{INDEX(ENTRY(E, PLATFORM("linux", "arm64", "")) "," ENTRY(D, PLATFORM("linux", "amd64", ""))), D, NULL},
		{INDEX(ENTRY(E, PLATFORM("linux", "amd64", ",\"variant\":\"v3\"")) "," ENTRY(
			 D, PLATFORM("linux", "amd64", ""))),
		 D, NULL},
		{INDEX(ENTRY(D, "")), D, NULL},
		{INDEX(ENTRY(D, PLATFORM("linux", "arm64", "")) "," ENTRY(
			 D, PLATFORM("linux", "arm", ",\"variant\":\"v7\"")) "," ENTRY(E, PLATFORM("unknown", "unknown",
												   ""))),
		 NULL, "the image is not there for linux/amd64, only for linux/arm64, linux/arm/v7"},
		{INDEX(""), NULL, "the image is not there for linux/amd64: its index lists no platform at all"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		enum oci_document kind;
		struct oci_descriptor child;
		struct oci_image image;
		struct error e;
		int r = parse(a, "", cases[i].text, &kind, &child, &image, &e);

		assert_int_equal(r, cases[i].error ? -E_INVALID : 0);
		if (cases[i].error)
			assert_string_equal(e.text, cases[i].error);
		else
			assert_string_equal(child.digest, cases[i].digest);
	}
}

static void test_bad_documents(void **state)
{
	(void)state;
	static const struct {
		const char *type, *text, *part;
	} cases[] = {
		{"", "", "manifest"},
		{"", "[]", "neither an image manifest nor an index"},
		{"", "{\"schemaVersion\":1,\"fsLayers\":[]}", "schema 1"},
		{"application/vnd.docker.distribution.manifest.v1+prettyjws", "{\"schemaVersion\":2}", "schema 1"},
		{"", "{\"schemaVersion\":2,\"layers\":[],\"manifests\":[]}", "neither"},
		{"application/vnd.oci.image.index.v1+json", "{\"schemaVersion\":2,\"layers\":[]}", "contradicts"},
		{"", "{\"schemaVersion\":2,\"layers\":[],\"mediaType\":\"application/vnd.oci.image.index.v1+json\"}",
		 "contradicts"},
		{"", "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[]}", "no layers"},
		{"", "{\"schemaVersion\":2,\"layers\":[" LAYER "]}", "configuration has no sha256 digest"},
		{"",
		 "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",\"digest\":\"" D
		 "\",\"size\":1},\"layers\":[" LAYER "]}",
		 "not a container image"},
		{"",
		 "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" D
		 "\",\"size\":4194305},\"layers\":[" LAYER "]}",
		 "larger than 4 MiB"},
		{"",
		 "{\"schemaVersion\":2,\"config\":" CONFIG
		 ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"" D
		 "\",\"size\":-1}]}",
		 "layer 1 has no size"},
		{"",
		 "{\"schemaVersion\":2,\"config\":" CONFIG
		 ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"" D
		 "\",\"size\":1099511627777}]}",
		 "layer 1 has no size"},
		{"",
		 "{\"schemaVersion\":2,\"config\":" CONFIG
		 ",\"layers\":[{\"mediaType\":\"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip\",\"digest\":\"" D
		 "\",\"size\":1}]}",
		 "foreign layer"},
		{"",
		 "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[{\"mediaType\":\"text/plain\",\"digest\":\"" D
		 "\",\"size\":1}]}",
		 "not a tar layer"},
		{"",
		 "{\"schemaVersion\":2,\"config\":" CONFIG
		 ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:../../../etc\",\"size\":1}]}",
		 "layer 1 has no sha256 digest"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		enum oci_document kind;
		struct oci_descriptor child;
		struct oci_image image;
		struct error e = {0};

		assert_true(parse(a, cases[i].type, cases[i].text, &kind, &child, &image, &e) < 0);
		if (!strstr(e.text, cases[i].part))
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, e.text, cases[i].part);
		assert_null(strchr(e.text, '\n'));
	}
}

static void test_layer_limit(void **state)
{
	(void)state;
	for (unsigned n = OCI_LAYERS_MAX; n <= OCI_LAYERS_MAX + 1; n++) {
		_arena_ a = arena_new();
		_buf_ text = BUF_INIT(1U << 20);
		enum oci_document kind;
		struct oci_descriptor child;
		struct oci_image image;
		struct error e;

		buf_adds(&text, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[");
		for (unsigned i = 0; i < n; i++)
			buf_addf(&text, "%s%s", i ? "," : "", LAYER);
		buf_adds(&text, "]}");
		int r = parse(a, "", text.data, &kind, &child, &image, &e);

		assert_int_equal(r, n > OCI_LAYERS_MAX ? -E_INVALID : 0);
		if (r)
			assert_string_equal(e.text, "the image has 257 layers; at most 256 are taken");
	}
}

static void test_bad_configs(void **state)
{
	(void)state;
#define ROOTFS(ids) "\"rootfs\":{\"diff_ids\":[" ids "]}"
#define OS "\"os\":\"linux\",\"architecture\":\"amd64\","
	static const struct {
		const char *text, *part;
	} cases[] = {
		{"{", "configuration"},
		{"{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"," ROOTFS("\"" D "\"") "}",
		 "the image is for linux/arm64/v8, not for linux/amd64"},
		{"{" ROOTFS("\"" D "\"") "}", "not for linux/amd64"},
		{"{" OS ROOTFS("") "}", "names 0 layers, its manifest 1"},
		{"{" OS ROOTFS("\"" D "\",\"" D "\"") "}", "names 2 layers, its manifest 1"},
		{"{" OS ROOTFS("7") "}", "diff_id 1"},
		{"{" OS "\"config\":{\"Cmd\":\"x\"}," ROOTFS("\"" D "\"") "}", "Cmd is not a list"},
		{"{" OS "\"config\":{\"Env\":[1]}," ROOTFS("\"" D "\"") "}", "Env has an entry that is no text"},
		{"{" OS "\"config\":{\"Env\":[\"a\\u0000b\"]}," ROOTFS("\"" D "\"") "}",
		 "Env has an entry that is no text"},
		{"{" OS "\"config\":{\"User\":5}," ROOTFS("\"" D "\"") "}", "User is no text"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct oci_layer layer = {0};
		struct oci_image image = {.layers = &layer, .layer_count = 1};
		struct error e = {0};

		assert_int_equal(oci_config_parse(a, cases[i].text, strlen(cases[i].text), &image, &e), -E_INVALID);
		if (!strstr(e.text, cases[i].part))
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, e.text, cases[i].part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_references),    cmocka_unit_test(test_bad_references),
		cmocka_unit_test(test_manifest),      cmocka_unit_test(test_index),
		cmocka_unit_test(test_bad_documents), cmocka_unit_test(test_layer_limit),
		cmocka_unit_test(test_bad_configs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
