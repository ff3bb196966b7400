/*
 * test_reconcile.c - lives of instances under simulated time: each test plays the shell, feeds events, moves the clock,
 * and checks the action that comes next.
 */
#include "agent/reconcile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct world {
	struct reconcile_want want;
	struct reconcile_seen seen;
	int64_t now;
};

static struct world world_running(void)
{
	return (struct world){
		.now = 1000000,
		.want = {.exists = true, .state = WANT_RUNNING, .generation = 1, .launchable = true, .grace_ms = 5000}};
}

/* One step as the shell does it: what is to be recorded is recorded. */
static struct reconcile_step step(struct world *w)
{
	if (w->want.exists && w->want.generation > w->seen.highest)
		w->seen.highest = w->want.generation;
	struct reconcile_step s = reconcile_step(&w->want, &w->seen, w->now);
	if (s.spend && (s.spend > w->seen.spent || s.over != w->seen.over)) {
		w->seen.spent = s.spend > w->seen.spent ? s.spend : w->seen.spent;
		w->seen.over = s.over;
	}
	return s;
}

static void note(struct world *w, enum reconcile_event ev)
{
	reconcile_note(&w->seen, ev, w->now);
}

#define assert_step(w, wanted_action, wanted_phase)         \
	do {                                                \
		struct reconcile_step s_ = step(w);         \
		assert_int_equal(s_.action, wanted_action); \
		assert_int_equal(s_.phase, wanted_phase);   \
	} while (0)

/* From nothing to a ready app. */
static void start(struct world *w)
{
	assert_step(w, ACTION_CREATE, PHASE_STARTING);
	reconcile_begin(&w->seen, w->want.generation, w->now);
	assert_step(w, ACTION_NONE, PHASE_STARTING);
	note(w, EVENT_CREATED);
	assert_step(w, ACTION_NONE, PHASE_STARTING);
	w->now += 1500;
	note(w, EVENT_HELLO_WAITING);
	assert_step(w, ACTION_START_APP, PHASE_STARTING);
	note(w, EVENT_START_SENT);
	assert_step(w, ACTION_NONE, PHASE_STARTING);
	note(w, EVENT_READY);
	assert_step(w, ACTION_NONE, PHASE_READY);
}

static void destroy(struct world *w)
{
	note(w, EVENT_DESTROYING);
	assert_int_equal(step(w).action, ACTION_NONE);
	w->now += 300;
	note(w, EVENT_DESTROYED);
}

static void test_start_and_readiness(void **state)
{
	struct world w = world_running();

	(void)state;
	start(&w);
	note(&w, EVENT_UNREADY);
	assert_step(&w, ACTION_NONE, PHASE_RUNNING);
	note(&w, EVENT_READY);
	assert_step(&w, ACTION_NONE, PHASE_READY);
}

static void test_waits_for_revision_and_image(void **state)
{
	struct world w = world_running();

	(void)state;
	w.want.launchable = false;
	assert_step(&w, ACTION_NONE, PHASE_STARTING);
	w.want.launchable = true;
	assert_step(&w, ACTION_CREATE, PHASE_STARTING);
}

static void test_sleep_is_gentle(void **state)
{
	struct world w = world_running();

	(void)state;
	start(&w);
	w.want.state = WANT_ASLEEP;
	assert_step(&w, ACTION_TERMINATE, PHASE_STOPPING);
	assert_int_equal(w.seen.spent, 1);
	note(&w, EVENT_TERM_SENT);
	struct reconcile_step s = step(&w);
	assert_int_equal(s.action, ACTION_NONE);
	assert_int_equal(s.wake_at, w.now + 5000);
	w.now += 4999;
	assert_int_equal(step(&w).action, ACTION_NONE);
	note(&w, EVENT_EXIT_CLEAN);
	assert_step(&w, ACTION_DESTROY, PHASE_STOPPING);
	destroy(&w);
	assert_step(&w, ACTION_NONE, PHASE_ASLEEP);
	w.want.state = WANT_STOPPED;
	assert_step(&w, ACTION_NONE, PHASE_STOPPED);
}

static void test_grace_then_kill_then_destroy(void **state)
{
	struct world w = world_running();

	(void)state;
	start(&w);
	w.want.state = WANT_STOPPED;
	assert_step(&w, ACTION_TERMINATE, PHASE_STOPPING);
	note(&w, EVENT_TERM_SENT);
	w.now += 5000;
	assert_step(&w, ACTION_KILL, PHASE_STOPPING);
	note(&w, EVENT_KILL_SENT);
	assert_step(&w, ACTION_NONE, PHASE_STOPPING);
	w.now += RECONCILE_KILL_LIMIT_MS;
	assert_step(&w, ACTION_DESTROY, PHASE_STOPPING);
}

/* The gateway wakes it while it stops: the stop goes on, and only a new binding starts it again. */
static void test_no_way_back_from_stopping(void **state)
{
	struct world w = world_running();

	(void)state;
	start(&w);
	w.want.state = WANT_ASLEEP;
	assert_step(&w, ACTION_TERMINATE, PHASE_STOPPING);
	note(&w, EVENT_TERM_SENT);
	w.want.state = WANT_RUNNING;
	assert_step(&w, ACTION_NONE, PHASE_STOPPING);
	note(&w, EVENT_EXIT_CLEAN);
	assert_step(&w, ACTION_DESTROY, PHASE_STOPPING);
	destroy(&w);
	assert_step(&w, ACTION_NONE, PHASE_KEEP); /* over, although Running is wanted: the binding is on its way */
	w.want.generation = 2;
	assert_step(&w, ACTION_CREATE, PHASE_STARTING);
}

static void test_replaced_by_a_higher_generation(void **state)
{
	struct world w = world_running();

	(void)state;
	start(&w);
	w.want.generation = 2;
	assert_step(&w, ACTION_TERMINATE, PHASE_STOPPING);
	note(&w, EVENT_TERM_SENT);
	note(&w, EVENT_EXIT_CLEAN);
	assert_step(&w, ACTION_DESTROY, PHASE_STOPPING);
	destroy(&w);
	start(&w);
	assert_int_equal(w.seen.generation, 2);
}

static void test_older_generation_is_never_acted_on(void **state)
{
	struct world w = world_running();

	(void)state;
	w.want.generation = 5;
	start(&w);
	w.want.generation = 4;
	w.want.state = WANT_STOPPED;
	assert_step(&w, ACTION_NONE, PHASE_KEEP);
	w.want.deleting = true;
	assert_step(&w, ACTION_NONE, PHASE_KEEP);
}

static void test_deletion_releases_last(void **state)
{
	struct world w = world_running();

	(void)state;
	start(&w);
	w.want.deleting = true;
	assert_step(&w, ACTION_TERMINATE, PHASE_STOPPING);
	note(&w, EVENT_TERM_SENT);
	note(&w, EVENT_EXIT_FAILED);
	assert_step(&w, ACTION_DESTROY, PHASE_STOPPING);
	destroy(&w);
	assert_step(&w, ACTION_RELEASE, PHASE_KEEP);
	w.want = (struct reconcile_want){0};
	assert_step(&w, ACTION_FORGET, PHASE_KEEP);
}

/* Forced away or bound elsewhere: another VM may run already, so there is no grace. */
static void test_orphan_is_destroyed_at_once(void **state)
{
	static const enum vm_stage stages[] = {STAGE_BOOTING, STAGE_IDLE,	 STAGE_RUNNING,
					       STAGE_EXITED,  STAGE_TERMINATING, STAGE_KILLING};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		struct world w = {.seen = {.stage = stages[i], .generation = 1, .highest = 1, .dirty = true}};
		assert_step(&w, ACTION_DESTROY, PHASE_KEEP);
		destroy(&w);
		assert_step(&w, ACTION_FORGET, PHASE_KEEP);
	}
	struct world w = {.seen = {.stage = STAGE_CREATING, .generation = 1}};
	assert_step(&w, ACTION_NONE, PHASE_KEEP);
}

static void test_back_off_doubles_to_a_minute(void **state)
{
	static const int64_t pauses[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
	struct world w = world_running();

	(void)state;
	start(&w);
	for (size_t i = 0; i < ARRAY_SIZE(pauses); i++) {
		w.now += 100;
		note(&w, EVENT_EXIT_FAILED);
		struct reconcile_step s = step(&w);
		assert_int_equal(s.action, ACTION_NONE);
		assert_int_equal(s.wake_at, w.now + pauses[i]);
		w.now += pauses[i] - 1;
		assert_int_equal(step(&w).action, ACTION_NONE);
		w.now++;
		assert_step(&w, ACTION_START_APP, PHASE_STARTING);
		note(&w, EVENT_START_SENT);
	}
	w.now += RECONCILE_BACKOFF_RESET_MS;
	note(&w, EVENT_EXIT_FAILED);
	assert_int_equal(step(&w).wake_at, w.now + 1000);
}

static void test_restart_policies(void **state)
{
	static const struct {
		enum restart_policy policy;
		enum reconcile_event exit;
		bool again;
		enum reconcile_over over;
	} cases[] = {
		{RESTART_ALWAYS, EVENT_EXIT_CLEAN, true, OVER_NO},
		{RESTART_ALWAYS, EVENT_EXIT_FAILED, true, OVER_NO},
		{RESTART_ON_FAILURE, EVENT_EXIT_CLEAN, false, OVER_COMPLETED},
		{RESTART_ON_FAILURE, EVENT_EXIT_FAILED, true, OVER_NO},
		{RESTART_NEVER, EVENT_EXIT_CLEAN, false, OVER_COMPLETED},
		{RESTART_NEVER, EVENT_EXIT_FAILED, false, OVER_APP_FAILED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w = world_running();
		w.want.restart = cases[i].policy;
		start(&w);
		note(&w, cases[i].exit);
		w.now += 1000;
		if (cases[i].again) {
			assert_step(&w, ACTION_START_APP, PHASE_STARTING);
			continue;
		}
		assert_step(&w, ACTION_DESTROY, PHASE_STOPPING);
		assert_int_equal(w.seen.over, cases[i].over);
		destroy(&w);
		assert_step(&w, ACTION_NONE, PHASE_FAILED);
		w.want.state = WANT_ASLEEP;
		assert_step(&w, ACTION_NONE, PHASE_ASLEEP);
		w.want.state = WANT_RUNNING;
		assert_step(&w, ACTION_NONE, PHASE_KEEP);
		w.want.generation = 2;
		assert_step(&w, ACTION_CREATE, PHASE_STARTING);
	}
}

static void test_crashed_vm_is_made_again(void **state)
{
	struct world w = world_running();

	(void)state;
	start(&w);
	note(&w, EVENT_VM_GONE);
	assert_step(&w, ACTION_DESTROY, PHASE_STARTING); /* its tap and disk */
	destroy(&w);
	assert_int_equal(step(&w).action, ACTION_NONE);
	w.now += 1000;
	start(&w);
	w.want.restart = RESTART_NEVER;
	note(&w, EVENT_VM_GONE);
	destroy(&w);
	assert_step(&w, ACTION_NONE, PHASE_FAILED);
}

static void test_vm_that_cannot_be_made_fails_in_the_end(void **state)
{
	struct world w = world_running();

	(void)state;
	for (unsigned i = 1; i <= RECONCILE_VM_FAILURES_MAX; i++) {
		assert_step(&w, ACTION_CREATE, PHASE_STARTING);
		reconcile_begin(&w.seen, 1, w.now);
		note(&w, EVENT_CREATE_FAILED);
		assert_step(&w, ACTION_DESTROY, PHASE_STARTING);
		destroy(&w);
		if (i < RECONCILE_VM_FAILURES_MAX)
			assert_int_equal(step(&w).action, ACTION_NONE);
		w.now += reconcile_backoff_ms(i);
	}
	assert_step(&w, ACTION_NONE, PHASE_FAILED);
	assert_int_equal(w.seen.over, OVER_VM_FAILED);
	w.want.generation = 2;
	start(&w);
}

static void test_boot_has_a_limit(void **state)
{
	struct world w = world_running();

	(void)state;
	reconcile_begin(&w.seen, 1, w.now);
	w.seen.highest = 1;
	note(&w, EVENT_CREATED);
	w.now += RECONCILE_BOOT_LIMIT_MS - 1;
	assert_step(&w, ACTION_NONE, PHASE_STARTING);
	w.now++;
	assert_step(&w, ACTION_DESTROY, PHASE_STARTING);
	destroy(&w);
	assert_int_equal(w.seen.failures, 1);
}

static void test_failed_clean_up_is_tried_again(void **state)
{
	struct world w = world_running();

	(void)state;
	start(&w);
	w.want.deleting = true;
	note(&w, EVENT_EXIT_CLEAN);
	assert_step(&w, ACTION_DESTROY, PHASE_STOPPING);
	note(&w, EVENT_DESTROYING);
	note(&w, EVENT_DESTROY_FAILED);
	assert_step(&w, ACTION_NONE, PHASE_STOPPING);
	w.now += RECONCILE_CLEAN_RETRY_MS;
	assert_step(&w, ACTION_DESTROY, PHASE_STOPPING);
	destroy(&w);
	assert_step(&w, ACTION_RELEASE, PHASE_KEEP);
}

static void test_taken_over_without_a_flicker(void **state)
{
	struct world w = world_running();

	(void)state;
	reconcile_adopt(&w.seen, 1, true, 0, w.now);
	assert_step(&w, ACTION_NONE, PHASE_KEEP);
	note(&w, EVENT_HELLO_RUNNING);
	note(&w, EVENT_READY);
	assert_step(&w, ACTION_NONE, PHASE_READY);

	struct world mute = world_running();
	reconcile_adopt(&mute.seen, 1, true, 0, mute.now);
	mute.now += RECONCILE_HELLO_LIMIT_MS;
	assert_step(&mute, ACTION_NONE, PHASE_STARTING);
}

/* The agent was killed in the middle of a grace period, or before it could begin one. */
static void test_taken_over_while_stopping(void **state)
{
	struct world w = world_running();

	(void)state;
	w.want.state = WANT_ASLEEP;
	reconcile_adopt(&w.seen, 1, true, w.now - 2000, w.now);
	struct reconcile_step s = step(&w);
	assert_int_equal(s.action, ACTION_NONE);
	assert_int_equal(s.wake_at, w.now + 3000);

	struct world later = world_running();
	later.want.state = WANT_ASLEEP;
	reconcile_adopt(&later.seen, 1, true, 0, later.now);
	assert_step(&later, ACTION_TERMINATE, PHASE_STOPPING);
	note(&later, EVENT_TERM_SENT);
	note(&later, EVENT_HELLO_WAITING); /* the app had not begun after all */
	assert_step(&later, ACTION_DESTROY, PHASE_STOPPING);
}

/* Whatever is wanted and seen: SIGKILL comes only after SIGTERM and the grace period. */
static void test_no_kill_before_its_time(void **state)
{
	(void)state;
	for (int stage = 0; stage < STAGE_COUNT; stage++) {
		for (int bits = 0; bits < 64; bits++) {
			struct world w = world_running();
			w.seen = (struct reconcile_seen){
				.stage = (enum vm_stage)stage, .since = w.now - 4999, .generation = 1};
			w.want.exists = bits & 1;
			w.want.deleting = bits & 2;
			w.want.state = bits & 4 ? WANT_RUNNING : WANT_ASLEEP;
			w.want.generation = bits & 8 ? 2 : 1;
			w.seen.spent = bits & 16 ? 1 : 0;
			w.seen.ready = bits & 32;
			enum reconcile_action action = step(&w).action;
			assert_int_not_equal(action, ACTION_KILL);
			if (w.want.exists && (stage == STAGE_RUNNING || stage == STAGE_TERMINATING))
				assert_int_not_equal(action, ACTION_DESTROY);
		}
	}
}

static void test_late_events_change_nothing(void **state)
{
	(void)state;
	for (int ev = 0; ev < EVENT_COUNT; ev++) {
		if (ev == EVENT_DESTROYING)
			continue;
		struct reconcile_seen s = {.generation = 3}, before = s;
		reconcile_note(&s, (enum reconcile_event)ev, 77);
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

/* ---- suspend ---- */

static struct world world_suspending(void)
{
	struct world w = world_running();

	w.want.suspend = w.want.same_revision = true;
	return w;
}

/* From a ready app to a suspended VM. */
static void suspend(struct world *w)
{
	w->want.state = WANT_ASLEEP;
	assert_step(w, ACTION_SUSPEND, PHASE_KEEP);
	assert_int_equal(w->seen.spent, w->seen.generation);
	note(w, EVENT_SUSPENDING);
	assert_step(w, ACTION_NONE, PHASE_KEEP);
	note(w, EVENT_SUSPENDED);
	assert_step(w, ACTION_NONE, PHASE_ASLEEP);
	assert_true(w->seen.kept);
}

static void answer(struct world *w)
{
	note(w, EVENT_RESUMED);
	note(w, EVENT_READY);
}

static void test_suspended_and_woken_by_a_binding(void **state)
{
	struct world w = world_suspending();

	(void)state;
	start(&w);
	for (int64_t generation = 2; generation < 5; generation++) {
		suspend(&w);
		w.want.state = WANT_RUNNING; /* not let in yet */
		assert_step(&w, ACTION_NONE, PHASE_KEEP);
		w.want.generation = generation;
		assert_step(&w, ACTION_WAKE, PHASE_KEEP);
		reconcile_carry(&w.seen, generation);
		assert_false(w.seen.kept);
		note(&w, EVENT_RESUMING);
		assert_step(&w, ACTION_NONE, PHASE_KEEP);
		w.now += RECONCILE_RESUME_TELL_MS;
		assert_step(&w, ACTION_NONE, PHASE_STARTING);
		answer(&w);
		assert_step(&w, ACTION_NONE, PHASE_READY);
		assert_int_equal(w.seen.generation, generation);
	}
	assert_int_equal(w.seen.exits, 0);
}

/* Whoever wakes it while it is being paused finds its status telling the truth, so that it can be bound. */
static void test_told_asleep_before_it_can_be_bound(void **state)
{
	struct world w = world_suspending();

	(void)state;
	start(&w);
	suspend(&w);
	w.want.state = WANT_RUNNING;
	w.want.mistold = true;
	assert_step(&w, ACTION_NONE, PHASE_ASLEEP);

	struct world stopped = world_running();
	start(&stopped);
	stopped.want.state = WANT_ASLEEP;
	assert_step(&stopped, ACTION_TERMINATE, PHASE_STOPPING);
	note(&stopped, EVENT_TERM_SENT);
	note(&stopped, EVENT_EXIT_CLEAN);
	stopped.want.state = WANT_RUNNING;
	assert_step(&stopped, ACTION_DESTROY, PHASE_STOPPING);
	destroy(&stopped);
	stopped.want.mistold = true; /* the API says Stopping still */
	assert_step(&stopped, ACTION_NONE, PHASE_ASLEEP);
}

/* Every way to an end leads over SIGTERM. */
static void test_given_up_with_sigterm(void **state)
{
	(void)state;
	for (int way = 0; way < 5; way++) {
		struct world w = world_suspending();
		start(&w);
		suspend(&w);
		w.want.deleting = way == 0;
		w.want.drop = way == 1;
		if (way == 2)
			w.want.state = WANT_STOPPED;
		if (way == 3) { /* bound with another Revision */
			w.want = (struct reconcile_want){.exists = true,
							 .state = WANT_RUNNING,
							 .generation = 2,
							 .launchable = true,
							 .suspend = true,
							 .grace_ms = 5000};
		}
		if (way == 4) /* its Revision says Stop: cannot be, but must not hang */
			w.want.suspend = false;
		assert_step(&w, ACTION_RESUME, PHASE_STOPPING);
		note(&w, EVENT_RESUMING);
		assert_step(&w, ACTION_NONE, PHASE_STOPPING);
		assert_true(w.seen.kept);
		answer(&w);
		assert_step(&w, ACTION_TERMINATE, PHASE_STOPPING);
		note(&w, EVENT_TERM_SENT);
		note(&w, EVENT_EXIT_CLEAN);
		assert_step(&w, ACTION_DESTROY, PHASE_STOPPING);
		destroy(&w);
		assert_false(w.seen.kept);
		static const struct {
			enum reconcile_action action;
			enum instance_phase phase;
		} ends[] = {{ACTION_RELEASE, PHASE_KEEP},
			    {ACTION_NONE, PHASE_ASLEEP},
			    {ACTION_NONE, PHASE_STOPPED},
			    {ACTION_CREATE, PHASE_STARTING},
			    {ACTION_NONE, PHASE_ASLEEP}};
		assert_step(&w, ends[way].action, ends[way].phase);
	}
}

/* A drop is for the generation it names. */
static void test_a_drop_that_comes_late(void **state)
{
	struct world w = world_suspending();

	(void)state;
	start(&w);
	suspend(&w);
	w.want.state = WANT_RUNNING;
	w.want.generation = 2;
	assert_step(&w, ACTION_WAKE, PHASE_KEEP);
	reconcile_carry(&w.seen, 2);
	note(&w, EVENT_RESUMING);
	answer(&w);
	w.want.drop = 1;
	assert_step(&w, ACTION_NONE, PHASE_READY);
	suspend(&w);
}

static void test_an_app_that_is_not_ready_is_stopped(void **state)
{
	struct world w = world_suspending();

	(void)state;
	start(&w);
	note(&w, EVENT_UNREADY);
	w.want.state = WANT_ASLEEP;
	assert_step(&w, ACTION_TERMINATE, PHASE_STOPPING);
}

static void test_a_vm_that_cannot_be_paused_is_stopped(void **state)
{
	struct world w = world_suspending();

	(void)state;
	start(&w);
	w.want.state = WANT_ASLEEP;
	for (int i = 0; i < RECONCILE_PAUSE_FAILURES_MAX; i++) {
		assert_step(&w, ACTION_SUSPEND, PHASE_KEEP);
		note(&w, EVENT_SUSPENDING);
		note(&w, EVENT_SUSPEND_FAILED);
		if (i < RECONCILE_PAUSE_FAILURES_MAX - 1)
			assert_step(&w, ACTION_NONE, PHASE_KEEP);
		w.now += RECONCILE_PAUSE_RETRY_MS;
	}
	assert_step(&w, ACTION_TERMINATE, PHASE_STOPPING);
}

/* One that does not run on, or is mute, gives way to a new one of the generation that was bound. */
static void test_a_vm_that_cannot_be_resumed_is_replaced(void **state)
{
	(void)state;
	for (int mute = 0; mute < 2; mute++) {
		struct world w = world_suspending();
		start(&w);
		suspend(&w);
		w.want.state = WANT_RUNNING;
		w.want.generation = 2;
		for (int i = 0; i < RECONCILE_PAUSE_FAILURES_MAX && !mute; i++) {
			assert_step(&w, ACTION_WAKE, PHASE_KEEP);
			reconcile_carry(&w.seen, 2);
			note(&w, EVENT_RESUMING);
			note(&w, EVENT_RESUME_FAILED);
			if (i < RECONCILE_PAUSE_FAILURES_MAX - 1)
				assert_step(&w, ACTION_NONE, PHASE_STARTING);
			w.now += RECONCILE_PAUSE_RETRY_MS;
		}
		if (mute) {
			assert_step(&w, ACTION_WAKE, PHASE_KEEP);
			reconcile_carry(&w.seen, 2);
			note(&w, EVENT_RESUMING);
			w.now += RECONCILE_RESUME_LIMIT_MS - 1;
			assert_step(&w, ACTION_NONE, PHASE_STARTING);
			w.now++;
		}
		assert_step(&w, ACTION_DESTROY, PHASE_STARTING);
		destroy(&w);
		start(&w);
		assert_int_equal(w.seen.generation, 2);
	}
}

static void test_a_vm_that_dies_while_suspended(void **state)
{
	struct world w = world_suspending();

	(void)state;
	start(&w);
	suspend(&w);
	note(&w, EVENT_VM_GONE);
	assert_int_equal(w.seen.exits + w.seen.failures, 0);
	assert_step(&w, ACTION_DESTROY, PHASE_STOPPING);
	destroy(&w);
	assert_step(&w, ACTION_NONE, PHASE_ASLEEP);
	w.want.state = WANT_RUNNING;
	w.want.generation = 2;
	start(&w);
}

/* The agent was killed: at rest; after it had recorded that the VM goes on, before and after it resumed it; and while
 * it paused it. */
static void test_taken_over_while_suspended(void **state)
{
	(void)state;
	struct world rest = world_suspending();
	rest.want.state = WANT_ASLEEP;
	rest.seen.spent = 1;
	reconcile_adopt_suspended(&rest.seen, 1, rest.now);
	assert_step(&rest, ACTION_NONE, PHASE_ASLEEP);
	rest.want.state = WANT_RUNNING;
	assert_step(&rest, ACTION_NONE, PHASE_KEEP);
	rest.want.generation = 2;
	assert_step(&rest, ACTION_WAKE, PHASE_KEEP);

	struct world waking = world_suspending();
	waking.want.generation = 2;
	waking.seen.spent = 1;
	reconcile_adopt_suspended(&waking.seen, 2, waking.now);
	assert_step(&waking, ACTION_WAKE, PHASE_KEEP);

	struct world woken = world_suspending();
	woken.want.generation = 2;
	woken.seen.spent = 1;
	reconcile_adopt_resuming(&woken.seen, 2, woken.now);
	assert_step(&woken, ACTION_NONE, PHASE_KEEP);
	answer(&woken);
	assert_step(&woken, ACTION_NONE, PHASE_READY);

	struct world falling = world_suspending();
	falling.want.state = WANT_ASLEEP;
	falling.seen.spent = 1;
	reconcile_adopt(&falling.seen, 1, true, 0, falling.now);
	assert_step(&falling, ACTION_NONE, PHASE_KEEP);
	note(&falling, EVENT_HELLO_RUNNING);
	note(&falling, EVENT_READY);
	assert_step(&falling, ACTION_SUSPEND, PHASE_KEEP);

	struct world elsewhere = {0};
	reconcile_adopt_suspended(&elsewhere.seen, 1, 0);
	assert_step(&elsewhere, ACTION_DESTROY, PHASE_KEEP);
}

/* Whatever is wanted and seen: what stands still never runs under a generation that is over but to be ended, and is
 * never taken away while it could still be told. */
static void test_every_stage_and_wish_with_suspend(void **state)
{
	(void)state;
	for (int stage = 0; stage < STAGE_COUNT; stage++) {
		for (int bits = 0; bits < 512; bits++) {
			struct world w = world_suspending();
			w.seen = (struct reconcile_seen){
				.stage = (enum vm_stage)stage, .since = w.now - 500, .generation = 1, .dirty = true};
			w.want.exists = bits & 1;
			w.want.deleting = bits & 2;
			w.want.state = bits & 4 ? WANT_RUNNING : bits & 256 ? WANT_STOPPED : WANT_ASLEEP;
			w.want.generation = bits & 8 ? 2 : 1;
			w.want.same_revision = bits & 16;
			w.seen.spent = bits & 32 ? 1 : 0;
			w.seen.ready = bits & 64;
			w.seen.kept = stage == STAGE_SUSPENDED;
			w.want.drop = bits & 128 ? 1 : 0;
			enum reconcile_action action = step(&w).action;
			bool wanted = w.want.exists && !w.want.deleting && w.want.state == WANT_RUNNING;
			if (action == ACTION_WAKE) {
				assert_int_equal(stage, STAGE_SUSPENDED);
				assert_true(wanted && w.want.generation > w.seen.spent && !w.want.drop);
				assert_true(w.want.same_revision || w.want.generation == w.seen.generation);
			}
			if (action == ACTION_RESUME)
				assert_true(stage == STAGE_SUSPENDED && w.seen.spent == 1);
			if (action == ACTION_SUSPEND)
				assert_true(stage == STAGE_RUNNING && w.seen.ready && !wanted && !w.want.deleting &&
					    w.want.state == WANT_ASLEEP && w.seen.spent == 1);
			if (action == ACTION_DESTROY && w.want.exists)
				assert_false(stage == STAGE_SUSPENDED || stage == STAGE_RESUMING ||
					     stage == STAGE_SUSPENDING);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_and_readiness),
		cmocka_unit_test(test_waits_for_revision_and_image),
		cmocka_unit_test(test_sleep_is_gentle),
		cmocka_unit_test(test_grace_then_kill_then_destroy),
		cmocka_unit_test(test_no_way_back_from_stopping),
		cmocka_unit_test(test_replaced_by_a_higher_generation),
		cmocka_unit_test(test_older_generation_is_never_acted_on),
		cmocka_unit_test(test_deletion_releases_last),
		cmocka_unit_test(test_orphan_is_destroyed_at_once),
		cmocka_unit_test(test_back_off_doubles_to_a_minute),
		cmocka_unit_test(test_restart_policies),
		cmocka_unit_test(test_crashed_vm_is_made_again),
		cmocka_unit_test(test_vm_that_cannot_be_made_fails_in_the_end),
		cmocka_unit_test(test_boot_has_a_limit),
		cmocka_unit_test(test_failed_clean_up_is_tried_again),
		cmocka_unit_test(test_taken_over_without_a_flicker),
		cmocka_unit_test(test_taken_over_while_stopping),
		cmocka_unit_test(test_no_kill_before_its_time),
		cmocka_unit_test(test_late_events_change_nothing),
		cmocka_unit_test(test_suspended_and_woken_by_a_binding),
		cmocka_unit_test(test_told_asleep_before_it_can_be_bound),
		cmocka_unit_test(test_given_up_with_sigterm),
		cmocka_unit_test(test_a_drop_that_comes_late),
		cmocka_unit_test(test_an_app_that_is_not_ready_is_stopped),
		cmocka_unit_test(test_a_vm_that_cannot_be_paused_is_stopped),
		cmocka_unit_test(test_a_vm_that_cannot_be_resumed_is_replaced),
		cmocka_unit_test(test_a_vm_that_dies_while_suspended),
		cmocka_unit_test(test_taken_over_while_suspended),
		cmocka_unit_test(test_every_stage_and_wish_with_suspend),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
