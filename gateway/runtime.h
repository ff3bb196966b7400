/*
 * runtime.h - talks to HAProxy while it runs: commands to the worker, to the master, to old workers.
 *
 * One connection per question, one question at a time, in the order asked. After a reload, old workers live on as long
 * as their connections do; they have maps and a table of their own.
 *
 * Ownership: commands are copied; the answer is borrowed for the call of done, which comes exactly once, unless the
 * runtime is freed first. Runs on the loop's thread.
 *
 * Used by the gateway's haproxy_process.c, maps.c, sleeper.c.
 */
#ifndef BERTH_GATEWAY_RUNTIME_H
#define BERTH_GATEWAY_RUNTIME_H

#include "lib/buf.h"
#include "lib/error.h"
#include <uv.h>

/* HAProxy reads a command, with its payload, into one buffer of 16 KiB. */
#define RUNTIME_COMMAND_MAX 12288

struct runtime;

struct runtime *runtime_new(uv_loop_t *loop, const char *admin_socket, const char *master_socket);
void runtime_free(struct runtime *rt); /* NULL-safe; questions under way get no answer */

/* err: 0, or a negative code when HAProxy could not be asked. What HAProxy thinks of a command stands in the answer. */
typedef void runtime_done(void *user, int err, const char *answer);
enum runtime_target {
	RUNTIME_WORKER, /* the current worker */
	RUNTIME_MASTER,
	RUNTIME_OLD, /* all old workers; one that cannot be asked has ended, and is no fault */
	RUNTIME_ALL, /* the current worker and the old ones; their answers follow one another. err is the current one's
		      */
};
/* Commands are separated by ';'. done may be NULL. */
void runtime_ask(struct runtime *rt, enum runtime_target target, const char *commands, runtime_done *done, void *user);
/* Which old workers there are, from now on. */
void runtime_set_old(struct runtime *rt, const int *pids, size_t count);
size_t runtime_old_count(const struct runtime *rt);
/* Old workers as told by the master's answer to "show proc"; returns how many were found, at most max. */
size_t runtime_parse_old(const char *show_proc, int *ret_pids, size_t max);

#endif
