/*
 * reconcile.h - what to do next about one Instance: a pure function of (wanted, seen, now).
 *
 * Nothing here does I/O, reads a clock or allocates. instance.c owns one struct reconcile_seen per Instance, feeds it
 * events with reconcile_note(), asks reconcile_step() after every change and does the one action it names. Times are
 * milliseconds of a clock that never jumps (time_mono_ms()).
 *
 * Promises kept here: never SIGKILL before SIGTERM and the grace period, unless the Instance is gone (P7); never an
 * action for a generation lower than one already seen, and never a second start of a generation that is over (P3). A
 * suspended VM runs on only under a generation it was bound with, or to be told to end.
 */
#ifndef BERTH_AGENT_RECONCILE_H
#define BERTH_AGENT_RECONCILE_H

#include "lib/base.h"

#define RECONCILE_BACKOFF_MAX_MS 60000
#define RECONCILE_BACKOFF_RESET_MS 600000 /* an app that ran so long starts again without delay history */
#define RECONCILE_BOOT_LIMIT_MS 180000	  /* from the domain's start to the guest's HELLO */
#define RECONCILE_HELLO_LIMIT_MS 10000	  /* for a VM taken over to answer */
#define RECONCILE_KILL_LIMIT_MS 2000	  /* from SIGKILL to the end of the VM */
#define RECONCILE_CLEAN_RETRY_MS 1000
#define RECONCILE_PAUSE_RETRY_MS 1000	/* between tries to suspend or resume a VM */
#define RECONCILE_PAUSE_FAILURES_MAX 3	/* tries that fail in a row before it is stopped, or given up */
#define RECONCILE_RESUME_TELL_MS 1000	/* a resume that takes longer is told as Starting */
#define RECONCILE_RESUME_LIMIT_MS 60000 /* from the order to resume to the guest's answer */
#define RECONCILE_VM_FAILURES_MAX 5	/* starts of a VM that fail in a row before the Instance is Failed */

enum vm_stage {
	STAGE_NONE,	   /* no VM */
	STAGE_CREATING,	   /* disk, tap, rules, domain are being made */
	STAGE_BOOTING,	   /* the domain runs, the guest has not said HELLO */
	STAGE_IDLE,	   /* the guest waits for START */
	STAGE_RUNNING,	   /* START was sent */
	STAGE_EXITED,	   /* the app is over, the guest waits */
	STAGE_TERMINATING, /* SIGTERM was sent */
	STAGE_KILLING,	   /* SIGKILL was sent */
	STAGE_SUSPENDING,  /* the domain is being paused */
	STAGE_SUSPENDED,   /* the domain is paused: memory and disk are kept, nothing runs */
	STAGE_RESUMING,	   /* it is to run on, and the guest has not answered yet */
	STAGE_DESTROYING,  /* domain, rules, tap, disk are being removed */
	STAGE_COUNT,
};

enum want_state { WANT_RUNNING, WANT_ASLEEP, WANT_STOPPED };
enum restart_policy { RESTART_ON_FAILURE, RESTART_ALWAYS, RESTART_NEVER };

/* From the Instance and its Revision. */
struct reconcile_want {
	bool exists; /* there is such an Instance and it is bound to this node */
	bool deleting;
	enum want_state state;
	int64_t generation; /* spec.vmGeneration */
	bool launchable;    /* Revision, image and accelerator are known */
	enum restart_policy restart;
	int64_t grace_ms;
	bool suspend;	    /* asleep means suspended, by the VM's Revision */
	bool same_revision; /* the VM is of the Revision that is wanted */
	int64_t drop;	    /* generation whose suspended VM the scheduler wants gone, 0: none */
	bool mistold;	    /* the API shows a VM awake that is not, or suspended when there is none; or the reverse */
};

enum reconcile_over { OVER_NO, OVER_COMPLETED, OVER_APP_FAILED, OVER_VM_FAILED };

/* What is known about its VM. A zeroed struct: nothing was ever seen. */
struct reconcile_seen {
	enum vm_stage stage;
	int64_t since;		  /* when it entered the stage */
	int64_t generation;	  /* of the VM, or of the last one */
	int64_t highest;	  /* generation ever seen in the API */
	int64_t spent;		  /* highest generation that is over and must not start again */
	enum reconcile_over over; /* how `spent` ended, when by itself */
	bool ready, was_ready;
	bool unheard;		 /* taken over from an earlier process, and the guest has not said HELLO to this one */
	bool dirty;		 /* a domain, tap, rule or disk may be left while the stage is NONE */
	bool clean;		 /* the last exit of the app was with code 0 */
	bool crashed;		 /* the VM vanished under a running app */
	unsigned failures;	 /* VM starts that failed in a row */
	unsigned pause_failures; /* tries to suspend or resume that failed in a row */
	int64_t next_pause;	 /* neither is tried before */
	bool kept;	    /* the VM is, or was until its end began, a suspended one: it takes memory and no CPU */
	unsigned exits;	    /* exits in a row, for the back-off */
	int64_t next_start; /* neither VM nor app starts before */
	int64_t next_clean; /* what is dirty is not tried before */
	int64_t started;    /* when START was sent last */
};

enum reconcile_event {
	EVENT_CREATED,
	EVENT_CREATE_FAILED,
	EVENT_HELLO_WAITING,
	EVENT_HELLO_RUNNING,
	EVENT_START_SENT,
	EVENT_READY,
	EVENT_UNREADY,
	EVENT_EXIT_CLEAN,
	EVENT_EXIT_FAILED,
	EVENT_TERM_SENT,
	EVENT_KILL_SENT,
	EVENT_SUSPENDING,
	EVENT_SUSPENDED,
	EVENT_SUSPEND_FAILED,
	EVENT_RESUMING,
	EVENT_RESUMED, /* the guest says so */
	EVENT_RESUME_FAILED,
	EVENT_VM_GONE,
	EVENT_DESTROYING,
	EVENT_DESTROYED,
	EVENT_DESTROY_FAILED,
	EVENT_COUNT,
};

/* The making of the VM of that generation begins; only when ACTION_CREATE was asked for. */
void reconcile_begin(struct reconcile_seen *s, int64_t generation, int64_t now);
/* A VM that ran before this process: its app is treated as running until the guest says otherwise, so that it is asked
 * before it is killed. term_since: when SIGTERM was sent to it, 0 if it was not. */
void reconcile_adopt(struct reconcile_seen *s, int64_t generation, bool app_started, int64_t term_since, int64_t now);
/* The same for a VM that is paused, and for one that was resumed by that process and owes an answer. */
void reconcile_adopt_suspended(struct reconcile_seen *s, int64_t generation, int64_t now);
void reconcile_adopt_resuming(struct reconcile_seen *s, int64_t generation, int64_t now);
/* The suspended VM goes on under that generation, which it is bound with; only when ACTION_WAKE was asked for. */
void reconcile_carry(struct reconcile_seen *s, int64_t generation);
/* Applies an event; one that makes no sense in the stage changes nothing (late messages). */
void reconcile_note(struct reconcile_seen *s, enum reconcile_event ev, int64_t now);

enum reconcile_action {
	ACTION_NONE,
	ACTION_CREATE,	  /* make disk, tap, rules, domain */
	ACTION_START_APP, /* send START */
	ACTION_TERMINATE, /* send SIGTERM to the app */
	ACTION_KILL,	  /* send SIGKILL to the app */
	ACTION_DESTROY,	  /* remove domain, rules, tap, disk; whatever of them exists */
	ACTION_SUSPEND,	  /* pause the domain */
	ACTION_WAKE,	  /* let it run on, under the generation that is wanted */
	ACTION_RESUME,	  /* let it run on, so that it can be told to end */
	ACTION_RELEASE,	  /* remove the finalizer: nothing of the Instance is left */
	ACTION_FORGET,	  /* drop the Instance's own records and logs */
};

enum instance_phase {
	PHASE_KEEP, /* not the agent's to say now */
	PHASE_STARTING,
	PHASE_READY,
	PHASE_RUNNING,
	PHASE_STOPPING,
	PHASE_ASLEEP,
	PHASE_STOPPED,
	PHASE_FAILED,
	PHASE_COUNT,
};
const char *phase_name(enum instance_phase p);

struct reconcile_step {
	enum reconcile_action action;
	enum instance_phase phase;
	int64_t wake_at;	  /* ask again then, 0 when only events matter */
	int64_t spend;		  /* record this generation as over before acting; 0: none */
	enum reconcile_over over; /* goes with spend */
};

struct reconcile_step reconcile_step(const struct reconcile_want *w, const struct reconcile_seen *s, int64_t now);

/* 1 s, 2 s, 4 s … 60 s for the first, second, third … attempt; 0 for n = 0. */
int64_t reconcile_backoff_ms(unsigned n);

#endif
