/*
 * pki.c - certificates with OpenSSL 3; see pki.h.
 *
 * Every certificate is X.509 v3, ECDSA P-256 with SHA-256, with a random serial number, and begins five minutes in the
 * past so that clocks may differ. Source of the extensions: RFC 5280 section 4.2.
 */
#include "lib/pki.h"

#include "lib/codec.h"
#include "lib/fsutil.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define PEM_MAX (64U << 10)
#define BACKDATE_SECONDS 300

struct pair {
	X509 *crt;
	EVP_PKEY *key;
};

static void pair_free(struct pair *p)
{
	X509_free(p->crt);
	EVP_PKEY_free(p->key);
}
#define _pair_ _cleanup_(pair_free) struct pair

static int openssl_error(struct error *e, const char *what)
{
	char text[256] = "unknown error";
	unsigned long code = ERR_get_error();

	if (code)
		ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return error_set(e, E_INTERNAL, "cannot %s: %s", what, text);
}

/* ---- files ---- */

static char *file_name(const char *dir, const char *name, const char *suffix)
{
	return xasprintf("%s/%s.%s", dir, name, suffix);
}

static int write_pem(const char *path, BIO *bio, mode_t mode, struct error *e)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);

	return file_write_atomic(path, data, (size_t)len, mode, e);
}

/* The key first: a certificate is never beside a key that is older than it. */
static int pair_write(const char *dir, const char *name, const struct pair *p, struct error *e)
{
	_free_ char *crt_path = file_name(dir, name, "crt"), *key_path = file_name(dir, name, "key");
	BIO *crt = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_secmem());
	int r;

	if (!crt || !key || PEM_write_bio_X509(crt, p->crt) != 1 ||
	    PEM_write_bio_PrivateKey(key, p->key, NULL, NULL, 0, NULL, NULL) != 1)
		r = openssl_error(e, "encode a certificate");
	else
		r = dir_make(dir, 0700, e);
	if (r == 0)
		r = write_pem(key_path, key, 0600, e);
	if (r == 0)
		r = write_pem(crt_path, crt, 0644, e);
	BIO_free(crt);
	BIO_free(key);
	return r;
}

static int pair_read(const char *dir, const char *name, struct pair *ret, struct error *e)
{
	_free_ char *crt_path = file_name(dir, name, "crt"), *key_path = file_name(dir, name, "key");
	_buf_ crt = BUF_INIT(PEM_MAX);
	_buf_ key = BUF_INIT(PEM_MAX);
	_pair_ p = {0};
	BIO *bio;
	int r = file_read(crt_path, &crt, e);

	if (r == 0)
		r = file_read(key_path, &key, e);
	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(crt.data, (int)crt.len);
	p.crt = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	bio = BIO_new_mem_buf(key.data, (int)key.len);
	p.key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	ERR_clear_error();
	if (!p.crt)
		return error_set(e, E_INVALID, "%s holds no certificate", crt_path);
	if (!p.key)
		return error_set(e, E_INVALID, "%s holds no private key", key_path);
	if (X509_check_private_key(p.crt, p.key) != 1) {
		ERR_clear_error();
		return error_set(e, E_INVALID, "%s and %s do not belong together", crt_path, key_path);
	}
	*ret = p;
	p = (struct pair){0};
	return 0;
}

/* ---- certificates ---- */

static bool set_serial(X509 *x)
{
	unsigned char bytes[16];
	BIGNUM *n;
	bool ok;

	random_bytes(bytes, sizeof(bytes));
	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and always 16 bytes */
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	return ok;
}

static bool set_subject(X509 *x, const char *common_name, const char *organization)
{
	X509_NAME *name = X509_get_subject_name(x);

	if (organization &&
	    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)organization, -1, -1, 0) != 1)
		return false;
	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0) ==
	       1;
}

/* issuer: the certificate that signs; x itself for a CA. */
static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(x, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool add_host(GENERAL_NAMES *names, const char *host)
{
	unsigned char address[16];
	int len = inet_pton(AF_INET, host, address) == 1 ? 4 : inet_pton(AF_INET6, host, address) == 1 ? 16 : 0;
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_STRING *s = len ? (ASN1_STRING *)ASN1_OCTET_STRING_new() : (ASN1_STRING *)ASN1_IA5STRING_new();

	if (!g || !s || ASN1_STRING_set(s, len ? (const void *)address : host, len ? len : -1) != 1) {
		GENERAL_NAME_free(g);
		ASN1_STRING_free(s);
		return false;
	}
	GENERAL_NAME_set0_value(g, len ? GEN_IPADD : GEN_DNS, s);
	if (sk_GENERAL_NAME_push(names, g) > 0)
		return true;
	GENERAL_NAME_free(g);
	return false;
}

static bool add_hosts(X509 *x, const char *const *hosts)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	bool ok = names != NULL;

	for (; ok && *hosts; hosts++)
		ok = add_host(names, *hosts);
	ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

/* What every certificate has; *ret gets a new key. */
static int pair_begin(const char *common_name, const char *organization, int valid_days, struct pair *ret,
		      struct error *e)
{
	_pair_ p = {.crt = X509_new(), .key = EVP_EC_gen("P-256")};

	if (strlen(common_name) > 64 || !common_name[0])
		return error_set(e, E_INVALID, "the common name \"%.80s\" of a certificate must have 1 to 64 bytes",
				 common_name);
	if (!p.crt || !p.key || X509_set_version(p.crt, X509_VERSION_3) != 1 || !set_serial(p.crt) ||
	    !X509_gmtime_adj(X509_getm_notBefore(p.crt), -BACKDATE_SECONDS) ||
	    !X509_time_adj_ex(X509_getm_notAfter(p.crt), valid_days, 0, NULL) || X509_set_pubkey(p.crt, p.key) != 1 ||
	    !set_subject(p.crt, common_name, organization))
		return openssl_error(e, "make a certificate");
	*ret = p;
	p = (struct pair){0};
	return 0;
}

int pki_ca_ensure(const char *dir, const char *common_name, int valid_days, struct error *e)
{
	_free_ char *crt_path = file_name(dir, "ca", "crt"), *key_path = file_name(dir, "ca", "key");
	_pair_ ca = {0};
	int r;

	if (access(crt_path, F_OK) == 0 && access(key_path, F_OK) == 0)
		return pair_read(dir, "ca", &ca, e);
	r = pair_begin(common_name, NULL, valid_days, &ca, e);
	if (r < 0)
		return r;
	if (X509_set_issuer_name(ca.crt, X509_get_subject_name(ca.crt)) != 1 ||
	    !add_extension(ca.crt, ca.crt, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(ca.crt, ca.crt, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !add_extension(ca.crt, ca.crt, NID_subject_key_identifier, "hash") ||
	    X509_sign(ca.crt, ca.key, EVP_sha256()) == 0)
		return openssl_error(e, "make a certificate authority");
	return pair_write(dir, "ca", &ca, e);
}

int pki_issue(const char *ca_dir, const char *dir, const char *name, const struct pki_request *req, struct error *e)
{
	const char *usages = req->server && req->client ? "serverAuth,clientAuth"
			     : req->server		? "serverAuth"
							: "clientAuth";
	_pair_ ca = {0};
	_pair_ p = {0};
	int r = pair_read(ca_dir, "ca", &ca, e);

	if (r < 0)
		return error_prefix(e, "certificate authority");
	r = pair_begin(req->common_name, req->organization, req->valid_days, &p, e);
	if (r < 0)
		return r;
	if (X509_set_issuer_name(p.crt, X509_get_subject_name(ca.crt)) != 1 ||
	    !add_extension(p.crt, ca.crt, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(p.crt, ca.crt, NID_key_usage, "critical,digitalSignature") ||
	    !add_extension(p.crt, ca.crt, NID_ext_key_usage, usages) ||
	    !add_extension(p.crt, ca.crt, NID_subject_key_identifier, "hash") ||
	    !add_extension(p.crt, ca.crt, NID_authority_key_identifier, "keyid") ||
	    (req->hosts && req->hosts[0] && !add_hosts(p.crt, req->hosts)) ||
	    X509_sign(p.crt, ca.key, EVP_sha256()) == 0)
		return openssl_error(e, "issue a certificate");
	return pair_write(dir, name, &p, e);
}

static bool chains_to(X509 *crt, X509 *ca)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool ok = store && ctx && X509_STORE_add_cert(store, ca) == 1 &&
		  X509_STORE_CTX_init(ctx, store, crt, NULL) == 1 && X509_verify_cert(ctx) == 1;

	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	ERR_clear_error();
	return ok;
}

bool pki_is_current(const char *ca_dir, const char *dir, const char *name, int min_days)
{
	_free_ char *ca_path = file_name(ca_dir, "ca", "crt");
	_buf_ pem = BUF_INIT(PEM_MAX);
	_pair_ p = {0};
	int days = 0, seconds = 0;
	BIO *bio;
	X509 *ca;
	bool ok;

	if (pair_read(dir, name, &p, NULL) < 0 || file_read(ca_path, &pem, NULL) < 0)
		return false;
	bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	ca = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	ok = ca && chains_to(p.crt, ca) && ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(p.crt)) == 1 &&
	     days >= min_days && seconds >= 0;
	X509_free(ca);
	ERR_clear_error();
	return ok;
}

void pki_token(char out[48])
{
	unsigned char bytes[32];
	_buf_ text = BUF_INIT(64);

	random_bytes(bytes, sizeof(bytes));
	base64url_encode(bytes, sizeof(bytes), &text);
	snprintf(out, 48, "%s", text.data);
}
