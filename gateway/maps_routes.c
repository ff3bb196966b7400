/*
 * maps_routes.c - the routes' maps, each replaced in one transaction; see maps.h.
 */
#include "gateway/maps_private.h"

#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/metrics.h"

#include <stdio.h>

static struct metric replaced = METRIC_COUNTER("berth_gateway_route_updates_total",
					       "Route maps replaced while HAProxy ran", "result");

void maps_routes_init(struct maps *m)
{
	static const char *const names[MAP_COUNT] = {"hosts", "suffixes", "exact", "prefix"};

	for (int i = 0; i < MAP_COUNT; i++) {
		m->routes[i].file = xasprintf("%s/%s.map", m->cfg->map_dir, names[i]);
		m->routes[i].wanted = xstrdup("");
	}
	m->sending = -1;
}

void maps_routes_free(struct maps *m)
{
	for (int i = 0; i < MAP_COUNT; i++) {
		free(m->routes[i].file);
		free(m->routes[i].wanted);
		free(m->routes[i].written);
		free(m->routes[i].applied);
	}
	free(m->sent);
}

static void replace(char **text, const char *with)
{
	char *copy = with ? xstrdup(with) : NULL;

	free(*text);
	*text = copy;
}

int maps_routes_write(struct maps *m, struct error *e)
{
	for (int i = 0; i < MAP_COUNT; i++) {
		struct route_map_state *s = &m->routes[i];
		int r = file_write_atomic(s->file, s->wanted, strlen(s->wanted), 0640, e);

		if (r)
			return r;
		replace(&s->written, s->wanted);
	}
	return 0;
}

void maps_set_routes(struct maps *m, const struct route_table *t)
{
	const struct route_map *const maps[MAP_COUNT] = {&t->hosts, &t->suffixes, &t->exact, &t->prefix};

	for (int i = 0; i < MAP_COUNT; i++) {
		_buf_ text = BUF_INIT(MAPS_FILE_MAX);

		route_map_write(maps[i], &text);
		replace(&m->routes[i].wanted, text.data ? text.data : "");
	}
	m->sync_wanted = m->told = false;
}

void maps_routes_up(struct maps *m, bool fresh)
{
	/* A transaction begun with another worker is void; its next answer ends it. */
	m->send_failed = m->sending >= 0;
	m->sync_wanted = false;
	for (int i = 0; i < MAP_COUNT; i++)
		replace(&m->routes[i].applied, fresh ? m->routes[i].written : NULL);
}

/* ---- one transaction ---- */

static void send_next(struct maps *m);

static void on_committed(void *user, int err, const char *answer)
{
	struct maps *m = user;
	struct route_map_state *s = &m->routes[m->sending];
	bool ok = !err && !m->send_failed && strspn(answer, "\n ") == strlen(answer);

	metric_add(&replaced, ok ? "done" : "failed", 1);
	if (ok)
		replace(&s->applied, m->sent);
	else
		log_warn("HAProxy did not take the routes; trying again", "map", s->file, "answer", answer, NULL);
	m->sending = -1;
	/* After a failure the clock tries again. */
	if (ok)
		send_next(m);
}

static void on_added(void *user, int err, const char *answer)
{
	struct maps *m = user;

	if (err || strspn(answer, "\n ") != strlen(answer))
		m->send_failed = true;
}

/* Adds the lines in pieces that HAProxy can read at once, then commits. */
static void on_prepared(void *user, int err, const char *answer)
{
	struct maps *m = user;
	struct route_map_state *s = &m->routes[m->sending];
	const char *number = strstr(answer, "New version created: ");
	unsigned version;

	if (err || !number || sscanf(number, "New version created: %u", &version) != 1) {
		on_committed(m, err ? err : -E_INTERNAL, answer);
		return;
	}
	for (const char *p = m->sent; *p;) {
		_buf_ cmd = BUF_INIT(2 * RUNTIME_COMMAND_MAX);

		buf_addf(&cmd, "add map @%u %s <<\n", version, s->file);
		do {
			size_t len = strcspn(p, "\n") + 1;

			buf_add(&cmd, p, len);
			p += len;
		} while (*p && cmd.len + strcspn(p, "\n") < RUNTIME_COMMAND_MAX);
		runtime_ask(m->rt, RUNTIME_WORKER, cmd.data, on_added, m);
	}
	_free_ char *commit = xasprintf("commit map @%u %s", version, s->file);

	runtime_ask(m->rt, RUNTIME_WORKER, commit, on_committed, m);
}

static void send_next(struct maps *m)
{
	if (!m->up || !m->sync_wanted || m->sending >= 0)
		return;
	for (int i = 0; i < MAP_COUNT; i++) {
		struct route_map_state *s = &m->routes[i];

		/* A map without lines is no part of HAProxy's configuration, but for the prefixes. */
		if (streq(s->wanted, s->applied) || (!*s->wanted && !s->applied && i != MAP_PREFIX))
			continue;
		_free_ char *cmd = xasprintf("prepare map %s", s->file);

		m->sending = i;
		m->send_failed = false;
		replace(&m->sent, s->wanted);
		runtime_ask(m->rt, RUNTIME_WORKER, cmd, on_prepared, m);
		return;
	}
	if (!m->told) {
		m->told = true;
		m->routes_served(m->user);
	}
}

void maps_sync_routes(struct maps *m)
{
	m->sync_wanted = true;
	send_next(m);
}

void maps_retry_routes(struct maps *m)
{
	send_next(m);
}
