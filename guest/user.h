/*
 * user.h - who a process of the image runs as, by the image's own /etc/passwd and /etc/group.
 *
 * Rules of the OCI image specification's config.User, as runc applies them: "user", "uid", either with ":group" or
 * ":gid"; a name must exist, a number need not; other groups of the user count only when no group is given. No NSS, no
 * allocation. Called in the child, between fork and exec, because the image's files may be anything.
 */
#ifndef BERTH_GUEST_USER_H
#define BERTH_GUEST_USER_H

#include "lib/base.h"

#define USER_GROUPS_MAX 64U
#define USER_NAME_MAX 256U
#define USER_WHY_MAX 384U

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX];
	size_t group_count;
	char name[USER_NAME_MAX]; /* "" when the number has none */
	char home[USER_NAME_MAX];
};

/* spec "" is root. False after saying why in `why`. */
bool user_find(const char *spec, const char *passwd_path, const char *group_path, struct user *ret,
	       char why[USER_WHY_MAX]);

#endif
