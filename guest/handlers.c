/*
 * handlers.c - the table [state][event] of PID 1 and its functions; see handlers.h.
 *
 * What is owed to the agent is remembered as flags and queued when there is room, never waited for: a HELLO says
 * everything about the app that the frames before it would have said, so these are forgotten when the host goes away.
 */
#include "guest/handlers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/random.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>

#include "guest/files.h"
#include "guest/netconf.h"

typedef void handler(struct machine *m, const struct channel_frame *f);

/* ---- answers ---- */

static void tell_error(struct machine *m, uint32_t stream, const char *text)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, frame, CHANNEL_ERROR, stream);
	channel_put_str(&w, CHANNEL_KEY_TEXT, text);
	(void)port_send(&m->port, frame, channel_end(&w));
}

/* For a session that never came to be. */
static void refuse(struct machine *m, uint32_t stream, const char *text)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	tell_error(m, stream, text);
	channel_begin(&w, frame, CHANNEL_EXIT, stream);
	channel_put_u64(&w, CHANNEL_KEY_CODE, SPAWN_CODE_FAILED);
	(void)port_send(&m->port, frame, channel_end(&w));
}

static const char *const state_names[MACHINE_STATES] = {"waiting", "running", "running", "exited"};

static bool tell_hello(struct machine *m)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, frame, CHANNEL_HELLO, 0);
	channel_put_str(&w, CHANNEL_KEY_VERSION, m->version);
	channel_put_str(&w, CHANNEL_KEY_BOOT_ID, m->boot_id);
	channel_put_str(&w, CHANNEL_KEY_KERNEL, m->kernel);
	channel_put_u64(&w, CHANNEL_KEY_UPTIME_MS, now_ms());
	channel_put_str(&w, CHANNEL_KEY_STATE, state_names[m->state]);
	channel_put_u64(&w, CHANNEL_KEY_READY, m->probe.ready);
	channel_put_u64(&w, CHANNEL_KEY_PID, task_is_alive(&m->tasks[0]) ? (uint64_t)m->tasks[0].pid : 0);
	if (m->state == MACHINE_EXITED)
		task_put_exit(&m->tasks[0], &w);
	return port_send(&m->port, frame, channel_end(&w));
}

static bool tell_resumed(struct machine *m)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, frame, CHANNEL_RESUMED, 0);
	channel_put_str(&w, CHANNEL_KEY_STATE, state_names[m->state]);
	channel_put_u64(&w, CHANNEL_KEY_READY, m->probe.ready);
	return port_send(&m->port, frame, channel_end(&w));
}

static bool tell_ready(struct machine *m)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, frame, m->owes_ready ? CHANNEL_READY : CHANNEL_UNREADY, TASK_APP_STREAM);
	if (m->owes_ready)
		channel_put_u64(&w, CHANNEL_KEY_UPTIME_MS, now_ms());
	else
		channel_put_str(&w, CHANNEL_KEY_TEXT, m->probe.why);
	return port_send(&m->port, frame, channel_end(&w));
}

static void tell_output(struct machine *m)
{
	uint8_t frame[CHANNEL_HEADER_SIZE + 1 + RING_RECORD_MAX], data[RING_RECORD_MAX], which;
	struct channel_writer w;
	char note[96];

	if (m->ring.dropped > m->dropped_told && !port_busy(&m->port)) {
		snprintf(note, sizeof(note), "berth: %llu bytes of output were dropped here while nobody read them\n",
			 (unsigned long long)(m->ring.dropped - m->dropped_told));
		which = 2;
		channel_begin(&w, frame, CHANNEL_OUTPUT, TASK_APP_STREAM);
		channel_put_raw(&w, &which, 1);
		channel_put_raw(&w, note, strlen(note));
		if (port_send(&m->port, frame, channel_end(&w)))
			m->dropped_told = m->ring.dropped;
	}
	while (!port_busy(&m->port) && !ring_empty(&m->ring)) {
		size_t n = ring_take(&m->ring, &which, data);

		channel_begin(&w, frame, CHANNEL_OUTPUT, TASK_APP_STREAM);
		channel_put_raw(&w, &which, 1);
		channel_put_raw(&w, data, n);
		(void)port_send(&m->port, frame, channel_end(&w));
	}
}

void machine_tell(struct machine *m)
{
	if (!m->port.connected)
		return;
	if (m->owes_hello)
		m->owes_hello = !tell_hello(m);
	if (m->owes_resumed)
		m->owes_resumed = !tell_resumed(m);
	for (size_t i = 1; i < MACHINE_TASKS; i++)
		if (m->tasks[i].state != TASK_FREE && task_tell(&m->tasks[i], &m->port, true))
			task_free(&m->tasks[i]);
	/* The app's frames in the order of events: started, output and readiness, and its end after its last output. */
	(void)task_tell(&m->tasks[0], &m->port, false);
	if ((m->owes_ready || m->owes_unready) && tell_ready(m))
		m->owes_ready = m->owes_unready = false;
	tell_output(m);
	if (ring_empty(&m->ring))
		(void)task_tell(&m->tasks[0], &m->port, true);
}

void machine_probe(struct machine *m, enum probe_event event)
{
	if (event == PROBE_NOTHING)
		return;
	m->owes_ready = event == PROBE_READY;
	m->owes_unready = event == PROBE_UNREADY;
}

/* ---- frames ---- */

static void hang_up_all(struct machine *m)
{
	for (size_t i = 1; i < MACHINE_TASKS; i++)
		if (m->tasks[i].state != TASK_FREE)
			task_hang_up(&m->tasks[i]);
	m->owes_ready = m->owes_unready = m->owes_resumed = false;
	m->tasks[0].owed &= ~(unsigned)(TASK_OWES_STARTED | TASK_OWES_EXIT);
}

/* Somebody new is there, even if the port never looked closed in between. */
static void on_attach(struct machine *m, const struct channel_frame *f)
{
	(void)f;
	hang_up_all(m);
	m->owes_hello = true;
}

static void on_host_went(struct machine *m, const struct channel_frame *f)
{
	(void)f;
	hang_up_all(m);
}

static void add_entropy(struct machine *m)
{
	/* struct rand_pool_info: the bits, the bytes, and then the bytes themselves. */
	int pool[2 + REQUEST_ENTROPY_MAX / sizeof(int)];
	int len = (int)m->app.entropy_len;

	if (len == 0)
		return;
	pool[0] = len * CHAR_BIT;
	pool[1] = len;
	memcpy(&pool[2], m->app.entropy, m->app.entropy_len);
	if (ioctl(m->random, RNDADDENTROPY, pool) < 0)
		say("cannot add entropy: %s", strerror(errno));
}

static void set_time(uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

	if (ns && clock_settime(CLOCK_REALTIME, &ts) < 0)
		say("cannot set the clock: %s", strerror(errno));
}

/* Once, before any program of the image has run. False after saying why in `why`. */
static bool configure(struct machine *m, char why[REQUEST_WHY_MAX])
{
	const struct request *r = &m->app;
	struct netconf_address address;
	struct in_addr gateway;
	bool routed = r->gateway[0] != '\0';
	int e;

	if (m->configured)
		return true;
	add_entropy(m);
	if (r->address[0] && !netconf_parse(r->address, &address)) {
		snprintf(why, REQUEST_WHY_MAX, "field ADDRESS is not an IPv4 address");
		return false;
	}
	if (routed && inet_pton(AF_INET, r->gateway, &gateway) != 1) {
		snprintf(why, REQUEST_WHY_MAX, "field GATEWAY is not an IPv4 address");
		return false;
	}
	if (r->address[0]) {
		e = netconf_apply(&address, routed ? &gateway : NULL);
		if (e < 0) {
			snprintf(why, REQUEST_WHY_MAX, "cannot configure the network: %s", strerror(-e));
			return false;
		}
		m->own = address.address;
		(void)inet_ntop(AF_INET, &address.address, m->address, sizeof(m->address));
	}
	e = netconf_names(r->hostname[0] ? r->hostname : "localhost", m->address, r->dns.at, r->dns.count);
	if (e < 0)
		say("cannot write names: %s", strerror(-e));
	m->configured = true;
	return true;
}

static void refuse_start(struct machine *m, const char *why)
{
	struct task *t = &m->tasks[0];

	task_free(t);
	t->stream = TASK_APP_STREAM;
	t->state = TASK_ENDED;
	t->wait_status = SPAWN_CODE_FAILED << 8;
	t->owed = TASK_OWES_ERROR | TASK_OWES_EXIT;
	snprintf(t->why, sizeof(t->why), "%s", why);
	m->state = MACHINE_EXITED;
}

static void on_start(struct machine *m, const struct channel_frame *f)
{
	char why[REQUEST_WHY_MAX];

	if (f->stream != TASK_APP_STREAM) {
		tell_error(m, f->stream, "START is for stream 1");
		return;
	}
	if (!request_parse(f, &m->app, why)) {
		refuse_start(m, why);
		return;
	}
	if (!request_probe(&m->app, &m->probe.config)) {
		refuse_start(m, "the PROBE_* fields make no sense together");
		return;
	}
	set_time(m->app.time_ns);
	if (!configure(m, why)) {
		refuse_start(m, why);
		return;
	}
	task_free(&m->tasks[0]);
	m->oom_before = cgroup_oom_kills(&m->cgroup);
	m->state = task_start(&m->tasks[0], TASK_APP_STREAM, &m->app, NULL, m->cgroup.app) ? MACHINE_STARTING
											   : MACHINE_EXITED;
}

static void on_start_refused(struct machine *m, const struct channel_frame *f)
{
	tell_error(m, f->stream, "the app is running already");
}

static struct task *find_session(struct machine *m, uint32_t stream)
{
	for (size_t i = 1; i < MACHINE_TASKS; i++)
		if (m->tasks[i].state != TASK_FREE && m->tasks[i].stream == stream)
			return &m->tasks[i];
	return NULL;
}

static void on_exec(struct machine *m, const struct channel_frame *f)
{
	const struct request *base = m->state == MACHINE_WAITING ? NULL : &m->app;
	char why[REQUEST_WHY_MAX];

	if (f->stream <= TASK_APP_STREAM || find_session(m, f->stream)) {
		tell_error(m, f->stream, "the stream of an EXEC must be a new one from 2 on");
		return;
	}
	if (!request_parse(f, &m->scratch, why)) {
		refuse(m, f->stream, why);
		return;
	}
	for (size_t i = 1; i < MACHINE_TASKS; i++) {
		if (m->tasks[i].state == TASK_FREE) {
			(void)task_start(&m->tasks[i], f->stream, &m->scratch, base, m->cgroup.exec);
			return;
		}
	}
	refuse(m, f->stream, "too many exec sessions in this instance");
}

static void on_input(struct machine *m, const struct channel_frame *f)
{
	struct task *t = find_session(m, f->stream);

	/* A session may have ended while this was on its way. */
	if (t && t->state != TASK_ENDED && !task_put_input(t, f->payload, f->payload_len))
		tell_error(m, f->stream, "INPUT without STDIN, or more than the window allows");
}

static void on_resize(struct machine *m, const struct channel_frame *f)
{
	struct task *t = find_session(m, f->stream);
	uint64_t columns, rows;

	if (t && channel_get_u64(f, CHANNEL_KEY_COLUMNS, &columns) && channel_get_u64(f, CHANNEL_KEY_ROWS, &rows) &&
	    columns <= UINT16_MAX && rows <= UINT16_MAX)
		task_resize(t, (uint16_t)columns, (uint16_t)rows);
}

static void on_signal(struct machine *m, const struct channel_frame *f)
{
	struct task *t = f->stream == TASK_APP_STREAM ? &m->tasks[0] : find_session(m, f->stream);
	uint64_t number;

	if (!channel_get_u64(f, CHANNEL_KEY_SIGNAL, &number) || number < 1 || number > (uint64_t)SIGRTMAX) {
		tell_error(m, f->stream, "SIGNAL needs a signal's number");
		return;
	}
	if (!t || !task_is_alive(t))
		return;
	/* To the app's own process, as to a container's; KILL to all that belongs to it. Sessions are process groups.
	 */
	if (t == &m->tasks[0] && number == SIGKILL)
		cgroup_kill_app(&m->cgroup);
	kill(t == &m->tasks[0] ? t->pid : -t->pid, (int)number);
}

static void on_stats(struct machine *m, const struct channel_frame *f)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;
	struct stats s;

	stats_read(&m->stats, &s);
	channel_begin(&w, frame, CHANNEL_STATS, f->stream);
	channel_put_u64(&w, CHANNEL_KEY_CPU_US, s.cpu_us);
	channel_put_u64(&w, CHANNEL_KEY_MEMORY_BYTES, s.memory_bytes);
	channel_put_u64(&w, CHANNEL_KEY_DISK_BYTES, s.disk_bytes);
	channel_put_u64(&w, CHANNEL_KEY_NET_RX_BYTES, s.net_rx_bytes);
	channel_put_u64(&w, CHANNEL_KEY_NET_TX_BYTES, s.net_tx_bytes);
	channel_put_u64(&w, CHANNEL_KEY_PROCESSES, s.processes);
	channel_put_u64(&w, CHANNEL_KEY_DROPPED_BYTES, m->ring.dropped);
	(void)port_send(&m->port, frame, channel_end(&w));
}

static void on_power_off(struct machine *m, const struct channel_frame *f)
{
	(void)f;
	m->power_off = true;
}

/* While the machine stood still the time of day went on without it. */
static void on_resume(struct machine *m, const struct channel_frame *f)
{
	uint64_t ns;

	if (channel_get_u64(f, CHANNEL_KEY_TIME_NS, &ns) && ns <= INT64_MAX)
		set_time(ns);
	m->owes_resumed = true;
}

static void on_ack(struct machine *m, const struct channel_frame *f)
{
	struct task *t = find_session(m, f->stream);
	uint64_t bytes;

	if (t && t->windowed && channel_get_u64(f, CHANNEL_KEY_BYTES, &bytes) && bytes <= UINT32_MAX)
		t->window += bytes;
}

/* ---- the app ---- */

static void on_app_started(struct machine *m, const struct channel_frame *f)
{
	struct probe_config config = m->probe.config;

	(void)f;
	m->state = MACHINE_RUNNING;
	probe_start(&m->probe, &config, m->own, now_ms());
}

static void on_app_exited(struct machine *m, const struct channel_frame *f)
{
	struct task *t = &m->tasks[0];

	(void)f;
	cgroup_kill_app(&m->cgroup);
	probe_stop(&m->probe);
	m->owes_ready = m->owes_unready = false;
	/* Whichever of the app's processes it was; an app that copes with it and ends well is no victim. */
	t->oom = t->wait_status != 0 && cgroup_oom_kills(&m->cgroup) > m->oom_before;
	m->state = MACHINE_EXITED;
}

/* ---- the table ---- */

#define ALWAYS                                                                                                        \
	[EVENT_ATTACH] = on_attach, [EVENT_EXEC] = on_exec, [EVENT_INPUT] = on_input, [EVENT_RESIZE] = on_resize,     \
	[EVENT_STATS] = on_stats, [EVENT_POWER_OFF] = on_power_off, [EVENT_ACK] = on_ack, [EVENT_RESUME] = on_resume, \
	[EVENT_HOST_CAME] = on_attach, [EVENT_HOST_WENT] = on_host_went, [EVENT_SIGNAL] = on_signal

static handler *const table[MACHINE_STATES][EVENTS] = {
	[MACHINE_WAITING] = {ALWAYS, [EVENT_START] = on_start},
	[MACHINE_STARTING] = {ALWAYS, [EVENT_START] = on_start_refused, [EVENT_APP_STARTED] = on_app_started,
			      [EVENT_APP_EXITED] = on_app_exited},
	[MACHINE_RUNNING] = {ALWAYS, [EVENT_START] = on_start_refused, [EVENT_APP_EXITED] = on_app_exited},
	[MACHINE_EXITED] = {ALWAYS, [EVENT_START] = on_start},
};

void machine_event(struct machine *m, enum machine_event event, const struct channel_frame *f)
{
	handler *h = table[m->state][event];

	if (h)
		h(m, f);
}

void machine_frame(struct machine *m, const struct channel_frame *f)
{
	static const uint8_t types[] = {
		[CHANNEL_ATTACH] = EVENT_ATTACH + 1,
		[CHANNEL_START] = EVENT_START + 1,
		[CHANNEL_EXEC] = EVENT_EXEC + 1,
		[CHANNEL_INPUT] = EVENT_INPUT + 1,
		[CHANNEL_RESIZE] = EVENT_RESIZE + 1,
		[CHANNEL_SIGNAL] = EVENT_SIGNAL + 1,
		[CHANNEL_STATS_REQUEST] = EVENT_STATS + 1,
		[CHANNEL_POWEROFF] = EVENT_POWER_OFF + 1,
		[CHANNEL_ACK] = EVENT_ACK + 1,
		[CHANNEL_RESUME] = EVENT_RESUME + 1,
	};

	if (f->type >= ARRAY_SIZE(types) || types[f->type] == 0)
		tell_error(m, f->stream, "the guest does not know this type of frame");
	else
		machine_event(m, (enum machine_event)(types[f->type] - 1), f);
}
