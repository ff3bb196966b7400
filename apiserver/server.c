/*
 * server.c - puts the parts of an apiserver together and takes them apart; see server.h.
 */
#include "apiserver/server.h"
#include "apiserver/access_defaults.h"
#include "apiserver/auth.h"
#include "apiserver/cache.h"
#include "apiserver/gc.h"
#include "apiserver/handler.h"
#include "apiserver/housekeeper.h"
#include "apiserver/node.h"
#include "apiserver/watch.h"
#include "apiserver/work.h"
#include "apiserver/writer.h"
#include <malloc.h>

#define WORKERS 2

static int start_http(struct server *s, const struct server_options *opt, struct error *e)
{
	struct httpd_config cfg = {.listen = opt->listen,
				   .cert_file = opt->cert_file,
				   .key_file = opt->key_file,
				   .client_ca_file = opt->client_ca_file,
				   .threads = (unsigned)opt->threads,
				   .handler = handle_request,
				   .user = s};

	return httpd_start(&cfg, &s->httpd, e);
}

int server_start(struct store *store, const struct server_options *opt, struct server **ret, struct error *e)
{
	struct server *s = xcalloc(1, sizeof(*s));
	int code;

	s->store = store;
	s->node_tls = opt->node_tls;
	if ((code = cache_open(store, &s->cache, e)) < 0 ||
	    (code = auth_open(opt->token_file, opt->account_key_file, s->cache, &s->auth, e)) < 0) {
		server_stop(s);
		return code;
	}
	malloc_trim(0); /* reading the store has left pages behind */
	s->writer = writer_start(store, s->cache);
	s->work = work_start(WORKERS);
	s->hub = watch_hub_start(s->cache);
	s->gc = gc_start(s);
	access_defaults_make(s);
	s->housekeeper = housekeeper_start(s);
	s->ready = true;
	code = start_http(s, opt, e);
	if (code < 0) {
		server_stop(s);
		return code;
	}
	*ret = s;
	return 0;
}

void server_stop(struct server *s)
{
	if (!s)
		return;
	housekeeper_stop(s->housekeeper);
	gc_stop(s->gc);
	watch_hub_stop(s->hub); /* ends the streams, so that HTTP can stop */
	httpd_stop(s->httpd);
	node_calls_wait();
	work_stop(s->work);
	writer_stop(s->writer);
	watch_hub_free(s->hub);
	auth_close(s->auth);
	cache_close(s->cache);
	store_close(s->store);
	free(s);
}
