/*
 * oci.c - references, indexes, manifests and configurations; see oci.h.
 */
#include "lib/oci.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#define REFERENCE_MAX 512
#define NAME_MAX_LEN 255 /* of registry and repository together; source: distribution/reference */
#define TAG_MAX 128
#define PLATFORMS_SHOWN 12

/* ---- references ---- */

bool oci_digest_valid(const char *digest)
{
	return digest && strlen(digest) == OCI_DIGEST_LEN && str_starts(digest, "sha256:") &&
	       strspn(digest + 7, "0123456789abcdef") == 64;
}

/* host or host:port, host a DNS name, an IPv4 address or an IPv6 one in brackets. */
static bool registry_valid(const char *s)
{
	const char *port;

	if (*s == '[') {
		const char *end = strchr(s, ']');

		if (!end || end == s + 1 || strspn(s + 1, "0123456789abcdefABCDEF:.") != (size_t)(end - s - 1))
			return false;
		port = end + 1;
	} else {
		size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");

		if (!n || !isalnum((unsigned char)s[0]) || !isalnum((unsigned char)s[n - 1]))
			return false;
		port = s + n;
	}
	if (!*port)
		return true;
	size_t digits = strspn(port + 1, "0123456789");

	return *port == ':' && digits >= 1 && digits <= 5 && !port[1 + digits];
}

/* Components of [a-z0-9]+ joined by ".", "_", "__" or dashes, with slashes between. */
static bool repository_valid(const char *s)
{
	for (;;) {
		size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");

		if (!n)
			return false;
		s += n;
		if (!*s)
			return true;
		if (*s == '/' || *s == '.')
			s++;
		else if (*s == '_')
			s += s[1] == '_' ? 2 : 1;
		else if (*s == '-')
			s += strspn(s, "-");
		else
			return false;
	}
}

static bool tag_valid(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	return n >= 1 && n <= TAG_MAX && !s[n] && *s != '.' && *s != '-';
}

static int reference_error(const char *text, const char *why, struct error *e)
{
	return error_set(e, E_INVALID,
			 "image \"%.200s\": %s; write it as REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:HEX",
			 text, why);
}

/* Cuts the registry off name; the first component is one when it could be no repository's. */
static void split_registry(struct arena *a, char *name, struct oci_reference *ref)
{
	char *slash = strchr(name, '/');

	if (slash) {
		*slash = '\0';
		if (strpbrk(name, ".:[") || streq(name, "localhost") || strpbrk(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
			ref->registry = streq(name, "index.docker.io") ? "docker.io" : name;
			ref->repository = slash + 1;
			if (streq(ref->registry, "docker.io") && !strchr(ref->repository, '/'))
				ref->repository = arena_printf(a, "library/%s", ref->repository);
			return;
		}
		*slash = '/';
	}
	ref->registry = "docker.io";
	ref->repository = slash ? name : arena_printf(a, "library/%s", name);
}

int oci_reference_parse(struct arena *a, const char *text, struct oci_reference *ret, struct error *e)
{
	struct oci_reference ref = {0};

	if (!*text)
		return error_set(e, E_INVALID, "the image's name is empty");
	if (strlen(text) > REFERENCE_MAX)
		return error_set(e, E_INVALID, "the image's name is longer than %d characters", REFERENCE_MAX);
	for (const char *c = text; *c; c++)
		if (!isgraph((unsigned char)*c))
			return error_set(e, E_INVALID,
					 "the image's name has a blank or another character that names may not have");
	if (strstr(text, "://"))
		return reference_error(text, "an image's name has no scheme such as https://", e);
	char *name = arena_strdup(a, text), *at = strchr(name, '@');

	if (at) {
		*at = '\0';
		ref.digest = at + 1;
		if (!oci_digest_valid(ref.digest))
			return reference_error(text, "what follows @ is not sha256: and 64 lower-case hex digits", e);
	}
	char *slash = strrchr(name, '/'), *colon = strrchr(slash ? slash : name, ':');

	if (colon) {
		*colon = '\0';
		ref.tag = colon + 1;
		if (!tag_valid(ref.tag))
			return reference_error(text, "the tag has characters that tags may not have, or more than 128",
					       e);
	} else if (!at) {
		ref.tag = "latest";
	}
	split_registry(a, name, &ref);
	if (!registry_valid(ref.registry))
		return reference_error(text, "the registry is not HOST or HOST:PORT", e);
	if (!repository_valid(ref.repository))
		return reference_error(text, "the repository may hold a-z, 0-9, and single . _ - / between them", e);
	if (strlen(ref.registry) + 1 + strlen(ref.repository) > NAME_MAX_LEN)
		return reference_error(text, "registry and repository are longer than 255 characters", e);
	*ret = ref;
	return 0;
}

char *oci_reference_format(struct arena *a, const struct oci_reference *ref)
{
	return ref->digest ? arena_printf(a, "%s/%s@%s", ref->registry, ref->repository, ref->digest)
			   : arena_printf(a, "%s/%s:%s", ref->registry, ref->repository, ref->tag);
}

/* ---- media types ---- */

enum media { MEDIA_UNKNOWN, MEDIA_MANIFEST, MEDIA_INDEX, MEDIA_SCHEMA1, MEDIA_CONFIG, MEDIA_LAYER, MEDIA_FOREIGN };

static const struct {
	const char *name;
	enum media media;
} media_types[] = {
	{"application/vnd.oci.image.manifest.v1+json", MEDIA_MANIFEST},
	{"application/vnd.docker.distribution.manifest.v2+json", MEDIA_MANIFEST},
	{"application/vnd.oci.image.index.v1+json", MEDIA_INDEX},
	{"application/vnd.docker.distribution.manifest.list.v2+json", MEDIA_INDEX},
	{"application/vnd.docker.distribution.manifest.v1+json", MEDIA_SCHEMA1},
	{"application/vnd.docker.distribution.manifest.v1+prettyjws", MEDIA_SCHEMA1},
	{"application/vnd.oci.image.config.v1+json", MEDIA_CONFIG},
	{"application/vnd.docker.container.image.v1+json", MEDIA_CONFIG},
	{"application/vnd.oci.image.layer.v1.tar", MEDIA_LAYER},
	{"application/vnd.oci.image.layer.v1.tar+gzip", MEDIA_LAYER},
	{"application/vnd.oci.image.layer.v1.tar+zstd", MEDIA_LAYER},
	{"application/vnd.docker.image.rootfs.diff.tar", MEDIA_LAYER},
	{"application/vnd.docker.image.rootfs.diff.tar.gzip", MEDIA_LAYER},
	{"application/vnd.docker.image.rootfs.diff.tar.zstd", MEDIA_LAYER},
	{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MEDIA_FOREIGN},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar", MEDIA_FOREIGN},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", MEDIA_FOREIGN},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", MEDIA_FOREIGN},
};

/* Parameters ("; charset=utf-8") do not matter. */
static enum media media_lookup(const char *type)
{
	size_t n = strcspn(type, "; ");

	for (size_t i = 0; i < ARRAY_SIZE(media_types); i++)
		if (strlen(media_types[i].name) == n && strncasecmp(media_types[i].name, type, n) == 0)
			return media_types[i].media;
	return MEDIA_UNKNOWN;
}

/* ---- manifests and indexes ---- */

static int descriptor_parse(const struct json *v, const char *what, struct oci_descriptor *ret, struct error *e)
{
	struct oci_descriptor d = {json_str_or(json_get(v, "mediaType"), ""), json_str(json_get(v, "digest")),
				   json_int_or(json_get(v, "size"), -1)};

	if (!oci_digest_valid(d.digest))
		return error_set(e, E_INVALID, "the manifest's %s has no sha256 digest", what);
	if (d.size < 0 || d.size > OCI_BLOB_MAX)
		return error_set(e, E_INVALID, "the manifest's %s has no size from 0 to 1 TiB", what);
	*ret = d;
	return 0;
}

static const char *platform_text(struct arena *a, const struct json *platform)
{
	const char *variant = json_str_or(json_get(platform, "variant"), "");

	return arena_printf(a, "%.32s/%.32s%s%.32s", json_str_or(json_get(platform, "os"), "?"),
			    json_str_or(json_get(platform, "architecture"), "?"), *variant ? "/" : "", variant);
}

static int platform_error(struct arena *a, const struct json *manifests, struct error *e)
{
	const char *shown[PLATFORMS_SHOWN];
	size_t n = 0;
	_buf_ list = BUF_INIT(512);

	for (size_t i = 0; i < json_count(manifests) && n < PLATFORMS_SHOWN; i++) {
		const char *text = platform_text(a, json_get(json_item(manifests, i), "platform"));
		bool seen = str_starts(text, "unknown/") || str_starts(text, "?");

		for (size_t k = 0; k < n; k++)
			seen = seen || streq(shown[k], text);
		if (seen)
			continue;
		buf_addf(&list, "%s%s", n ? ", " : "", text);
		shown[n++] = text;
	}
	if (!n)
		return error_set(e, E_INVALID,
				 "the image is not there for linux/amd64: its index lists no platform at all");
	return error_set(e, E_INVALID, "the image is not there for linux/amd64, only for %s", list.data);
}

/* The better fit for linux/amd64: 3 exactly, 2 of a newer variant, 1 without a platform, 0 not at all. */
static int platform_rank(const struct json *entry)
{
	const struct json *p = json_get(entry, "platform");
	const char *variant = json_str_or(json_get(p, "variant"), "");

	if (!json_is(p, JSON_OBJECT))
		return 1;
	if (!streq(json_str(json_get(p, "os")), "linux") || !streq(json_str(json_get(p, "architecture")), "amd64"))
		return 0;
	return !*variant || streq(variant, "v1") ? 3 : 2;
}

static int index_parse(struct arena *a, const struct json *doc, struct oci_descriptor *ret_child, struct error *e)
{
	const struct json *manifests = json_get(doc, "manifests"), *best = NULL;
	int best_rank = 0;

	for (size_t i = 0; i < json_count(manifests); i++) {
		const struct json *entry = json_item(manifests, i);
		enum media media = media_lookup(json_str_or(json_get(entry, "mediaType"), ""));
		int rank = media == MEDIA_MANIFEST || media == MEDIA_INDEX ? platform_rank(entry) : 0;

		if (rank > best_rank) {
			best = entry;
			best_rank = rank;
		}
	}
	if (!best)
		return platform_error(a, manifests, e);
	return descriptor_parse(best, "entry for linux/amd64", ret_child, e);
}

static int layer_parse(const struct json *v, size_t i, struct oci_layer *ret, struct error *e)
{
	char what[32];

	snprintf(what, sizeof(what), "layer %zu", i + 1);
	int r = descriptor_parse(v, what, &ret->blob, e);

	if (r)
		return r;
	switch (media_lookup(ret->blob.media_type)) {
	case MEDIA_LAYER:
		return 0;
	case MEDIA_FOREIGN:
		return error_set(e, E_INVALID, "layer %zu is a foreign layer, which is not in the registry (%s)", i + 1,
				 ret->blob.media_type);
	default:
		return error_set(e, E_INVALID, "layer %zu is of the type \"%.100s\", not a tar layer", i + 1,
				 ret->blob.media_type);
	}
}

static int manifest_parse(struct arena *a, const struct json *doc, size_t len, struct oci_image *ret, struct error *e)
{
	const struct json *layers = json_get(doc, "layers");
	struct oci_image image = {.layer_count = json_count(layers)};
	int r = descriptor_parse(json_get(doc, "config"), "configuration", &image.config_blob, e);

	if (r)
		return r;
	if (media_lookup(image.config_blob.media_type) != MEDIA_CONFIG)
		return error_set(e, E_INVALID, "not a container image: its configuration is of the type \"%.100s\"",
				 image.config_blob.media_type);
	if (image.config_blob.size > OCI_CONFIG_MAX)
		return error_set(e, E_TOO_LARGE, "the image's configuration is larger than 4 MiB");
	if (!image.layer_count)
		return error_set(e, E_INVALID, "the image has no layers");
	if (image.layer_count > OCI_LAYERS_MAX)
		return error_set(e, E_INVALID, "the image has %zu layers; at most %u are taken", image.layer_count,
				 OCI_LAYERS_MAX);
	image.layers = arena_calloc(a, image.layer_count * sizeof(*image.layers));
	image.size = (int64_t)len + image.config_blob.size;
	for (size_t i = 0; i < image.layer_count; i++) {
		r = layer_parse(json_item(layers, i), i, &image.layers[i], e);
		if (r)
			return r;
		image.size += image.layers[i].blob.size;
	}
	*ret = image;
	return 0;
}

int oci_document_parse(struct arena *a, const char *media_type, const char *text, size_t len,
		       enum oci_document *ret_kind, struct oci_descriptor *ret_child, struct oci_image *ret,
		       struct error *e)
{
	static const struct json_options limits = {.max_bytes = OCI_MANIFEST_MAX};
	struct json *doc;

	if (len > OCI_MANIFEST_MAX)
		return error_set(e, E_TOO_LARGE, "the image's manifest is larger than 4 MiB");
	struct error why;
	int r = json_parse(a, text, len, &limits, &doc, &why);

	if (r)
		return error_set(e, E_INVALID, "the image's manifest: %s", why.text);
	enum media outer = media_lookup(media_type), inner = media_lookup(json_str_or(json_get(doc, "mediaType"), ""));

	if (outer == MEDIA_SCHEMA1 || inner == MEDIA_SCHEMA1 || json_int_or(json_get(doc, "schemaVersion"), 0) == 1)
		return error_set(
			e, E_INVALID,
			"the image's manifest is of schema 1, which is obsolete; push the image again with a current tool");
	bool index = json_is(json_get(doc, "manifests"), JSON_ARRAY),
	     manifest = json_is(json_get(doc, "layers"), JSON_ARRAY);

	if (json_int_or(json_get(doc, "schemaVersion"), 0) != 2 || index == manifest)
		return error_set(e, E_INVALID,
				 "not a container image: its manifest is neither an image manifest nor an index");
	enum media is = index ? MEDIA_INDEX : MEDIA_MANIFEST;

	if ((outer != MEDIA_UNKNOWN && outer != is) || (inner != MEDIA_UNKNOWN && inner != is))
		return error_set(e, E_INVALID, "the image's manifest contradicts its media type");
	r = index ? index_parse(a, doc, ret_child, e) : manifest_parse(a, doc, len, ret, e);
	if (!r)
		*ret_kind = index ? OCI_INDEX : OCI_MANIFEST;
	return r;
}

/* ---- configuration ---- */

static bool text_ok(const struct json *v)
{
	return json_is(v, JSON_STRING) && strlen(json_str(v)) == json_strlen(v);
}

/* A list of strings, or the keys of an object, or null. */
static int strings_parse(struct arena *a, const struct json *config, const char *name, struct oci_strings *ret,
			 struct error *e)
{
	const struct json *v = json_get(config, name);
	struct oci_strings s = {0};
	bool keys = json_is(v, JSON_OBJECT);

	if (!v || json_is(v, JSON_NULL)) {
		*ret = s;
		return 0;
	}
	if (!keys && !json_is(v, JSON_ARRAY))
		return error_set(e, E_INVALID, "the image's configuration: %s is not a list", name);
	s.items = arena_calloc(a, (json_count(v) + 1) * sizeof(*s.items));
	for (size_t i = 0; i < json_count(v); i++) {
		if (!keys && !text_ok(json_item(v, i)))
			return error_set(e, E_INVALID, "the image's configuration: %s has an entry that is no text",
					 name);
		s.items[s.count++] = keys ? json_key(v, i) : json_str(json_item(v, i));
	}
	*ret = s;
	return 0;
}

static int string_parse(const struct json *config, const char *name, const char **ret, struct error *e)
{
	const struct json *v = json_get(config, name);

	if (v && !json_is(v, JSON_NULL) && !text_ok(v))
		return error_set(e, E_INVALID, "the image's configuration: %s is no text", name);
	*ret = json_str_or(v, "");
	return 0;
}

static int diff_ids_parse(const struct json *doc, struct oci_image *image, struct error *e)
{
	const struct json *ids = json_in(doc, "rootfs", "diff_ids");

	if (json_count(ids) != image->layer_count)
		return error_set(e, E_INVALID, "the image's configuration names %zu layers, its manifest %zu",
				 json_count(ids), image->layer_count);
	for (size_t i = 0; i < image->layer_count; i++)
		if (!oci_digest_valid(json_str(json_item(ids, i))))
			return error_set(e, E_INVALID, "the image's configuration: diff_id %zu is no sha256 digest",
					 i + 1);
	for (size_t i = 0; i < image->layer_count; i++)
		image->layers[i].diff_id = json_str(json_item(ids, i));
	return 0;
}

int oci_config_parse(struct arena *a, const char *text, size_t len, struct oci_image *image, struct error *e)
{
	static const struct json_options limits = {.max_bytes = OCI_CONFIG_MAX};
	struct oci_config c = {0};
	struct json *doc;

	struct error why;

	if (json_parse(a, text, len, &limits, &doc, &why))
		return error_set(e, E_INVALID, "the image's configuration: %s", why.text);
	if (!streq(json_str(json_get(doc, "os")), "linux") || !streq(json_str(json_get(doc, "architecture")), "amd64"))
		return error_set(e, E_INVALID, "the image is for %s, not for linux/amd64", platform_text(a, doc));
	const struct json *config = json_get(doc, "config");
	int r = strings_parse(a, config, "Entrypoint", &c.entrypoint, e);

	if (r || (r = strings_parse(a, config, "Cmd", &c.cmd, e)) || (r = strings_parse(a, config, "Env", &c.env, e)) ||
	    (r = strings_parse(a, config, "Volumes", &c.volumes, e)) ||
	    (r = strings_parse(a, config, "ExposedPorts", &c.ports, e)) ||
	    (r = string_parse(config, "User", &c.user, e)) ||
	    (r = string_parse(config, "WorkingDir", &c.working_dir, e)) ||
	    (r = string_parse(config, "StopSignal", &c.stop_signal, e)) || (r = diff_ids_parse(doc, image, e)))
		return r;
	image->config = c;
	return 0;
}

static void strings_to_json(struct arena *a, struct json *o, const char *name, const struct oci_strings *s)
{
	if (!s->count)
		return;
	struct json *list = json_set(a, o, name, json_array(a));

	for (size_t i = 0; i < s->count; i++)
		json_append(a, list, json_string(a, s->items[i]));
}

static void string_to_json(struct arena *a, struct json *o, const char *name, const char *s)
{
	json_set_str(a, o, name, s && *s ? s : NULL);
}

struct json *oci_config_to_json(struct arena *a, const struct oci_config *c)
{
	struct json *o = json_object(a);

	strings_to_json(a, o, "entrypoint", &c->entrypoint);
	strings_to_json(a, o, "cmd", &c->cmd);
	strings_to_json(a, o, "env", &c->env);
	string_to_json(a, o, "user", c->user);
	string_to_json(a, o, "workingDir", c->working_dir);
	strings_to_json(a, o, "volumes", &c->volumes);
	string_to_json(a, o, "stopSignal", c->stop_signal);
	return o;
}

static void strings_from_json(struct arena *a, const struct json *o, const char *name, struct oci_strings *ret)
{
	const struct json *list = json_get(o, name);

	*ret = (struct oci_strings){0};
	if (!json_is(list, JSON_ARRAY))
		return;
	ret->items = arena_calloc(a, (json_count(list) + 1) * sizeof(*ret->items));
	for (size_t i = 0; i < json_count(list); i++)
		if (json_str(json_item(list, i)))
			ret->items[ret->count++] = arena_strdup(a, json_str(json_item(list, i)));
}

void oci_config_from_json(struct arena *a, const struct json *v, struct oci_config *ret)
{
	*ret = (struct oci_config){0};
	strings_from_json(a, v, "entrypoint", &ret->entrypoint);
	strings_from_json(a, v, "cmd", &ret->cmd);
	strings_from_json(a, v, "env", &ret->env);
	strings_from_json(a, v, "volumes", &ret->volumes);
	ret->user = arena_strdup(a, json_str_or(json_get(v, "user"), ""));
	ret->working_dir = arena_strdup(a, json_str_or(json_get(v, "workingDir"), ""));
	ret->stop_signal = arena_strdup(a, json_str_or(json_get(v, "stopSignal"), ""));
}
