/*
 * logfile.c - the writing half of logfile.h: bytes to lines to rotated files.
 */
#include "agent/logfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/fsutil.h"

#define LOGFILE_BATCH_MAX (128U * 1024)

static const char *const stream_names[LOGFILE_STREAM_COUNT] = {"stdout", "stderr", "berth"};

struct logfile {
	char *path;
	size_t segment_max, size;
	int fd;
	uint64_t lost;
	struct buf partial[LOGFILE_STREAM_COUNT];
	struct buf batch; /* lines of one call, written at once */
};

struct logfile *logfile_open(const char *dir, size_t segment_max)
{
	struct logfile *l = xcalloc(1, sizeof(*l));

	l->path = xasprintf("%s/app.log", dir);
	l->segment_max = segment_max ? segment_max : LOGFILE_SEGMENT_MAX;
	l->fd = -1;
	for (size_t i = 0; i < LOGFILE_STREAM_COUNT; i++)
		l->partial[i] = BUF_INIT(LOGFILE_LINE_MAX);
	l->batch = BUF_INIT(LOGFILE_BATCH_MAX);
	return l;
}

static void open_file(struct logfile *l)
{
	struct stat st;

	l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	l->size = l->fd >= 0 && fstat(l->fd, &st) == 0 ? (size_t)st.st_size : 0;
}

static void rotate(struct logfile *l)
{
	char from[512], to[512];

	close(l->fd);
	l->fd = -1;
	for (int i = LOGFILE_SEGMENTS - 1; i > 0; i--) {
		snprintf(to, sizeof(to), "%s.%d", l->path, i);
		if (i > 1)
			snprintf(from, sizeof(from), "%s.%d", l->path, i - 1);
		else
			snprintf(from, sizeof(from), "%s", l->path);
		(void)rename(from, to); /* a missing older segment is the usual case */
	}
	open_file(l);
}

/* Whole lines only, so that a reader never meets half of one in the older segments. */
static void write_batch(struct logfile *l)
{
	if (!l->batch.len)
		return;
	if (l->fd < 0)
		open_file(l);
	if (l->fd >= 0 && l->size && l->size + l->batch.len > l->segment_max)
		rotate(l);
	if (l->fd < 0 || fd_write_all(l->fd, l->batch.data, l->batch.len, NULL) < 0)
		l->lost += l->batch.len;
	else
		l->size += l->batch.len;
	buf_reset(&l->batch);
}

static void add_line(struct logfile *l, enum logfile_stream s, char mark, const char *text, size_t len, int64_t now_ns)
{
	time_t seconds = (time_t)(now_ns / 1000000000);
	struct tm tm;
	char time[32];

	/* Keeps segments near their limit however much comes in one call. */
	if (l->batch.len + len + 64 > l->segment_max / 2 || l->batch.len + len + 64 > l->batch.max)
		write_batch(l);
	gmtime_r(&seconds, &tm);
	strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_addf(&l->batch, "%s.%09dZ %s %c ", time, (int)(now_ns % 1000000000), stream_names[s], mark);
	buf_add(&l->batch, text, len);
	buf_addc(&l->batch, '\n');
}

static void add_text(struct logfile *l, enum logfile_stream s, const char *p, size_t len, int64_t now_ns)
{
	struct buf *partial = &l->partial[s];

	while (len) {
		const char *newline = memchr(p, '\n', len);
		size_t n = newline ? (size_t)(newline - p) : len, room = partial->max - partial->len;
		if (n > room) {
			buf_add(partial, p, room);
			add_line(l, s, 'P', partial->data, partial->len, now_ns);
			buf_reset(partial);
			p += room;
			len -= room;
			continue;
		}
		buf_add(partial, p, n);
		p += n;
		len -= n;
		if (newline) {
			add_line(l, s, 'F', partial->data ? partial->data : "", partial->len, now_ns);
			buf_reset(partial);
			p++;
			len--;
		}
	}
}

void logfile_write(struct logfile *l, enum logfile_stream s, const void *data, size_t len, int64_t now_ns)
{
	add_text(l, s, data, len, now_ns);
	write_batch(l);
}

void logfile_flush(struct logfile *l, int64_t now_ns)
{
	for (size_t i = 0; i < LOGFILE_STREAM_COUNT; i++) {
		if (l->partial[i].len)
			add_line(l, (enum logfile_stream)i, 'P', l->partial[i].data, l->partial[i].len, now_ns);
		buf_reset(&l->partial[i]);
	}
	write_batch(l);
}

void logfile_run(struct logfile *l, int64_t run, int64_t now_ns)
{
	char text[32];

	logfile_flush(l, now_ns);
	snprintf(text, sizeof(text), "run %lld\n", (long long)run);
	logfile_write(l, LOGFILE_BERTH, text, strlen(text), now_ns);
}

uint64_t logfile_lost(const struct logfile *l)
{
	return l->lost;
}

void logfile_close(struct logfile *l)
{
	struct timespec now;

	if (!l)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	logfile_flush(l, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
	if (l->fd >= 0)
		close(l->fd);
	for (size_t i = 0; i < LOGFILE_STREAM_COUNT; i++)
		buf_free(&l->partial[i]);
	buf_free(&l->batch);
	free(l->path);
	free(l);
}
