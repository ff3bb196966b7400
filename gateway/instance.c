/*
 * instance.c - decodes Instances and answers where they are; see instance.h.
 */
#include "gateway/instance.h"

#include "lib/codec.h"
#include "lib/naming.h"
#include "lib/units.h"

#include <arpa/inet.h>

struct instance_table {
	struct strmap *by_key;
};

struct instance_table *instance_table_new(void)
{
	struct instance_table *t = xcalloc(1, sizeof(*t));

	t->by_key = strmap_new();
	return t;
}

static void instance_free(struct instance *i)
{
	arena_free(i->text);
	free(i->key);
	free(i->ns);
	free(i->name);
	free(i->container);
	free(i->id);
	free(i);
}

void instance_table_free(struct instance_table *t)
{
	size_t pos = 0;
	void *i;

	if (!t)
		return;
	while (strmap_next(t->by_key, &pos, NULL, &i))
		instance_free(i);
	strmap_free(t->by_key);
	free(t);
}

/* ---- keys ---- */

bool instance_key(const char *ns, const char *container, const char *id, char *ret)
{
	_buf_ b = BUF_INIT(INSTANCE_KEY_MAX - 1);

	buf_addf(&b, "%s/%s/", ns, container);
	percent_encode(id, &b);
	if (b.over || !b.data)
		return false;
	memcpy(ret, b.data, b.len + 1);
	return true;
}

int instance_key_split(struct arena *a, const char *key, char **ret_ns, char **ret_container, char **ret_id,
		       char **ret_name, struct error *e)
{
	const char *slash = strchr(key, '/'), *last = slash ? strchr(slash + 1, '/') : NULL;
	_buf_ id = BUF_INIT(4 * INSTANCE_ID_MAX);
	char *name, *container;

	if (!last || strlen(key) >= INSTANCE_KEY_MAX)
		return error_set(e, E_INVALID, "not a key");
	if (percent_decode(last + 1, strlen(last + 1), false, &id, e) || id.over || !id.data ||
	    strlen(id.data) != id.len)
		return error_set(e, E_BAD_REQUEST, "the ID is malformed");
	container = arena_strndup(a, slash + 1, (size_t)(last - slash - 1));
	int r = instance_name(a, container, id.data, &name, e);

	if (r) {
		e->code = E_BAD_REQUEST;
		return -E_BAD_REQUEST;
	}
	*ret_ns = arena_strndup(a, key, (size_t)(slash - key));
	*ret_container = container;
	*ret_id = arena_strdup(a, id.data);
	*ret_name = name;
	return 0;
}

/* ---- decoding ---- */

static enum instance_phase phase_parse(const char *s)
{
	static const char *const names[] = {
		[PHASE_PENDING] = "Pending", [PHASE_SCHEDULED] = "Scheduled", [PHASE_STARTING] = "Starting",
		[PHASE_READY] = "Ready",     [PHASE_RUNNING] = "Running",     [PHASE_STOPPING] = "Stopping",
		[PHASE_ASLEEP] = "Asleep",   [PHASE_STOPPED] = "Stopped",     [PHASE_FAILED] = "Failed",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(s, names[i]))
			return (enum instance_phase)i;
	return PHASE_PENDING;
}

static enum instance_state state_parse(const char *s)
{
	return streq(s, "Running") ? STATE_RUNNING : streq(s, "Stopped") ? STATE_STOPPED : STATE_ASLEEP;
}

/* Only what inet_pton() takes may get into HAProxy's map. */
static const char *address_check(const char *s)
{
	struct in6_addr out;

	return s && (inet_pton(AF_INET, s, &out) == 1 || inet_pton(AF_INET6, s, &out) == 1) ? s : NULL;
}

static void decode_status(struct instance *i, const struct json *status)
{
	const struct json *conditions = json_get(status, "conditions");

	i->phase_name = arena_strdup(i->text, json_str_or(json_get(status, "phase"), "Pending"));
	i->phase = phase_parse(i->phase_name);
	i->status_generation = json_int_or(json_get(status, "vmGeneration"), 0);
	i->status_node = arena_strdup(i->text, json_str_or(json_get(status, "nodeName"), ""));
	const char *address = address_check(json_str(json_get(status, "address")));

	i->address = address ? arena_strdup(i->text, address) : NULL;
	i->reason = i->message = "";
	i->changed_at = 0;
	for (size_t n = 0; n < json_count(conditions); n++) {
		const struct json *c = json_item(conditions, n);

		if (!streq(json_str(json_get(c, "type")), "Ready"))
			continue;
		i->reason = arena_strdup(i->text, json_str_or(json_get(c, "reason"), ""));
		i->message = arena_strdup(i->text, json_str_or(json_get(c, "message"), ""));
		if (time_parse(json_str_or(json_get(c, "lastTransitionTime"), ""), &i->changed_at, NULL))
			i->changed_at = 0;
	}
}

static struct instance *find_or_make(struct instance_table *t, const struct json *o)
{
	const char *ns = json_str_or(json_in(o, "metadata", "namespace"), "");
	const char *name = json_str_or(json_in(o, "metadata", "name"), "");
	const char *container = json_str_or(json_in(o, "spec", "containerName"), "");
	const char *id = json_str_or(json_in(o, "spec", "id"), "");
	char key[INSTANCE_KEY_MAX];
	_arena_ a = arena_new();
	char *expected;

	if (instance_name(a, container, id, &expected, NULL) || !streq(expected, name) ||
	    !instance_key(ns, container, id, key))
		return NULL;
	struct instance *i = strmap_get(t->by_key, key);

	if (!i) {
		i = xcalloc(1, sizeof(*i));
		i->key = xstrdup(key);
		i->ns = xstrdup(ns);
		i->name = xstrdup(name);
		i->container = xstrdup(container);
		i->id = xstrdup(id);
		strmap_put(t->by_key, key, i);
	}
	return i;
}

struct instance *instance_table_put(struct instance_table *t, const struct json *o)
{
	struct instance *i = find_or_make(t, o);
	const struct json *meta = json_get(o, "metadata"), *spec = json_get(o, "spec");

	if (!i)
		return NULL;
	const char *uid = json_str_or(json_get(meta, "uid"), "");

	if (i->uid && !streq(i->uid, uid)) { /* deleted and made anew under the same name */
		i->seen_generation = 0;
		i->min_version = 0;
		i->tracked = i->falling_asleep = false;
	}
	struct arena *old = i->text;

	i->text = arena_new();
	i->uid = arena_strdup(i->text, uid);
	i->resource_version = strtoull(json_str_or(json_get(meta, "resourceVersion"), "0"), NULL, 10);
	i->deleting = json_get(meta, "deletionTimestamp") != NULL;
	i->state = state_parse(json_str(json_get(spec, "state")));
	i->origin = arena_strdup(i->text, json_str_or(json_get(spec, "origin"), ""));
	i->client_location = arena_strdup(i->text, json_str_or(json_get(spec, "clientLocation"), ""));
	i->node = arena_strdup(i->text, json_str_or(json_get(spec, "nodeName"), ""));
	i->spec_generation = json_int_or(json_get(spec, "vmGeneration"), 0);
	decode_status(i, json_get(o, "status"));
	if (i->phase == PHASE_READY && i->status_generation > i->seen_generation)
		i->seen_generation = i->status_generation;
	arena_free(old);
	return i;
}

void instance_table_remove(struct instance_table *t, struct instance *i)
{
	strmap_remove(t->by_key, i->key);
	instance_free(i);
}

struct instance *instance_table_get(const struct instance_table *t, const char *key)
{
	return strmap_get(t->by_key, key);
}

size_t instance_table_count(const struct instance_table *t)
{
	return strmap_count(t->by_key);
}

bool instance_table_next(const struct instance_table *t, size_t *position, struct instance **ret)
{
	void *i;

	if (!strmap_next(t->by_key, position, NULL, &i))
		return false;
	*ret = i;
	return true;
}

/* ---- questions ---- */

bool instance_is_stale(const struct instance *i)
{
	return i->resource_version < i->min_version;
}

/* A rollout has raised the generation on the same node: the old VM serves until its agent says Stopping. On another
 * node an older generation's word is a late one. */
static bool status_counts(const struct instance *i)
{
	return i->state == STATE_RUNNING && !i->deleting && !i->falling_asleep && !instance_is_stale(i) &&
	       i->status_generation >= i->seen_generation &&
	       (i->status_generation == i->spec_generation || streq(i->node, i->status_node));
}

const char *instance_address(const struct instance *i)
{
	return i->phase == PHASE_READY && status_counts(i) ? i->address : NULL;
}

bool instance_is_awake(const struct instance *i)
{
	return (i->phase == PHASE_READY || i->phase == PHASE_RUNNING) && status_counts(i);
}
