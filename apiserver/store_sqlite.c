/*
 * store_sqlite.c - the store in one SQLite file: write-ahead log, synchronous=FULL, one connection.
 *
 * One table `log` holds every version of every key, appended in revision order; its index (key, revision) finds the
 * newest. A row names the revision it replaced, so that compaction finds what is superseded without a scan. The
 * connection is exclusive (no second apiserver can open the file) and guarded by one mutex; only commit() syncs.
 *
 * This file alone includes sqlite3.h.
 */
#include "apiserver/store.h"
#include "lib/log.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>

#define SCHEMA_VERSION 1
#define CHECKPOINT_PAGES 4096 /* 16 MiB of log before it is folded into the database */
#define COMPACT_STEP 2048     /* revisions forgotten per transaction, so that writers wait little */
#define SQL_TEXT_MAX 160

static const char *const schema_sql =
	"CREATE TABLE IF NOT EXISTS log(revision INTEGER PRIMARY KEY, key TEXT NOT NULL, previous INTEGER NOT NULL,"
	" deleted INTEGER NOT NULL, value BLOB NOT NULL);"
	"CREATE INDEX IF NOT EXISTS log_key ON log(key, revision, deleted);"
	"CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"INSERT OR IGNORE INTO meta VALUES('compacted', 0);";

enum statement {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_HEAD,
	SQL_INSERT,
	SQL_RANGE,
	SQL_HISTORY,
	SQL_LAST,
	SQL_COMPACTED,
	SQL_SET_COMPACTED,
	SQL_DROP_REPLACED,
	SQL_DROP_DELETED,
	SQL_COUNT,
};

static const char *const statement_sql[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_HEAD] = "SELECT revision, deleted FROM log WHERE key = ?1 ORDER BY revision DESC LIMIT 1",
	[SQL_INSERT] = "INSERT INTO log(revision, key, previous, deleted, value) VALUES(?1, ?2, ?3, ?4, ?5)",
	/* newest versions of the range, walked in the index's order: nothing is sorted or kept */
	[SQL_RANGE] =
		"SELECT l.key, l.revision, l.previous, l.value FROM log h JOIN log l ON l.revision = h.revision"
		" WHERE h.key > ?1 AND h.key < ?2 AND h.revision <= ?3 AND h.deleted = 0 AND NOT EXISTS (SELECT 1 FROM log n"
		" WHERE n.key = h.key AND n.revision > h.revision AND n.revision <= ?3) ORDER BY h.key LIMIT ?4",
	[SQL_HISTORY] = "SELECT l.key, l.revision, l.previous, l.value, l.deleted, o.value FROM log l LEFT JOIN log o"
			" ON o.revision = l.previous WHERE l.revision > ?1 AND l.revision <= ?2 ORDER BY l.revision",
	[SQL_LAST] = "SELECT MAX(revision) FROM log",
	[SQL_COMPACTED] = "SELECT value FROM meta WHERE name = 'compacted'",
	[SQL_SET_COMPACTED] = "UPDATE meta SET value = ?1 WHERE name = 'compacted'",
	[SQL_DROP_REPLACED] = "DELETE FROM log WHERE revision IN (SELECT previous FROM log WHERE revision > ?1 AND"
			      " revision <= ?2 AND previous > 0)",
	[SQL_DROP_DELETED] = "DELETE FROM log WHERE revision > ?1 AND revision <= ?2 AND deleted = 1",
};

struct sqlite_store {
	struct store base;
	pthread_mutex_t lock; /* guards everything below */
	sqlite3 *db;
	sqlite3_stmt *sql[SQL_COUNT];
	int64_t revision, compacted;
};

static bool is_full(sqlite3 *db, int rc)
{
	int os = sqlite3_system_errno(db);

	return (rc & 0xff) == SQLITE_FULL || ((rc & 0xff) == SQLITE_IOERR && (os == ENOSPC || os == EDQUOT));
}

/* The error of a failed call on an open store. Does not return when durability is lost. */
static int sql_error(struct sqlite_store *s, int rc, const char *what, struct error *e)
{
	if (is_full(s->db, rc))
		return error_set(e, E_NO_SPACE,
				 "%s: no space left for the store; free space on its disk or raise its quota", what);
	log_error("store failed, ending so that no write is acknowledged that could be lost", "doing", what, "error",
		  sqlite3_errmsg(s->db), NULL);
	_exit(1);
}

static int sql_run(struct sqlite_store *s, enum statement which)
{
	int rc = sqlite3_step(s->sql[which]);

	sqlite3_reset(s->sql[which]);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static void sql_rollback(struct sqlite_store *s)
{
	if (!sqlite3_get_autocommit(s->db))
		sql_run(s, SQL_ROLLBACK);
}

/* ---- commit ---- */

/* Newest revision of a live key, 0 when it does not exist. Negative: SQLite's code, negated. */
static int64_t head_revision(struct sqlite_store *s, const char *key)
{
	sqlite3_stmt *q = s->sql[SQL_HEAD];
	int64_t revision = 0;

	sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
	int rc = sqlite3_step(q);
	if (rc == SQLITE_ROW && sqlite3_column_int(q, 1) == 0)
		revision = sqlite3_column_int64(q, 0);
	sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? revision : -rc;
}

/* Tries one write inside the transaction; a condition that does not hold goes to w->result. Returns SQLite's code. */
static int commit_one(struct sqlite_store *s, struct store_write *w, int64_t revision)
{
	int64_t head = head_revision(s, w->key), required = w->require ? head_revision(s, w->require) : 0;

	if (head < 0 || required < 0)
		return (int)-(head < 0 ? head : required);
	w->result = store_judge(w, head, required > 0);
	if (w->result)
		return SQLITE_OK;
	size_t len;
	char *text = store_value(w, revision, 0, &len);
	struct chunk *stored = chunk_take(text, len);
	sqlite3_stmt *q = s->sql[SQL_INSERT];
	sqlite3_bind_int64(q, 1, revision);
	sqlite3_bind_text(q, 2, w->key, -1, SQLITE_STATIC);
	sqlite3_bind_int64(q, 3, head);
	sqlite3_bind_int(q, 4, w->remove);
	sqlite3_bind_blob(q, 5, chunk_data(stored), (int)chunk_len(stored), SQLITE_STATIC);
	w->stored = stored;
	w->revision = revision;
	return sql_run(s, SQL_INSERT);
}

static int commit_fail(struct sqlite_store *s, int rc, struct store_write *const *writes, size_t count, struct error *e)
{
	struct error why;
	int code = sql_error(s, rc, "writing", &why);

	sql_rollback(s);
	for (size_t i = 0; i < count; i++) {
		chunk_unref(writes[i]->stored);
		writes[i]->stored = NULL;
		writes[i]->revision = 0;
		writes[i]->result = code;
	}
	if (e)
		*e = why;
	return code;
}

static int sqlite_commit(struct store *base, struct store_write *const *writes, size_t count, struct error *e)
{
	struct sqlite_store *s = (struct sqlite_store *)base;
	int ret = 0;

	for (size_t i = 0; i < count; i++) {
		writes[i]->result = 0;
		writes[i]->revision = 0;
		writes[i]->stored = NULL;
	}
	pthread_mutex_lock(&s->lock);
	int64_t revision = s->revision;
	int rc = sql_run(s, SQL_BEGIN);
	for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
		rc = commit_one(s, writes[i], revision + 1);
		if (writes[i]->revision)
			revision++;
	}
	if (rc == SQLITE_OK)
		rc = sql_run(s, SQL_COMMIT);
	if (rc == SQLITE_OK)
		s->revision = revision;
	else
		ret = commit_fail(s, rc, writes, count, e);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

/* ---- reading ---- */

static void entry_from_row(sqlite3_stmt *q, struct store_entry *ret)
{
	*ret = (struct store_entry){
		.key = (const char *)sqlite3_column_text(q, 0),
		.revision = sqlite3_column_int64(q, 1),
		.previous = sqlite3_column_int64(q, 2),
		.value = sqlite3_column_blob(q, 3),
		.len = (size_t)sqlite3_column_bytes(q, 3),
	};
}

/* Steps through a bound query. with_old: the columns of SQL_HISTORY. */
static int walk(struct sqlite_store *s, sqlite3_stmt *q, bool with_old, store_visit *visit, void *user, struct error *e)
{
	int rc, stopped = 0;

	while ((rc = sqlite3_step(q)) == SQLITE_ROW && !stopped) {
		struct store_entry entry;
		entry_from_row(q, &entry);
		if (with_old) {
			entry.deleted = sqlite3_column_int(q, 4) != 0;
			entry.old = sqlite3_column_blob(q, 5);
			entry.old_len = (size_t)sqlite3_column_bytes(q, 5);
		}
		stopped = visit(user, &entry);
	}
	sqlite3_reset(q);
	if (stopped)
		return stopped;
	return rc == SQLITE_DONE ? 0 : sql_error(s, rc, "reading", e);
}

static int sqlite_range(struct store *base, const char *prefix, const char *after, int64_t revision, size_t limit,
			store_visit *visit, void *user, struct error *e)
{
	struct sqlite_store *s = (struct sqlite_store *)base;
	size_t n = strlen(prefix);
	_free_ char *end = n ? xstrdup(prefix) : xstrdup("\xff");
	int ret;

	if (n)
		end[n - 1]++; /* prefixes end with '/', so this cannot overflow */
	pthread_mutex_lock(&s->lock);
	if (revision && revision < s->compacted) {
		ret = store_expired(revision, s->compacted, e);
	} else {
		sqlite3_stmt *q = s->sql[SQL_RANGE];
		sqlite3_bind_text(q, 1, after ? after : prefix, -1, SQLITE_STATIC);
		sqlite3_bind_text(q, 2, end, -1, SQLITE_STATIC);
		sqlite3_bind_int64(q, 3, revision ? revision : s->revision);
		sqlite3_bind_int64(q, 4, limit ? (int64_t)limit : -1);
		ret = walk(s, q, false, visit, user, e);
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

static int sqlite_history(struct store *base, int64_t after, int64_t until, store_visit *visit, void *user,
			  struct error *e)
{
	struct sqlite_store *s = (struct sqlite_store *)base;
	int ret;

	pthread_mutex_lock(&s->lock);
	if (after < s->compacted) {
		ret = store_expired(after, s->compacted, e);
	} else {
		sqlite3_bind_int64(s->sql[SQL_HISTORY], 1, after);
		sqlite3_bind_int64(s->sql[SQL_HISTORY], 2, until);
		ret = walk(s, s->sql[SQL_HISTORY], true, visit, user, e);
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

static int64_t sqlite_revision(struct store *base)
{
	struct sqlite_store *s = (struct sqlite_store *)base;

	pthread_mutex_lock(&s->lock);
	int64_t revision = s->revision;
	pthread_mutex_unlock(&s->lock);
	return revision;
}

static int64_t sqlite_compacted(struct store *base)
{
	struct sqlite_store *s = (struct sqlite_store *)base;

	pthread_mutex_lock(&s->lock);
	int64_t revision = s->compacted;
	pthread_mutex_unlock(&s->lock);
	return revision;
}

/* ---- compaction ---- */

/* One transaction: forgets what was replaced or deleted in (s->compacted, until]. */
static int compact_step(struct sqlite_store *s, int64_t until, struct error *e)
{
	static const enum statement drops[] = {SQL_DROP_REPLACED, SQL_DROP_DELETED};
	int rc = sql_run(s, SQL_BEGIN);

	for (size_t i = 0; i < ARRAY_SIZE(drops) && rc == SQLITE_OK; i++) {
		sqlite3_bind_int64(s->sql[drops[i]], 1, s->compacted);
		sqlite3_bind_int64(s->sql[drops[i]], 2, until);
		rc = sql_run(s, drops[i]);
	}
	if (rc == SQLITE_OK) {
		sqlite3_bind_int64(s->sql[SQL_SET_COMPACTED], 1, until);
		rc = sql_run(s, SQL_SET_COMPACTED);
	}
	if (rc == SQLITE_OK)
		rc = sql_run(s, SQL_COMMIT);
	if (rc == SQLITE_OK) {
		s->compacted = until;
		return 0;
	}
	int ret = sql_error(s, rc, "compacting", e);
	sql_rollback(s);
	return ret;
}

static int sqlite_compact(struct store *base, int64_t revision, struct error *e)
{
	struct sqlite_store *s = (struct sqlite_store *)base;
	bool more = true;
	int ret = 0;

	while (more && ret == 0) {
		pthread_mutex_lock(&s->lock);
		int64_t last = revision < s->revision ? revision : s->revision;
		int64_t until = last - s->compacted > COMPACT_STEP ? s->compacted + COMPACT_STEP : last;
		if (until > s->compacted)
			ret = compact_step(s, until, e);
		more = until < last;
		pthread_mutex_unlock(&s->lock);
	}
	return ret;
}

static int sqlite_advance(struct store *base, int64_t revision, struct error *e)
{
	struct sqlite_store *s = (struct sqlite_store *)base;
	int ret = 0;

	pthread_mutex_lock(&s->lock);
	if (revision <= s->revision) {
		ret = error_set(e, E_CONFLICT, "the store is at revision %" PRId64 " already", s->revision);
	} else {
		ret = compact_step(s, revision, e);
		if (ret == 0)
			s->revision = revision;
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

/* The file is this process's alone: there is nobody to follow. */
static void sqlite_follow(struct store *base _unused_, const struct store_follower *f _unused_)
{
}

static int sqlite_catch_up(struct store *base _unused_, bool must _unused_, struct error *e _unused_)
{
	return 0;
}

/* ---- open and close ---- */

static void sqlite_close(struct store *base)
{
	struct sqlite_store *s = (struct sqlite_store *)base;

	for (size_t i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(s->sql[i]);
	sqlite3_close(s->db);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static const struct store_ops sqlite_ops = {
	.close = sqlite_close,
	.revision = sqlite_revision,
	.compacted = sqlite_compacted,
	.commit = sqlite_commit,
	.range = sqlite_range,
	.history = sqlite_history,
	.compact = sqlite_compact,
	.advance = sqlite_advance,
	.follow = sqlite_follow,
	.catch_up = sqlite_catch_up,
};

static int open_error(struct sqlite_store *s, int rc, const char *path, struct error *e)
{
	if ((rc & 0xff) == SQLITE_BUSY)
		return error_set(e, E_UNAVAILABLE, "store %s is in use by another process; stop that one first", path);
	if (is_full(s->db, rc))
		return error_set(e, E_NO_SPACE, "store %s: no space left on its disk; free some and start again", path);
	if ((rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB)
		return error_set(e, E_INTERNAL, "store %s is damaged (%s); restore it from a backup", path,
				 sqlite3_errmsg(s->db));
	return error_set(e, E_IO, "store %s: %s", path, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

static int user_version(void *user, int columns, char **values, char **names)
{
	(void)columns;
	(void)names;
	*(int *)user = atoi(values[0]);
	return 0;
}

/* Settings and tables. Returns SQLite's code. */
static int prepare_database(struct sqlite_store *s, int64_t max_bytes, int *ret_version)
{
	char sql[SQL_TEXT_MAX];
	int rc = sqlite3_exec(s->db,
			      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			      "PRAGMA cache_size=-2048; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=67108864;",
			      NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(s->db, "PRAGMA user_version", user_version, ret_version, NULL);
	if (rc != SQLITE_OK || *ret_version > SCHEMA_VERSION)
		return rc;
	/* page size is SQLite's 4,096 */
	snprintf(sql, sizeof(sql), "PRAGMA wal_autocheckpoint=%d; PRAGMA max_page_count=%" PRId64, CHECKPOINT_PAGES,
		 max_bytes ? max_bytes / 4096 : 4294967294);
	rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK && *ret_version < SCHEMA_VERSION) {
		rc = sqlite3_exec(s->db, schema_sql, NULL, NULL, NULL);
		snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", SCHEMA_VERSION);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
	}
	for (size_t i = 0; i < SQL_COUNT && rc == SQLITE_OK; i++)
		rc = sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->sql[i], NULL);
	return rc;
}

static int64_t read_number(struct sqlite_store *s, enum statement which)
{
	int64_t n = sqlite3_step(s->sql[which]) == SQLITE_ROW ? sqlite3_column_int64(s->sql[which], 0) : 0;

	sqlite3_reset(s->sql[which]);
	return n;
}

int store_sqlite_open(const struct store_sqlite_options *opt, struct store **ret, struct error *e)
{
	struct sqlite_store *s = xcalloc(1, sizeof(*s));
	int version = 0;

	s->base.ops = &sqlite_ops;
	pthread_mutex_init(&s->lock, NULL);
	int rc = sqlite3_open_v2(
		opt->path, &s->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc == SQLITE_OK)
		rc = prepare_database(s, opt->max_bytes, &version);
	int code = 0;
	if (rc != SQLITE_OK)
		code = open_error(s, rc, opt->path, e);
	else if (version > SCHEMA_VERSION)
		code = error_set(e, E_INTERNAL,
				 "store %s was written by a newer version of Berth (format %d, this knows %d)",
				 opt->path, version, SCHEMA_VERSION);
	if (code) {
		sqlite_close(&s->base);
		return code;
	}
	s->compacted = read_number(s, SQL_COMPACTED);
	s->revision = read_number(s, SQL_LAST);
	if (s->revision < s->compacted)
		s->revision = s->compacted; /* the last write was a deletion that compaction has forgotten */
	*ret = &s->base;
	return 0;
}
