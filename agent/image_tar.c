/*
 * image_tar.c - ustar headers, and pax headers for what does not fit into them; see image_tar.h.
 *
 * Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header". Extended attributes go into
 * SCHILY.xattr records, as GNU tar, Go and sqfstar have them.
 */
#include "agent/image_tar.h"

#include <stdio.h>

#define BLOCK 512
#define PAX_MAX (1U << 20)
#define OCTAL_MAX_8 07777777L	    /* what fits a field of 8 bytes */
#define OCTAL_MAX_12 077777777777LL /* of 12 */

struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6],
		version[2], uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "a tar header is one block");

static const char zeros[65536];

void image_tar_init(struct image_tar *t, int (*sink)(void *, const void *, size_t, struct error *), void *user)
{
	*t = (struct image_tar){.sink = sink, .user = user, .pax = BUF_INIT(PAX_MAX)};
}

void image_tar_free(struct image_tar *t)
{
	buf_free(&t->pax);
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void pax_record(struct buf *pax, const char *prefix, const char *key, const void *value, size_t len)
{
	size_t rest = strlen(prefix) + strlen(key) + len + 3, digits = 1;

	for (size_t total = rest + 1, limit = 10; total >= limit; limit *= 10)
		total = rest + ++digits;
	buf_addf(pax, "%zu %s%s=", rest + digits, prefix, key);
	buf_add(pax, value, len);
	buf_addc(pax, '\n');
}

static void pax_number(struct buf *pax, const char *key, int64_t n)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%lld", (long long)n);

	pax_record(pax, "", key, text, (size_t)len);
}

void image_tar_xattr(struct image_tar *t, const char *name, const void *value, size_t len)
{
	pax_record(&t->pax, "SCHILY.xattr.", name, value, len);
}

/* n in octal with a NUL behind, or all that fits after a pax record has said it. */
static void number_field(struct buf *pax, char *field, size_t size, const char *key, int64_t n, int64_t max)
{
	if (n < 0 || n > max) {
		pax_number(pax, key, n);
		n = 0;
	}
	for (size_t i = size - 1; i--; n >>= 3)
		field[i] = (char)('0' + (n & 7));
	field[size - 1] = '\0';
}

static void text_field(struct buf *pax, char *field, size_t size, const char *key, const char *s)
{
	size_t n = strlen(s);

	if (n > size)
		pax_record(pax, "", key, s, n);
	memcpy(field, s, n < size ? n : size);
}

static void ustar_seal(struct ustar *u)
{
	const unsigned char *bytes = (const unsigned char *)u;
	unsigned sum = 0;

	memcpy(u->magic, "ustar", 6);
	memcpy(u->version, "00", 2);
	memset(u->checksum, ' ', sizeof(u->checksum));
	for (size_t i = 0; i < sizeof(*u); i++)
		sum += bytes[i];
	snprintf(u->checksum, sizeof(u->checksum), "%06o", sum);
}

static int put(struct image_tar *t, const void *data, size_t len, struct error *e)
{
	return len ? t->sink(t->user, data, len, e) : 0;
}

static size_t padding_of(int64_t size)
{
	return (size_t)(-(uint64_t)size & (BLOCK - 1));
}

static int put_pax(struct image_tar *t, struct error *e)
{
	struct ustar u = {.name = "pax", .type = 'x'};
	struct buf none = BUF_INIT(1);

	if (t->pax.over)
		return error_set(e, E_INVALID, "an entry has more than %u bytes of extended attributes", PAX_MAX);
	number_field(&none, u.mode, sizeof(u.mode), "", 0644, OCTAL_MAX_8);
	number_field(&none, u.uid, sizeof(u.uid), "", 0, OCTAL_MAX_8);
	number_field(&none, u.gid, sizeof(u.gid), "", 0, OCTAL_MAX_8);
	number_field(&none, u.mtime, sizeof(u.mtime), "", 0, OCTAL_MAX_12);
	number_field(&none, u.size, sizeof(u.size), "", (int64_t)t->pax.len, OCTAL_MAX_12);
	ustar_seal(&u);
	int r = put(t, &u, sizeof(u), e);

	if (!r)
		r = put(t, t->pax.data, t->pax.len, e);
	if (!r)
		r = put(t, zeros, padding_of((int64_t)t->pax.len), e);
	return r;
}

int image_tar_header(struct image_tar *t, const struct image_tar_header *h, struct error *e)
{
	struct ustar u = {.type = h->type};
	int r = 0;

	if (t->left)
		return error_set(e, E_INTERNAL, "tar: %lld bytes of a file are missing", (long long)t->left);
	text_field(&t->pax, u.name, sizeof(u.name), "path", h->path);
	if (h->link)
		text_field(&t->pax, u.link, sizeof(u.link), "linkpath", h->link);
	number_field(&t->pax, u.mode, sizeof(u.mode), "", h->mode & 07777, OCTAL_MAX_8);
	number_field(&t->pax, u.uid, sizeof(u.uid), "uid", h->uid, OCTAL_MAX_8);
	number_field(&t->pax, u.gid, sizeof(u.gid), "gid", h->gid, OCTAL_MAX_8);
	number_field(&t->pax, u.size, sizeof(u.size), "size", h->size, OCTAL_MAX_12);
	number_field(&t->pax, u.mtime, sizeof(u.mtime), "mtime", h->mtime, OCTAL_MAX_12);
	number_field(&t->pax, u.major, sizeof(u.major), "SCHILY.devmajor", h->device_major, OCTAL_MAX_8);
	number_field(&t->pax, u.minor, sizeof(u.minor), "SCHILY.devminor", h->device_minor, OCTAL_MAX_8);
	ustar_seal(&u);
	if (t->pax.len || t->pax.over)
		r = put_pax(t, e);
	buf_reset(&t->pax);
	t->pax.over = false;
	if (!r)
		r = put(t, &u, sizeof(u), e);
	t->left = h->size;
	t->padding = (int64_t)padding_of(h->size);
	return r;
}

int image_tar_data(struct image_tar *t, const void *data, size_t len, struct error *e)
{
	if ((int64_t)len > t->left)
		return error_set(e, E_INTERNAL, "tar: a file has more bytes than its header says");
	t->left -= (int64_t)len;
	int r = put(t, data, len, e);

	if (!r && !t->left && t->padding) {
		r = put(t, zeros, (size_t)t->padding, e);
		t->padding = 0;
	}
	return r;
}

int image_tar_zeros(struct image_tar *t, int64_t len, struct error *e)
{
	int r = 0;

	while (!r && len > 0) {
		size_t n = len < (int64_t)sizeof(zeros) ? (size_t)len : sizeof(zeros);

		r = image_tar_data(t, zeros, n, e);
		len -= (int64_t)n;
	}
	return r;
}

int image_tar_end(struct image_tar *t, struct error *e)
{
	return t->left ? error_set(e, E_INTERNAL, "tar: the last file is incomplete") : put(t, zeros, 2 * BLOCK, e);
}
