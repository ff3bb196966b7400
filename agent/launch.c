/*
 * launch.c - Revision → command line, environment, size, probe; and these → START.
 */
#include "agent/launch.h"

#include <stdio.h>

#include "lib/naming.h"
#include "lib/units.h"

#define VM_MEMORY_MIN (INT64_C(64) << 20) /* less than this the guest's kernel does not boot in */
#define EXPANDED_MAX (1U << 20)

/* ---- environment ---- */

struct env {
	struct arena *a;
	const char **items;
	size_t count, cap;
};

static size_t name_len(const char *entry)
{
	return strcspn(entry, "=");
}

static const char *lookup(const char *const *env, size_t count, const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (name_len(env[i]) == len && memcmp(env[i], name, len) == 0)
			return env[i][len] ? env[i] + len + 1 : "";
	return NULL;
}

static void env_put(struct env *env, const char *entry)
{
	size_t len = name_len(entry);

	for (size_t i = 0; i < env->count; i++) {
		if (name_len(env->items[i]) == len && memcmp(env->items[i], entry, len) == 0) {
			env->items[i] = entry;
			return;
		}
	}
	if (env->count + 1 >= env->cap) {
		env->cap = env->cap ? env->cap * 2 : 32;
		const char **more = arena_calloc(env->a, env->cap * sizeof(*more));
		if (env->count)
			memcpy(more, env->items, env->count * sizeof(*more));
		env->items = more;
	}
	env->items[env->count++] = entry;
	env->items[env->count] = NULL;
}

static void env_set(struct env *env, const char *name, const char *value)
{
	env_put(env, arena_printf(env->a, "%s=%s", name, value ? value : ""));
}

const char *launch_expand(struct arena *a, const char *text, const char *const *env, size_t env_count)
{
	_buf_ out = BUF_INIT(EXPANDED_MAX);

	while (*text) {
		const char *end, *value;
		if (text[0] != '$') {
			buf_addc(&out, *text++);
			continue;
		}
		if (text[1] == '$') {
			buf_addc(&out, '$');
			text += 2;
			continue;
		}
		end = text[1] == '(' ? strchr(text, ')') : NULL;
		value = end ? lookup(env, env_count, text + 2, (size_t)(end - text - 2)) : NULL;
		if (value) {
			buf_adds(&out, value);
			text = end + 1;
		} else {
			buf_addc(&out, *text++);
		}
	}
	return arena_strdup(a, out.data ? out.data : "");
}

static void build_env(struct env *env, const struct json *instance, const struct json *revision, const char *location)
{
	const struct json *config = json_in(revision, "spec", "imageConfig", "env");
	const struct json *own = json_in(revision, "spec", "template", "env");
	int64_t port = json_int_or(
		json_in(json_item(json_in(revision, "spec", "template", "ports"), 0), "containerPort"), 0);

	env_set(env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	for (size_t i = 0; i < json_count(config); i++)
		if (json_str(json_item(config, i)))
			env_put(env, arena_strdup(env->a, json_str(json_item(config, i))));
	env_set(env, "BERTH_INSTANCE_ID", json_str(json_in(instance, "spec", "id")));
	env_set(env, "BERTH_INSTANCE", json_str(json_in(instance, "metadata", "name")));
	env_set(env, "BERTH_CONTAINER", json_str(json_in(instance, "spec", "containerName")));
	env_set(env, "BERTH_REVISION", json_str(json_in(revision, "metadata", "name")));
	env_set(env, "BERTH_LOCATION", location);
	env_set(env, "BERTH_NAMESPACE", json_str(json_in(instance, "metadata", "namespace")));
	if (port)
		env_put(env, arena_printf(env->a, "PORT=%d", (int)port));
	for (size_t i = 0; i < json_count(own); i++) {
		const struct json *item = json_item(own, i);
		const char *name = json_str(json_get(item, "name"));
		if (name)
			env_set(env, name,
				launch_expand(env->a, json_str_or(json_get(item, "value"), ""), env->items,
					      env->count));
	}
}

/* ---- command ---- */

static const char **strings(struct arena *a, const struct json *first, const struct json *second)
{
	const char **out = arena_calloc(a, (json_count(first) + json_count(second) + 1) * sizeof(*out));
	size_t n = 0;

	for (size_t i = 0; i < json_count(first); i++)
		out[n++] = arena_strdup(a, json_str_or(json_item(first, i), ""));
	for (size_t i = 0; i < json_count(second); i++)
		out[n++] = arena_strdup(a, json_str_or(json_item(second, i), ""));
	return out;
}

/* command replaces entrypoint and cmd, args replace cmd. */
static const char **build_argv(struct arena *a, const struct json *revision, const struct env *env)
{
	const struct json *config = json_in(revision, "spec", "imageConfig");
	const struct json *command = json_in(revision, "spec", "template", "command");
	const struct json *args = json_in(revision, "spec", "template", "args");
	bool own_command = json_count(command) > 0, own_args = json_count(args) > 0;
	const char **argv = strings(a, own_command ? command : json_get(config, "entrypoint"),
				    own_args	  ? args
				    : own_command ? NULL
						  : json_get(config, "cmd"));

	for (size_t i = 0; argv[i]; i++)
		if (own_command || own_args)
			argv[i] = launch_expand(a, argv[i], env->items, env->count);
	return argv;
}

/* ---- size, probe ---- */

static int quantity(struct arena *a, const struct json *resources, const char *name, bool milli, int64_t *ret,
		    struct error *e)
{
	const struct json *v = json_get(resources, name);
	const char *text = json_is(v, JSON_INT) ? arena_printf(a, "%lld", (long long)json_int_or(v, 0))
						: json_str_or(v, "");
	int r = milli ? quantity_parse_milli(text, ret, e) : quantity_parse(text, ret, e);

	return r < 0 ? error_prefix(e, "spec.template.resources.%s", name) : 0;
}

static int build_size(struct arena *a, const struct json *template, struct launch *l, struct error *e)
{
	const struct json *resources = json_get(template, "resources");
	const char *type = json_str_or(json_get(template, "instanceType"), "lite");
	int r;

	if (!resources) {
		if (!instance_type_lookup(type, &l->milli_vcpu, &l->memory, &l->disk))
			return error_set(e, E_INVALID, "spec.template.instanceType: %s is unknown", type);
		return 0;
	}
	if ((r = quantity(a, resources, "vcpu", true, &l->milli_vcpu, e)) < 0 ||
	    (r = quantity(a, resources, "memory", false, &l->memory, e)) < 0 ||
	    (r = quantity(a, resources, "disk", false, &l->disk, e)) < 0)
		return r;
	if (l->memory < VM_MEMORY_MIN)
		return error_set(e, E_INVALID, "spec.template.resources.memory: a VM needs at least 64Mi");
	return 0;
}

static void build_probe(struct arena *a, const struct json *template, struct launch *l)
{
	const struct json *readiness = json_get(template, "readiness");
	const struct json *http = json_get(readiness, "httpGet"), *tcp = json_get(readiness, "tcpSocket");
	int64_t first = json_int_or(json_in(json_item(json_get(template, "ports"), 0), "containerPort"), 0);

	l->probe.port = json_int_or(json_get(http ? http : tcp, "port"), first);
	l->probe.kind = !l->probe.port ? "none" : http ? "http" : "tcp";
	l->probe.path = arena_strdup(a, json_str_or(json_get(http, "path"), "/"));
	l->probe.period_ms = json_int_or(json_get(readiness, "periodSeconds"), 1) * 1000;
	l->probe.timeout_ms = json_int_or(json_get(readiness, "timeoutSeconds"), 1) * 1000;
	l->probe.failures = json_int_or(json_get(readiness, "failureThreshold"), 3);
}

static enum restart_policy restart_policy(const char *text)
{
	return streq(text, "Always") ? RESTART_ALWAYS : streq(text, "Never") ? RESTART_NEVER : RESTART_ON_FAILURE;
}

int launch_from(struct arena *a, const struct json *instance, const struct json *revision, const char *location,
		struct launch *ret, struct error *e)
{
	const struct json *spec = json_get(revision, "spec"), *template = json_get(spec, "template");
	const struct json *config = json_get(spec, "imageConfig");
	struct env env = {.a = a};
	struct launch l = {
		.image = arena_strdup(a, json_str_or(json_get(spec, "image"), "")),
		.digest = arena_strdup(a, json_str_or(json_get(spec, "imageDigest"), "")),
		.revision = arena_strdup(a, json_str_or(json_in(revision, "metadata", "name"), "")),
		.restart = restart_policy(json_str(json_get(template, "restartPolicy"))),
		.internet = json_bool_or(json_in(template, "egress", "internet"), true),
		.suspend = streq(json_str(json_get(template, "sleepMode")), "Suspend"),
		.user = arena_strdup(a, json_str_or(json_get(config, "user"), "")),
		.volumes = strings(a, json_get(config, "volumes"), NULL),
	};
	int r;

	build_env(&env, instance, revision, location);
	l.env = env.items;
	l.argv = build_argv(a, revision, &env);
	l.cwd = arena_strdup(
		a, json_str_or(json_get(template, "workingDir"), json_str_or(json_get(config, "workingDir"), "")));
	build_probe(a, template, &l);
	if ((r = build_size(a, template, &l, e)) < 0 ||
	    (r = duration_parse_ms(json_str_or(json_get(template, "terminationGracePeriod"), "15m"), &l.grace_ms, e)) <
		    0)
		return r;
	if (!l.argv[0] || !*l.argv[0])
		return error_set(e, E_INVALID, "the image names no program to run: set the Container's spec.command");
	*ret = l;
	return 0;
}

/* ---- START ---- */

static void put_all(struct channel_writer *w, uint16_t key, const char *const *items)
{
	for (size_t i = 0; items[i]; i++)
		channel_put_str(w, key, items[i]);
}

/* The instance's name as one DNS label: programs take what follows a dot in a hostname for a domain. */
static void put_hostname(struct channel_writer *w, const char *instance)
{
	char name[64];
	int len = snprintf(name, sizeof(name), "%s", instance);

	for (char *dot = name; (dot = strchr(dot, '.'));)
		*dot = '-';
	for (size_t n = (size_t)len < sizeof(name) ? (size_t)len : sizeof(name) - 1; n > 0 && name[n - 1] == '-'; n--)
		name[n - 1] = '\0';
	channel_put_str(w, CHANNEL_KEY_HOSTNAME, name);
}

int launch_frame(const struct launch *l, const struct launch_network *n, int64_t now_ns, const uint8_t entropy[32],
		 uint8_t *frame, size_t *ret_len, struct error *e)
{
	struct channel_writer w;
	char address[32];

	snprintf(address, sizeof(address), "%s/32", n->address);
	channel_begin(&w, frame, CHANNEL_START, 1);
	put_all(&w, CHANNEL_KEY_ARG, l->argv);
	put_all(&w, CHANNEL_KEY_ENV, l->env);
	if (*l->cwd)
		channel_put_str(&w, CHANNEL_KEY_CWD, l->cwd);
	if (*l->user)
		channel_put_str(&w, CHANNEL_KEY_USER, l->user);
	channel_put_str(&w, CHANNEL_KEY_ADDRESS, address);
	channel_put_str(&w, CHANNEL_KEY_GATEWAY, n->gateway);
	for (size_t i = 0; i < n->dns_count; i++)
		channel_put_str(&w, CHANNEL_KEY_DNS, n->dns[i]);
	put_hostname(&w, n->instance);
	put_all(&w, CHANNEL_KEY_VOLUME, l->volumes);
	channel_put_str(&w, CHANNEL_KEY_PROBE_KIND, l->probe.kind);
	channel_put_u64(&w, CHANNEL_KEY_PROBE_PORT, (uint64_t)l->probe.port);
	channel_put_str(&w, CHANNEL_KEY_PROBE_PATH, l->probe.path);
	channel_put_u64(&w, CHANNEL_KEY_PROBE_PERIOD_MS, (uint64_t)l->probe.period_ms);
	channel_put_u64(&w, CHANNEL_KEY_PROBE_TIMEOUT_MS, (uint64_t)l->probe.timeout_ms);
	channel_put_u64(&w, CHANNEL_KEY_PROBE_FAILURES, (uint64_t)l->probe.failures);
	channel_put_u64(&w, CHANNEL_KEY_TIME_NS, (uint64_t)now_ns);
	channel_put(&w, CHANNEL_KEY_ENTROPY, entropy, 32);
	size_t len = channel_end(&w);
	if (!len)
		return error_set(e, E_TOO_LARGE, "command line and environment are longer than 64 KiB");
	*ret_len = len;
	return 0;
}
