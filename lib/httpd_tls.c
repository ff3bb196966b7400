/*
 * httpd_tls.c - the server's certificate, and who the client's certificate says it is.
 *
 * The certificate is handed to GnuTLS at each handshake by a callback, so it can be exchanged while connections last.
 */
#include "lib/httpd_internal.h"

#include "lib/fsutil.h"
#include "lib/log.h"

#include <gnutls/x509.h>
#include <limits.h>

#define CHAIN_MAX 8
#define PEM_MAX (256U << 10)

struct tls_identity {
	gnutls_pcert_st chain[CHAIN_MAX];
	unsigned count;
	gnutls_privkey_t key;
};

static void identity_free(struct tls_identity *id)
{
	if (!id)
		return;
	for (unsigned i = 0; i < id->count; i++)
		gnutls_pcert_deinit(&id->chain[i]);
	if (id->key)
		gnutls_privkey_deinit(id->key);
	free(id);
}

static void identity_freep(struct tls_identity **id)
{
	identity_free(*id);
}

static int read_pem(const char *path, struct buf *b, gnutls_datum_t *ret, struct error *e)
{
	int r = file_read(path, b, e);

	if (r < 0)
		return r;
	ret->data = (unsigned char *)b->data;
	ret->size = (unsigned)b->len;
	return 0;
}

static int identity_load(const char *cert_file, const char *key_file, struct tls_identity **ret, struct error *e)
{
	_cleanup_(identity_freep) struct tls_identity *id = xcalloc(1, sizeof(*id));
	_buf_ cert = BUF_INIT(PEM_MAX);
	_buf_ key = BUF_INIT(PEM_MAX);
	gnutls_datum_t cert_pem, key_pem;
	unsigned count = CHAIN_MAX;
	int rc, r;

	r = read_pem(cert_file, &cert, &cert_pem, e);
	if (r == 0)
		r = read_pem(key_file, &key, &key_pem, e);
	if (r < 0)
		return r;
	rc = gnutls_pcert_list_import_x509_raw(id->chain, &count, &cert_pem, GNUTLS_X509_FMT_PEM, 0);
	if (rc < 0)
		return error_set(e, E_INVALID, "%s holds no usable certificate: %s", cert_file, gnutls_strerror(rc));
	id->count = count;
	if (gnutls_privkey_init(&id->key) < 0)
		return error_set(e, E_INTERNAL, "out of memory");
	rc = gnutls_privkey_import_x509_raw(id->key, &key_pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	gnutls_memset(key.data, 0, key.len);
	if (rc < 0)
		return error_set(e, E_INVALID, "%s holds no usable private key: %s", key_file, gnutls_strerror(rc));
	*ret = steal(&id);
	return 0;
}

int tls_load(struct httpd *h, const struct httpd_config *cfg, struct error *e)
{
	_buf_ ca = BUF_INIT(PEM_MAX);
	int r = identity_load(cfg->cert_file, cfg->key_file, &h->identity, e);

	if (r == 0 && cfg->client_ca_file) {
		r = file_read(cfg->client_ca_file, &ca, e);
		if (r == 0)
			h->client_ca = buf_steal(&ca);
	}
	return r;
}

void tls_unload(struct httpd *h)
{
	identity_free(h->identity);
}

static struct httpd_conn *session_conn(gnutls_session_t session)
{
	struct MHD_Connection *mhd = gnutls_session_get_ptr(session);
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info->socket_context;
}

static int on_finished(gnutls_session_t session, unsigned type _unused_, unsigned post _unused_, unsigned incoming,
		       const gnutls_datum_t *msg _unused_)
{
	struct httpd_conn *c = session_conn(session);

	if (incoming) {
		conn_enter(c, CONN_NEW);
		atomic_fetch_add(&c->serial, 1);
		atomic_store(&c->handshake_done, true);
	}
	return 0;
}

int tls_pick_certificate(gnutls_session_t session, const struct gnutls_cert_retr_st *info _unused_,
			 gnutls_pcert_st **pcert, unsigned *pcert_count, gnutls_ocsp_data_st **ocsp,
			 unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags)
{
	struct tls_identity *id = session_conn(session)->h->identity;

	gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST, on_finished);
	*pcert = id->chain;
	*pcert_count = id->count;
	*ocsp = NULL;
	*ocsp_count = 0;
	*key = id->key;
	*flags = 0;
	return 0;
}

/* The i-th value of that kind in the subject; NULL when there is none or it holds a NUL. The caller frees it. */
static char *subject_value(gnutls_x509_crt_t crt, const char *oid, unsigned i)
{
	char value[512];
	size_t n = sizeof(value) - 1;

	if (gnutls_x509_crt_get_dn_by_oid(crt, oid, i, 0, value, &n) < 0 || memchr(value, '\0', n))
		return NULL;
	return xstrndup(value, n);
}

void tls_check_peer(struct httpd_request *r)
{
	struct httpd_conn *c = r->conn;
	gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
					 .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
	const union MHD_ConnectionInfo *info;
	const gnutls_datum_t *list;
	gnutls_x509_crt_t crt;
	unsigned status = UINT_MAX, count = 0;

	if (c->peer_checked || !c->h->client_ca)
		return;
	c->peer_checked = true;
	info = MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	if (!info)
		return;
	list = gnutls_certificate_get_peers(info->tls_session, &count);
	if (!list || !count)
		return;
	if (gnutls_certificate_verify_peers(info->tls_session, &purpose, 1, &status) < 0 || status != 0) {
		log_warn("client certificate refused", "peer", c->address, NULL);
		return;
	}
	if (gnutls_x509_crt_init(&crt) < 0)
		return;
	if (gnutls_x509_crt_import(crt, &list[0], GNUTLS_X509_FMT_DER) == 0) {
		c->peer_cn = subject_value(crt, GNUTLS_OID_X520_COMMON_NAME, 0);
		for (unsigned i = 0; c->peer_cn && i < HTTPD_PEER_ORGS_MAX; i++) {
			c->peer_orgs[i] = subject_value(crt, GNUTLS_OID_X520_ORGANIZATION_NAME, i);
			if (!c->peer_orgs[i])
				break;
		}
	}
	gnutls_x509_crt_deinit(crt);
}
