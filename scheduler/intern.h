/*
 * intern.h - one counted copy of each string, for names that a million records share.
 *
 * Ownership: the table owns the strings; intern() counts a use, intern_drop() ends one, the last one frees the string.
 * Two interned strings of a table are equal exactly when their pointers are.
 *
 * Used by world.c and decode.c.
 */
#ifndef BERTH_SCHEDULER_INTERN_H
#define BERTH_SCHEDULER_INTERN_H

#include "lib/strmap.h"

struct interns;

struct interns *interns_new(void);
void interns_free(struct interns *t); /* NULL-safe; frees all strings */
/* NULL counts as "". */
const char *intern(struct interns *t, const char *s);
/* Counts one use more of an interned string. */
const char *intern_again(const char *interned);
void intern_drop(struct interns *t, const char *s); /* NULL-safe */
/* Makes *slot the interned s, dropping what it held. */
void intern_set(struct interns *t, const char **slot, const char *s);
/* One pointer that its user may hang on an interned string; it goes with the last use. NULL at first. */
void **intern_tag(const char *interned);
size_t interns_count(const struct interns *t);

#endif
