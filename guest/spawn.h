/*
 * spawn.h - from a request to a running program: fork, and everything between fork and exec.
 *
 * All that touches the image's files (users, folders, the program) happens in the child, so nothing that the image or
 * the app has put there can hold PID 1 up. A child that fails writes one struct spawn_failure into its status pipe,
 * which is otherwise closed by exec. Called by task.c.
 */
#ifndef BERTH_GUEST_SPAWN_H
#define BERTH_GUEST_SPAWN_H

#include "guest/request.h"
#include "lib/base.h"

#define SPAWN_WHY_MAX 400U
/* Exit codes of a container that could not be started, as Docker uses them. */
#define SPAWN_CODE_FAILED 125
#define SPAWN_CODE_NOT_EXECUTABLE 126
#define SPAWN_CODE_NOT_FOUND 127

struct spawn_failure {
	char why[SPAWN_WHY_MAX];
};

struct spawn {
	const struct request *own;
	const struct request *base; /* the app's, for what an EXEC leaves out; NULL when own is the app's */
	int in, out, err;	    /* the child's ends; -1 is /dev/null. All the same on a terminal */
	int status;		    /* the child's end of the status pipe */
	int group;		    /* folder of its control group, or -1 */
};

/* The child's process id, or a negative errno. */
pid_t spawn_process(const struct spawn *s);

/* Pure parts, for tests. */
/* Fills envp (room for `max` pointers) and ends it with NULL; later ones of the same name win. */
void spawn_environment(const struct spawn *s, const char *home, const char **envp, size_t max);
/* The candidates of a program's path, one after the other: *search starts as PATH; false when there are no more. */
bool spawn_next_path(const char *program, const char **search, char *out, size_t size);

#endif
