/*
 * httpd_internal.h - what the httpd_*.c files share; nobody else includes it.
 *
 *     httpd.c          the daemon, libmicrohttpd's callbacks, the life of a connection
 *     httpd_gate.c     what is refused before a handler sees it
 *     httpd_request.c  reading a request
 *     httpd_reply.c    chunks, and answers of known length
 *     httpd_stream.c   pushed answers
 *     httpd_upgrade.c  connections handed over
 *     httpd_tls.c      certificates, both ways
 *     httpd_warden.c   deadlines, idle connections, clients that vanish
 *
 * Threads: libmicrohttpd's epoll threads run every callback of it; answers come from any thread; the warden is one
 * thread; each upgraded connection has two. Order of locks: httpd.conns_lock, then httpd_stream.lock, then those inside
 * libmicrohttpd. libmicrohttpd may hold its own while it reports the end of an upgraded connection; that path takes
 * none of ours but idle_lock, under which libmicrohttpd is never called.
 */
#ifndef BERTH_LIB_HTTPD_INTERNAL_H
#define BERTH_LIB_HTTPD_INTERNAL_H

#include "lib/httpd.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#define HTTPD_HEAD_MAX 32768
#define HTTPD_TARGET_MAX 8192
#define HTTPD_GZIP_MIN (128U << 10)
#define HTTPD_STREAM_QUEUE_MAX (16U << 20)
#define HTTPD_PEER_ORGS_MAX 16

enum conn_state {
	CONN_NEW,      /* nothing asked yet; with TLS the handshake may be under way */
	CONN_IDLE,     /* kept alive after an answer */
	CONN_RECEIVES, /* a request line has arrived, the request is not whole */
	CONN_HANDLED,  /* the handler has it */
	CONN_ANSWERS,  /* an answer of known length is being sent */
	CONN_STREAMS,
	CONN_UPGRADED,
};

/* One connection; made and freed by libmicrohttpd's thread under conns_lock. */
struct httpd_conn {
	struct httpd *h;
	int fd;
	uint64_t id;
	_Atomic int state;	     /* enum conn_state */
	_Atomic int64_t since_ms;    /* when that state began, by httpd.now_ms */
	_Atomic unsigned serial;     /* counts handshakes and requests, so that the warden sees a new wait begin */
	_Atomic bool handshake_done; /* always true without TLS */
	struct httpd_stream *stream; /* guarded by conns_lock */
	char address[64];
	/* the client certificate, looked at once */
	bool peer_checked;
	char *peer_cn, *peer_orgs[HTTPD_PEER_ORGS_MAX];
	/* the warden's alone */
	unsigned seen_serial;
	bool answering;		   /* what counter counts */
	bool counted;		   /* counter holds the state of the TCP counter when the wait began */
	uint64_t counter;	   /* bytes received (waiting) or acknowledged (answering) */
	unsigned peer_done_rounds; /* for how many rounds the client has had nothing more to say */
	int64_t progress_ms;	   /* first byte of a request (waiting), or last progress (answering) */
};

struct httpd {
	struct MHD_Daemon *mhd;
	httpd_handler *handler;
	void *user;
	size_t max_body;
	unsigned max_connections;
	int64_t request_deadline_ms, idle_timeout_ms;
	bool tls, is_unix;
	char *unix_path; /* removed at the end */
	unsigned port;
	char *client_ca;
	struct tls_identity *identity;
	_Atomic bool stopping;
	_Atomic int64_t now_ms; /* the warden's clock; coarse, costs nothing to read */
	_Atomic unsigned connections;
	_Atomic unsigned pending; /* requests a handler has and has not answered */
	_Atomic unsigned active;  /* requests from the handler's call until libmicrohttpd has done with them */
	pthread_mutex_t conns_lock;
	struct httpd_conn **conns; /* by file descriptor */
	size_t conns_cap;
	uint64_t next_id;
	pthread_mutex_t idle_lock; /* for the two below */
	pthread_cond_t idle_cond;  /* pending, active or upgrades went down while stopping */
	unsigned upgrades;	   /* from the answer until both threads are done */
	struct upgrade *upgrade_list;
	pthread_t warden;
	bool warden_runs;
	int warden_epoll, warden_wake; /* eventfd */
};

enum answer_phase { PHASE_READING, PHASE_IN_HANDLER, PHASE_PARKED, PHASE_ANSWERED };

struct query_item {
	const char *name, *value;
	struct query_item *next;
};

struct reply_header {
	const char *name, *value;
	struct reply_header *next;
};

struct httpd_request {
	struct httpd *h;
	struct httpd_conn *conn;
	struct MHD_Connection *mhd;
	struct arena *a;
	const char *raw; /* the request target inside libmicrohttpd's buffer, for the gate's arithmetic */
	size_t raw_len;
	const char *target; /* a copy of it; path and query are its parts */
	const char *path, *query, *method;
	bool is_head, checked, query_parsed;
	bool counted; /* in httpd.active */
	struct query_item *query_items;
	struct buf body;
	uint64_t discarded; /* bytes of a body that is too large */
	bool too_large;
	void *data;
	_Atomic int phase; /* enum answer_phase */
	/* the answer; written before phase becomes PHASE_ANSWERED */
	unsigned status;
	struct MHD_Response *response;
	bool queued;
	struct reply_header *headers;
	struct httpd_stream *stream;
	httpd_upgraded *on_upgraded;
	void *upgrade_user;
	bool upgraded; /* on_upgraded has been seen to */
};

/* httpd.c */
void conn_enter(struct httpd_conn *c, enum conn_state s);
/* Wakes httpd_stop() when it waits for a counter to fall. */
void httpd_notice_idle(struct httpd *h);

/* httpd_gate.c */
struct refusal {
	unsigned status;
	const char *reason, *message;
};
/* NULL: the head is fine. */
const struct refusal *gate_check(struct httpd_request *r, const char *method, const char *version);
extern const struct refusal REFUSED_TOO_LARGE, REFUSED_STOPPING;
struct MHD_Response *refusal_response(const struct refusal *f);

/* httpd_reply.c: records the answer; takes response. */
void request_answer(struct httpd_request *r, unsigned status, struct MHD_Response *response);
void response_add_headers(const struct httpd_request *r, struct MHD_Response *response);

/* httpd_stream.c */
void stream_closed(struct httpd_request *r); /* the request's connection is done with it */
void stream_hangup(struct httpd_stream *s);  /* the client has gone */
void stream_end_all(struct httpd *h);
bool stream_is_ended(struct httpd_stream *s);

/* httpd_upgrade.c */
void upgrade_failed(struct httpd_request *r); /* the connection ended before it could be handed over */
void upgrade_stop_all(struct httpd *h);	      /* asks; the counter httpd.upgrades tells when they are done */

/* httpd_tls.c */
#define TLS_PRIORITIES \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"
int tls_load(struct httpd *h, const struct httpd_config *cfg, struct error *e);
void tls_unload(struct httpd *h);
/* Looks at the client's certificate, once a connection; on libmicrohttpd's thread. */
void tls_check_peer(struct httpd_request *r);
int tls_pick_certificate(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **pcert,
			 unsigned *pcert_count, gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count, gnutls_privkey_t *key,
			 unsigned *flags);

/* httpd_warden.c */
int warden_start(struct httpd *h, struct error *e);
void warden_stop(struct httpd *h);
void warden_watch(struct httpd_conn *c);
void warden_unwatch(struct httpd_conn *c);

#endif
