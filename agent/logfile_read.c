/*
 * logfile_read.c - the reading half of logfile.h: from files to what `logs` prints, a page at a time.
 *
 * Uses no state of the writer; runs on worker threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/logfile.h"

#define LINE_SPACE (LOGFILE_LINE_MAX + 128)
#define TIME_LEN 30 /* 2026-01-02T03:04:05.000000000Z */

struct segment {
	int fd;
	uint64_t inode;
};

/* Walks lines from the oldest segment to the newest, or from a cursor. */
struct walk {
	struct segment segments[LOGFILE_SEGMENTS];
	int count, at;	/* segments[at] is being read */
	int64_t offset; /* of buf[pos] in it */
	size_t pos, len;
	char buf[4 * LINE_SPACE];
};

struct line {
	const char *time, *text; /* not terminated */
	size_t text_len;
	char stream, mark; /* 'o', 'e', 'b'; 'F', 'P' */
};

static void walk_close(struct walk *w)
{
	for (int i = 0; i < w->count; i++)
		close(w->segments[i].fd);
	w->count = 0;
}

/* A rotation between two opens can show one file twice; then it is dropped once. */
static int walk_open(struct walk *w, const char *dir, struct error *e)
{
	char path[512];
	struct stat st;

	w->count = w->at = 0;
	w->offset = 0;
	w->pos = w->len = 0;
	for (int i = LOGFILE_SEGMENTS - 1; i >= 0; i--) {
		if (i)
			snprintf(path, sizeof(path), "%s/app.log.%d", dir, i);
		else
			snprintf(path, sizeof(path), "%s/app.log", dir);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || fstat(fd, &st) < 0) {
			int err = errno;
			walk_close(w);
			return error_set_errno(e, err, "%s", path);
		}
		if (w->count && w->segments[w->count - 1].inode == (uint64_t)st.st_ino) {
			close(fd);
			continue;
		}
		w->segments[w->count++] = (struct segment){fd, (uint64_t)st.st_ino};
	}
	return 0;
}

static void walk_seek(struct walk *w, uint64_t inode, int64_t offset)
{
	struct stat st;

	w->at = 0;
	w->offset = 0;
	w->pos = w->len = 0;
	for (int i = 0; i < w->count; i++) {
		if (w->segments[i].inode != inode || fstat(w->segments[i].fd, &st) < 0 || st.st_size < offset)
			continue;
		w->at = i;
		w->offset = offset;
		return;
	}
}

static void walk_tell(const struct walk *w, struct logfile_cursor *c)
{
	c->inode = w->at < w->count ? w->segments[w->at].inode : 0;
	c->offset = w->offset;
}

static bool fill(struct walk *w)
{
	memmove(w->buf, w->buf + w->pos, w->len - w->pos);
	w->len -= w->pos;
	w->pos = 0;
	ssize_t n = pread(w->segments[w->at].fd, w->buf + w->len, sizeof(w->buf) - w->len,
			  (off_t)(w->offset + (int64_t)w->len));
	if (n <= 0)
		return false;
	w->len += (size_t)n;
	return true;
}

static bool parse_line(const char *p, size_t len, struct line *ret)
{
	/* time, space, six letters ("berth " padded by none), space, mark, space */
	const char *stream = p + TIME_LEN + 1, *space;

	if (len < TIME_LEN + 10 || p[TIME_LEN] != ' ')
		return false;
	space = memchr(stream, ' ', len - TIME_LEN - 1);
	if (!space || (size_t)(space - p) + 3 > len)
		return false;
	ret->time = p;
	ret->stream = stream[0] == 's' ? stream[3] : 'b';
	ret->mark = space[1];
	ret->text = space + 3;
	ret->text_len = len - (size_t)(space + 3 - p);
	return true;
}

/* The next whole line; the walk then stands behind it. A line that cannot be ours is skipped. */
static bool walk_next(struct walk *w, struct line *ret)
{
	while (w->at < w->count) {
		char *p = w->buf + w->pos, *newline = memchr(p, '\n', w->len - w->pos);
		if (newline) {
			size_t len = (size_t)(newline - p);
			w->pos += len + 1;
			w->offset += (int64_t)len + 1;
			if (parse_line(p, len, ret))
				return true;
			continue;
		}
		if (w->len - w->pos == sizeof(w->buf)) { /* no newline in so much: not our file any more */
			w->offset += (int64_t)(w->len - w->pos);
			w->pos = w->len = 0;
		}
		if (fill(w))
			continue;
		if (w->at + 1 >= w->count)
			return false;
		w->at++;
		w->offset = 0;
		w->pos = w->len = 0;
	}
	return false;
}

static void time_text(int64_t ns, char out[TIME_LEN + 1])
{
	time_t seconds = (time_t)(ns / 1000000000);
	char day[24];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	char text[TIME_LEN + 32];
	snprintf(text, sizeof(text), "%s.%09dZ", day, (int)(ns % 1000000000));
	snprintf(out, TIME_LEN + 1, "%.*s", TIME_LEN, text);
}

/* Where the runs begin: behind the markers. Without any marker the last run is all there is. */
struct runs {
	struct logfile_cursor last, previous;
	int found;
};

static void find_runs(struct walk *w, struct runs *ret)
{
	struct line line;

	*ret = (struct runs){0};
	walk_tell(w, &ret->last);
	while (walk_next(w, &line)) {
		if (line.stream != 'b')
			continue;
		ret->previous = ret->last;
		walk_tell(w, &ret->last);
		ret->found++;
	}
}

static bool wanted(const struct line *line, const char *since)
{
	return line->stream != 'b' && memcmp(line->time, since, TIME_LEN) >= 0;
}

/* Leaves the cursor before the first wanted line of which at most tail_lines whole ones follow. */
static void seek_lines(struct walk *w, const struct logfile_query *q, struct logfile_cursor *c)
{
	char since[TIME_LEN + 1];
	struct logfile_cursor start = *c, before = *c;
	struct line line;
	int64_t lines = 0, skip;

	time_text(q->since_ns, since);
	for (walk_seek(w, start.inode, start.offset); walk_next(w, &line);) {
		if (line.stream == 'b' && q->previous)
			break;
		if (wanted(&line, since))
			lines += line.mark == 'F';
	}
	skip = q->tail_lines >= 0 && lines > q->tail_lines ? lines - q->tail_lines : 0;
	for (walk_seek(w, start.inode, start.offset);; before.mid_line = false) {
		walk_tell(w, &before);
		if (!walk_next(w, &line) || (line.stream == 'b' && q->previous))
			break;
		if (!wanted(&line, since))
			continue;
		if (skip == 0)
			break;
		skip -= line.mark == 'F';
	}
	*c = before;
}

int logfile_seek(const char *dir, const struct logfile_query *q, struct logfile_cursor *ret, struct error *e)
{
	_free_ struct walk *w = xcalloc(1, sizeof(*w));
	struct runs runs;
	int r = walk_open(w, dir, e);

	if (r < 0)
		return r;
	find_runs(w, &runs);
	if (q->previous && runs.found < 2) {
		walk_close(w);
		return error_set(e, E_NOT_FOUND, "there is no previous run in the log");
	}
	struct logfile_cursor c = q->previous ? runs.previous : runs.last;
	seek_lines(w, q, &c);
	walk_close(w);
	*ret = c;
	return 0;
}

static void print(const struct line *line, const struct logfile_query *q, struct logfile_cursor *c, struct buf *out)
{
	if (line->stream == 'b') {
		if (c->mid_line)
			buf_addc(out, '\n');
		c->mid_line = false;
		return;
	}
	if (q->timestamps && !c->mid_line) {
		buf_add(out, line->time, TIME_LEN);
		buf_addc(out, ' ');
	}
	buf_add(out, line->text, line->text_len);
	if (line->mark == 'F')
		buf_addc(out, '\n');
	c->mid_line = line->mark == 'P';
}

int logfile_page(const char *dir, const struct logfile_query *q, struct logfile_cursor *c, struct buf *out,
		 bool *ret_more, struct error *e)
{
	_free_ struct walk *w = xcalloc(1, sizeof(*w));
	size_t start = out->len;
	struct line line;
	bool more = false;
	int r = walk_open(w, dir, e);

	if (r < 0)
		return r;
	walk_seek(w, c->inode, c->offset);
	while (!c->end && walk_next(w, &line)) {
		walk_tell(w, c);
		if (line.stream == 'b' && q->previous) {
			c->end = true;
			break;
		}
		print(&line, q, c, out);
		if (out->len - start >= LOGFILE_PAGE_MAX) {
			more = true;
			break;
		}
	}
	walk_close(w);
	*ret_more = more;
	return 0;
}
