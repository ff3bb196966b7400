/*
 * codec.c - encodings, hashes and random names; see codec.h. OpenSSL's libcrypto and libuuid do the hard parts.
 */
#include "lib/codec.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/random.h>
#include <uuid/uuid.h>

void hex_encode(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

static const char standard_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode64(const unsigned char *p, size_t len, const char *alphabet, bool pad, struct buf *out)
{
	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		unsigned v = (unsigned)p[i] << 16 | (n > 1 ? (unsigned)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);

		for (size_t k = 0; k < 4; k++) {
			if (k <= n)
				buf_addc(out, alphabet[v >> (18 - 6 * k) & 63]);
			else if (pad)
				buf_addc(out, '=');
		}
	}
}

void base64_encode(const void *data, size_t len, struct buf *out)
{
	encode64(data, len, standard_alphabet, true, out);
}

void base64url_encode(const void *data, size_t len, struct buf *out)
{
	encode64(data, len, url_alphabet, false, out);
}

static int digit64(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

int base64_decode(const char *s, size_t len, struct buf *out, struct error *e)
{
	unsigned v = 0, bits = 0;

	while (len && s[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++) {
		int d = digit64(s[i]);

		if (s[i] == '\n' || s[i] == '\r')
			continue;
		if (d < 0)
			return error_set(e, E_BAD_REQUEST, "illegal base64 data at input byte %zu", i);
		v = (v << 6 | (unsigned)d) & 0xffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			buf_addc(out, (char)(v >> bits));
		}
	}
	if (bits >= 6)
		return error_set(e, E_BAD_REQUEST, "base64 data is cut off");
	return out->over ? error_set(e, E_TOO_LARGE, "base64 data is too long") : 0;
}

void percent_encode(const char *s, struct buf *out)
{
	for (; *s; s++) {
		if (isascii((unsigned char)*s) && (isalnum((unsigned char)*s) || strchr("-._~", *s)))
			buf_addc(out, *s);
		else
			buf_addf(out, "%%%02X", (unsigned char)*s);
	}
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *d = memchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c, 16);

	return d ? (int)(d - digits) : -1;
}

int percent_decode(const char *s, size_t len, bool plus_is_space, struct buf *out, struct error *e)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '%') {
			int hi = i + 2 < len ? hex_digit(s[i + 1]) : -1;
			int lo = i + 2 < len ? hex_digit(s[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return error_set(e, E_BAD_REQUEST, "malformed percent-encoding at byte %zu", i);
			buf_addc(out, (char)(hi << 4 | lo));
			i += 2;
		} else {
			buf_addc(out, s[i] == '+' && plus_is_space ? ' ' : s[i]);
		}
	}
	return out->over ? error_set(e, E_TOO_LARGE, "decoded text is too long") : 0;
}

/* Bytes of the character at s, 0 when it is malformed. Source: RFC 3629, section 4. */
static size_t utf8_char(const unsigned char *s, size_t len)
{
	unsigned char low = 0x80, high = 0xbf; /* the range of the second byte */
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	if (n > len)
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < n; i++) {
		if (s[i] < low || s[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return n;
}

size_t utf8_prefix(const char *s, size_t len)
{
	size_t at = 0;

	while (at < len) {
		uint64_t word;

		/* Most text is ASCII: eight bytes at a time. */
		for (; len - at >= 8; at += 8) {
			memcpy(&word, s + at, 8);
			if (word & 0x8080808080808080ULL)
				break;
		}
		if (at == len)
			break;
		size_t n = utf8_char((const unsigned char *)s + at, len - at);

		if (!n)
			return at;
		at += n;
	}
	return len;
}

struct sha256 {
	EVP_MD_CTX *ctx;
};

struct sha256 *sha256_new(void)
{
	struct sha256 *h = xcalloc(1, sizeof(*h));

	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx || !EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL))
		abort();
	return h;
}

void sha256_update(struct sha256 *h, const void *data, size_t len)
{
	if (!EVP_DigestUpdate(h->ctx, data, len))
		abort();
}

void sha256_final_hex(struct sha256 *h, char out[SHA256_HEX_MAX])
{
	unsigned char md[32];

	if (!EVP_DigestFinal_ex(h->ctx, md, NULL) || !EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL))
		abort();
	hex_encode(md, sizeof(md), out);
}

void sha256_free(struct sha256 *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_MAX])
{
	unsigned char md[32];

	if (!EVP_Digest(data, len, md, NULL, EVP_sha256(), NULL))
		abort();
	hex_encode(md, sizeof(md), out);
}

void uuid_generate_text(char out[UUID_TEXT_MAX])
{
	uuid_t u;

	uuid_generate_random(u);
	uuid_unparse_lower(u, out);
}

void random_bytes(void *out, size_t n)
{
	char *p = out;

	while (n) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0)
			continue;
		p += got;
		n -= (size_t)got;
	}
}

void random_name(char *out, size_t n)
{
	/* Source: k8s.io/apimachinery/pkg/util/rand. */
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";

	for (size_t i = 0; i < n; i++) {
		unsigned char c;

		do
			random_bytes(&c, 1);
		while (c >= 256 / (sizeof(alphabet) - 1) * (sizeof(alphabet) - 1));
		out[i] = alphabet[c % (sizeof(alphabet) - 1)];
	}
	out[n] = '\0';
}

bool secret_equal(const char *a, const char *b)
{
	size_t n = strlen(a);

	return strlen(b) == n && CRYPTO_memcmp(a, b, n) == 0;
}
