/*
 * gateway.c - see gateway.h.
 */
#include "gateway/gateway.h"

#include "gateway/clients.h"
#include "gateway/haproxy_cfg.h"
#include "gateway/haproxy_process.h"
#include "gateway/lua.h"
#include "gateway/maps.h"
#include "gateway/report.h"
#include "gateway/resolver.h"
#include "gateway/sleeper.h"
#include "lib/codec.h"
#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/metrics.h"

#include <sys/resource.h>

#define REPORT_EVERY_MS 30000
/* The apiserver may be away when we start: after so long HAProxy serves with the routes it had. */
#define SYNC_PATIENCE_MS 1500
#define WAITING_PER_KEY 4 /* one key may take this part of all places */
#define CONFIG_MAX (1U << 20)
#define MAX_CONNECTIONS 50000

static struct metric instance_count = METRIC_GAUGE("berth_gateway_instances", "Instances known", NULL);
static struct metric route_count = METRIC_GAUGE("berth_gateway_routes", "Routes by verdict", "accepted");

struct gateway {
	const struct gateway_config *cfg;
	struct kube *kube;
	struct instance_table *instances;
	struct kube_informer *containers, *routes, *instance_informer;
	struct kube_informer *locations; /* only behind trusted proxies */
	struct clients *clients;
	struct runtime *rt;
	struct haproxy_process *haproxy;
	struct maps *maps;
	struct resolver *resolver;
	struct sleeper *sleeper;
	uv_timer_t rebuild_timer, report_timer, sync_timer;
	char lua_digest[SHA256_HEX_MAX];
	char *config; /* wanted */
	bool routes_built;
	int closed;
	void (*drained)(void *user);
	void *drained_user;
};

/* ---- the world, as others see it ---- */

static bool is_synced(void *user)
{
	const struct gateway *g = user;

	return kube_informer_synced(g->containers) && kube_informer_synced(g->routes) &&
	       kube_informer_synced(g->instance_informer) && (!g->locations || kube_informer_synced(g->locations));
}

static const struct json *find_container(void *user, const char *ns, const char *name)
{
	const struct gateway *g = user;

	return kube_informer_get(g->containers, ns, name);
}

static const char *find_near(void *user, const char *client)
{
	const struct gateway *g = user;

	return clients_find(g->clients, client);
}

/* A write of the resolver was answered; it goes on by itself. */
static void on_written(void *user, struct instance *i)
{
	struct gateway *g = user;

	maps_touch(g->maps, i->key);
	sleeper_touch(g->sleeper, i);
}

static void on_sleeper_changed(void *user, struct instance *i)
{
	struct gateway *g = user;

	maps_touch(g->maps, i->key);
	sleeper_touch(g->sleeper, i);
	resolver_instance_changed(g->resolver, i->key);
}

/* ---- routes ---- */

static int64_t max_connections(void)
{
	struct rlimit limit;

	/* Each takes two descriptors, one that waits for the resolver a third. */
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max == RLIM_INFINITY)
		return MAX_CONNECTIONS;
	int64_t n = (int64_t)limit.rlim_max * 2 / 5;

	return n > MAX_CONNECTIONS ? MAX_CONNECTIONS : n;
}

static char *render(const struct gateway *g, const struct route_shape *shape)
{
	const struct gateway_config *c = g->cfg;
	struct haproxy_settings s = {.listen = c->listen,
				     .metrics_listen = c->haproxy_metrics_listen,
				     .source = c->address,
				     .user = c->user,
				     .map_dir = c->map_dir,
				     .lua_file = c->lua_file,
				     .lua_digest = g->lua_digest,
				     .admin_socket = c->admin_socket,
				     .resolver_socket = c->resolver_socket,
				     .again_socket = c->again_socket,
				     .trusted_proxies = c->trusted_proxies.items,
				     .trusted_proxy_count = c->trusted_proxies.count,
				     .wake_timeout_ms = c->wake_timeout_ms,
				     .threads = c->threads,
				     .max_connections = max_connections()};
	_buf_ text = BUF_INIT(CONFIG_MAX);

	haproxy_cfg_write(&s, shape, &text);
	return buf_steal(&text);
}

struct collected {
	const struct json **items;
	size_t count;
};

static void collect(void *user, const struct json *o)
{
	struct collected *c = user;

	if (!json_in(o, "metadata", "deletionTimestamp"))
		c->items[c->count++] = o;
}

static struct route_table *build_table(struct gateway *g, struct arena *a)
{
	struct collected c = {arena_calloc(a, (kube_informer_count(g->routes) + 1) * sizeof(void *)), 0};

	kube_informer_each(g->routes, collect, &c);
	return route_table_build(a, c.items, c.count, find_container, g);
}

/* HAProxy has the routes, and only now a Route may be called accepted. A route that came since is reported in its turn.
 */
static void on_routes_served(void *user)
{
	struct gateway *g = user;
	_arena_ a = arena_new();

	if (!uv_is_active((uv_handle_t *)&g->rebuild_timer))
		report_routes(g->kube, build_table(g, a));
}

static void rebuild(struct gateway *g)
{
	_arena_ a = arena_new();
	struct route_table *t = build_table(g, a);
	size_t accepted = 0;

	for (size_t i = 0; i < t->verdict_count; i++)
		accepted += t->verdicts[i].accepted;
	metric_set(&route_count, "true", (double)accepted);
	metric_set(&route_count, "false", (double)(t->verdict_count - accepted));
	maps_set_routes(g->maps, t);
	_free_ char *config = render(g, &t->shape);

	/* With the same shape the maps are all that changes; another shape brings its maps along when it is loaded. */
	if (!streq(config, g->config)) {
		free(g->config);
		g->config = steal(&config);
	}
	g->routes_built = true;
	haproxy_process_apply(g->haproxy, g->config);
	if (haproxy_process_is_settled(g->haproxy))
		maps_sync_routes(g->maps);
}

static void on_rebuild(uv_timer_t *t)
{
	rebuild(t->data);
}

static void schedule_rebuild(struct gateway *g)
{
	if (is_synced(g) && !uv_is_active((uv_handle_t *)&g->rebuild_timer))
		uv_timer_start(&g->rebuild_timer, on_rebuild, 10, 0);
}

/* ---- HAProxy ---- */

static int on_prepare(void *user, struct error *e)
{
	const struct gateway *g = user;
	int r = file_write_atomic(g->cfg->lua_file, gateway_lua, strlen(gateway_lua), 0644, e);

	return r ? r : maps_write_files(g->maps, e);
}

static void on_up(void *user, bool fresh)
{
	struct gateway *g = user;

	maps_up(g->maps, fresh);
	sleeper_up(g->sleeper, fresh);
	if (g->routes_built && haproxy_process_is_settled(g->haproxy))
		maps_sync_routes(g->maps);
}

static void on_down(void *user)
{
	struct gateway *g = user;

	maps_down(g->maps);
	sleeper_down(g->sleeper);
}

static void on_gone(void *user)
{
	struct gateway *g = user;

	g->drained(g->drained_user);
}

/* ---- informers ---- */

static void on_synced(struct gateway *g)
{
	if (!is_synced(g))
		return;
	log_info("caches are complete", "instances", log_num((int64_t)instance_table_count(g->instances)), NULL);
	schedule_rebuild(g);
	resolver_world_changed(g->resolver);
}

static void on_container(void *user, enum kube_event ev, const struct json *old, const struct json *o)
{
	struct gateway *g = user;

	if (ev == KUBE_SYNCED) {
		on_synced(g);
		return;
	}
	if (ev == KUBE_MODIFIED && json_equal(json_get(old, "spec"), json_get(o, "spec")) &&
	    !json_in(o, "metadata", "deletionTimestamp"))
		return;
	sleeper_container_changed(g->sleeper, json_str(json_in(o, "metadata", "namespace")),
				  json_str(json_in(o, "metadata", "name")));
	schedule_rebuild(g);
	resolver_world_changed(g->resolver);
}

static void on_route(void *user, enum kube_event ev, const struct json *old, const struct json *o)
{
	struct gateway *g = user;

	if (ev == KUBE_SYNCED)
		on_synced(g);
	else if (ev != KUBE_MODIFIED || !json_equal(json_get(old, "spec"), json_get(o, "spec")) ||
		 json_in(o, "metadata", "deletionTimestamp"))
		schedule_rebuild(g);
}

static void on_instance(void *user, enum kube_event ev, _unused_ const struct json *old, const struct json *o)
{
	struct gateway *g = user;
	char key[INSTANCE_KEY_MAX];

	if (ev == KUBE_SYNCED) {
		on_synced(g);
		return;
	}
	struct instance *i = instance_table_put(g->instances, o);

	if (!i) {
		log_debug("an Instance bears another name than its ID gives it", "instance",
			  json_str(json_in(o, "metadata", "name")), NULL);
		return;
	}
	memcpy(key, i->key, strlen(i->key) + 1);
	if (ev == KUBE_DELETED)
		instance_table_remove(g->instances, i);
	else
		sleeper_touch(g->sleeper, i);
	metric_set(&instance_count, NULL, (double)instance_table_count(g->instances));
	maps_touch(g->maps, key);
	resolver_instance_changed(g->resolver, key);
}

static void on_location(void *user, enum kube_event ev, _unused_ const struct json *old, const struct json *o)
{
	struct gateway *g = user;
	const char *name = json_str_or(json_in(o, "metadata", "name"), "");
	struct error e = {0};

	if (ev == KUBE_SYNCED)
		on_synced(g);
	else if (ev == KUBE_DELETED)
		clients_remove(g->clients, name);
	else if (clients_put(g->clients, o, &e))
		log_warn("a network in clientCIDRs is left out", "location", name, "error", e.text, NULL);
}

/* ---- the whole ---- */

static void on_report(uv_timer_t *t)
{
	struct gateway *g = t->data;

	report_location(g->kube, g->cfg);
}

/* The caches are not complete yet: serve the routes of the last run; addresses are looked up when they are known. */
static void on_sync_patience(uv_timer_t *t)
{
	struct gateway *g = t->data;

	if (!is_synced(g) && haproxy_process_start_from_disk(g->haproxy))
		log_warn("the apiserver does not answer; serving the routes of the last run", NULL);
}

static void init_timer(struct gateway *g, uv_loop_t *loop, uv_timer_t *t)
{
	uv_timer_init(loop, t);
	t->data = g;
}

int gateway_start(uv_loop_t *loop, const struct gateway_config *cfg, struct kube *kube, struct gateway **ret,
		  struct error *e)
{
	struct gateway *g = xcalloc(1, sizeof(*g));

	g->cfg = cfg;
	g->kube = kube;
	g->instances = instance_table_new();
	g->clients = clients_new();
	sha256_hex(gateway_lua, strlen(gateway_lua), g->lua_digest);
	struct resolver_options resolver = {.loop = loop,
					    .kube = kube,
					    .instances = g->instances,
					    .socket_path = cfg->resolver_socket,
					    .uid = cfg->uid,
					    .gid = cfg->gid,
					    .chown = cfg->user != NULL,
					    .location = cfg->location,
					    .near = cfg->trusted_proxies.count ? find_near : NULL,
					    .wake_timeout_ms = cfg->wake_timeout_ms,
					    .max_waiting = cfg->max_waiting,
					    .max_waiting_per_key = (cfg->max_waiting + WAITING_PER_KEY - 1) /
								   WAITING_PER_KEY,
					    .synced = is_synced,
					    .container = find_container,
					    .written = on_written,
					    .user = g};
	int r = resolver_start(&resolver, &g->resolver, e);

	if (r) {
		instance_table_free(g->instances);
		clients_free(g->clients);
		free(g);
		return r;
	}
	g->rt = runtime_new(loop, cfg->admin_socket, cfg->master_socket);
	g->maps = maps_new(loop, cfg, g->rt, g->instances, on_routes_served, g);
	g->sleeper = sleeper_new(&(struct sleeper_options){.loop = loop,
							   .kube = kube,
							   .instances = g->instances,
							   .maps = g->maps,
							   .rt = g->rt,
							   .location = cfg->location,
							   .container = find_container,
							   .changed = on_sleeper_changed,
							   .user = g});
	g->haproxy = haproxy_process_new(loop, cfg, g->rt,
					 &(struct haproxy_events){on_prepare, on_up, on_down, on_gone, g});
	init_timer(g, loop, &g->rebuild_timer);
	init_timer(g, loop, &g->report_timer);
	init_timer(g, loop, &g->sync_timer);
	g->containers = kube_informer_start(kube, &KUBE_CONTAINERS, NULL, on_container, g);
	g->routes = kube_informer_start(kube, &KUBE_ROUTES, NULL, on_route, g);
	if (cfg->trusted_proxies.count)
		g->locations = kube_informer_start(kube, &KUBE_LOCATIONS, NULL, on_location, g);
	g->instance_informer = kube_informer_start(kube, &KUBE_INSTANCES, NULL, on_instance, g);
	haproxy_process_adopt(g->haproxy);
	uv_timer_start(&g->sync_timer, on_sync_patience, SYNC_PATIENCE_MS, 0);
	uv_timer_start(&g->report_timer, on_report, 0, REPORT_EVERY_MS);
	*ret = g;
	return 0;
}

void gateway_drain(struct gateway *g, void (*done)(void *user), void *user)
{
	g->drained = done;
	g->drained_user = user;
	haproxy_process_drain(g->haproxy, g->cfg->drain_timeout_ms);
}

static void on_timer_closed(uv_handle_t *h)
{
	struct gateway *g = h->data;

	if (++g->closed < 3)
		return;
	free(g->config);
	free(g);
}

void gateway_stop(struct gateway *g)
{
	kube_informer_stop(g->containers);
	kube_informer_stop(g->routes);
	kube_informer_stop(g->instance_informer);
	if (g->locations)
		kube_informer_stop(g->locations);
	resolver_stop(g->resolver);
	sleeper_free(g->sleeper);
	haproxy_process_free(g->haproxy);
	maps_free(g->maps);
	runtime_free(g->rt);
	clients_free(g->clients);
	instance_table_free(g->instances);
	uv_close((uv_handle_t *)&g->rebuild_timer, on_timer_closed);
	uv_close((uv_handle_t *)&g->report_timer, on_timer_closed);
	uv_close((uv_handle_t *)&g->sync_timer, on_timer_closed);
}
