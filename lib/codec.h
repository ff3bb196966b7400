/*
 * codec.h - hex, base64, percent-encoding, UTF-8, SHA-256, UUIDs and random names.
 *
 * SHA-256 and random bytes come from OpenSSL's libcrypto, UUIDs from libuuid. Anyone may include this file.
 */
#ifndef BERTH_LIB_CODEC_H
#define BERTH_LIB_CODEC_H

#include "lib/buf.h"
#include "lib/error.h"

void hex_encode(const void *data, size_t len, char *out /* 2*len+1 */);
void base64_encode(const void *data, size_t len, struct buf *out);		/* RFC 4648 section 4, padded */
void base64url_encode(const void *data, size_t len, struct buf *out);		/* RFC 4648 section 5, no padding */
int base64_decode(const char *s, size_t len, struct buf *out, struct error *e); /* either alphabet, padding optional */
void percent_encode(const char *s, struct buf *out); /* everything but unreserved (RFC 3986) */
int percent_decode(const char *s, size_t len, bool plus_is_space, struct buf *out, struct error *e);
/* The length of the longest prefix that is UTF-8 by RFC 3629: no overlong forms, no surrogates, up to U+10FFFF. */
size_t utf8_prefix(const char *s, size_t len);

#define SHA256_HEX_MAX 65
struct sha256;
struct sha256 *sha256_new(void);
void sha256_update(struct sha256 *h, const void *data, size_t len);
void sha256_final_hex(struct sha256 *h, char out[SHA256_HEX_MAX]); /* h can be used again afterwards, from empty */
void sha256_free(struct sha256 *h);
void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_MAX]);

#define UUID_TEXT_MAX 37
void uuid_generate_text(char out[UUID_TEXT_MAX]); /* version 4, lower case */
void random_bytes(void *out, size_t n);
/* n characters of Kubernetes' generateName alphabet, and a NUL. */
void random_name(char *out, size_t n);
/* Equal in constant time for a given length. */
bool secret_equal(const char *a, const char *b);

#endif
