/*
 * reconcile.c - the life of an Instance's VM as two tables: events move the stage, and (stage, want) names the action.
 *
 * Pure; see reconcile.h.
 */
#include "agent/reconcile.h"

const char *phase_name(enum instance_phase p)
{
	static const char *const names[PHASE_COUNT] = {
		[PHASE_STARTING] = "Starting", [PHASE_READY] = "Ready",	  [PHASE_RUNNING] = "Running",
		[PHASE_STOPPING] = "Stopping", [PHASE_ASLEEP] = "Asleep", [PHASE_STOPPED] = "Stopped",
		[PHASE_FAILED] = "Failed",
	};
	return names[p];
}

int64_t reconcile_backoff_ms(unsigned n)
{
	if (n == 0)
		return 0;
	return n > 6 ? RECONCILE_BACKOFF_MAX_MS : INT64_C(1000) << (n - 1);
}

/* ---- events ---- */

/* The stage an event leads to, plus one, so that 0 means: the event is ignored in this stage. */
#define TO(stage) ((unsigned char)((stage) + 1))
#define LIVE(to)                                                                                         \
	[STAGE_BOOTING] = (to), [STAGE_IDLE] = (to), [STAGE_RUNNING] = (to), [STAGE_TERMINATING] = (to), \
	[STAGE_KILLING] = (to), [STAGE_SUSPENDING] = (to), [STAGE_SUSPENDED] = (to), [STAGE_RESUMING] = (to)

static const unsigned char transitions[EVENT_COUNT][STAGE_COUNT] = {
	[EVENT_CREATED] = {[STAGE_CREATING] = TO(STAGE_BOOTING)},
	[EVENT_CREATE_FAILED] = {[STAGE_CREATING] = TO(STAGE_NONE)},
	[EVENT_HELLO_WAITING] = {[STAGE_BOOTING] = TO(STAGE_IDLE),
				 [STAGE_RUNNING] = TO(STAGE_IDLE),
				 [STAGE_TERMINATING] = TO(STAGE_IDLE),
				 [STAGE_KILLING] = TO(STAGE_IDLE),
				 [STAGE_RESUMING] = TO(STAGE_IDLE)},
	[EVENT_HELLO_RUNNING] = {[STAGE_BOOTING] = TO(STAGE_RUNNING), [STAGE_IDLE] = TO(STAGE_RUNNING)},
	[EVENT_START_SENT] = {[STAGE_IDLE] = TO(STAGE_RUNNING), [STAGE_EXITED] = TO(STAGE_RUNNING)},
	[EVENT_READY] = {[STAGE_RUNNING] = TO(STAGE_RUNNING)},
	[EVENT_UNREADY] = {[STAGE_RUNNING] = TO(STAGE_RUNNING)},
	[EVENT_EXIT_CLEAN] = {LIVE(TO(STAGE_EXITED))},
	[EVENT_EXIT_FAILED] = {LIVE(TO(STAGE_EXITED))},
	[EVENT_TERM_SENT] = {[STAGE_RUNNING] = TO(STAGE_TERMINATING)},
	[EVENT_KILL_SENT] = {[STAGE_RUNNING] = TO(STAGE_KILLING), [STAGE_TERMINATING] = TO(STAGE_KILLING)},
	[EVENT_SUSPENDING] = {[STAGE_RUNNING] = TO(STAGE_SUSPENDING)},
	[EVENT_SUSPENDED] = {[STAGE_SUSPENDING] = TO(STAGE_SUSPENDED)},
	[EVENT_SUSPEND_FAILED] = {[STAGE_SUSPENDING] = TO(STAGE_RUNNING)},
	[EVENT_RESUMING] = {[STAGE_SUSPENDED] = TO(STAGE_RESUMING)},
	[EVENT_RESUMED] = {[STAGE_RESUMING] = TO(STAGE_RUNNING)},
	[EVENT_RESUME_FAILED] = {[STAGE_RESUMING] = TO(STAGE_SUSPENDED)},
	[EVENT_VM_GONE] = {LIVE(TO(STAGE_NONE)), [STAGE_EXITED] = TO(STAGE_NONE)},
	[EVENT_DESTROYING] = {LIVE(TO(STAGE_DESTROYING)), [STAGE_EXITED] = TO(STAGE_DESTROYING),
			      [STAGE_NONE] = TO(STAGE_DESTROYING)},
	[EVENT_DESTROYED] = {[STAGE_DESTROYING] = TO(STAGE_NONE)},
	[EVENT_DESTROY_FAILED] = {[STAGE_DESTROYING] = TO(STAGE_NONE)},
};

static void note_vm_failure(struct reconcile_seen *s, int64_t now)
{
	s->failures++;
	s->next_start = now + reconcile_backoff_ms(s->failures);
}

static void note_exit(struct reconcile_seen *s, bool clean, bool crashed, int64_t now)
{
	if (s->started && now - s->started >= RECONCILE_BACKOFF_RESET_MS)
		s->exits = 0;
	s->exits++;
	s->clean = clean;
	s->crashed = crashed;
	s->ready = s->was_ready = false;
	s->next_start = now + reconcile_backoff_ms(s->exits);
}

static void note_pause_failure(struct reconcile_seen *s, int64_t now)
{
	s->pause_failures++;
	s->next_pause = now + RECONCILE_PAUSE_RETRY_MS;
}

/* The VM ended by itself. One that stood still did nothing wrong, and neither did its app. */
static void note_gone(struct reconcile_seen *s, enum vm_stage from, int64_t now)
{
	s->dirty = true;
	s->kept = false;
	if (from == STAGE_RUNNING || from == STAGE_TERMINATING || from == STAGE_KILLING)
		note_exit(s, false, true, now);
	else if (from != STAGE_EXITED && from != STAGE_SUSPENDING && from != STAGE_SUSPENDED)
		note_vm_failure(s, now);
}

void reconcile_note(struct reconcile_seen *s, enum reconcile_event ev, int64_t now)
{
	unsigned char to = transitions[ev][s->stage];
	enum vm_stage from = s->stage;

	if (ev == EVENT_HELLO_RUNNING || ev == EVENT_HELLO_WAITING || ev == EVENT_EXIT_CLEAN ||
	    ev == EVENT_EXIT_FAILED || ev == EVENT_RESUMED)
		s->unheard = false;
	if (!to)
		return;
	s->stage = (enum vm_stage)(to - 1);
	if (s->stage != from)
		s->since = now;

	switch (ev) {
	case EVENT_CREATE_FAILED:
		note_vm_failure(s, now);
		break;
	case EVENT_HELLO_WAITING:
		s->failures = 0;
		break;
	case EVENT_START_SENT:
		s->started = now;
		s->ready = s->was_ready = false;
		break;
	case EVENT_READY:
		s->ready = s->was_ready = true;
		break;
	case EVENT_UNREADY:
		s->ready = false;
		break;
	case EVENT_EXIT_CLEAN:
	case EVENT_EXIT_FAILED:
		note_exit(s, ev == EVENT_EXIT_CLEAN, false, now);
		break;
	case EVENT_VM_GONE:
		note_gone(s, from, now);
		break;
	case EVENT_SUSPENDED:
		s->pause_failures = 0;
		s->kept = true;
		s->ready = s->was_ready = false;
		break;
	case EVENT_RESUMED:
		s->pause_failures = 0;
		s->was_ready = true;
		break;
	case EVENT_SUSPEND_FAILED:
		note_pause_failure(s, now);
		break;
	case EVENT_RESUME_FAILED:
		s->kept = true;
		note_pause_failure(s, now);
		break;
	case EVENT_DESTROYING:
		if (from == STAGE_BOOTING) /* given up: it never said HELLO */
			note_vm_failure(s, now);
		s->ready = s->was_ready = false;
		break;
	case EVENT_DESTROYED:
		s->dirty = s->kept = false;
		break;
	case EVENT_DESTROY_FAILED:
		s->dirty = true;
		s->next_clean = now + RECONCILE_CLEAN_RETRY_MS;
		break;
	default:
		break;
	}
}

void reconcile_begin(struct reconcile_seen *s, int64_t generation, int64_t now)
{
	if (s->generation != generation)
		s->failures = s->exits = 0;
	s->generation = generation;
	s->stage = STAGE_CREATING;
	s->since = now;
	s->dirty = true;
	s->ready = s->was_ready = s->crashed = s->unheard = s->kept = false;
	s->pause_failures = 0;
	s->next_pause = 0;
	s->over = OVER_NO;
}

void reconcile_carry(struct reconcile_seen *s, int64_t generation)
{
	s->generation = generation;
	s->kept = false;
	s->over = OVER_NO;
}

void reconcile_adopt(struct reconcile_seen *s, int64_t generation, bool app_started, int64_t term_since, int64_t now)
{
	s->generation = generation;
	if (s->highest < generation)
		s->highest = generation;
	s->dirty = true;
	s->stage = !app_started ? STAGE_BOOTING : term_since ? STAGE_TERMINATING : STAGE_RUNNING;
	s->since = s->stage == STAGE_TERMINATING ? term_since : now;
	s->unheard = true;
}

void reconcile_adopt_suspended(struct reconcile_seen *s, int64_t generation, int64_t now)
{
	reconcile_adopt(s, generation, true, 0, now);
	s->stage = STAGE_SUSPENDED;
	s->kept = true;
}

void reconcile_adopt_resuming(struct reconcile_seen *s, int64_t generation, int64_t now)
{
	reconcile_adopt(s, generation, true, 0, now);
	s->stage = STAGE_RESUMING;
}

/* ---- steps ---- */

enum want { DO_RUN, DO_SUSPEND, DO_DOWN, DO_GONE, WANT_COUNT };

typedef struct reconcile_step step_fn(const struct reconcile_want *w, const struct reconcile_seen *s, int64_t now);

static struct reconcile_step act(enum reconcile_action action, enum instance_phase phase)
{
	return (struct reconcile_step){.action = action, .phase = phase};
}

static struct reconcile_step wait_until(int64_t when, enum instance_phase phase)
{
	return (struct reconcile_step){.phase = phase, .wake_at = when};
}

static struct reconcile_step end_of_generation(enum reconcile_action action, enum instance_phase phase,
					       int64_t generation, enum reconcile_over over)
{
	return (struct reconcile_step){.action = action, .phase = phase, .spend = generation, .over = over};
}

static bool may_restart(enum restart_policy policy, bool clean)
{
	return policy == RESTART_ALWAYS || (policy == RESTART_ON_FAILURE && !clean);
}

static struct reconcile_step clean_up(const struct reconcile_seen *s, enum instance_phase phase, int64_t now)
{
	return now < s->next_clean ? wait_until(s->next_clean, phase) : act(ACTION_DESTROY, phase);
}

static struct reconcile_step run_none(const struct reconcile_want *w, const struct reconcile_seen *s, int64_t now)
{
	if (s->dirty)
		return clean_up(s, s->spent >= w->generation ? PHASE_STOPPING : PHASE_STARTING, now);
	/* Over by itself: Failed until it is bound again. Over because it was stopped: it can be bound again, once that
	 * is known. */
	if (s->spent >= w->generation)
		return act(ACTION_NONE, s->over ? PHASE_FAILED : w->mistold ? PHASE_ASLEEP : PHASE_KEEP);
	if (s->crashed && s->generation == w->generation && !may_restart(w->restart, false))
		return end_of_generation(ACTION_NONE, PHASE_FAILED, w->generation, OVER_APP_FAILED);
	if (s->failures >= RECONCILE_VM_FAILURES_MAX && s->generation == w->generation)
		return end_of_generation(ACTION_NONE, PHASE_FAILED, w->generation, OVER_VM_FAILED);
	if (s->generation == w->generation && now < s->next_start)
		return wait_until(s->next_start, PHASE_STARTING);
	return act(w->launchable ? ACTION_CREATE : ACTION_NONE, PHASE_STARTING);
}

static struct reconcile_step run_wait(_unused_ const struct reconcile_want *w, _unused_ const struct reconcile_seen *s,
				      _unused_ int64_t now)
{
	return act(ACTION_NONE, PHASE_STARTING);
}

static struct reconcile_step run_destroying(const struct reconcile_want *w, const struct reconcile_seen *s,
					    _unused_ int64_t now)
{
	return act(ACTION_NONE, s->spent >= w->generation ? PHASE_STOPPING : PHASE_STARTING);
}

static struct reconcile_step run_booting(_unused_ const struct reconcile_want *w, const struct reconcile_seen *s,
					 int64_t now)
{
	if (now - s->since >= RECONCILE_BOOT_LIMIT_MS)
		return act(ACTION_DESTROY, PHASE_STARTING);
	return wait_until(s->since + RECONCILE_BOOT_LIMIT_MS, PHASE_STARTING);
}

static struct reconcile_step run_idle(const struct reconcile_want *w, _unused_ const struct reconcile_seen *s,
				      _unused_ int64_t now)
{
	return act(w->launchable ? ACTION_START_APP : ACTION_NONE, PHASE_STARTING);
}

static struct reconcile_step run_running(_unused_ const struct reconcile_want *w, const struct reconcile_seen *s,
					 int64_t now)
{
	/* What was said about it before stays true until its guest has had time to answer. */
	if (s->unheard && now - s->since < RECONCILE_HELLO_LIMIT_MS)
		return wait_until(s->since + RECONCILE_HELLO_LIMIT_MS, PHASE_KEEP);
	return act(ACTION_NONE, s->ready ? PHASE_READY : s->was_ready ? PHASE_RUNNING : PHASE_STARTING);
}

static struct reconcile_step run_exited(const struct reconcile_want *w, const struct reconcile_seen *s, int64_t now)
{
	if (!may_restart(w->restart, s->clean))
		return end_of_generation(ACTION_DESTROY, PHASE_STOPPING, s->generation,
					 s->clean ? OVER_COMPLETED : OVER_APP_FAILED);
	if (now < s->next_start)
		return wait_until(s->next_start, PHASE_STARTING);
	return run_idle(w, s, now);
}

/* Running again is wanted: that takes a binding, and the scheduler makes one when there is room for another VM that
 * runs. A VM that others paused goes on at once. */
static struct reconcile_step run_suspended(const struct reconcile_want *w, const struct reconcile_seen *s, int64_t now)
{
	if (s->spent >= w->generation)
		return act(ACTION_NONE, w->mistold ? PHASE_ASLEEP : PHASE_KEEP);
	if (s->pause_failures >= RECONCILE_PAUSE_FAILURES_MAX)
		return act(ACTION_DESTROY, PHASE_STARTING);
	if (now < s->next_pause)
		return wait_until(s->next_pause, PHASE_STARTING);
	return act(ACTION_WAKE, PHASE_KEEP);
}

static struct reconcile_step run_resuming(_unused_ const struct reconcile_want *w, const struct reconcile_seen *s,
					  int64_t now)
{
	if (now - s->since < RECONCILE_RESUME_TELL_MS)
		return wait_until(s->since + RECONCILE_RESUME_TELL_MS, PHASE_KEEP);
	if (now - s->since < RECONCILE_RESUME_LIMIT_MS)
		return wait_until(s->since + RECONCILE_RESUME_LIMIT_MS, PHASE_STARTING);
	return act(ACTION_DESTROY, PHASE_STARTING);
}

static enum instance_phase rest_phase(const struct reconcile_want *w)
{
	return w->state == WANT_STOPPED ? PHASE_STOPPED : PHASE_ASLEEP;
}

static struct reconcile_step down_none(const struct reconcile_want *w, const struct reconcile_seen *s, int64_t now)
{
	if (s->dirty)
		return clean_up(s, PHASE_STOPPING, now);
	if (w->deleting)
		return act(ACTION_RELEASE, PHASE_KEEP);
	return end_of_generation(ACTION_NONE, rest_phase(w), w->generation, OVER_NO);
}

/* What is under way comes to its end first. */
static struct reconcile_step down_wait(_unused_ const struct reconcile_want *w, _unused_ const struct reconcile_seen *s,
				       _unused_ int64_t now)
{
	return act(ACTION_NONE, PHASE_STOPPING);
}

/* There is no app to be gentle with. */
static struct reconcile_step down_destroy(_unused_ const struct reconcile_want *w, const struct reconcile_seen *s,
					  _unused_ int64_t now)
{
	return end_of_generation(ACTION_DESTROY, PHASE_STOPPING, s->generation, OVER_NO);
}

static struct reconcile_step down_running(_unused_ const struct reconcile_want *w, const struct reconcile_seen *s,
					  _unused_ int64_t now)
{
	return end_of_generation(ACTION_TERMINATE, PHASE_STOPPING, s->generation, OVER_NO);
}

static struct reconcile_step down_terminating(const struct reconcile_want *w, const struct reconcile_seen *s,
					      int64_t now)
{
	if (now - s->since >= w->grace_ms)
		return act(ACTION_KILL, PHASE_STOPPING);
	return wait_until(s->since + w->grace_ms, PHASE_STOPPING);
}

static struct reconcile_step down_killing(_unused_ const struct reconcile_want *w, const struct reconcile_seen *s,
					  int64_t now)
{
	if (now - s->since >= RECONCILE_KILL_LIMIT_MS)
		return act(ACTION_DESTROY, PHASE_STOPPING);
	return wait_until(s->since + RECONCILE_KILL_LIMIT_MS, PHASE_STOPPING);
}

/* Nothing in it runs, so nothing in it could take SIGTERM: it has to run on for that. */
static struct reconcile_step down_suspended(_unused_ const struct reconcile_want *w, const struct reconcile_seen *s,
					    int64_t now)
{
	if (s->pause_failures >= RECONCILE_PAUSE_FAILURES_MAX)
		return end_of_generation(ACTION_DESTROY, PHASE_STOPPING, s->generation, OVER_NO);
	if (now < s->next_pause)
		return wait_until(s->next_pause, PHASE_STOPPING);
	return end_of_generation(ACTION_RESUME, PHASE_STOPPING, s->generation, OVER_NO);
}

static struct reconcile_step down_resuming(_unused_ const struct reconcile_want *w, const struct reconcile_seen *s,
					   int64_t now)
{
	if (now - s->since < RECONCILE_RESUME_LIMIT_MS)
		return wait_until(s->since + RECONCILE_RESUME_LIMIT_MS, PHASE_STOPPING);
	return end_of_generation(ACTION_DESTROY, PHASE_STOPPING, s->generation, OVER_NO);
}

/* An app that is not ready is stopped instead: what it needs is a fresh start. */
static struct reconcile_step suspend_running(const struct reconcile_want *w, const struct reconcile_seen *s,
					     int64_t now)
{
	if (s->unheard && now - s->since < RECONCILE_HELLO_LIMIT_MS)
		return wait_until(s->since + RECONCILE_HELLO_LIMIT_MS, PHASE_KEEP);
	if (!s->ready || s->pause_failures >= RECONCILE_PAUSE_FAILURES_MAX)
		return down_running(w, s, now);
	if (now < s->next_pause)
		return wait_until(s->next_pause, PHASE_KEEP);
	return end_of_generation(ACTION_SUSPEND, PHASE_KEEP, s->generation, OVER_NO);
}

static struct reconcile_step suspend_wait(_unused_ const struct reconcile_want *w,
					  _unused_ const struct reconcile_seen *s, _unused_ int64_t now)
{
	return act(ACTION_NONE, PHASE_KEEP);
}

/* It is suspended again once it has answered. */
static struct reconcile_step suspend_resuming(const struct reconcile_want *w, const struct reconcile_seen *s,
					      int64_t now)
{
	struct reconcile_step step = down_resuming(w, s, now);

	if (step.action == ACTION_NONE)
		step.phase = PHASE_KEEP;
	return step;
}

static struct reconcile_step suspend_suspended(_unused_ const struct reconcile_want *w, const struct reconcile_seen *s,
					       _unused_ int64_t now)
{
	return end_of_generation(ACTION_NONE, PHASE_ASLEEP, s->generation, OVER_NO);
}

static struct reconcile_step gone_none(_unused_ const struct reconcile_want *w, const struct reconcile_seen *s,
				       int64_t now)
{
	if (!s->dirty)
		return act(ACTION_FORGET, PHASE_KEEP);
	return clean_up(s, PHASE_KEEP, now);
}

static struct reconcile_step gone_destroy(_unused_ const struct reconcile_want *w,
					  _unused_ const struct reconcile_seen *s, _unused_ int64_t now)
{
	return act(ACTION_DESTROY, PHASE_KEEP);
}

static struct reconcile_step gone_wait(_unused_ const struct reconcile_want *w, _unused_ const struct reconcile_seen *s,
				       _unused_ int64_t now)
{
	return act(ACTION_NONE, PHASE_KEEP);
}

static step_fn *const steps[STAGE_COUNT][WANT_COUNT] = {
	/* run, suspend, down, gone */
	[STAGE_NONE] = {run_none, down_none, down_none, gone_none},
	[STAGE_CREATING] = {run_wait, down_wait, down_wait, gone_wait},
	[STAGE_BOOTING] = {run_booting, down_destroy, down_destroy, gone_destroy},
	[STAGE_IDLE] = {run_idle, down_destroy, down_destroy, gone_destroy},
	[STAGE_RUNNING] = {run_running, suspend_running, down_running, gone_destroy},
	[STAGE_EXITED] = {run_exited, down_destroy, down_destroy, gone_destroy},
	[STAGE_TERMINATING] = {down_terminating, down_terminating, down_terminating, gone_destroy},
	[STAGE_KILLING] = {down_killing, down_killing, down_killing, gone_destroy},
	[STAGE_SUSPENDING] = {suspend_wait, suspend_wait, suspend_wait, gone_wait},
	[STAGE_SUSPENDED] = {run_suspended, suspend_suspended, down_suspended, gone_destroy},
	[STAGE_RESUMING] = {run_resuming, suspend_resuming, down_resuming, gone_destroy},
	[STAGE_DESTROYING] = {run_destroying, down_wait, down_wait, gone_wait},
};

static bool has_vm(const struct reconcile_seen *s)
{
	return s->stage != STAGE_NONE && s->stage != STAGE_DESTROYING;
}

static enum want classify(const struct reconcile_want *w, const struct reconcile_seen *s)
{
	if (!w->exists)
		return DO_GONE;
	if (w->deleting || w->state == WANT_STOPPED || (s->kept && has_vm(s) && w->drop >= s->generation))
		return DO_DOWN;
	if (w->state == WANT_ASLEEP)
		return w->suspend && w->generation <= s->generation ? DO_SUSPEND : DO_DOWN;
	/* Its generation is over, but a suspended VM may go on as the next one. */
	if (s->stage == STAGE_SUSPENDED && (w->generation == s->generation || w->same_revision))
		return DO_RUN;
	/* An older generation is replaced; one whose end has begun is not called back. */
	if (has_vm(s) && (s->generation < w->generation || s->generation <= s->spent))
		return DO_DOWN;
	return DO_RUN;
}

struct reconcile_step reconcile_step(const struct reconcile_want *w, const struct reconcile_seen *s, int64_t now)
{
	if (w->exists && w->generation < s->highest)
		return act(ACTION_NONE, PHASE_KEEP); /* a late message about the past */
	return steps[s->stage][classify(w, s)](w, s, now);
}
