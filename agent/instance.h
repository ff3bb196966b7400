/*
 * instance.h - one Instance on this node: what is wanted, what is seen, and the hands that bring them together.
 *
 * instance.c decides when to ask reconcile.h and does what it says; instance_adopt.c takes over what ran before;
 * instance_vm.c makes and removes the VM on worker threads; instance_channel.c speaks with the guest; instance_status.c
 * writes the Instance's status. All of them run on the loop's thread, and only they look inside.
 */
#ifndef BERTH_AGENT_INSTANCE_H
#define BERTH_AGENT_INSTANCE_H

#include "agent/agent.h"
#include "agent/channel_host.h"
#include "agent/launch.h"
#include "agent/logfile.h"
#include "agent/reconcile.h"
#include "agent/record.h"

struct exec_session;
struct log_follower;

#define INSTANCE_TEXT_MAX 256

/* The start-up boost: how long an app may use whole CPUs once it is ready, and at most after it was started. */
#define INSTANCE_BOOST_READY_MS 10000
#define INSTANCE_BOOST_START_MS 60000

/* What the status says that reconcile does not know. Wall-clock times in ms, 0: unknown. */
struct instance_facts {
	char boot_id[64], kernel[128], address[NET_ADDRESS_MAX];
	char revision[INSTANCE_TEXT_MAX], digest[80];
	char reason[64], message[INSTANCE_TEXT_MAX * 2]; /* of the condition Ready while it is not */
	struct {
		bool any;
		int64_t code, signal, time;
		const char *reason;
	} last_exit;
	struct { /* marks of the start under way */
		int64_t wanted, bound, seen, begun, disk, created, hello, resumed, ready;
	} wake;
};

/* The image's squashfs, the size and the command line; of the VM's Revision, or of the one it shall get. */
struct instance_launch {
	struct arena *arena;
	char revision[INSTANCE_TEXT_MAX];
	struct launch l;
};

struct instance_write {
	char *sent; /* status last acknowledged, as text */
	bool in_flight, again;
	enum instance_phase phase; /* last one decided */
	char condition[8];	   /* "True", "False", "" */
	int64_t condition_since;
	int64_t resource_version; /* newest known */
	unsigned failures;
};

struct instance {
	struct agent *agent;
	char *ns, *name, *uid;
	struct reconcile_want want;
	struct reconcile_seen seen;
	struct record record;
	struct instance_launch launch;
	struct instance_facts facts;
	struct instance_write write;

	char domain[VM_NAME_MAX], tap[NET_TAP_MAX];
	char vm_revision[INSTANCE_TEXT_MAX]; /* of the VM that is, or was made last */
	int64_t queued_since;		     /* waits for its turn to start; 0: it does not */
	int64_t boosted_until;		     /* its app may use whole CPUs until then */
	int64_t save_at;		     /* its record is written then, or before; 0: it is up to date */
	bool address_held, job, limited, release_sent, term_pending;
	struct channel_host *channel;
	struct logfile *log;
	uv_timer_t timer, retry;
	struct exec_session *execs; /* exec.c's */
	uint32_t next_stream;
	struct log_follower *followers; /* port_log.c's */
	bool stats_asked;		/* port_stats.c's */
};

/* The Instance object came or changed. */
void instance_observe(struct agent *g, const struct json *object);
/* The Instance object is gone, or is bound elsewhere. */
void instance_vanished(struct agent *g, const struct json *object);
/* A domain of ours that runs, or is suspended. */
void instance_adopt(struct agent *g, const struct vm_found *found);
/* Records of an earlier run of the agent. */
void instance_load(struct agent *g, const char *uid);
struct instance *instance_by_name(struct agent *g, const char *ns, const char *name);
struct instance *instance_by_domain(struct agent *g, const char *domain);
/* Asks what to do and does it. The instance may be gone afterwards. */
void instance_sync(struct instance *i);
void instance_sync_later(struct instance *i, uint64_t ms);

/* How long a record may wait that guards no act: somebody waits for the answer meanwhile. */
#define INSTANCE_SAVE_LATER_MS 100

/* ---- for instance*.c, exec.c and the port ---- */
struct instance *instance_new(struct agent *g, const char *ns, const char *name, const char *uid);
void instance_save(struct instance *i);
void instance_note(struct instance *i, enum reconcile_event ev); /* with the time of now, then instance_sync() */
bool instance_has_vm(const struct instance *i);
/* It has a VM that stands still: nothing in it would answer. */
bool instance_is_suspended(const struct instance *i);
/* The app may use whole CPUs for so long, or shorter if that was said before. */
void instance_boost(struct instance *i, int64_t ms);
/* The folder of its disk, log and record; in a. */
char *instance_dir(const struct instance *i, struct arena *a);
void instance_set_reason(struct instance *i, const char *reason, const char *message);

void instance_vm_create(struct instance *i);
void instance_vm_destroy(struct instance *i);
void instance_vm_suspend(struct instance *i);
void instance_vm_resume(struct instance *i);
void instance_vm_limit(struct instance *i);
void instance_vm_forget(struct instance *i); /* removes its folder */
void instance_vm_gone(struct instance *i);   /* the domain stopped by itself */

void instance_channel_open(struct instance *i, bool attach);
void instance_channel_close(struct instance *i);
bool instance_channel_start(struct instance *i);
bool instance_channel_signal(struct instance *i, int signal);
/* Its VM runs on: tells the guest, or connects first when there is no connection. */
void instance_channel_resume(struct instance *i);

void instance_status_write(struct instance *i, enum instance_phase phase);
/* What the object says already, after a restart of the agent. */
void instance_status_restore(struct instance *i, const struct json *object);
void instance_status_free(struct instance *i);
void instance_release(struct instance *i); /* removes the finalizer */

#endif
