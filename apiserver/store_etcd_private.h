/*
 * store_etcd_private.h - what the parts of the etcd store share; nobody else includes it.
 *
 * store_etcd.c opens the store; store_etcd_commit.c writes, store_etcd_read.c reads, store_etcd_compact.c forgets.
 * Below them store_etcd_rpc.c calls etcd's JSON gateway, store_etcd_log.c has the keys and records in etcd and the
 * index of them in memory, store_etcd_watch.c the thread that notices others' writes.
 */
#ifndef BERTH_APISERVER_STORE_ETCD_PRIVATE_H
#define BERTH_APISERVER_STORE_ETCD_PRIVATE_H

#include "apiserver/store.h"
#include "lib/http.h"
#include "lib/json.h"
#include "lib/strmap.h"
#include <pthread.h>

/* ---- calls ---- */

/* Where etcd is; read-only once made. */
struct etcd_target {
	char **endpoints;
	size_t count;
	struct http_tls tls;
};

/* One connection, to whichever endpoint answered last; one thread at a time. */
struct etcd_rpc {
	const struct etcd_target *target;
	struct http_client *client;
	int64_t timeout_ms;
	size_t at;
};
void etcd_rpc_open(struct etcd_rpc *r, const struct etcd_target *t, int64_t timeout_ms);
void etcd_rpc_close(struct etcd_rpc *r);
/* One exchange with the first endpoint that answers, each asked once. The request may therefore be carried out more
 * than once: everything sent is guarded or harmless. *ret_sent (may be NULL) is set to true when a failed call may have
 * had its effect all the same. Errors: E_UNAVAILABLE (nobody can be reached), E_TIMEOUT and E_IO (of a request that was
 * sent), E_NO_SPACE, E_TOO_LARGE, E_EXPIRED (compacted), E_INTERNAL. */
int etcd_call(struct etcd_rpc *r, struct arena *a, const char *path, const struct buf *body, bool *ret_sent,
	      struct json **ret, struct error *e);
/* Makes an error E_UNAVAILABLE, its text kept: whatever it was, it changed nothing. */
int etcd_unavailable(struct error *e);
/* Bytes of a base64 member, NUL-terminated, in a; "" when there are none. */
const char *etcd_bytes(struct arena *a, const struct json *base64, size_t *ret_len);
/* 64-bit numbers are strings in the gateway's JSON, and left out when 0. */
int64_t etcd_number(const struct json *v);
/* The k-th answer of a transaction's operations. */
const struct json *etcd_ranged(const struct json *txn, size_t k);

/* The decimal number that the first of some key-value pairs holds. */
int64_t etcd_number_at(struct arena *a, const struct json *kvs);

/* A transaction's body, piece by piece: begin, compares, success, operations, failure, operations, end. */
#define TXN_MAX (256U << 20)
#define ETCD_OPS_MAX 100 /* operations in one; etcd's --max-txn-ops is 128 */
void txn_begin(struct buf *b);
void txn_compare_value(struct buf *b, const char *key, const char *value);
void txn_compare_absent(struct buf *b, const char *key);
void txn_success(struct buf *b);
void txn_failure(struct buf *b);
void txn_end(struct buf *b);
void txn_put(struct buf *b, const char *key, const void *value, size_t len);
void txn_get(struct buf *b, const char *key);
void txn_range(struct buf *b, const char *key, const char *end, size_t limit);
void txn_delete(struct buf *b, const char *key);
/* A range request's body: [key, end), at most limit. */
void range_body(struct buf *b, const char *key, const char *end, size_t limit, bool keys_only);

/* ---- the log ---- */

/* What is known of one key: its versions, oldest first, those that are in the log. */
struct versions {
	size_t count, cap;
	struct version {
		int64_t revision;
		bool deleted;
	} * v;
};

void index_note(struct strmap *index, const char *key, int64_t revision, bool deleted);
void index_clear(struct strmap *index); /* frees it */
/* The version that was current at a revision, NULL when the key was not there. */
const struct version *versions_at(const struct versions *v, int64_t revision);
/* Is the i-th one to be forgotten by a compaction at that revision? */
bool version_is_old(const struct versions *v, size_t i, int64_t revision);
void index_forget(struct strmap *index, int64_t revision);

/* "<prefix>/log/<revision in hex>/+<key>", "-" for a deletion: sorts by revision. */
char *log_key(struct arena *a, const char *prefix, const char *key, const struct version *v);
/* Where revisions greater than that begin; where the log ends. */
char *log_after(struct arena *a, const char *prefix, int64_t revision);
char *log_end(struct arena *a, const char *prefix);
/* The key inside; NULL when it is no log key. */
const char *log_key_parse(const char *prefix, const char *text, struct version *ret);

/* A record: a line "<revision it replaced> <name of its transaction>", then the value. */
#define RECORD_HEAD_MAX 80
struct record {
	int64_t previous;
	const char *transaction; /* ended by the line's end, not by NUL */
	size_t transaction_len;
	const char *value;
	size_t len;
};
bool record_parse(const char *data, size_t len, struct record *ret);
int record_damaged(const char *key, struct error *e); /* error_set() */

/* ---- noticing ---- */

struct etcd_watch;
#define ETCD_NUMBER_UNKNOWN INT64_MAX
/* Calls news() soon after the key has changed, with the number it holds, and now and then without that, with
 * ETCD_NUMBER_UNKNOWN: a hint, never the truth. */
struct etcd_watch *etcd_watch_start(const struct etcd_target *t, const char *key,
				    void (*news)(void *user, int64_t number), void *user);
void etcd_watch_stop(struct etcd_watch *w); /* NULL-safe */

/* ---- the store ---- */

struct etcd_store {
	struct store base;
	struct etcd_target target;
	char *prefix, *head_key, *compacted_key, *format_key;
	char id[17];	      /* of this opening, in the names of its transactions */
	pthread_mutex_t lock; /* guards index, revision, compacted; for memory work only */
	struct strmap *index; /* key → struct versions */
	int64_t revision, compacted;
	struct etcd_rpc writer; /* of the one thread that commits; with all down to read_lock */
	uint64_t transactions;
	const struct store_follower *follower;
	struct etcd_watch *watch;
	_Atomic int64_t hint;	   /* the newest head that the watch has told since catch_up() */
	pthread_mutex_t read_lock; /* guards reader and etcd_mark; taken before lock */
	struct etcd_rpc reader;
	int64_t etcd_mark; /* etcd's own revision at the last compaction */
};

int64_t etcd_revision(struct store *base);
int64_t etcd_compacted(struct store *base);
int etcd_commit(struct store *base, struct store_write *const *writes, size_t count, struct error *e);
int etcd_range(struct store *base, const char *prefix, const char *after, int64_t revision, size_t limit,
	       store_visit *visit, void *user, struct error *e);
int etcd_history(struct store *base, int64_t after, int64_t until, store_visit *visit, void *user, struct error *e);
int etcd_compact(struct store *base, int64_t revision, struct error *e);
int etcd_advance(struct store *base, int64_t revision, struct error *e);
void etcd_follow(struct store *base, const struct store_follower *f);
int etcd_catch_up(struct store *base, bool must, struct error *e);

#endif
