/*
 * jwt.c - see jwt.h. OpenSSL speaks DER signatures, JWTs the two bare numbers (RFC 7518 section 3.4).
 */
#include "apiserver/jwt.h"
#include "lib/codec.h"
#include "lib/fsutil.h"
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#define HALF 32
#define DER_MAX 128
#define PEM_MAX 8192

static const char header[] = "{\"alg\":\"ES256\",\"typ\":\"JWT\"}";

struct jwt_key {
	EVP_PKEY *key;
};

static int fault(struct error *e, const char *what)
{
	ERR_clear_error();
	return error_set(e, E_INTERNAL, "cannot %s", what);
}

/* ---- keys ---- */

static int key_make(const char *path, EVP_PKEY **ret, struct error *e)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *pem = BIO_new(BIO_s_secmem());
	char *data = NULL;
	int code = 0;

	if (!key || !pem || PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) != 1)
		code = fault(e, "make a key for tokens");
	long len = code == 0 ? BIO_get_mem_data(pem, &data) : 0;
	if (code == 0 && path)
		code = file_write_atomic(path, data, (size_t)len, 0600, e);
	BIO_free(pem);
	if (code == 0)
		*ret = key;
	else
		EVP_PKEY_free(key);
	return code;
}

static int key_read(const char *path, EVP_PKEY **ret, struct error *e)
{
	_buf_ text = BUF_INIT(PEM_MAX);
	int code = file_read(path, &text, e);

	if (code < 0)
		return code;
	BIO *pem = BIO_new_mem_buf(text.data, (int)text.len);
	EVP_PKEY *key = pem ? PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL) : NULL;
	BIO_free(pem);
	explicit_bzero(text.data, text.len);
	ERR_clear_error();
	if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_bits(key) != 8 * HALF) {
		EVP_PKEY_free(key);
		return error_set(e, E_INVALID, "%s holds no ECDSA P-256 key; remove it to have a new one made", path);
	}
	*ret = key;
	return 0;
}

int jwt_key_open(const char *path, struct jwt_key **ret, struct error *e)
{
	EVP_PKEY *key = NULL;
	int code = path && access(path, F_OK) == 0 ? key_read(path, &key, e) : key_make(path, &key, e);

	if (code < 0)
		return error_prefix(e, "service account key");
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->key = key;
	return 0;
}

void jwt_key_free(struct jwt_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->key);
	free(k);
}

/* ---- signatures ---- */

static bool sign(EVP_PKEY *key, const char *text, size_t len, unsigned char out[2 * HALF])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char der[DER_MAX];
	const unsigned char *p = der;
	size_t n = sizeof(der);
	bool good = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestSign(ctx, der, &n, (const unsigned char *)text, len) == 1;
	ECDSA_SIG *sig = good ? d2i_ECDSA_SIG(NULL, &p, (long)n) : NULL;

	good = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, HALF) == HALF &&
	       BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + HALF, HALF) == HALF;
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

static bool verify(EVP_PKEY *key, const char *text, size_t len, const unsigned char in[2 * HALF])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(in, HALF, NULL), *s = BN_bin2bn(in + HALF, HALF, NULL);
	unsigned char *der = NULL;
	bool good = ctx && sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1;

	if (!good) {
		BN_free(r);
		BN_free(s);
	}
	int n = good ? i2d_ECDSA_SIG(sig, &der) : -1;
	good = n > 0 && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	       EVP_DigestVerify(ctx, der, (size_t)n, (const unsigned char *)text, len) == 1;
	OPENSSL_free(der);
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

/* ---- tokens ---- */

int jwt_sign(const struct jwt_key *k, struct arena *a, const struct json *claims, char **ret, struct error *e)
{
	_buf_ out = BUF_INIT(JWT_MAX), body = BUF_INIT(JWT_MAX);
	unsigned char signature[2 * HALF];

	json_write(claims, JSON_COMPACT, &body);
	base64url_encode(header, strlen(header), &out);
	buf_addf(&out, ".");
	base64url_encode(body.data, body.len, &out);
	if (out.over || body.over || !sign(k->key, out.data, out.len, signature))
		return fault(e, "sign a token");
	buf_addf(&out, ".");
	base64url_encode(signature, sizeof(signature), &out);
	if (out.over)
		return fault(e, "sign a token");
	*ret = arena_strdup(a, out.data);
	return 0;
}

static int refused(struct error *e)
{
	return error_set(e, E_UNAUTHORIZED, "the token is not one of this server's");
}

static bool is_es256(struct arena *a, const char *text, size_t len)
{
	_buf_ decoded = BUF_INIT(JWT_MAX);
	struct json *head;

	return base64_decode(text, len, &decoded, NULL) == 0 && decoded.data &&
	       json_parse(a, decoded.data, decoded.len, NULL, &head, NULL) == 0 &&
	       streq(json_str(json_get(head, "alg")), "ES256");
}

int jwt_verify(const struct jwt_key *k, struct arena *a, const char *token, struct json **ret_claims, struct error *e)
{
	_buf_ body = BUF_INIT(JWT_MAX), signature = BUF_INIT(256);
	const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;

	if (!second || strlen(token) > JWT_MAX || strchr(second + 1, '.') ||
	    !is_es256(a, token, (size_t)(first - token)) ||
	    base64_decode(second + 1, strlen(second + 1), &signature, NULL) < 0 || signature.len != 2 * HALF ||
	    !verify(k->key, token, (size_t)(second - token), (const unsigned char *)signature.data))
		return refused(e);
	if (base64_decode(first + 1, (size_t)(second - first - 1), &body, NULL) < 0 || !body.data ||
	    json_parse(a, body.data, body.len, NULL, ret_claims, NULL) < 0)
		return refused(e);
	return 0;
}
