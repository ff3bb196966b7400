/*
 * user.c - users and groups out of an image's files; see user.h.
 */
#include "guest/user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define LINE_MAX_BYTES 8192U
#define FIELDS 7U

/* Lines of a file; one longer than the buffer is skipped whole. */
struct lines {
	int fd;
	size_t len;
	bool skipping, ended;
	char buf[LINE_MAX_BYTES];
	char line[LINE_MAX_BYTES];
};

static bool lines_open(struct lines *l, const char *path)
{
	struct stat st;

	l->len = 0;
	l->skipping = l->ended = false;
	l->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (l->fd >= 0 && (fstat(l->fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		close(l->fd);
		l->fd = -1;
	}
	return l->fd >= 0;
}

static void lines_close(struct lines *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

static void lines_fill(struct lines *l)
{
	ssize_t n = read(l->fd, l->buf + l->len, sizeof(l->buf) - 1 - l->len);

	if (n > 0) {
		l->len += (size_t)n;
		return;
	}
	l->ended = true;
	/* The last line may lack its newline. */
	if (l->len > 0 && l->buf[l->len - 1] != '\n')
		l->buf[l->len++] = '\n';
}

static bool lines_next(struct lines *l)
{
	for (;;) {
		char *end = memchr(l->buf, '\n', l->len);
		size_t taken = end ? (size_t)(end - l->buf) : l->len;
		bool whole = end && !l->skipping;

		if (!end && l->ended)
			return false;
		if (!end && l->len < sizeof(l->buf) - 1) {
			lines_fill(l);
			continue;
		}
		memcpy(l->line, l->buf, taken);
		l->line[taken] = '\0';
		l->skipping = !end;
		taken += end ? 1 : 0;
		memmove(l->buf, l->buf + taken, l->len - taken);
		l->len -= taken;
		if (whole && strlen(l->line) == taken - 1)
			return true;
	}
}

/* Cuts the line at its colons in place; missing fields are "". */
static void split(char *line, char *ret[FIELDS])
{
	static char nothing[1] = "";

	for (size_t i = 0; i < FIELDS; i++) {
		char *colon = line ? strchr(line, ':') : NULL;

		ret[i] = line ? line : nothing;
		if (colon)
			*colon = '\0';
		line = colon ? colon + 1 : NULL;
	}
}

static bool parse_id(const char *text, uint32_t *ret)
{
	unsigned long long v;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (*end || errno || v > INT_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool find_passwd(const char *path, const char *wanted, struct user *u)
{
	struct lines l;
	uint32_t number, uid, gid;
	bool is_number = parse_id(wanted, &number), found = false;

	if (!lines_open(&l, path))
		return false;
	while (!found && lines_next(&l)) {
		char *f[FIELDS];

		split(l.line, f);
		if (!parse_id(f[2], &uid) || !parse_id(f[3], &gid))
			continue;
		if (!streq(f[0], wanted) && !(is_number && number == uid))
			continue;
		found = true;
		u->uid = uid;
		u->gid = gid;
		snprintf(u->name, sizeof(u->name), "%s", f[0]);
		snprintf(u->home, sizeof(u->home), "%s", f[5][0] ? f[5] : "/");
	}
	lines_close(&l);
	return found;
}

static bool has_member(char *members, const char *name)
{
	char *save = NULL;

	for (char *m = strtok_r(members, ",", &save); m; m = strtok_r(NULL, ",", &save))
		if (streq(m, name))
			return true;
	return false;
}

/* With `wanted` the group of that name or number; without, all groups that name u as a member. */
static bool find_groups(const char *path, const char *wanted, struct user *u)
{
	struct lines l;
	uint32_t number, gid;
	bool is_number = wanted && parse_id(wanted, &number), found = false;

	if (!lines_open(&l, path))
		return false;
	while (!(wanted && found) && lines_next(&l)) {
		char *f[FIELDS];

		split(l.line, f);
		if (!parse_id(f[2], &gid))
			continue;
		if (wanted && (streq(f[0], wanted) || (is_number && number == gid))) {
			u->gid = gid;
			found = true;
		} else if (!wanted && u->name[0] && u->group_count < USER_GROUPS_MAX && has_member(f[3], u->name)) {
			u->groups[u->group_count++] = gid;
		}
	}
	lines_close(&l);
	return found;
}

bool user_find(const char *spec, const char *passwd_path, const char *group_path, struct user *ret,
	       char why[USER_WHY_MAX])
{
	struct user u = {.home = "/"};
	char name[USER_NAME_MAX];
	const char *colon = strchr(spec, ':');
	const char *group = colon && colon[1] ? colon + 1 : NULL;
	size_t len = colon ? (size_t)(colon - spec) : strlen(spec);
	uint32_t id;

	if (len >= sizeof(name)) {
		snprintf(why, USER_WHY_MAX, "the user's name is too long");
		return false;
	}
	memcpy(name, spec, len);
	name[len] = '\0';
	if (!find_passwd(passwd_path, len ? name : "0", &u)) {
		if (len && !parse_id(name, &id)) {
			snprintf(why, USER_WHY_MAX, "user \"%s\" is not in the image's %s", name, passwd_path);
			return false;
		}
		u.uid = len ? id : 0;
	}
	if (group && !find_groups(group_path, group, &u)) {
		if (!parse_id(group, &id)) {
			snprintf(why, USER_WHY_MAX, "group \"%.200s\" is not in the image's %s", group, group_path);
			return false;
		}
		u.gid = id;
	} else if (!group) {
		(void)find_groups(group_path, NULL, &u);
	}
	*ret = u;
	return true;
}
