/*
 * kind.h - the table of kinds: what api-spec/ says about each resource, ready to be asked.
 *
 * A kind is made from one document in CustomResourceDefinition form; kinds of Kubernetes itself (Node, Secret, …) are
 * written the same way. Ownership: the table lives as long as the process, is read-only after kind_table_init(), and
 * may be read from any thread. kind_load() gives kinds that live in the caller's arena instead.
 *
 * Used by everything in the apiserver.
 */
#ifndef BERTH_APISERVER_KIND_H
#define BERTH_APISERVER_KIND_H

#include "lib/json.h"

struct schema;
struct jsonpath;

/* One column of a Table beside those kubectl adds itself. Source: CRD additionalPrinterColumns. */
struct kind_column {
	const char *name, *type, *format, *description; /* never NULL */
	const char *path;				/* JSONPath, or "@function" for the computed ones of table.c */
	const struct jsonpath *compiled;		/* NULL for computed ones */
	int64_t priority;				/* > 0: only in wide output */
};

/* A subresource beside status and scale. */
struct kind_subresource {
	const char *name;
	const char *const *verbs; /* NULL-terminated */
};

struct kind {
	unsigned index; /* position in the table, 0 … kind_count()-1 */
	const char *group, *version, *plural, *singular, *kind, *list_kind; /* group "" = core */
	const char *api_version;					    /* "v1", "berth.dev/v1" */
	const char *openapi_name;					    /* "dev.berth.v1.Container" */
	bool namespaced;
	bool has_status, has_scale;
	bool create_only; /* a question (SelfSubjectReview, …): answered at once, never stored */
	bool core;	  /* a standard Kubernetes kind: strategic merge is allowed, PUT without resourceVersion too */
	const char *scale_spec_path, *scale_status_path, *scale_selector_path; /* "spec.maxInstances"; NULL when none */
	/* The lists below are NULL-terminated and never NULL. */
	const char *const *short_names, *const *categories;
	const char *const *selectable; /* dotted paths a fieldSelector may name besides metadata.name and .namespace */
	const struct kind_subresource *subresources; /* ended by a NULL name */
	size_t subresource_count;
	const struct kind_column *columns;
	size_t column_count;
	const struct schema *schema;	   /* of the whole object, metadata included */
	const struct json *openapi_schema; /* as written in the document */
};

/* Parses the embedded api-spec/. Once, at start, before threads. */
int kind_table_init(struct error *e);
size_t kind_count(void);
const struct kind *kind_at(size_t index);
/* By the parts of a URL / by the kind's name; NULL when there is none. */
const struct kind *kind_find(const char *group, const char *version, const char *plural);
const struct kind *kind_find_by_kind(const char *group, const char *version, const char *kind);
/* version NULL: any. */
bool kind_group_exists(const char *group, const char *version);
/* Schemas shared by kinds ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", …): an object of name → OpenAPI schema.
 */
const struct json *kind_shared_schemas(void);

/* One kind of a document in CRD form, for every served version the first. Needs kind_table_init() for ObjectMeta.
 * Errors: E_INVALID naming what is wrong with the document. */
int kind_load(struct arena *a, const struct json *crd, struct kind **ret, struct error *e);

#endif
