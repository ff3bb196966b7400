/*
 * store_etcd.c - the store in etcd: a log of records, and one key that says how far it goes.
 *
 * <prefix>/head       the newest revision; every transaction compares it and sets it
 * <prefix>/log/…      a record for every version of every key, in order of revision (store_etcd_log.c)
 * <prefix>/compacted  history is whole from here on
 * <prefix>/format     of all this
 *
 * In memory is an index of the log, without values: revisions by key. As long as the head in etcd is the one the index
 * goes up to, the index is exact, so all conditions of a batch are judged here and the batch is one flat transaction
 * that holds only if the head has not moved. If it has, another apiserver has written: what it wrote is read from the
 * log, told to the follower, and the batch judged again. Hence revisions have no gaps, a refused write takes none, and
 * a request whose answer got lost can be sent again: it cannot be carried out twice.
 *
 * (Nested transactions with compares of their own would spare the reading after a lost race, but etcd evaluates all of
 * them before the first put, so that a batch would not see itself, and a number per write could not be given.)
 */
#include "apiserver/store_etcd_private.h"
#include "lib/codec.h"
#include <inttypes.h>

#define FORMAT "1"
#define SCAN_PAGE 1000	      /* keys */
#define WRITE_TIMEOUT_MS 2000 /* for one answer */
#define READ_TIMEOUT_MS 20000 /* many records */

int64_t etcd_revision(struct store *base)
{
	struct etcd_store *s = (struct etcd_store *)base;

	pthread_mutex_lock(&s->lock);
	int64_t revision = s->revision;
	pthread_mutex_unlock(&s->lock);
	return revision;
}

int64_t etcd_compacted(struct store *base)
{
	struct etcd_store *s = (struct etcd_store *)base;

	pthread_mutex_lock(&s->lock);
	int64_t revision = s->compacted;
	pthread_mutex_unlock(&s->lock);
	return revision;
}

/* ---- open and close ---- */

static void etcd_close(struct store *base)
{
	struct etcd_store *s = (struct etcd_store *)base;

	etcd_watch_stop(s->watch);
	etcd_rpc_close(&s->writer);
	etcd_rpc_close(&s->reader);
	index_clear(s->index);
	for (size_t i = 0; i < s->target.count; i++)
		free(s->target.endpoints[i]);
	free(s->target.endpoints);
	free((char *)s->target.tls.ca_file);
	free((char *)s->target.tls.cert_file);
	free((char *)s->target.tls.key_file);
	free(s->prefix);
	free(s->head_key);
	free(s->compacted_key);
	free(s->format_key);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->read_lock);
	free(s);
}

static const struct store_ops etcd_ops = {
	.shared = true,
	.close = etcd_close,
	.revision = etcd_revision,
	.compacted = etcd_compacted,
	.commit = etcd_commit,
	.range = etcd_range,
	.history = etcd_history,
	.compact = etcd_compact,
	.advance = etcd_advance,
	.follow = etcd_follow,
	.catch_up = etcd_catch_up,
};

static int check_options(const struct store_etcd_options *opt, struct error *e)
{
	if (opt->endpoint_count == 0)
		return error_set(e, E_BAD_REQUEST,
				 "the store in etcd needs an endpoint: --etcd-endpoints URL[,URL...]");
	for (size_t i = 0; i < opt->endpoint_count; i++)
		if (!str_starts(opt->endpoints[i], "http://") && !str_starts(opt->endpoints[i], "https://"))
			return error_set(e, E_BAD_REQUEST,
					 "etcd endpoint \"%s\": must be http://HOST:PORT or https://HOST:PORT",
					 opt->endpoints[i]);
	if (opt->prefix && (!opt->prefix[0] || str_ends(opt->prefix, "/")))
		return error_set(e, E_BAD_REQUEST, "etcd prefix \"%s\": must not be empty or end with /", opt->prefix);
	return 0;
}

static struct etcd_store *store_new(const struct store_etcd_options *opt)
{
	struct etcd_store *s = xcalloc(1, sizeof(*s));
	uint8_t id[8];

	s->base.ops = &etcd_ops;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->read_lock, NULL);
	s->index = strmap_new();
	s->target.endpoints = xcalloc(opt->endpoint_count, sizeof(char *));
	for (size_t i = 0; i < opt->endpoint_count; i++) {
		char *url = s->target.endpoints[s->target.count++] = xstrdup(opt->endpoints[i]);
		if (str_ends(url, "/"))
			url[strlen(url) - 1] = '\0';
	}
	s->target.tls = (struct http_tls){
		.ca_file = opt->ca_file ? xstrdup(opt->ca_file) : NULL,
		.cert_file = opt->cert_file ? xstrdup(opt->cert_file) : NULL,
		.key_file = opt->key_file ? xstrdup(opt->key_file) : NULL,
	};
	s->prefix = xstrdup(opt->prefix ? opt->prefix : STORE_ETCD_PREFIX);
	s->head_key = xasprintf("%s/head", s->prefix);
	s->compacted_key = xasprintf("%s/compacted", s->prefix);
	s->format_key = xasprintf("%s/format", s->prefix);
	random_bytes(id, sizeof(id));
	hex_encode(id, sizeof(id), s->id);
	etcd_rpc_open(&s->writer, &s->target, WRITE_TIMEOUT_MS);
	etcd_rpc_open(&s->reader, &s->target, READ_TIMEOUT_MS);
	return s;
}

/* Makes an empty store where there is none; reads where it stands. */
static int read_marks(struct etcd_store *s, struct error *e)
{
	_arena_ a = arena_new();
	_buf_ body = BUF_INIT(TXN_MAX);
	struct json *answer;

	txn_begin(&body);
	txn_compare_absent(&body, s->head_key);
	txn_success(&body);
	txn_put(&body, s->head_key, "0", 1);
	txn_put(&body, s->compacted_key, "0", 1);
	txn_put(&body, s->format_key, FORMAT, strlen(FORMAT));
	txn_failure(&body);
	txn_get(&body, s->head_key);
	txn_get(&body, s->compacted_key);
	txn_get(&body, s->format_key);
	txn_end(&body);
	int code = etcd_call(&s->reader, a, "kv/txn", &body, NULL, &answer, e);
	if (code < 0 || json_bool_or(json_get(answer, "succeeded"), false))
		return code;
	const char *format = etcd_bytes(a, json_get(json_item(etcd_ranged(answer, 2), 0), "value"), NULL);
	if (!streq(format, FORMAT))
		return error_set(
			e, E_INTERNAL,
			"what etcd holds under %s is not Berth's, or of a newer version (format \"%s\", this knows %s)",
			s->prefix, format, FORMAT);
	s->revision = etcd_number_at(a, etcd_ranged(answer, 0));
	s->compacted = etcd_number_at(a, etcd_ranged(answer, 1));
	return 0;
}

/* Reads one page of the log's names into the index; *from moves on, to NULL at the end. */
static int scan_page(struct etcd_store *s, char **from, struct error *e)
{
	_arena_ a = arena_new();
	_buf_ body = BUF_INIT(TXN_MAX);
	struct json *answer;
	struct version v = {0};

	range_body(&body, *from, log_end(a, s->prefix), SCAN_PAGE, true);
	int code = etcd_call(&s->reader, a, "kv/range", &body, NULL, &answer, e);
	if (code < 0)
		return code;
	const struct json *kvs = json_get(answer, "kvs");
	for (size_t i = 0; i < json_count(kvs); i++) {
		const char *name = etcd_bytes(a, json_get(json_item(kvs, i), "key"), NULL);
		const char *key = log_key_parse(s->prefix, name, &v);
		if (!key)
			return record_damaged(name, e);
		index_note(s->index, key, v.revision, v.deleted);
	}
	if (v.revision > s->revision)
		s->revision = v.revision;
	free(*from);
	*from = json_bool_or(json_get(answer, "more"), false) ? xstrdup(log_after(a, s->prefix, v.revision)) : NULL;
	return 0;
}

int store_etcd_open(const struct store_etcd_options *opt, struct store **ret, struct error *e)
{
	int code = check_options(opt, e);

	if (code < 0)
		return code;
	struct etcd_store *s = store_new(opt);
	code = read_marks(s, e);
	_arena_ a = arena_new();
	char *from = xstrdup(log_after(a, s->prefix, 0));
	while (code == 0 && from)
		code = scan_page(s, &from, e);
	free(from);
	if (code < 0) {
		etcd_close(&s->base);
		return code;
	}
	*ret = &s->base;
	return 0;
}
