/*
 * instance_channel.c - what the guest says, as events; what the agent tells it, as frames.
 *
 * The guest is not trusted: texts are cut, numbers only end up in status fields, and exec data only with the session
 * that has the stream.
 */
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "agent/exec.h"
#include "agent/instance.h"
#include "agent/port_log.h"
#include "agent/port_stats.h"
#include "lib/codec.h"
#include "lib/log.h"
#include "lib/units.h"

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct logfile *instance_log(struct instance *i)
{
	if (!i->log) {
		_arena_ a = arena_new();
		i->log = logfile_open(instance_dir(i, a), 0);
	}
	return i->log;
}

/* Control characters of a guest's text would end up in terminals. */
static void get_text(const struct channel_frame *f, uint16_t key, char *out, size_t size)
{
	if (!channel_get_str(f, key, out, size))
		out[0] = 0;
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
}

static int64_t get_number(const struct channel_frame *f, uint16_t key)
{
	uint64_t v = 0;

	return channel_get_u64(f, key, &v) && v <= INT64_MAX ? (int64_t)v : 0;
}

/* ---- events ---- */

static void note_exit(struct instance *i, const struct channel_frame *f, bool fresh)
{
	int64_t code = get_number(f, CHANNEL_KEY_CODE), sig = get_number(f, CHANNEL_KEY_SIGNAL);
	bool oom = get_number(f, CHANNEL_KEY_OOM) != 0, clean = !code && !sig;

	if (fresh) {
		logfile_flush(instance_log(i), now_ns());
		i->facts.last_exit.any = true;
		i->facts.last_exit.code = code;
		i->facts.last_exit.signal = sig;
		i->facts.last_exit.reason = oom ? "OOMKilled" : clean ? "Completed" : "Error";
		i->facts.last_exit.time = time_now_ms();
		log_info("app ended", "instance", i->name, "namespace", i->ns, "code", log_num(code), "signal",
			 log_num(sig), NULL);
	}
	char message[128];
	if (sig)
		snprintf(message, sizeof(message), "the program was ended by signal %d%s", (int)sig,
			 oom ? " (out of memory)" : "");
	else
		snprintf(message, sizeof(message), "the program ended with code %d", (int)code);
	/* What ERROR said about a START that failed is better. */
	if (!(streq(i->facts.reason, "StartFailed") && (code == 125 || code == 126 || code == 127)))
		instance_set_reason(i, oom ? "OOMKilled" : clean ? "Completed" : "AppExited", message);
	instance_note(i, clean ? EVENT_EXIT_CLEAN : EVENT_EXIT_FAILED);
}

/* A VM of an earlier process of the agent: what was under way goes on. */
static void resume_running(struct instance *i, bool ready)
{
	struct reconcile_seen *s = &i->seen;

	reconcile_note(s, EVENT_HELLO_RUNNING, time_mono_ms());
	s->was_ready = i->record.ready;
	if (ready && !i->record.ready) {
		i->record.ready = true;
		i->record.ready_at = time_now_ms();
		instance_save(i);
	}
	reconcile_note(s, ready ? EVENT_READY : EVENT_UNREADY, time_mono_ms());
	if (i->record.term_since) {
		reconcile_note(s, EVENT_TERM_SENT, time_mono_ms());
		s->since = i->record.term_since;
	}
}

static void on_hello(struct instance *i, const struct channel_frame *f)
{
	char state[16];

	get_text(f, CHANNEL_KEY_STATE, state, sizeof(state));
	get_text(f, CHANNEL_KEY_BOOT_ID, i->facts.boot_id, sizeof(i->facts.boot_id));
	get_text(f, CHANNEL_KEY_KERNEL, i->facts.kernel, sizeof(i->facts.kernel));
	if (i->term_pending)
		i->term_pending = !instance_channel_signal(i, SIGTERM);
	if (streq(state, "running")) {
		if (i->seen.stage == STAGE_RESUMING)
			instance_channel_resume(i);
		else
			resume_running(i, get_number(f, CHANNEL_KEY_READY) != 0);
		instance_sync(i);
	} else if (streq(state, "exited")) {
		/* Counted already when this process saw it; after a restart of the agent it is news. */
		if (i->seen.stage == STAGE_EXITED)
			return;
		note_exit(i, f, i->record.app_started);
	} else {
		if (!i->facts.wake.hello)
			i->facts.wake.hello = time_now_ms();
		instance_note(i, EVENT_HELLO_WAITING);
	}
}

static void on_ready(struct instance *i)
{
	if (!i->facts.wake.ready)
		i->facts.wake.ready = time_now_ms();
	if (!i->record.ready) {
		i->record.ready = true;
		i->record.ready_at = time_now_ms();
	}
	instance_boost(i, INSTANCE_BOOST_READY_MS);
	instance_note(i, EVENT_READY);
	instance_save(i);
}

static void on_unready(struct instance *i, const struct channel_frame *f)
{
	char text[200];

	get_text(f, CHANNEL_KEY_TEXT, text, sizeof(text));
	instance_set_reason(i, "NotReady", *text ? text : "the readiness probe fails");
	instance_note(i, EVENT_UNREADY);
}

/* The guest's first word after it stood still: its clock is right, so requests may come. */
static void on_resumed(struct instance *i, const struct channel_frame *f)
{
	bool ready = get_number(f, CHANNEL_KEY_READY) != 0;

	if (i->seen.stage != STAGE_RESUMING)
		return;
	i->facts.wake.ready = i->record.ready_at = time_now_ms();
	i->record.resuming = false;
	instance_boost(i, INSTANCE_BOOST_READY_MS);
	instance_set_reason(i, "NotReady", "the readiness probe fails");
	reconcile_note(&i->seen, EVENT_RESUMED, time_mono_ms());
	i->save_at = time_mono_ms() + INSTANCE_SAVE_LATER_MS;
	instance_note(i, ready ? EVENT_READY : EVENT_UNREADY);
}

static void on_output(struct instance *i, const struct channel_frame *f)
{
	if (f->payload_len < 1 || (f->payload[0] != 1 && f->payload[0] != 2))
		return;
	logfile_write(instance_log(i), f->payload[0] == 2 ? LOGFILE_STDERR : LOGFILE_STDOUT, f->payload + 1,
		      f->payload_len - 1, now_ns());
	port_log_written(i);
}

static void on_error(struct instance *i, const struct channel_frame *f)
{
	char text[300];

	get_text(f, CHANNEL_KEY_TEXT, text, sizeof(text));
	log_warn("guest reports an error", "instance", i->name, "namespace", i->ns, "error", text, NULL);
	instance_set_reason(i, f->stream == 0 ? "GuestFailed" : "StartFailed", text);
}

/* Frames of the VM and the app; exec streams are exec.c's. */
static void on_app_frame(struct instance *i, const struct channel_frame *f)
{
	switch (f->type) {
	case CHANNEL_OUTPUT:
		on_output(i, f);
		break;
	case CHANNEL_READY:
		on_ready(i);
		break;
	case CHANNEL_UNREADY:
		on_unready(i, f);
		break;
	case CHANNEL_EXIT:
		note_exit(i, f, true);
		break;
	case CHANNEL_ERROR:
		on_error(i, f);
		break;
	case CHANNEL_RESUMED:
		on_resumed(i, f);
		break;
	case CHANNEL_STATS:
		port_stats_answer(i, f);
		break;
	default: /* STARTED, and what a newer guest may say */
		break;
	}
}

static void on_frame(void *user, const struct channel_frame *f, bool first_hello)
{
	struct instance *i = user;

	if (f->type == CHANNEL_HELLO) {
		if (first_hello)
			on_hello(i, f);
	} else if (f->stream >= 2) {
		exec_frame(i, f);
	} else {
		on_app_frame(i, f);
	}
}

static void on_lost(void *user)
{
	struct instance *i = user;

	exec_channel_lost(i);
	port_stats_lost(i);
	/* A guest that stands still takes nothing: what would be asked of it until it runs on would pile up. */
	if (i->seen.stage == STAGE_SUSPENDING || i->seen.stage == STAGE_SUSPENDED)
		instance_channel_close(i);
}

static const struct channel_events events = {.frame = on_frame, .lost = on_lost};

/* ---- orders ---- */

void instance_channel_open(struct instance *i, bool attach)
{
	_arena_ a = arena_new();

	instance_channel_close(i);
	i->channel = channel_host_open(i->agent->loop,
				       arena_printf(a, "%s/run/%.8s.sock", i->agent->cfg->state_dir, i->uid), attach,
				       &events, i);
}

void instance_channel_close(struct instance *i)
{
	if (!i->channel)
		return;
	channel_host_close(steal(&i->channel));
	on_lost(i);
	if (i->log)
		logfile_flush(i->log, now_ns());
	port_log_ended(i);
}

bool instance_channel_start(struct instance *i)
{
	const struct agent_config *cfg = i->agent->cfg;
	const char *dns[CONFIG_DNS_MAX];
	uint8_t frame[CHANNEL_FRAME_MAX], entropy[32];
	struct error e = {0};
	size_t len;

	for (size_t n = 0; n < cfg->dns_count; n++)
		dns[n] = cfg->dns[n];
	const struct launch_network net = {.address = i->facts.address,
					   .gateway = NET_GATEWAY,
					   .instance = i->name,
					   .dns = dns,
					   .dns_count = cfg->dns_count};
	random_bytes(entropy, sizeof(entropy));
	if (launch_frame(&i->launch.l, &net, now_ns(), entropy, frame, &len, &e) < 0) {
		instance_set_reason(i, "InvalidRevision", e.text);
		return false;
	}
	if (!channel_host_send(i->channel, frame, len))
		return false;
	i->record.app_started = true;
	i->record.run++;
	i->record.restarts += i->seen.exits > 0;
	i->record.ready = false;
	instance_save(i);
	logfile_run(instance_log(i), i->record.run, now_ns());
	instance_set_reason(i, "Starting", "the program was started and is not ready yet");
	return true;
}

bool instance_channel_signal(struct instance *i, int sig)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, frame, CHANNEL_SIGNAL, 1);
	channel_put_u64(&w, CHANNEL_KEY_SIGNAL, (uint64_t)sig);
	return channel_host_send(i->channel, frame, channel_end(&w));
}

void instance_channel_resume(struct instance *i)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;

	channel_begin(&w, frame, CHANNEL_RESUME, 0);
	channel_put_u64(&w, CHANNEL_KEY_TIME_NS, (uint64_t)now_ns());
	/* Without a connection its HELLO brings us back here. */
	if (!channel_host_send(i->channel, frame, channel_end(&w)))
		instance_channel_open(i, true);
}
