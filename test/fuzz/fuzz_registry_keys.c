/*
 * fuzz_registry_keys.c - whatever a user may put into an image pull Secret.
 *
 * The input is the decoded .dockerconfigjson, or with another first byte the whole Secret. What is understood must hold
 * its promises, and what is said must not repeat what is in the Secret over more than one line.
 *
 * Links: lib
 */
#include <assert.h>

#include "lib/codec.h"
#include "lib/registry_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct json *wrap(struct arena *a, const void *config, size_t len)
{
	struct json *s = json_object(a);
	_buf_ encoded = BUF_INIT(REGISTRY_SECRET_MAX * 2);

	base64_encode(config, len, &encoded);
	json_set_str(a, s, "type", "kubernetes.io/dockerconfigjson");
	json_set_str(a, json_ensure_object(a, s, "data"), ".dockerconfigjson", encoded.len ? encoded.data : "");
	return s;
}

static void check_match(const struct registry_keys *k, const char *image)
{
	_arena_ a = arena_new();
	const struct registry_key *fit[REGISTRY_KEY_TRIES];
	struct oci_reference ref;

	assert(oci_reference_parse(a, image, &ref, NULL) == 0);
	size_t n = registry_keys_match(k, &ref, fit);

	assert(n <= REGISTRY_KEY_TRIES);
	for (size_t i = 1; i < n; i++)
		assert(strcmp(fit[i - 1]->pattern ? fit[i - 1]->pattern : "", fit[i]->pattern ? fit[i]->pattern : "") >=
		       0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_arena_ a = arena_new();
	struct registry_keys k = {0};
	struct json *secret;

	if (!size)
		return 0;
	if (data[0] == '+')
		secret = wrap(a, data + 1, size - 1);
	else if (json_parse(a, (const char *)data, size, NULL, &secret, NULL))
		return 0;
	registry_keys_add(a, &k, secret);
	assert(k.sources && k.count <= REGISTRY_KEYS_MAX);
	for (size_t i = 0; i < k.count; i++)
		assert(k.items[i].cred.username && k.items[i].cred.password && k.items[i].cred.source);
	check_match(&k, "nginx");
	check_match(&k, "r.example:5000/team/x:v1");
	check_match(&k, "123456789012.dkr.ecr.eu-central-1.amazonaws.com/x");
	return 0;
}
