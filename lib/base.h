/*
 * base.h - what every file of Berth starts from: attributes, cleanup helpers, allocation that cannot fail.
 *
 * Allocation: Berth is crash-only. Every input is bounded before memory is asked for, so running out of memory is a
 * fault of the host; the x*() functions below then log and abort, and the process starts again from durable state.
 * The guest's PID 1 must not die and does not use them.
 *
 * Anyone may include this file.
 */
#ifndef BERTH_LIB_BASE_H
#define BERTH_LIB_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_ __attribute__((unused))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Takes a pointer out of a variable that a cleanup attribute watches: `return steal(&p);` */
#define steal(pp)                             \
	({                                    \
		__typeof__(*(pp)) _p = *(pp); \
		*(pp) = NULL;                 \
		_p;                           \
	})

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) _printf_(1, 2);

static inline void freep(void *pp)
{
	free(*(void **)pp);
}
static inline void closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define _free_ _cleanup_(freep)
#define _close_ _cleanup_(closep)

static inline bool streq(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}
static inline bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}
bool str_ends(const char *s, const char *suffix);

/* "berth-agent 0.1.0 (commit 0123456789ab)\n" on standard output, for --version. */
void version_print(const char *program);
const char *version_commit(void);

#endif
