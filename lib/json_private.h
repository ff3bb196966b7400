/*
 * json_private.h - what a JSON value looks like inside, for json.c, json_read.c and json_build.c alone.
 *
 * Values are sized by their type: null and booleans are 8 bytes, other scalars 16 and their text. Lists and objects
 * that were parsed or cloned hold exactly their elements; ones that are built grow by doubling. Objects beyond
 * JSON_INDEX_FROM members carry a keyed hash index, so that neither look-ups nor the search for duplicate keys become
 * quadratic on hostile input.
 */
#ifndef BERTH_LIB_JSON_PRIVATE_H
#define BERTH_LIB_JSON_PRIVATE_H

#include "lib/json.h"

#define JSON_INDEX_FROM 16U
/* Deeper trees, which only a program could build, are not written (yajl's own limit is 128). */
#define JSON_WRITE_DEPTH 120U

struct json {
	uint8_t type;	/* enum json_type */
	bool flag;	/* of a boolean */
	uint32_t count; /* of elements or members; the length of a string */
};

struct json_integer {
	struct json base;
	int64_t value;
};

/* A number that is no int64_t: it keeps its text and is written as it came. */
struct json_number {
	struct json base;
	double value;
	const char *text;
};

struct json_text {
	struct json base;
	char text[];
};

struct json_list {
	struct json base;
	struct json **items;
	uint32_t capacity;
};

struct json_member {
	const char *key;
	struct json *value;
};

struct json_map {
	struct json base;
	struct json_member *members;
	uint32_t *index; /* open addressing, member number + 1, 0 is free; NULL for small objects */
	uint32_t capacity, index_size;
};

#define JSON_AS(struct_name, v) ((struct struct_name *)(uintptr_t)(v))

/* The member of that key, or NULL. */
struct json_member *json_map_find(const struct json_map *m, const char *key);
/* Values that take over these arrays, which lie in the arena; the keys are known to differ. */
struct json *json_map_adopt(struct arena *a, struct json_member *members, uint32_t count);
struct json *json_list_adopt(struct arena *a, struct json **items, uint32_t count);
/* A string whose bytes are known to be UTF-8. */
struct json *json_text_of(struct arena *a, const char *s, size_t n);
struct json *json_number_of(struct arena *a, double d, const char *text);
/* Room for an index that `members` leave at most half full: a power of two. */
uint32_t json_index_size(uint32_t members);

#endif
