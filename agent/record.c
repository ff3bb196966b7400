/*
 * record.c - records as small JSON files.
 */
#include "agent/record.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#include "lib/codec.h"
#include "lib/fsutil.h"
#include "lib/json.h"

#define RECORD_MAX 16384

const char *record_host_boot_id(void)
{
	static char id[UUID_TEXT_MAX];
	_buf_ text = BUF_INIT(128);

	if (!id[0] && file_read("/proc/sys/kernel/random/boot_id", &text, NULL) == 0 && text.len >= UUID_TEXT_MAX - 1)
		memcpy(id, text.data, UUID_TEXT_MAX - 1);
	return id;
}

char *record_dir(struct arena *a, const char *state_dir, const char *uid)
{
	return arena_printf(a, "%s/instances/%s", state_dir, uid);
}

int record_save(const char *state_dir, const struct record *r, struct error *e)
{
	_arena_ a = arena_new();
	struct json *o = json_object(a);
	_buf_ text = BUF_INIT(RECORD_MAX);

	json_set_str(a, o, "namespace", r->ns);
	json_set_str(a, o, "name", r->name);
	json_set_str(a, o, "uid", r->uid);
	json_set_str(a, o, "hostBootId", record_host_boot_id());
	json_set_int(a, o, "highest", r->highest);
	json_set_int(a, o, "spent", r->spent);
	json_set_int(a, o, "vmGeneration", r->generation);
	json_set_int(a, o, "madeAs", r->made_as);
	json_set_int(a, o, "over", r->over);
	json_set_int(a, o, "graceMs", r->grace_ms);
	json_set_int(a, o, "termSince", r->term_since);
	json_set_int(a, o, "restarts", r->restarts);
	json_set_int(a, o, "run", r->run);
	json_set_bool(a, o, "appStarted", r->app_started);
	json_set_bool(a, o, "ready", r->ready);
	json_set_bool(a, o, "internet", r->internet);
	json_set_bool(a, o, "suspend", r->suspend);
	json_set_bool(a, o, "resuming", r->resuming);
	json_set_int(a, o, "startedAt", r->started_at);
	json_set_int(a, o, "readyAt", r->ready_at);
	json_write(o, JSON_PRETTY, &text);
	return file_write_atomic(arena_printf(a, "%s/record.json", record_dir(a, state_dir, r->uid)), text.data,
				 text.len, 0600, e);
}

int record_load(struct arena *a, const char *state_dir, const char *uid, struct record *ret, struct error *e)
{
	const char *path = arena_printf(a, "%s/record.json", record_dir(a, state_dir, uid));
	_buf_ text = BUF_INIT(RECORD_MAX);
	struct json *o = NULL;
	int r = file_read(path, &text, e);

	if (r < 0)
		return r;
	r = json_parse(a, text.data, text.len, NULL, &o, e);
	if (r < 0)
		return error_prefix(e, "%s", path);
	struct record rec = {
		.ns = json_str(json_get(o, "namespace")),
		.name = json_str(json_get(o, "name")),
		.uid = json_str(json_get(o, "uid")),
		.highest = json_int_or(json_get(o, "highest"), 0),
		.spent = json_int_or(json_get(o, "spent"), 0),
		.generation = json_int_or(json_get(o, "vmGeneration"), 0),
		.made_as = json_int_or(json_get(o, "madeAs"), 0),
		.over = (enum reconcile_over)json_int_or(json_get(o, "over"), 0),
		.grace_ms = json_int_or(json_get(o, "graceMs"), 0),
		.term_since = json_int_or(json_get(o, "termSince"), 0),
		.restarts = json_int_or(json_get(o, "restarts"), 0),
		.run = json_int_or(json_get(o, "run"), 0),
		.app_started = json_bool_or(json_get(o, "appStarted"), false),
		.ready = json_bool_or(json_get(o, "ready"), false),
		.internet = json_bool_or(json_get(o, "internet"), false),
		.suspend = json_bool_or(json_get(o, "suspend"), false),
		.resuming = json_bool_or(json_get(o, "resuming"), false),
		.started_at = json_int_or(json_get(o, "startedAt"), 0),
		.ready_at = json_int_or(json_get(o, "readyAt"), 0),
	};
	if (!rec.ns || !rec.name || !streq(rec.uid, uid) || rec.over > OVER_VM_FAILED)
		return error_set(e, E_INVALID, "%s is not a record of instance %s", path, uid);
	if (!streq(json_str(json_get(o, "hostBootId")), record_host_boot_id()))
		rec.term_since = 0;
	*ret = rec;
	return 0;
}

static bool is_uid(const char *s)
{
	for (size_t i = 0; i < UUID_TEXT_MAX - 1; i++)
		if (!s[i] || !(isxdigit((unsigned char)s[i]) || s[i] == '-'))
			return false;
	return s[UUID_TEXT_MAX - 1] == 0;
}

int record_list(struct arena *a, const char *state_dir, const char ***ret, size_t *ret_count, struct error *e)
{
	const char *path = arena_printf(a, "%s/instances", state_dir);
	DIR *d = opendir(path);
	const char **uids = NULL;
	size_t n = 0, cap = 0;

	if (!d && errno != ENOENT)
		return error_set_errno(e, errno, "%s", path);
	for (struct dirent *entry; d && (entry = readdir(d));) {
		if (!is_uid(entry->d_name))
			continue;
		if (n == cap) {
			cap = cap ? cap * 2 : 16;
			const char **more = arena_alloc(a, cap * sizeof(*more));
			if (n)
				memcpy(more, uids, n * sizeof(*more));
			uids = more;
		}
		uids[n++] = arena_strdup(a, entry->d_name);
	}
	if (d)
		closedir(d);
	*ret = uids;
	*ret_count = n;
	return 0;
}

int record_owner(struct arena *a, const char *state_dir, const char **ret, struct error *e)
{
	const char *path = arena_printf(a, "%s/owner", state_dir);
	_buf_ text = BUF_INIT(128);
	char id[UUID_TEXT_MAX];
	int r = file_read(path, &text, e);

	if (r == 0 && text.len == UUID_TEXT_MAX - 1 && is_uid(text.data)) {
		*ret = arena_strdup(a, text.data);
		return 0;
	}
	if (r < 0 && r != -E_NOT_FOUND)
		return r;
	uuid_generate_text(id);
	r = file_write_atomic(path, id, strlen(id), 0644, e);
	if (r < 0)
		return r;
	*ret = arena_strdup(a, id);
	return 0;
}
