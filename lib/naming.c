/*
 * naming.c - names and sizes derived by rule; see naming.h and docs/architecture.md, "Names".
 */
#include "lib/naming.h"

#include "lib/codec.h"

#include <ctype.h>

#define LABEL_MAX 63
#define SUBDOMAIN_MAX 253
#define PLAIN_ID_MAX 40
#define SLUG_MAX 29
#define HASH_DIGITS 10

static bool label_ok(const char *s, size_t len, size_t max)
{
	if (!len || len > max)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool alnum = (s[i] >= 'a' && s[i] <= 'z') || isdigit((unsigned char)s[i]);

		if (!alnum && (s[i] != '-' || i == 0 || i == len - 1))
			return false;
	}
	return true;
}

bool name_is_label(const char *s)
{
	return label_ok(s, strlen(s), LABEL_MAX);
}

bool name_is_subdomain(const char *s)
{
	if (strlen(s) > SUBDOMAIN_MAX)
		return false;
	for (;; s++) {
		size_t len = strcspn(s, ".");

		/* Kubernetes bounds the whole name only: its parts may be longer than DNS allows. */
		if (!label_ok(s, len, SUBDOMAIN_MAX))
			return false;
		s += len;
		if (!*s)
			return true;
	}
}

static bool ends_like_hash(const char *id)
{
	size_t len = strlen(id), tail = HASH_DIGITS + 2;

	return len >= tail && str_starts(id + len - tail, "-h") &&
	       strspn(id + len - HASH_DIGITS, "0123456789abcdef") == HASH_DIGITS;
}

/* Letters and digits of the ID in lower case, runs of anything else as one dash; "x" when nothing is left: without a
 * slug, "<container>.h<hash>" would be the name of the ID "h<hash>" as well. */
static char *slug(struct arena *a, const char *id)
{
	char *out = arena_alloc(a, SLUG_MAX + 1);
	size_t n = 0;

	for (; *id && n < SLUG_MAX; id++) {
		if (isascii((unsigned char)*id) && isalnum((unsigned char)*id))
			out[n++] = (char)tolower((unsigned char)*id);
		else if (n && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n && out[n - 1] == '-')
		n--;
	if (!n)
		out[n++] = 'x';
	out[n] = '\0';
	return out;
}

int instance_name(struct arena *a, const char *container, const char *id, char **ret, struct error *e)
{
	size_t len = strlen(id);
	char hex[SHA256_HEX_MAX];

	if (!len || len > INSTANCE_ID_MAX)
		return error_set_field(e, E_INVALID, "spec.id", "an ID has 1 to %d bytes, this one has %zu",
				       INSTANCE_ID_MAX, len);
	for (size_t i = 0; i < len; i++)
		if (iscntrl((unsigned char)id[i]))
			return error_set_field(e, E_INVALID, "spec.id",
					       "an ID has no control characters, byte %zu is one", i);
	if (utf8_prefix(id, len) != len)
		return error_set_field(e, E_INVALID, "spec.id", "an ID is UTF-8, byte %zu is not",
				       utf8_prefix(id, len));
	if (len <= PLAIN_ID_MAX && name_is_label(id) && !ends_like_hash(id)) {
		*ret = arena_printf(a, "%s.%s", container, id);
		return 0;
	}
	const char *s = slug(a, id);

	sha256_hex(id, len, hex);
	*ret = arena_printf(a, "%s.%s-h%.*s", container, s, HASH_DIGITS, hex);
	return 0;
}

char *image_object_name(struct arena *a, const char *digest)
{
	static const char algorithm[] = "sha256:";
	const char *hex = digest + strlen(algorithm);

	if (!str_starts(digest, algorithm) || strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64)
		return NULL;
	return arena_printf(a, "sha256-%s", hex);
}

/* Memory in binary units, disk in decimal ones; a sixteenth of a vCPU is rounded up. */
static const struct {
	const char *name;
	int64_t milli_vcpu, memory_mib, disk_gb;
} types[] = {
	{"lite", 63, 256, 2},		{"basic", 250, 1024, 4},	{"standard-1", 500, 4096, 8},
	{"standard-2", 1000, 6144, 12}, {"standard-3", 2000, 8192, 16}, {"standard-4", 4000, 12288, 20},
};

bool instance_type_lookup(const char *type, int64_t *ret_milli_vcpu, int64_t *ret_memory, int64_t *ret_disk)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!streq(types[i].name, type))
			continue;
		*ret_milli_vcpu = types[i].milli_vcpu;
		*ret_memory = types[i].memory_mib << 20;
		*ret_disk = types[i].disk_gb * 1000 * 1000 * 1000;
		return true;
	}
	return false;
}
