/*
 * httpd_metrics.c - the metrics of this process over HTTP.
 */
#include "lib/httpd.h"
#include "lib/metrics.h"

#define TEXT_MAX (4U << 20)

void httpd_reply_metrics(struct httpd_request *r)
{
	_buf_ text = BUF_INIT(TEXT_MAX);

	metrics_write(&text);
	httpd_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", text.len ? text.data : "", text.len);
}

void httpd_serve_metrics(struct httpd_request *r, _unused_ void *user)
{
	if (streq(httpd_path(r), "/healthz"))
		httpd_reply(r, 200, "text/plain", "ok\n", 3);
	else if (streq(httpd_path(r), "/metrics"))
		httpd_reply_metrics(r);
	else
		httpd_reply(r, 404, "text/plain", "not found\n", 10);
}
