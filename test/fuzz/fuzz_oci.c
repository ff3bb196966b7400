/*
 * fuzz_oci.c - whatever a registry may answer: references, indexes, manifests, configurations, challenges.
 *
 * The first byte chooses the parser. What was accepted must hold its promises.
 *
 * Links: lib
 */
#include <assert.h>

#include "lib/oci.h"
#include "lib/registry_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_reference(struct arena *a, const char *text)
{
	struct oci_reference ref, again;

	if (oci_reference_parse(a, text, &ref, NULL))
		return;
	assert(ref.tag || ref.digest);
	/* The canonical form means the same. */
	char *canonical = oci_reference_format(a, &ref);

	assert(oci_reference_parse(a, canonical, &again, NULL) == 0);
	assert(streq(ref.registry, again.registry) && streq(ref.repository, again.repository));
	assert(streq(oci_reference_format(a, &again), canonical));
}

static void fuzz_document(struct arena *a, const char *text, size_t len)
{
	struct oci_descriptor child;
	enum oci_document kind;
	struct oci_image image;
	struct error e;

	if (oci_document_parse(a, "", text, len, &kind, &child, &image, &e)) {
		assert(e.code && *e.text);
	} else if (kind == OCI_INDEX) {
		assert(oci_digest_valid(child.digest));
	} else {
		assert(image.layer_count >= 1 && image.layer_count <= OCI_LAYERS_MAX && image.size > 0);
		for (size_t i = 0; i < image.layer_count; i++)
			assert(oci_digest_valid(image.layers[i].blob.digest) && image.layers[i].blob.size >= 0);
	}
}

static void fuzz_config(struct arena *a, const char *text, size_t len)
{
	struct oci_layer layer = {0};
	struct oci_image image = {.layers = &layer, .layer_count = 1};
	struct oci_config back;

	if (oci_config_parse(a, text, len, &image, NULL))
		return;
	assert(oci_digest_valid(layer.diff_id));
	struct json *json = oci_config_to_json(a, &image.config);

	oci_config_from_json(a, json, &back);
	assert(json_equal(json, oci_config_to_json(a, &back)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_arena_ a = arena_new();

	if (!size)
		return 0;
	char *text = memcpy(arena_calloc(a, size), data + 1, size - 1);

	switch (data[0] % 4) {
	case 0:
		fuzz_reference(a, text);
		break;
	case 1:
		fuzz_document(a, text, size - 1);
		break;
	case 2:
		fuzz_config(a, text, size - 1);
		break;
	default: {
		struct registry_challenge c = {0};

		registry_challenge_parse(a, text, &c);
	}
	}
	return 0;
}
