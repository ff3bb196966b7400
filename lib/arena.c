/*
 * arena.c - bump allocation in blocks that double; see arena.h.
 *
 * Values are taken from the front of a block, aligned; strings from its end, unaligned, so that they cost their length.
 * Under AddressSanitizer everything not handed out is poisoned and pieces are kept apart, so that running over one is
 * found as it would be on the heap.
 */
#include "lib/arena.h"

#include <stdio.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define RED_ZONE 16U
#define TEXT_ALIGN 8U /* the sanitizer's granule */
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define RED_ZONE 0U
#define TEXT_ALIGN 1U
#endif

#define FIRST_BLOCK 1024U
#define LARGEST_BLOCK (256U * 1024)
#define ALIGN 16U

struct block {
	struct block *next;
	size_t size, used; /* of data; what is free lies between used and end */
	size_t end;
	_Alignas(ALIGN) char data[];
};

struct arena {
	struct block *blocks; /* the one in use first */
	size_t total;
};

struct arena *arena_new(void)
{
	return xcalloc(1, sizeof(struct arena));
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	for (struct block *b = a->blocks, *next; b; b = next) {
		next = b->next;
		ASAN_UNPOISON_MEMORY_REGION(b->data, b->size);
		free(b);
	}
	free(a);
}

static struct block *add_block(struct arena *a, size_t n)
{
	size_t size = FIRST_BLOCK - sizeof(struct block);

	if (a->blocks)
		size = a->blocks->size * 2 + sizeof(struct block);
	if (size > LARGEST_BLOCK - sizeof(struct block))
		size = LARGEST_BLOCK - sizeof(struct block);
	/* A large piece gets a block of its own behind the one in use, whose rest stays usable. */
	bool large = n > size && a->blocks;

	if (n > size)
		size = n;
	struct block *b = xmalloc(sizeof(*b) + size);

	b->size = b->end = size;
	b->used = 0;
	ASAN_POISON_MEMORY_REGION(b->data, size);
	if (large) {
		b->next = a->blocks->next;
		a->blocks->next = b;
	} else {
		b->next = a->blocks;
		a->blocks = b;
	}
	a->total += sizeof(*b) + size;
	return b;
}

/* The block with room for n bytes and a red zone behind them. */
static struct block *block_for(struct arena *a, size_t n)
{
	struct block *b = a->blocks;

	return b && b->end - b->used >= n ? b : add_block(a, n);
}

void *arena_alloc(struct arena *a, size_t n)
{
	if (n > PTRDIFF_MAX - ALIGN - RED_ZONE)
		abort();
	size_t whole = ((n + ALIGN - 1) & ~(size_t)(ALIGN - 1)) + RED_ZONE;
	struct block *b = block_for(a, whole);
	void *p = b->data + b->used;

	b->used += whole;
	ASAN_UNPOISON_MEMORY_REGION(p, n);
	return p;
}

void *arena_calloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

static char *alloc_text(struct arena *a, size_t n)
{
	struct block *b = block_for(a, n + RED_ZONE + TEXT_ALIGN - 1);

	b->end = (b->end - n - RED_ZONE) & ~(size_t)(TEXT_ALIGN - 1);
	ASAN_UNPOISON_MEMORY_REGION(b->data + b->end, n);
	return b->data + b->end;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = alloc_text(a, len + 1);

	memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);

	if (n < 0)
		abort();
	char *p = alloc_text(a, (size_t)n + 1);

	vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return p;
}

size_t arena_size(const struct arena *a)
{
	return a->total;
}
