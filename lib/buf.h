/*
 * buf.h - a byte buffer born with its maximum.
 *
 * Ownership: a struct buf owns its bytes; buf_free() releases them and is safe on a zeroed struct. The bytes are always
 * followed by a NUL that len does not count, so data is a C string when it holds text. A write past max sets `over` and
 * is dropped whole; check it once, at the end.
 *
 * Anyone may include this file.
 */
#ifndef BERTH_LIB_BUF_H
#define BERTH_LIB_BUF_H

#include "lib/base.h"

struct buf {
	char *data;
	size_t len, cap, max;
	bool over; /* a write did not fit into max */
};

#define BUF_INIT(limit) ((struct buf){.max = (limit)})

void buf_free(struct buf *b);
#define _buf_ _cleanup_(buf_free) struct buf
void buf_reset(struct buf *b); /* empties, keeps the memory */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_vaddf(struct buf *b, const char *fmt, va_list ap) _printf_(2, 0);
/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);
/* The bytes as a string the caller frees; the buffer is empty afterwards. Never NULL. */
char *buf_steal(struct buf *b);

#endif
