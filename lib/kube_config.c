/*
 * kube_config.c - kubeconfig files, read as kubectl reads them.
 *
 * Source: kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig and k8s.io/client-go,
 * tools/clientcmd: the first file that sets a cluster, user, context or current-context wins; files of $KUBECONFIG that
 * do not exist are skipped; paths are relative to the file that holds them; *-data beats the file name beside it.
 */
#include "lib/kube_internal.h"

#include "lib/codec.h"
#include "lib/fsutil.h"
#include "lib/yaml.h"

#include <stdio.h>
#include <sys/mman.h>

#define FILE_MAX_BYTES (4U << 20)
#define FILES_MAX 32

struct source {
	const char *path;
	const struct json *doc;
};

struct sources {
	struct arena *a;
	struct source files[FILES_MAX];
	size_t count;
};

static int read_file(struct sources *s, const char *path, bool must_exist, struct error *e)
{
	_buf_ text = BUF_INIT(FILE_MAX_BYTES);
	struct json *docs = NULL;
	int r = file_read(path, &text, e);

	if (r == -E_NOT_FOUND && !must_exist)
		return 0;
	if (r < 0)
		return error_prefix(e, "kubeconfig");
	if (s->count == FILES_MAX)
		return error_set(e, E_INVALID, "KUBECONFIG names more than %d files", FILES_MAX);
	r = yaml_parse(s->a, text.data ? text.data : "", text.len, &docs, e);
	if (r < 0)
		return error_prefix(e, "kubeconfig %s", path);
	if (json_count(docs) > 1 || (json_count(docs) && !json_is(json_item(docs, 0), JSON_OBJECT)))
		return error_set(e, E_INVALID, "kubeconfig %s: expected one document that is a mapping", path);
	s->files[s->count].path = arena_strdup(s->a, path);
	s->files[s->count++].doc = json_item(docs, 0);
	return 0;
}

static int read_all(struct sources *s, const char *path, struct error *e)
{
	const char *list = getenv("KUBECONFIG"), *home = getenv("HOME");
	int r = 0;

	if (path && path[0])
		return read_file(s, path, true, e);
	if (!list || !list[0]) {
		if (home && home[0])
			r = read_file(s, arena_printf(s->a, "%s/.kube/config", home), false, e);
	}
	for (const char *p = list; p && *p && r == 0;) {
		size_t n = strcspn(p, ":");

		if (n)
			r = read_file(s, arena_strndup(s->a, p, n), false, e);
		p += n + (p[n] == ':');
	}
	if (r == 0 && !s->count)
		return error_set(e, E_NOT_FOUND,
				 "no kubeconfig found: set KUBECONFIG or name a file with --kubeconfig");
	return r;
}

/* The entry `name` of a list like "clusters", from the first file that has it. */
static const struct json *find_entry(const struct sources *s, const char *list, const char *name, const char *member,
				     const struct source **ret_file)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct json *entries = json_get(s->files[i].doc, list);

		for (size_t n = 0; n < json_count(entries); n++) {
			const struct json *entry = json_item(entries, n);

			if (streq(json_str(json_get(entry, "name")), name)) {
				*ret_file = &s->files[i];
				return json_get(entry, member);
			}
		}
	}
	return NULL;
}

/* A file that nobody else can open and that is gone with the process. */
static int private_file(struct arena *a, const char *data, size_t len, const char **ret, struct error *e)
{
	_close_ int fd = memfd_create("kubeconfig", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return error_set(e, E_IO, "cannot make a private file");
	r = fd_write_all(fd, data, len, e);
	if (r < 0)
		return r;
	*ret = arena_printf(a, "/proc/self/fd/%d", fd);
	fd = -1;
	return 0;
}

static const char *beside(struct arena *a, const struct source *f, const char *path)
{
	const char *slash = strrchr(f->path, '/');

	if (path[0] == '/' || !slash)
		return arena_strdup(a, path);
	return arena_printf(a, "%.*s/%s", (int)(slash - f->path), f->path, path);
}

/* Path of the file that `name` names or `name`-data holds; NULL when neither is there. */
static int file_field(struct arena *a, const struct source *f, const struct json *from, const char *name,
		      const char **ret, struct error *e)
{
	char data_name[64];
	const char *path = json_str_or(json_get(from, name), ""), *data;
	_buf_ decoded = BUF_INIT(FILE_MAX_BYTES);
	struct error cause;
	int r;

	snprintf(data_name, sizeof(data_name), "%s-data", name);
	data = json_str_or(json_get(from, data_name), "");
	if (data[0]) {
		if (base64_decode(data, strlen(data), &decoded, &cause) < 0)
			return error_set_field(e, E_INVALID, data_name, "kubeconfig %s: %s is not base64: %s", f->path,
					       data_name, cause.text);
		return private_file(a, decoded.data ? decoded.data : "", decoded.len, ret, e);
	}
	if (!path[0])
		return 0;
	path = beside(a, f, path);
	if (access(path, R_OK) < 0) {
		r = error_set_field(e, E_NOT_FOUND, name, "kubeconfig %s: %s names %s, which cannot be read", f->path,
				    name, path);
		return r;
	}
	*ret = path;
	return 0;
}

static int refuse_unsupported(const struct source *f, const struct json *from, const char *const *names,
			      struct error *e)
{
	for (; *names; names++)
		if (json_get(from, *names) && !json_is(json_get(from, *names), JSON_NULL))
			return error_set_field(
				e, E_INVALID, *names,
				"kubeconfig %s: %s is not supported; use a token or a client certificate, "
				"and a direct connection",
				f->path, *names);
	return 0;
}

static int load_cluster(struct arena *a, const struct source *f, const struct json *cluster, struct kube_config *cfg,
			struct error *e)
{
	static const char *const unsupported[] = {"proxy-url", "tls-server-name", NULL};
	const char *server = json_str_or(json_get(cluster, "server"), "");
	int r;

	if (!server[0])
		return error_set_field(e, E_INVALID, "server", "kubeconfig %s: the cluster has no server address",
				       f->path);
	if (!str_starts(server, "https://") && !str_starts(server, "http://"))
		server = arena_printf(a, "http://%s", server); /* as client-go completes it */
	cfg->server = arena_strdup(a, server);
	cfg->insecure = json_bool_or(json_get(cluster, "insecure-skip-tls-verify"), false);
	r = refuse_unsupported(f, cluster, unsupported, e);
	if (r == 0)
		r = file_field(a, f, cluster, "certificate-authority", &cfg->ca_file, e);
	if (r == 0 && cfg->insecure && cfg->ca_file)
		return error_set_field(e, E_INVALID, "insecure-skip-tls-verify",
				       "kubeconfig %s: certificate-authority and insecure-skip-tls-verify exclude each "
				       "other; remove one",
				       f->path);
	return r;
}

static int load_token_file(struct arena *a, const struct source *f, const char *path, struct kube_config *cfg,
			   struct error *e)
{
	_buf_ b = BUF_INIT(64 << 10);
	int r = file_read(beside(a, f, path), &b, e);

	if (r < 0)
		return error_prefix(e, "kubeconfig %s: tokenFile", f->path);
	while (b.len && strchr(" \t\r\n", b.data[b.len - 1]))
		b.len--;
	if (b.len)
		cfg->token = arena_strndup(a, b.data, b.len);
	return 0;
}

static int load_user(struct arena *a, const struct source *f, const struct json *user, struct kube_config *cfg,
		     struct error *e)
{
	static const char *const unsupported[] = {"exec", "auth-provider", "username", "as", NULL};
	const char *token = json_str_or(json_get(user, "token"), "");
	const char *token_file = json_str_or(json_get(user, "tokenFile"), "");
	int r = refuse_unsupported(f, user, unsupported, e);

	if (r == 0)
		r = file_field(a, f, user, "client-certificate", &cfg->cert_file, e);
	if (r == 0)
		r = file_field(a, f, user, "client-key", &cfg->key_file, e);
	if (r < 0)
		return r;
	if (!cfg->cert_file != !cfg->key_file)
		return error_set_field(e, E_INVALID, cfg->cert_file ? "client-key" : "client-certificate",
				       "kubeconfig %s: client-certificate and client-key must be given together",
				       f->path);
	if (token[0])
		cfg->token = arena_strdup(a, token);
	if (token_file[0])
		return load_token_file(a, f, token_file, cfg, e); /* what it holds beats token */
	return 0;
}

static int load_context(struct arena *a, const struct sources *s, const char *name, struct kube_config *cfg,
			struct error *e)
{
	const struct source *file = NULL, *part = NULL;
	const struct json *context = find_entry(s, "contexts", name, "context", &file), *entry;
	const char *cluster, *user, *ns;
	int r;

	if (!file)
		return error_set_field(e, E_NOT_FOUND, "contexts", "kubeconfig %s: there is no context \"%s\"",
				       s->files[0].path, name);
	cluster = json_str_or(json_get(context, "cluster"), "");
	user = json_str_or(json_get(context, "user"), "");
	ns = json_str_or(json_get(context, "namespace"), "");
	cfg->namespace = arena_strdup(a, ns[0] ? ns : "default");
	entry = find_entry(s, "clusters", cluster, "cluster", &part);
	if (!part)
		return error_set_field(e, E_NOT_FOUND, "clusters",
				       "kubeconfig %s: context \"%s\" names cluster \"%s\", which does not exist",
				       file->path, name, cluster);
	r = load_cluster(a, part, entry, cfg, e);
	if (r < 0 || !user[0])
		return r;
	part = NULL;
	entry = find_entry(s, "users", user, "user", &part);
	if (!part)
		return error_set_field(e, E_NOT_FOUND, "users",
				       "kubeconfig %s: context \"%s\" names user \"%s\", which does not exist",
				       file->path, name, user);
	return load_user(a, part, entry, cfg, e);
}

int kube_config_load(struct arena *a, const char *path, const char *context, struct kube_config *ret, struct error *e)
{
	_arena_ scratch = arena_new();
	struct sources s = {.a = scratch};
	struct kube_config cfg = {0};
	int r = read_all(&s, path, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < s.count && !(context && context[0]); i++)
		context = json_str(json_get(s.files[i].doc, "current-context"));
	if (!context || !context[0])
		return error_set_field(e, E_INVALID, "current-context",
				       "kubeconfig %s: current-context is not set; choose one of its contexts",
				       s.files[0].path);
	r = load_context(a, &s, context, &cfg, e);
	if (r == 0)
		*ret = cfg;
	return r;
}
