/*
 * schema.h - structural schemas: what an object of a kind may look like, and making it so.
 *
 * Source: k8s.io/apiextensions-apiserver (structural schemas, pruning, defaulting, validation) and the texts of
 * k8s.io/kube-openapi/pkg/validation/errors. A schema is compiled once from its OpenAPI form, with its regular
 * expressions and a hash of its members, and is immutable and thread-safe afterwards.
 *
 * The functions on objects leave apiVersion, kind and metadata of the root alone: those are meta.c's.
 * Used by the write path; patch, apply and OpenAPI read the structs.
 */
#ifndef BERTH_APISERVER_SCHEMA_H
#define BERTH_APISERVER_SCHEMA_H

#include "apiserver/kind.h"

#include <regex.h>

enum schema_type {
	SCHEMA_ANY,
	SCHEMA_BOOLEAN,
	SCHEMA_INTEGER,
	SCHEMA_NUMBER,
	SCHEMA_STRING,
	SCHEMA_ARRAY,
	SCHEMA_OBJECT,
};
enum schema_format { SCHEMA_FORMAT_NONE, SCHEMA_FORMAT_DATE_TIME, SCHEMA_FORMAT_BYTE, SCHEMA_FORMAT_INT32 };
enum schema_list { SCHEMA_LIST_ATOMIC, SCHEMA_LIST_SET, SCHEMA_LIST_MAP };

struct schema_rule; /* see schema_rules.h */

struct schema_property {
	const char *name;
	const struct schema *schema;
};

struct schema {
	enum schema_type type;
	bool nullable, int_or_string, preserve_unknown;
	bool map_atomic;		  /* x-kubernetes-map-type: atomic */
	bool has_defaults;		  /* a default somewhere below, or here */
	bool has_old_rules;		  /* a rule that looks at the old value somewhere below, or here */
	const char *name;		  /* of the property this is, "" for items and the root */
	const char *description;	  /* or NULL */
	const struct json *default_value; /* or NULL */
	const struct json *enumeration;	  /* array, or NULL */
	const struct json *minimum, *maximum, *multiple_of; /* numbers, or NULL */
	bool exclusive_minimum, exclusive_maximum;
	int64_t min_length, max_length, min_items, max_items, min_properties, max_properties; /* -1: none */
	const char *pattern;								      /* or NULL */
	const regex_t *regex;								      /* of pattern */
	const char *format;								      /* or NULL */
	enum schema_format format_id;
	/* objects */
	const struct schema_property *properties;
	size_t property_count;
	const uint16_t *slots; /* open-addressed hash of property index + 1, 0 empty */
	uint32_t slot_mask;
	const struct schema *additional; /* values of other members, or NULL */
	const uint16_t *required;	 /* indices into properties */
	size_t required_count;
	/* arrays */
	const struct schema *items; /* or NULL */
	enum schema_list list;
	const char *const *list_keys; /* NULL-terminated, for SCHEMA_LIST_MAP */
	/* strategic merge: how lists of standard kinds merge; NULL: as the list type says */
	const char *patch_merge_key, *patch_strategy;
	const struct schema_rule *rules;
	size_t rule_count;
};

/* From OpenAPI form. Errors: E_INVALID with the path of what is not structural or not supported. */
int schema_compile(struct arena *a, const struct json *openapi, const struct schema **ret, struct error *e);
/* The schema of a member (declared, or of additionalProperties), or NULL when the schema says nothing about it. */
const struct schema *schema_member(const struct schema *s, const char *name);

/* Drops, in place, members the schema does not know, and null members that may not be null. Texts like
 * `unknown field "spec.x"` are appended to unknown (an array) when it is not NULL. */
void schema_prune(struct arena *a, const struct kind *k, struct json *obj, struct json *unknown);
/* Fills in defaults, in place. */
void schema_default(struct arena *a, const struct kind *k, struct json *obj);
/* Appends a {"reason", "message", "field"} per fault to causes (an array) and returns how many. The message has no
 * field path in front: "Required value", "Invalid value: 0: spec.x in body should be …". old: NULL on create; with it,
 * also the rules about changes (immutable fields). At most 100 faults are listed. */
size_t schema_validate(struct arena *a, const struct kind *k, const struct json *obj, const struct json *old,
		       struct json *causes);

#endif
