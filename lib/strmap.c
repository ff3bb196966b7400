/*
 * strmap.c - open addressing with linear probing and back-shift deletion; see strmap.h.
 *
 * Capacity is a power of two, at most 70 % full. The hash is SipHash-1-3 (Aumasson, Bernstein 2012) keyed with random
 * bytes from the kernel once per process.
 */
#include "lib/strmap.h"

#include <pthread.h>
#include <sys/random.h>

struct entry {
	uint64_t hash; /* 0: the slot is free */
	char *key;
	void *value;
};

struct strmap {
	struct entry *slots;
	size_t capacity, count;
};

static uint64_t hash_key[2];

static void hash_seed(void)
{
	if (getrandom(hash_key, sizeof(hash_key), 0) != (ssize_t)sizeof(hash_key))
		abort();
}

static inline uint64_t rotl(uint64_t x, unsigned n)
{
	return (x << n) | (x >> (64 - n));
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

uint64_t strmap_hash(const char *s)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, hash_seed);
	uint64_t v[4] = {hash_key[0] ^ 0x736f6d6570736575ULL, hash_key[1] ^ 0x646f72616e646f6dULL,
			 hash_key[0] ^ 0x6c7967656e657261ULL, hash_key[1] ^ 0x7465646279746573ULL};
	size_t len = strlen(s), i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t m;

		memcpy(&m, s + i, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	uint64_t last = (uint64_t)len << 56;

	for (unsigned shift = 0; i < len; i++, shift += 8)
		last |= (uint64_t)(unsigned char)s[i] << shift;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int r = 0; r < 3; r++)
		sip_round(v);
	uint64_t h = v[0] ^ v[1] ^ v[2] ^ v[3];

	return h ? h : 1;
}

struct strmap *strmap_new(void)
{
	struct strmap *m = xcalloc(1, sizeof(*m));

	m->capacity = 16;
	m->slots = xcalloc(m->capacity, sizeof(*m->slots));
	return m;
}

void strmap_free(struct strmap *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->capacity; i++)
		free(m->slots[i].key);
	free(m->slots);
	free(m);
}

/* The slot that holds the key, or the free slot where it would go. */
static struct entry *find(const struct strmap *m, uint64_t hash, const char *key)
{
	size_t mask = m->capacity - 1;

	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct entry *s = &m->slots[i];

		if (!s->hash || (s->hash == hash && strcmp(s->key, key) == 0))
			return s;
	}
}

static void grow(struct strmap *m)
{
	struct strmap bigger = {.capacity = m->capacity * 2, .count = m->count};

	bigger.slots = xcalloc(bigger.capacity, sizeof(*bigger.slots));
	for (size_t i = 0; i < m->capacity; i++)
		if (m->slots[i].hash)
			*find(&bigger, m->slots[i].hash, m->slots[i].key) = m->slots[i];
	free(m->slots);
	*m = bigger;
}

void *strmap_get(const struct strmap *m, const char *key)
{
	return find(m, strmap_hash(key), key)->value;
}

void *strmap_put(struct strmap *m, const char *key, void *value)
{
	if ((m->count + 1) * 10 > m->capacity * 7)
		grow(m);
	uint64_t hash = strmap_hash(key);
	struct entry *s = find(m, hash, key);
	void *old = s->value;

	if (!s->hash) {
		s->hash = hash;
		s->key = xstrdup(key);
		m->count++;
	}
	s->value = value;
	return old;
}

void *strmap_remove(struct strmap *m, const char *key)
{
	struct entry *s = find(m, strmap_hash(key), key);
	void *old = s->value;
	size_t mask = m->capacity - 1;

	if (!s->hash)
		return NULL;
	free(s->key);
	m->count--;
	size_t hole = (size_t)(s - m->slots);

	for (size_t i = (hole + 1) & mask; m->slots[i].hash; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct entry){0};
	return old;
}

size_t strmap_count(const struct strmap *m)
{
	return m->count;
}

bool strmap_next(const struct strmap *m, size_t *position, const char **key, void **value)
{
	for (; *position < m->capacity; ++*position) {
		const struct entry *s = &m->slots[*position];

		if (!s->hash)
			continue;
		if (key)
			*key = s->key;
		if (value)
			*value = s->value;
		++*position;
		return true;
	}
	return false;
}
