/*
 * registry_keys.c - parsing and matching of registry credentials; see registry_keys.h.
 *
 * Sources: Kubernetes, "Pull an Image from a Private Registry" and "Interpretation of config.json" in "Images";
 * Amazon ECR User Guide, "Private registry authentication", for the names of its registries.
 */
#include "lib/registry_keys.h"

#include <ctype.h>
#include <fnmatch.h>
#include <strings.h>

#include "lib/codec.h"

#define HUB_HOST "docker.io"
#define HUB_KEY "index.docker.io" /* what docker login writes for it, as https://index.docker.io/v1/ */
#define LABEL_MAX 256

/* ---- noting ---- */

static void note_source(struct arena *a, struct registry_keys *k, const char *source)
{
	k->sources = k->sources ? arena_printf(a, "%s, %s", k->sources, source) : source;
}

static void note_problem(struct registry_keys *k, char *text)
{
	if (!k->problem)
		k->problem = text;
}

void registry_keys_missing(struct arena *a, struct registry_keys *k, const char *ns, const char *name, const char *what)
{
	note_source(a, k, arena_printf(a, "Secret %s/%s", ns, name));
	note_problem(k, arena_printf(a, "Secret %s/%s %s", ns, name, what));
}

static void add(struct arena *a, struct registry_keys *k, const struct registry_key *key)
{
	if (k->count == REGISTRY_KEYS_MAX)
		return;
	if (k->count == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 4;
		struct registry_key *grown = arena_alloc(a, cap * sizeof(*grown));

		if (k->count)
			memcpy(grown, k->items, k->count * sizeof(*grown));
		k->items = grown;
		k->cap = cap;
	}
	k->items[k->count++] = *key;
}

/* ---- patterns ---- */

/* "https://index.docker.io/v1/" → "index.docker.io"; NULL when there is no host. */
static char *pattern_of(struct arena *a, const char *key)
{
	const char *s = key;

	if (str_starts(s, "https://"))
		s += strlen("https://");
	else if (str_starts(s, "http://"))
		s += strlen("http://");
	size_t host = strcspn(s, "/");
	const char *path = s + host;

	if (!host)
		return NULL;
	if (str_starts(path, "/v1/") || str_starts(path, "/v2/"))
		path += strlen("/v1");
	return arena_printf(a, "%.*s%s", (int)host, s, streq(path, "/") ? "" : path);
}

/* Splits "host:port" or "[v6]:port"; *ret_port is "" without one. */
static size_t host_length(const char *s, size_t len, const char **ret_port, size_t *ret_port_len)
{
	size_t n = len;

	while (n && s[n - 1] != ':' && s[n - 1] != ']')
		n--;
	if (!n || s[n - 1] == ']') {
		*ret_port_len = 0;
		return len;
	}
	*ret_port = s + n;
	*ret_port_len = len - n;
	return n - 1;
}

/* The label at *s, which moves behind the dot. False at the end, and for a label nobody has. */
static bool next_label(const char **s, const char *end, char out[LABEL_MAX])
{
	const char *dot;

	if (!*s)
		return false;
	dot = memchr(*s, '.', (size_t)(end - *s));
	size_t n = (size_t)((dot ? dot : end) - *s);

	if (n >= LABEL_MAX)
		return false;
	memcpy(out, *s, n);
	out[n] = '\0';
	*s = dot ? dot + 1 : NULL;
	return true;
}

/* Label by label, so that * does not reach across a dot. */
static bool host_matches(const char *glob, size_t glob_len, const char *host, size_t host_len)
{
	const char *g = glob, *h = host;
	char gl[LABEL_MAX], hl[LABEL_MAX];

	while (g && h)
		if (!next_label(&g, glob + glob_len, gl) || !next_label(&h, host + host_len, hl) ||
		    fnmatch(gl, hl, FNM_CASEFOLD))
			return false;
	return !g && !h;
}

static bool pattern_matches(const char *pattern, const struct oci_reference *ref)
{
	size_t len = strcspn(pattern, "/"), reg_len = strlen(ref->registry), port_len, reg_port_len;
	const char *path = pattern + len, *port = "", *reg_port = "";
	size_t host = host_length(pattern, len, &port, &port_len);
	size_t reg_host = host_length(ref->registry, reg_len, &reg_port, &reg_port_len);

	if (streq(pattern, HUB_KEY))
		return streq(ref->registry, HUB_HOST);
	if (port_len != reg_port_len || (port_len && memcmp(port, reg_port, port_len) != 0))
		return false;
	return host_matches(pattern, host, ref->registry, reg_host) &&
	       (!*path || str_starts(ref->repository, path + 1));
}

/* ---- docker configurations ---- */

/* May the text stand in a message? Keys of a configuration are registries, but who knows. */
static bool is_plain(const char *s)
{
	size_t n = 0;

	while (isgraph((unsigned char)s[n]))
		n++;
	return !s[n] && n && n < 256;
}

/* base64 of "user:password". */
static bool decode_auth(struct arena *a, const char *auth, struct registry_credentials *cred)
{
	_buf_ text = BUF_INIT(REGISTRY_SECRET_MAX);
	const char *colon;

	if (base64_decode(auth, strlen(auth), &text, NULL) || text.over || !text.len ||
	    memchr(text.data, '\0', text.len) || !(colon = strchr(text.data, ':')))
		return false;
	cred->username = arena_strndup(a, text.data, (size_t)(colon - text.data));
	cred->password = arena_strdup(a, colon + 1);
	explicit_bzero(text.data, text.len);
	return true;
}

static void add_entry(struct arena *a, struct registry_keys *k, const char *source, const char *registry,
		      const struct json *entry)
{
	struct registry_key key = {.pattern = pattern_of(a, registry), .cred.source = source};
	const char *auth = json_str(json_get(entry, "auth")), *shown = is_plain(registry) ? registry : "a registry";

	key.cred.username = json_str(json_get(entry, "username"));
	key.cred.password = json_str_or(json_get(entry, "password"), "");
	if (!key.pattern) {
		note_problem(k, arena_printf(a, "%s has an entry without a registry's name: take it out", source));
		return;
	}
	if (auth && *auth && !decode_auth(a, auth, &key.cred)) {
		note_problem(
			k, arena_printf(a, "%s has a broken entry for %s: its auth is not the base64 of USER:PASSWORD",
					source, shown));
		return;
	}
	if (!key.cred.username || (!*key.cred.username && !*key.cred.password)) {
		note_problem(k, arena_printf(a,
					     "%s holds no password for %s: a docker config.json whose passwords are in "
					     "a credential helper is of no use",
					     source, shown));
		return;
	}
	add(a, k, &key);
}

/* A decoded value of a Secret; NULL when it is not there. It may hold NUL; *ret_len counts. */
static char *value_of(struct arena *a, const struct json *secret, const char *key, size_t *ret_len)
{
	const char *encoded = json_str(json_in(secret, "data", key));
	_buf_ text = BUF_INIT(REGISTRY_SECRET_MAX);

	if (!encoded || base64_decode(encoded, strlen(encoded), &text, NULL) || text.over)
		return NULL;
	char *value = arena_strndup(a, text.data ? text.data : "", 0);

	if (text.len) {
		value = arena_alloc(a, text.len + 1);
		memcpy(value, text.data, text.len);
		value[text.len] = '\0';
		explicit_bzero(text.data, text.len);
	}
	*ret_len = text.len;
	return value;
}

static void add_docker(struct arena *a, struct registry_keys *k, const struct json *secret, const char *source,
		       const char *key, bool has_auths)
{
	struct json *doc;
	size_t len = 0;
	char *text = value_of(a, secret, key, &len);

	if (!text) {
		note_problem(k, arena_printf(a, "%s has no %s: make it anew with kubectl create secret docker-registry",
					     source, key));
		return;
	}
	/* The parser's own message would quote what it choked on. */
	if (json_parse(a, text, len, NULL, &doc, NULL) || !json_is(doc, JSON_OBJECT) ||
	    (has_auths && !json_is(doc = json_get(doc, "auths"), JSON_OBJECT))) {
		note_problem(k, arena_printf(a, "%s holds no docker configuration in %s: it should be JSON%s", source,
					     key, has_auths ? " with an object \"auths\"" : ""));
		return;
	}
	for (size_t i = 0; i < json_count(doc); i++)
		add_entry(a, k, source, json_key(doc, i), json_item(doc, i));
}

/* ---- AWS ---- */

/* What goes into headers and signatures: printable, without blanks. */
static char *aws_value(struct arena *a, const struct json *secret, const char *key)
{
	size_t len = 0;
	char *v = value_of(a, secret, key, &len);

	while (v && len && isspace((unsigned char)v[len - 1]))
		v[--len] = '\0'; /* files end with a newline */
	for (size_t i = 0; v && i < len; i++)
		if (!isgraph((unsigned char)v[i]))
			return NULL;
	return v && len ? v : NULL;
}

static void add_aws(struct arena *a, struct registry_keys *k, const struct json *secret, const char *source)
{
	struct registry_key key = {.cred = {.username = aws_value(a, secret, "AWS_ACCESS_KEY_ID"),
					    .password = aws_value(a, secret, "AWS_SECRET_ACCESS_KEY"),
					    .source = source},
				   .session_token = aws_value(a, secret, "AWS_SESSION_TOKEN")};

	if (!key.cred.username || !key.cred.password)
		note_problem(k, arena_printf(a, "%s needs both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", source));
	else
		add(a, k, &key);
}

/* [0-9]{12} dot "dkr" dot "ecr" or "ecr-fips" dot region dot domain. */
bool registry_ecr_parse(struct arena *a, const char *host, struct registry_ecr_host *ret)
{
	static const char *const domains[] = {"amazonaws.com", "amazonaws.com.cn"};
	size_t digits = strspn(host, "0123456789"), region;
	struct registry_ecr_host h = {0};
	const char *p = host + digits;

	if (digits != 12 || !str_starts(p, ".dkr.ecr"))
		return false;
	p += strlen(".dkr.ecr");
	h.fips = str_starts(p, "-fips.");
	p += h.fips ? strlen("-fips") : 0;
	region = *p == '.' ? strspn(p + 1, "abcdefghijklmnopqrstuvwxyz0123456789-") : 0;
	if (!region || p[1 + region] != '.')
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(domains); i++)
		if (streq(p + 1 + region + 1, domains[i]))
			h.domain = domains[i];
	if (!h.domain)
		return false;
	h.region = arena_strndup(a, p + 1, region);
	*ret = h;
	return true;
}

/* ---- Secrets ---- */

void registry_keys_add(struct arena *a, struct registry_keys *k, const struct json *secret)
{
	const char *type = json_str_or(json_get(secret, "type"), "Opaque");
	char *source = arena_printf(a, "Secret %s/%s", json_str_or(json_in(secret, "metadata", "namespace"), "default"),
				    json_str_or(json_in(secret, "metadata", "name"), "(without a name)"));

	note_source(a, k, source);
	if (streq(type, "kubernetes.io/dockerconfigjson"))
		add_docker(a, k, secret, source, ".dockerconfigjson", true);
	else if (streq(type, "kubernetes.io/dockercfg"))
		add_docker(a, k, secret, source, ".dockercfg", false);
	else if (streq(type, "berth.dev/aws"))
		add_aws(a, k, secret, source);
	else
		note_problem(k, arena_printf(a,
					     "%s is of type %s: an image pull Secret is of type "
					     "kubernetes.io/dockerconfigjson or berth.dev/aws",
					     source, is_plain(type) ? type : "(odd)"));
}

void registry_keys_add_one(struct arena *a, struct registry_keys *k, const char *pattern,
			   const struct registry_credentials *cred)
{
	struct registry_key key = {.pattern = arena_strdup(a, pattern), .cred = *cred};

	add(a, k, &key);
}

/* ---- matching ---- */

static bool key_fits(const struct registry_key *key, const struct oci_reference *ref)
{
	_arena_ a = arena_new();
	struct registry_ecr_host ecr;

	return key->pattern ? pattern_matches(key->pattern, ref) : registry_ecr_parse(a, ref->registry, &ecr);
}

/* As the kubelet sorts: patterns backwards by their bytes, so that a longer path comes before a shorter one. AWS keys
 * come last. */
static bool goes_before(const struct registry_key *x, const struct registry_key *y)
{
	return strcmp(x->pattern ? x->pattern : "", y->pattern ? y->pattern : "") > 0;
}

size_t registry_keys_match(const struct registry_keys *k, const struct oci_reference *ref,
			   const struct registry_key *out[REGISTRY_KEY_TRIES])
{
	size_t n = 0;

	for (size_t i = 0; k && i < k->count; i++) {
		const struct registry_key *key = &k->items[i];
		size_t at = n;

		if (!key_fits(key, ref))
			continue;
		while (at && goes_before(key, out[at - 1]))
			at--;
		if (at == REGISTRY_KEY_TRIES)
			continue;
		n += n < REGISTRY_KEY_TRIES;
		memmove(&out[at + 1], &out[at], (n - at - 1) * sizeof(*out));
		out[at] = key;
	}
	return n;
}
