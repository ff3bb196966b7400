/*
 * setup.c - init and issue; see setup.h.
 */
#include "apiserver/setup.h"
#include "lib/codec.h"
#include "lib/fsutil.h"
#include "lib/json.h"
#include "lib/naming.h"
#include "lib/pki.h"
#include "lib/yaml.h"
#include <stdio.h>
#include <sys/stat.h>

#define CA_DAYS 3650
#define CERT_DAYS 365
#define RENEW_DAYS 30
#define FILE_MAX (1U << 20)
#define TOKEN_TEXT_MAX 48

static char *path_in(struct arena *a, const char *dir, const char *name)
{
	return arena_printf(a, "%s/%s", dir, name);
}

static char *pki_dir(struct arena *a, const struct setup *s)
{
	return path_in(a, s->state_dir, "pki");
}

static char *server_url(struct arena *a, const struct setup *s)
{
	if (s->server)
		return arena_strdup(a, s->server);
	const char *host = s->addresses.count ? s->addresses.items[0] : "127.0.0.1";
	bool v6 = strchr(host, ':') != NULL;
	return arena_printf(a, "https://%s%s%s:%lld", v6 ? "[" : "", host, v6 ? "]" : "", (long long)s->port);
}

/* ---- kubeconfig ---- */

static int file_base64(struct arena *a, const char *path, char **ret, struct error *e)
{
	_buf_ data = BUF_INIT(FILE_MAX), text = BUF_INIT(2 * FILE_MAX);
	int code = file_read(path, &data, e);

	if (code < 0)
		return code;
	base64_encode(data.data, data.len, &text);
	explicit_bzero(data.data, data.len);
	*ret = arena_strdup(a, text.data);
	return 0;
}

static struct json *named(struct arena *a, const char *name, const char *member, struct json *value)
{
	struct json *list = json_array(a), *entry = json_object(a);

	json_set_str(a, entry, "name", name);
	json_set(a, entry, member, value);
	json_append(a, list, entry);
	return list;
}

/* user: the user entry. */
static int kubeconfig_write(struct arena *a, const struct setup *s, const char *path, struct json *user,
			    struct error *e)
{
	struct json *config = json_object(a), *cluster = json_object(a), *context = json_object(a);
	_buf_ text = BUF_INIT(FILE_MAX);
	char *ca;
	int code = file_base64(a, path_in(a, pki_dir(a, s), "ca.crt"), &ca, e);

	if (code < 0)
		return code;
	json_set_str(a, cluster, "server", server_url(a, s));
	json_set_str(a, cluster, "certificate-authority-data", ca);
	json_set_str(a, context, "cluster", "berth");
	json_set_str(a, context, "user", "berth");
	json_set_str(a, config, "apiVersion", "v1");
	json_set_str(a, config, "kind", "Config");
	json_set(a, config, "clusters", named(a, "berth", "cluster", cluster));
	json_set(a, config, "users", named(a, "berth", "user", user));
	json_set(a, config, "contexts", named(a, "berth", "context", context));
	json_set_str(a, config, "current-context", "berth");
	yaml_write(config, &text);
	return file_write_atomic(path, text.data, text.len, 0600, e);
}

static int kubeconfig_certificate(struct arena *a, const struct setup *s, const char *path, const char *cert_dir,
				  const char *cert_name, struct error *e)
{
	struct json *user = json_object(a);
	char *cert, *key;
	int code;

	if ((code = file_base64(a, arena_printf(a, "%s/%s.crt", cert_dir, cert_name), &cert, e)) < 0 ||
	    (code = file_base64(a, arena_printf(a, "%s/%s.key", cert_dir, cert_name), &key, e)) < 0)
		return code;
	json_set_str(a, user, "client-certificate-data", cert);
	json_set_str(a, user, "client-key-data", key);
	return kubeconfig_write(a, s, path, user, e);
}

/* A client certificate, when the one there will not do any longer, and a kubeconfig with it. */
static int issue_client(struct arena *a, const struct setup *s, const char *dir, const char *name, const char *user,
			const char *group, const char *kubeconfig, struct error *e)
{
	const struct pki_request req = {
		.common_name = user, .organization = group, .client = true, .valid_days = CERT_DAYS};
	int code = 0;

	if (!pki_is_current(pki_dir(a, s), dir, name, RENEW_DAYS))
		code = pki_issue(pki_dir(a, s), dir, name, &req, e);
	return code < 0 ? code : kubeconfig_certificate(a, s, kubeconfig, dir, name, e);
}

/* ---- init ---- */

/* Hosts a serving certificate is for, NULL-terminated. */
static const char *const *serving_hosts(struct arena *a, const struct option_list *addresses, bool local)
{
	static const char *const always[] = {"127.0.0.1", "::1", "localhost", "berth-apiserver"};
	size_t n = 0;
	const char **hosts = arena_calloc(a, (addresses->count + ARRAY_SIZE(always) + 1) * sizeof(*hosts));

	for (size_t i = 0; i < addresses->count; i++)
		hosts[n++] = addresses->items[i];
	for (size_t i = 0; local && i < ARRAY_SIZE(always); i++) {
		bool given = false;
		for (size_t k = 0; k < addresses->count; k++)
			given = given || streq(addresses->items[k], always[i]);
		if (!given)
			hosts[n++] = always[i];
	}
	return hosts;
}

/* The serving certificate, again when it will run out or is for other addresses than those noted beside it. */
static int init_serving(struct arena *a, const struct setup *s, struct error *e)
{
	const char *dir = pki_dir(a, s), *note = path_in(a, dir, "apiserver.hosts");
	const char *const *hosts = serving_hosts(a, &s->addresses, true);
	const struct pki_request req = {
		.common_name = "berth-apiserver", .hosts = hosts, .server = true, .valid_days = CERT_DAYS};
	_buf_ wanted = BUF_INIT(FILE_MAX), noted = BUF_INIT(FILE_MAX);

	for (size_t i = 0; hosts[i]; i++)
		buf_addf(&wanted, "%s\n", hosts[i]);
	bool same = file_read(note, &noted, NULL) == 0 && streq(noted.data, wanted.data);
	if (same && pki_is_current(dir, dir, "apiserver", RENEW_DAYS))
		return 0;
	int code = pki_issue(dir, dir, "apiserver", &req, e);
	return code < 0 ? code : file_write_atomic(note, wanted.data, wanted.len, 0644, e);
}

static int init_node_client(struct arena *a, const struct setup *s, struct error *e)
{
	const struct pki_request req = {.common_name = "berth-apiserver", .client = true, .valid_days = CERT_DAYS};
	const char *dir = pki_dir(a, s);

	return pki_is_current(dir, dir, "node-client", RENEW_DAYS) ? 0 : pki_issue(dir, dir, "node-client", &req, e);
}

/* The administrator's token: made once, kept in tokens.csv and in admin.kubeconfig. */
static int init_admin(struct arena *a, const struct setup *s, struct error *e)
{
	const char *tokens = path_in(a, s->state_dir, "tokens.csv");
	struct json *user = json_object(a);
	_buf_ old = BUF_INIT(FILE_MAX);
	char token[TOKEN_TEXT_MAX], uid[UUID_TEXT_MAX];
	int code = access(tokens, F_OK) == 0 ? file_read(tokens, &old, e) : 0;

	if (code < 0)
		return code;
	char *line = old.data ? strstr(old.data, ",admin,") : NULL;
	if (line) {
		while (line > old.data && line[-1] != '\n')
			line--;
		json_set(a, user, "token", json_stringn(a, line, strcspn(line, ",")));
	} else {
		pki_token(token);
		uuid_generate_text(uid);
		buf_addf(&old, "%s,admin,%s,\"system:masters\"\n", token, uid);
		code = file_write_atomic(tokens, old.data, old.len, 0600, e);
		json_set_str(a, user, "token", token);
	}
	return code < 0 ? code : kubeconfig_write(a, s, path_in(a, s->state_dir, "admin.kubeconfig"), user, e);
}

int setup_init(const struct setup *s, const char *const *args, int nargs, struct error *e)
{
	_arena_ a = arena_new();
	const char *pki = pki_dir(a, s);
	int code;

	if (nargs > 0)
		return error_set(e, E_BAD_REQUEST, "init takes no argument \"%s\"; see --help", args[0]);
	if ((code = dir_make(s->state_dir, 0700, e)) < 0 || (code = dir_make(pki, 0700, e)) < 0 ||
	    (code = pki_ca_ensure(pki, "berth-ca", CA_DAYS, e)) < 0 || (code = init_serving(a, s, e)) < 0 ||
	    (code = init_node_client(a, s, e)) < 0 || (code = init_admin(a, s, e)) < 0)
		return code;
	code = issue_client(a, s, pki, "scheduler", "berth-scheduler", NULL,
			    path_in(a, s->state_dir, "scheduler.kubeconfig"), e);
	if (code < 0)
		return code;
	return issue_client(a, s, pki, "gateway", "berth-gateway:default", NULL,
			    path_in(a, s->state_dir, "gateway.kubeconfig"), e);
}

/* ---- issue ---- */

static int copy_ca(struct arena *a, const struct setup *s, struct error *e)
{
	_buf_ ca = BUF_INIT(FILE_MAX);
	int code = file_read(path_in(a, pki_dir(a, s), "ca.crt"), &ca, e);

	if (code < 0)
		return error_prefix(e, "no CA in %s; run `berth-apiserver init` first", s->state_dir);
	return file_write_atomic(path_in(a, s->out, "ca.crt"), ca.data, ca.len, 0644, e);
}

static int issue_node(struct arena *a, const struct setup *s, const char *name, struct error *e)
{
	const char *user = arena_printf(a, "system:node:%s", name);
	struct option_list hosts = s->addresses;

	if (hosts.count < OPTION_LIST_MAX)
		hosts.items[hosts.count++] = name;
	const struct pki_request serving = {.common_name = user,
					    .organization = "system:nodes",
					    .hosts = serving_hosts(a, &hosts, false),
					    .server = true,
					    .valid_days = CERT_DAYS};
	if (s->addresses.count == 0)
		return error_set(e, E_BAD_REQUEST, "issue node needs --address: where the apiserver reaches the node");
	int code = pki_issue(pki_dir(a, s), s->out, "serving", &serving, e);
	if (code < 0)
		return code;
	return issue_client(a, s, s->out, "client", user, "system:nodes", path_in(a, s->out, "kubeconfig"), e);
}

int setup_issue(const struct setup *s, const char *const *args, int nargs, struct error *e)
{
	_arena_ a = arena_new();
	int code;

	if (nargs != 2 || !(streq(args[0], "node") || streq(args[0], "gateway")))
		return error_set(e, E_BAD_REQUEST, "issue takes `node NAME` or `gateway NAME`; see --help");
	if (!s->out)
		return error_set(e, E_BAD_REQUEST, "issue needs --out: the folder for the new files");
	if (!name_is_subdomain(args[1]))
		return error_set(e, E_BAD_REQUEST,
				 "\"%s\" is no valid name: lower case letters, digits, '-' and '.' only", args[1]);
	if ((code = dir_make(s->out, 0700, e)) < 0 || (code = copy_ca(a, s, e)) < 0)
		return code;
	if (streq(args[0], "node"))
		return issue_node(a, s, args[1], e);
	return issue_client(a, s, s->out, "client", arena_printf(a, "berth-gateway:%s", args[1]), NULL,
			    path_in(a, s->out, "kubeconfig"), e);
}
