/*
 * server.h - the parts of one apiserver, and their order of life.
 *
 * Built from the inside out by server_start(): store, cache, writer, workers, watch hub, garbage collector, HTTP; ended
 * in the opposite order. The struct is read-only once started, so its parts are used from any thread.
 */
#ifndef BERTH_APISERVER_SERVER_H
#define BERTH_APISERVER_SERVER_H

#include "apiserver/store.h"
#include "lib/error.h"
#include "lib/http.h"
#include "lib/httpd.h"

struct cache;
struct writer;
struct work;
struct watch_hub;
struct auth;
struct gc;
struct housekeeper;

struct server {
	struct store *store;
	struct cache *cache;
	struct writer *writer;
	struct work *work;
	struct watch_hub *hub;
	struct gc *gc;
	struct housekeeper *housekeeper;
	struct auth *auth;
	struct httpd *httpd;
	struct http_tls node_tls; /* how to call the nodes' ports */
	bool ready;
};

struct server_options {
	const char *listen;
	const char *cert_file, *key_file, *client_ca_file; /* NULL: plain HTTP, for tests */
	const char *token_file;				   /* NULL: certificates only */
	const char *account_key_file; /* of ServiceAccount tokens; NULL: one for the life of the process */
	struct http_tls node_tls;
	int64_t threads;
};
/* Takes the store over, also on failure. */
int server_start(struct store *store, const struct server_options *opt, struct server **ret, struct error *e);
/* Ends what is under way cleanly. NULL-safe. */
void server_stop(struct server *s);

#endif
