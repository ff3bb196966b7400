/*
 * maps.c - the instances map; see maps.h. maps_routes.c does the routes.
 */
#include "gateway/maps_private.h"

#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/metrics.h"

#include <stdio.h>

#define VERIFY_EVERY_MS 60000

static struct metric entries = METRIC_GAUGE("berth_gateway_map_entries", "Instances whose address HAProxy knows", NULL);
static struct metric changes = METRIC_COUNTER("berth_gateway_map_changes_total", "Changes of the instances map",
					      "change");
static struct metric repairs = METRIC_COUNTER("berth_gateway_map_repairs_total",
					      "Entries that HAProxy had otherwise than wanted", NULL);

/* ---- what HAProxy has ---- */

static const char *wanted_address(const struct maps *m, const char *key)
{
	const struct instance *i = instance_table_get(m->instances, key);

	return i ? instance_address(i) : NULL;
}

static void applied_set(struct maps *m, const char *key, const char *address)
{
	free(address ? strmap_put(m->applied, key, xstrdup(address)) : strmap_remove(m->applied, key));
}

static void applied_clear(struct maps *m)
{
	size_t pos = 0;
	void *address;

	while (strmap_next(m->applied, &pos, NULL, &address))
		free(address);
	strmap_free(m->applied);
	m->applied = strmap_new();
}

/* ---- sending what changed ---- */

static void on_changed(void *user, int err, const char *answer)
{
	struct maps *m = user;

	/* Every command that worked answers with an empty line. */
	if (err || strspn(answer, "\n ") != strlen(answer))
		m->verify_soon = true;
}

static void send_batch(struct maps *m, struct buf *commands)
{
	if (!commands->len)
		return;
	runtime_ask(m->rt, RUNTIME_WORKER, commands->data, on_changed, m);
	buf_reset(commands);
}

static void send_change(struct maps *m, const char *key, struct buf *commands)
{
	const char *want = wanted_address(m, key), *have = strmap_get(m->applied, key);

	if (want ? streq(want, have) : !have)
		return;
	if (commands->len > RUNTIME_COMMAND_MAX - 2 * INSTANCE_KEY_MAX)
		send_batch(m, commands);
	if (commands->len)
		buf_addc(commands, ';');
	const char *verb = !want ? "del" : have ? "set" : "add";

	buf_addf(commands, "%s map %s %s%s%s", verb, m->instances_file, key, want ? " " : "", want ? want : "");
	metric_add(&changes, verb, 1);
	applied_set(m, key, want);
	if (m->verifying)
		strmap_put(m->changed, key, m);
}

void maps_flush(struct maps *m)
{
	_buf_ commands = BUF_INIT(RUNTIME_COMMAND_MAX + INSTANCE_KEY_MAX);
	size_t pos = 0;
	const char *key;
	void *value;

	if (!m->known || !strmap_count(m->touched))
		return;
	while (strmap_next(m->touched, &pos, &key, &value))
		send_change(m, key, &commands);
	send_batch(m, &commands);
	strmap_free(m->touched);
	m->touched = strmap_new();
	uv_timer_stop(&m->flush_timer);
	metric_set(&entries, NULL, (double)strmap_count(m->applied));
}

static void on_flush_timer(uv_timer_t *t)
{
	maps_flush(t->data);
}

void maps_touch(struct maps *m, const char *key)
{
	strmap_put(m->touched, key, m);
	if (m->known && !uv_is_active((uv_handle_t *)&m->flush_timer))
		uv_timer_start(&m->flush_timer, on_flush_timer, 0, 0);
}

/* ---- reading it back ---- */

/* One line of "show map": "0x55d1c0de1234 key address". */
static bool parse_entry(const char *line, char *key, char *address)
{
	return sscanf(line, "0x%*x %1023s %63s", key, address) == 2;
}

/* Takes what HAProxy has over into applied and touches whatever is not as wanted. */
static void compare(struct maps *m, const char *answer)
{
	struct strmap *seen = strmap_new();
	char key[INSTANCE_KEY_MAX], address[64];
	size_t pos = 0;
	const char *k;
	void *v;

	for (const char *p = answer; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		if (!parse_entry(p, key, address) || strmap_get(m->changed, key))
			continue;
		bool twice = strmap_put(seen, key, m) != NULL;
		const char *want = wanted_address(m, key);

		if (twice || !streq(address, want)) {
			metric_add(&repairs, NULL, 1);
			/* Of two entries "del" removes both; then the right one is added. */
			if (twice) {
				_free_ char *cmd = xasprintf("del map %s %s", m->instances_file, key);

				runtime_ask(m->rt, RUNTIME_WORKER, cmd, NULL, NULL);
			}
			maps_touch(m, key);
		}
		applied_set(m, key, twice ? NULL : address);
	}
	struct instance *i;

	for (pos = 0; instance_table_next(m->instances, &pos, &i);)
		if (!strmap_get(seen, i->key) && !strmap_get(m->changed, i->key) && instance_address(i)) {
			metric_add(&repairs, NULL, 1);
			applied_set(m, i->key, NULL);
			maps_touch(m, i->key);
		}
	/* What was thought to be there and is not. */
	for (pos = 0; strmap_next(m->applied, &pos, &k, &v);)
		if (!strmap_get(seen, k) && !strmap_get(m->changed, k))
			maps_touch(m, k);
	strmap_free(seen);
}

static void on_shown(void *user, int err, const char *answer)
{
	struct maps *m = user;

	m->verifying = false;
	if (err || m->asked_in != m->life) {
		m->verify_soon = true;
	} else if (m->up) {
		compare(m, answer);
		m->known = true;
		maps_flush(m);
	}
	strmap_free(m->changed);
	m->changed = strmap_new();
}

static void verify(struct maps *m)
{
	_free_ char *cmd = xasprintf("show map %s", m->instances_file);

	if (!m->up || m->verifying)
		return;
	m->verify_soon = false;
	m->verifying = true;
	m->asked_in = m->life;
	m->verify_in = VERIFY_EVERY_MS / MAPS_TICK_MS;
	runtime_ask(m->rt, RUNTIME_WORKER, cmd, on_shown, m);
}

static void on_tick(uv_timer_t *t)
{
	struct maps *m = t->data;

	if (m->verify_soon || --m->verify_in <= 0)
		verify(m);
	maps_retry_routes(m);
}

/* ---- the interface ---- */

struct maps *maps_new(uv_loop_t *loop, const struct gateway_config *cfg, struct runtime *rt,
		      const struct instance_table *instances, void (*routes_served)(void *user), void *user)
{
	struct maps *m = xcalloc(1, sizeof(*m));

	m->cfg = cfg;
	m->rt = rt;
	m->instances = instances;
	m->routes_served = routes_served;
	m->user = user;
	m->instances_file = xasprintf("%s/instances.map", cfg->map_dir);
	m->applied = strmap_new();
	m->touched = strmap_new();
	m->changed = strmap_new();
	uv_timer_init(loop, &m->flush_timer);
	uv_timer_init(loop, &m->tick);
	m->flush_timer.data = m->tick.data = m;
	m->verify_in = VERIFY_EVERY_MS / MAPS_TICK_MS;
	uv_timer_start(&m->tick, on_tick, MAPS_TICK_MS, MAPS_TICK_MS);
	maps_routes_init(m);
	return m;
}

int maps_write_files(struct maps *m, struct error *e)
{
	_buf_ text = BUF_INIT(MAPS_FILE_MAX);
	struct instance *i;
	size_t pos = 0;

	while (instance_table_next(m->instances, &pos, &i))
		if (instance_address(i))
			buf_addf(&text, "%s %s\n", i->key, instance_address(i));
	int r = file_write_atomic(m->instances_file, text.len ? text.data : "", text.len, 0640, e);

	return r ? r : maps_routes_write(m, e);
}

void maps_up(struct maps *m, bool fresh)
{
	_free_ char *clear = xasprintf("clear map %s", m->instances_file);

	m->up = true;
	m->life++;
	/* Whatever changed while it came up may or may not have reached it: nothing is sent before it was read back. */
	m->known = false;
	applied_clear(m);
	runtime_ask(m->rt, RUNTIME_OLD, clear, NULL, NULL);
	maps_routes_up(m, fresh);
	verify(m);
}

void maps_down(struct maps *m)
{
	m->up = m->known = false;
}

bool maps_are_known(const struct maps *m)
{
	return m->known;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct maps *m = h->data;
	size_t pos = 0;
	void *address;

	if (++m->closed < 2)
		return;
	while (strmap_next(m->applied, &pos, NULL, &address))
		free(address);
	strmap_free(m->applied);
	strmap_free(m->touched);
	strmap_free(m->changed);
	maps_routes_free(m);
	free(m->instances_file);
	free(m);
}

void maps_free(struct maps *m)
{
	if (!m)
		return;
	uv_close((uv_handle_t *)&m->flush_timer, on_timer_closed);
	uv_close((uv_handle_t *)&m->tick, on_timer_closed);
}
