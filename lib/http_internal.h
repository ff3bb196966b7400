/*
 * http_internal.h - what http.c and http_loop.c share; nobody else includes it.
 */
#ifndef BERTH_LIB_HTTP_INTERNAL_H
#define BERTH_LIB_HTTP_INTERNAL_H

#include "lib/http.h"

#include <curl/curl.h>

/* One request under way, blocking or not. */
struct exchange {
	CURL *easy;
	struct curl_slist *headers_out;
	struct arena *a;
	struct buf body;
	struct http_header *headers;
	size_t header_count, header_cap;
	int (*sink)(void *user, const void *data, size_t len, struct error *e);
	void *sink_user;
	struct error sink_error; /* code 0: the sink has not failed */
	bool silenced;		 /* cancelled: the sink may be gone */
	char *host;
	char curl_error[CURL_ERROR_SIZE];
};

CURL *http_easy_new(void);
/* x->easy and x->a are set; everything in req but the body outlives the call by curl's own copies. */
void exchange_setup(struct exchange *x, const struct http_request *req);
void exchange_release(struct exchange *x);
int exchange_error(const struct exchange *x, CURLcode rc, struct error *e);
void exchange_response(struct exchange *x, struct http_response *ret);

#endif
