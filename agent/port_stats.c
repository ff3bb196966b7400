/*
 * port_stats.c - requests for statistics share one round of questions: whoever comes while one is under way gets its
 * answer.
 */
#include "agent/port_stats.h"

#include "agent/port.h"
#include "lib/units.h"

#define ROUND_MAX_MS 1000
#define WAITING_MAX 64

/* One round; there is at most one. */
static struct stats_round {
	bool under_way;
	struct agent *agent;
	struct arena *a;
	struct json *list;
	size_t open; /* guests that have not answered */
	struct httpd_request *waiting[WAITING_MAX];
	size_t waiting_count;
	uv_timer_t timer;
	bool timer_made;
} now;

static const struct {
	uint16_t key;
	const char *name;
} fields[] = {
	{CHANNEL_KEY_CPU_US, "cpuMicroseconds"},	{CHANNEL_KEY_MEMORY_BYTES, "memoryBytes"},
	{CHANNEL_KEY_DISK_BYTES, "diskBytes"},		{CHANNEL_KEY_NET_RX_BYTES, "networkReceivedBytes"},
	{CHANNEL_KEY_NET_TX_BYTES, "networkSentBytes"}, {CHANNEL_KEY_PROCESSES, "processes"},
	{CHANNEL_KEY_DROPPED_BYTES, "logDroppedBytes"},
};

static void finish(void)
{
	char time[TIME_TEXT_MAX];
	struct json *o = json_object(now.a);

	json_set_str(now.a, o, "time", time_format(time_now_ms(), time));
	json_set(now.a, o, "instances", now.list);
	for (size_t i = 0; i < now.waiting_count; i++)
		port_reply_json(now.waiting[i], 200, o);
	uv_timer_stop(&now.timer);
	arena_free(steal(&now.a));
	now.under_way = false;
	now.waiting_count = now.open = 0;
}

static void on_limit(_unused_ uv_timer_t *t)
{
	size_t position = 0;
	void *value;

	while (strmap_next(now.agent->by_uid, &position, NULL, &value))
		((struct instance *)value)->stats_asked = false;
	finish();
}

static void answered(struct instance *i)
{
	i->stats_asked = false;
	if (--now.open == 0)
		finish();
}

void port_stats_answer(struct instance *i, const struct channel_frame *f)
{
	char time[TIME_TEXT_MAX];

	if (!i->stats_asked)
		return;
	struct json *o = json_append(now.a, now.list, json_object(now.a));
	json_set_str(now.a, o, "namespace", i->ns);
	json_set_str(now.a, o, "name", i->name);
	json_set_int(now.a, o, "vmGeneration", i->seen.generation);
	if (i->record.started_at)
		json_set_str(now.a, o, "startedAt", time_format(i->record.started_at, time));
	if (i->launch.arena) {
		json_set_int(now.a, o, "memoryLimitBytes", i->launch.l.memory);
		json_set_int(now.a, o, "cpuLimitMilli", i->launch.l.milli_vcpu);
	}
	for (size_t k = 0; k < ARRAY_SIZE(fields); k++) {
		uint64_t v;
		if (channel_get_u64(f, fields[k].key, &v))
			json_set_int(now.a, o, fields[k].name, (int64_t)(v & INT64_MAX));
	}
	answered(i);
}

void port_stats_lost(struct instance *i)
{
	if (i->stats_asked)
		answered(i);
}

static void begin(struct agent *g)
{
	uint8_t frame[CHANNEL_HEADER_SIZE];
	struct channel_writer w;
	size_t position = 0;
	void *value;

	if (!now.timer_made)
		uv_timer_init(g->loop, &now.timer);
	now.timer_made = now.under_way = true;
	now.agent = g;
	now.a = arena_new();
	now.list = json_array(now.a);
	while (strmap_next(g->by_uid, &position, NULL, &value)) {
		struct instance *i = value;
		channel_begin(&w, frame, CHANNEL_STATS_REQUEST, 0);
		i->stats_asked = i->channel && !instance_is_suspended(i) &&
				 channel_host_send(i->channel, frame, channel_end(&w));
		now.open += i->stats_asked;
	}
	uv_timer_start(&now.timer, on_limit, ROUND_MAX_MS, 0);
}

void port_stats_handle(struct agent *g, struct httpd_request *r, _unused_ const char *ns, _unused_ const char *name)
{
	if (now.waiting_count == WAITING_MAX) {
		port_fail(r, E_TOO_MANY, "too many requests for statistics wait already");
		return;
	}
	if (!now.under_way)
		begin(g);
	now.waiting[now.waiting_count++] = r;
	if (now.open == 0)
		finish();
}
