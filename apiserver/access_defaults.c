/*
 * access_defaults.c - see access_defaults.h. All defaults are written at once, so that they share one commit.
 */
#include "apiserver/access_defaults.h"
#include "apiserver/change.h"
#include "apiserver/meta.h"
#include "apiserver/prepare.h"
#include "apiserver/rbac.h"
#include "lib/log.h"
#include "lib/units.h"
#include "lib/yaml.h"
#include <pthread.h>

#define AUTOUPDATE "rbac.authorization.kubernetes.io/autoupdate"
#define MANAGER "berth-apiserver"

struct embedded {
	const char *name;
	const unsigned char *data;
	size_t len;
};
#include "access_spec.h"

struct making {
	pthread_mutex_t lock;
	pthread_cond_t told;
	size_t left; /* guarded by lock */
};

struct job {
	struct making *making;
	struct change change;
	struct write_rules rules;
	const struct json *wanted;
};

int access_defaults_read(struct arena *a, struct json **ret, struct error *e)
{
	struct json *all = json_array(a), *list;

	for (const struct embedded *f = embedded_files; f->name; f++) {
		if (yaml_parse(a, (const char *)f->data, f->len, &list, e) < 0)
			return error_prefix(e, "%s", f->name);
		for (size_t i = 0; i < json_count(list); i++)
			json_append(a, all, json_item(list, i));
	}
	*ret = all;
	return 0;
}

/* ---- what is missing ---- */

static bool contains(const struct json *list, const struct json *value)
{
	for (size_t i = 0; i < json_count(list); i++)
		if (json_equal(json_item(list, i), value))
			return true;
	return false;
}

static void add_missing(struct arena *a, struct json *to, const char *member, const struct json *wanted)
{
	for (size_t i = 0; i < json_count(wanted); i++)
		if (!contains(json_get(to, member), json_item(wanted, i)))
			json_append(a, json_ensure_array(a, to, member), json_clone(a, json_item(wanted, i)));
}

/* Rules that others do not cover already. */
static void add_rules(struct arena *a, struct json *to, const struct json *wanted)
{
	struct rbac_rules held, rules;
	size_t steps = 0;
	char *missing;

	rbac_rules_parse(a, json_get(to, "rules"), &held);
	rbac_rules_parse(a, wanted, &rules);
	for (size_t i = 0; i < rules.count; i++)
		if (!rbac_covers(a, &held, rules.items[i], &steps, &missing))
			json_append(a, json_ensure_array(a, to, "rules"), json_clone(a, json_item(wanted, i)));
}

static int complete(struct job *j, struct change *ch, const struct json *live, struct error *e)
{
	struct arena *a = ch->arena;
	struct json *next = json_clone(a, live);
	const struct json *labels = json_in(j->wanted, "metadata", "labels"), *aggregation = NULL;

	if (streq(json_str(json_in(live, "metadata", "annotations", AUTOUPDATE)), "false"))
		return 0;
	for (size_t i = 0; i < json_count(labels); i++)
		json_set(a, json_ensure_object(a, meta_of(a, next), "labels"), json_key(labels, i),
			 json_clone(a, json_item(labels, i)));
	aggregation = json_in(j->wanted, "aggregationRule", "clusterRoleSelectors");
	if (aggregation)
		add_missing(a, json_ensure_object(a, next, "aggregationRule"), "clusterRoleSelectors", aggregation);
	add_rules(a, next, json_get(j->wanted, "rules"));
	add_missing(a, next, "subjects", json_get(j->wanted, "subjects"));
	return prepare_store(&j->rules, ch, live, next, e);
}

static int compute_default(struct change *ch, const struct json *live, struct error *e)
{
	struct job *j = ch->user;
	struct json *obj = json_clone(ch->arena, j->wanted);

	j->rules.causes = json_array(ch->arena);
	j->rules.unknown = json_array(ch->arena);
	if (live)
		return complete(j, ch, live, e);
	json_set_str(ch->arena, json_ensure_object(ch->arena, meta_of(ch->arena, obj), "annotations"), AUTOUPDATE,
		     "true");
	int code = prepare_identity(&j->rules, obj, e);
	if (code == 0)
		code = prepare_create(&j->rules, obj, e);
	if (code < 0)
		return code;
	ch->next = obj;
	ch->action = CHANGE_PUT;
	return 0;
}

static void default_done(struct change *ch, int code, const struct error *e)
{
	struct job *j = ch->user;
	struct making *m = j->making;

	if (code < 0)
		log_error("default role could not be made", "kind", ch->kind->kind, "name", ch->name, "error", e->text,
			  NULL);
	change_clear(ch);
	arena_free(ch->arena);
	pthread_mutex_lock(&m->lock);
	m->left--;
	pthread_cond_signal(&m->told);
	pthread_mutex_unlock(&m->lock);
}

static void start_job(struct server *s, struct making *m, const struct json *object)
{
	const char *group = RBAC_GROUP;
	struct arena *a = arena_new();
	struct job *j = arena_calloc(a, sizeof(*j));
	const char *name = arena_strdup(a, json_str(json_in(object, "metadata", "name")));
	const struct kind *k = kind_find_by_kind(group, "v1", json_str(json_get(object, "kind")));

	j->making = m;
	j->wanted = json_clone(a, object);
	j->rules = (struct write_rules){.arena = a,
					.cache = s->cache,
					.kind = k,
					.ns = "",
					.name = name,
					.sub = "",
					.manager = MANAGER,
					.now_ms = time_now_ms()};
	j->change = (struct change){.server = s,
				    .arena = a,
				    .kind = k,
				    .ns = "",
				    .name = name,
				    .compute = compute_default,
				    .done = default_done,
				    .user = j};
	change_start(&j->change);
}

void access_defaults_make(struct server *s)
{
	struct making m = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};
	_arena_ a = arena_new();
	struct json *all;
	struct error e;
	int64_t revision = 0;

	if (access_defaults_read(a, &all, &e) < 0) {
		log_error("default roles cannot be read", "error", e.text, NULL);
		return;
	}
	m.left = json_count(all);
	for (size_t i = 0; i < json_count(all); i++)
		start_job(s, &m, json_item(all, i));
	pthread_mutex_lock(&m.lock);
	while (m.left)
		pthread_cond_wait(&m.told, &m.lock);
	pthread_mutex_unlock(&m.lock);
	access_aggregate(s, &revision);
}

/* ---- aggregated roles ---- */

static int compute_aggregate(struct change *ch, const struct json *live, struct error *e)
{
	const struct json *wanted = ch->user;
	const struct json *is = json_get(live, "rules");

	if (!live || !json_get(live, "aggregationRule") || (is && json_equal(is, wanted)) ||
	    (!json_count(is) && !json_count(wanted)))
		return 0;
	struct write_rules rules = {.arena = ch->arena,
				    .cache = ch->server->cache,
				    .kind = ch->kind,
				    .ns = "",
				    .name = ch->name,
				    .sub = "",
				    .manager = MANAGER,
				    .now_ms = time_now_ms()};
	struct json *next = json_clone(ch->arena, live);
	json_set(ch->arena, next, "rules", json_clone(ch->arena, wanted));
	return prepare_store(&rules, ch, live, next, e);
}

static void aggregate_one(struct server *s, const struct object *o)
{
	_arena_ a = arena_new();
	struct json *wanted = json_array(a), *rule;
	struct rbac_rules rules;
	struct error e;

	if (!json_get(object_tree(a, o), "aggregationRule") ||
	    !rbac_role_rules(auth_rbac(s->auth), "", o->name, a, &rules))
		return;
	for (size_t i = 0; i < rules.count; i++)
		if (!contains(wanted, rule = rbac_rule_json(a, rules.items[i])))
			json_append(a, wanted, rule);
	struct change ch = {.server = s,
			    .arena = a,
			    .kind = o->kind,
			    .ns = "",
			    .name = o->name,
			    .compute = compute_aggregate,
			    .user = wanted};
	if (change_run(&ch, &e) < 0)
		log_warn("rules of an aggregated role not written", "role", o->name, "error", e.text, NULL);
	change_clear(&ch);
}

void access_aggregate(struct server *s, int64_t *revision)
{
	struct cache_query q = {.filter = {.kind = kind_find(RBAC_GROUP, "v1", "clusterroles")}};
	int64_t newest = cache_kind_revision(s->cache, q.filter.kind);
	struct cache_page page;

	if (newest == *revision || cache_list(s->cache, &q, &page, NULL) < 0)
		return;
	*revision = newest;
	for (size_t i = 0; i < page.count; i++)
		aggregate_one(s, page.items[i]);
	cache_page_clear(&page);
}
